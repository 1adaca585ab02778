"""The planner's snapshot, and the transaction that makes a plan true.

Reading and planning hold no transaction. Committing reserves every unit of the plan or nothing: a plan
that lost the race for stock is planned again on what is left.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import network
from shared.database.steps import keep_result, lock_order
from shared.database.stock import Claim, reserve
from shared.domain.network import Node, Place
from shared.domain.orders import ServiceLevel, Verdict
from shared.domain.sourcing.models import (
    NodeLoad,
    Plan,
    Policy,
    ServiceRate,
    Snapshot,
    SourcingOrder,
    Stock,
    WantedLine,
)
from shared.messages import FulfillmentState, SourceRequest, SourceResult, TryReroute, fulfillment_order_id

_ORDER = text("""
    SELECT o.channel, o.place, o.service, o.policy_version, o.accepted, p.sourcing,
           (SELECT result FROM step_result WHERE step_key = :step_key) AS result,
           (SELECT version FROM network_version) AS network_version,
           (SELECT array_agg(DISTINCT node_id) FROM fulfillment_order f
            WHERE f.order_id = o.order_id AND f.excludes_node AND f.ended_at > :excluded_since) AS excluded,
           (SELECT jsonb_agg(jsonb_build_array(l.line_no, l.sku, l.unallocated + l.backordered, i.weight_g,
                                               i.length_mm, i.width_mm, i.height_mm, l.unit_price_minor)
                             ORDER BY l.line_no)
            FROM order_line l JOIN item i USING (sku)
            WHERE l.order_id = o.order_id AND l.unallocated + l.backordered > 0) AS lines
    FROM orders o JOIN policy_version p ON p.version = o.policy_version
    WHERE o.order_id = :order_id
""")
_STOCK = text("""
    SELECT p.node_id, p.sku, p.on_hand - p.reserved - p.safety AS available,
           coalesce(s.cost_minor, i.cost_minor) AS unit_cost_minor
    FROM stock_position p JOIN item i USING (sku) LEFT JOIN source_offer s USING (node_id, sku)
    WHERE p.sku = ANY(:skus) AND p.on_hand - p.reserved - p.safety > 0
""")
_LOADS = text("""
    SELECT node_id, sum(units) AS units FROM fulfillment_order
    WHERE ended_at IS NULL AND shipped_at IS NULL GROUP BY node_id
""")
_RECORD = text("""
    WITH planned AS (
        SELECT * FROM jsonb_to_recordset(CAST(:fulfillments AS jsonb)) AS f(
            fulfillment_order_id text, n int, node_id text, units int, carrier text, service text,
            ship_by timestamptz, deliver_by timestamptz, cost jsonb, planned_minor bigint)
    ), opened AS (
        INSERT INTO fulfillment_order (fulfillment_order_id, order_id, n, node_id, units, status, carrier, service,
                                       ship_by, deliver_by, cost, planned_minor)
        SELECT fulfillment_order_id, :order_id, n, node_id, units, 'open', carrier, service,
               ship_by, deliver_by, cost, planned_minor FROM planned
    ), taken AS (
        SELECT line_no, sum(quantity) AS quantity
        FROM jsonb_to_recordset(CAST(:claims AS jsonb)) AS c(line_no int, quantity int) GROUP BY line_no
    ), lines AS (
        UPDATE order_line l
        SET allocated = l.allocated + coalesce(t.quantity, 0),
            backordered = l.unallocated + l.backordered - coalesce(t.quantity, 0),
            unallocated = 0
        FROM order_line w LEFT JOIN taken t USING (line_no)
        WHERE w.order_id = :order_id AND w.unallocated + w.backordered > 0
          AND l.order_id = w.order_id AND l.line_no = w.line_no
    ), decided AS (
        INSERT INTO decision (order_id, attempt, plan)
        VALUES (:order_id, (SELECT count(*) + 1 FROM decision WHERE order_id = :order_id), CAST(:plan AS jsonb))
    ), noted AS (
        INSERT INTO timeline (order_id, actor, event, detail)
        VALUES (:order_id, 'doms', :event, CAST(:detail AS jsonb))
    )
    UPDATE orders
    SET accepted = true,
        promised_at = greatest(promised_at, CAST(:promised_at AS timestamptz)),
        verdict = coalesce(verdict, CAST(:verdict AS jsonb))
    WHERE order_id = :order_id
""")
_FULFILLMENT_LINES = text("""
    SELECT r.line_no, r.sku, r.open, i.weight_g, i.length_mm, i.width_mm, i.height_mm, l.unit_price_minor
    FROM reservation r JOIN item i USING (sku) JOIN order_line l USING (order_id, line_no)
    WHERE r.owner = :owner AND r.open > 0 ORDER BY r.line_no
""")
_NEXT_N = text("SELECT coalesce(max(n), 0) + 1 FROM fulfillment_order WHERE order_id = :order_id")
_WAITING = text("""
    SELECT line_no, unallocated + backordered AS quantity FROM order_line
    WHERE order_id = :order_id AND unallocated + backordered > 0
""")


@dataclass
class Network:
    """Nodes and rates as last read; read again when their version moves on."""

    version: int = 0
    nodes: tuple[Node, ...] = ()
    rates: tuple[ServiceRate, ...] = ()
    loads: tuple[NodeLoad, ...] = ()
    loads_at: float = 0.0
    policies: dict[str, Policy] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What the planner is to answer, or the answer this step gave before."""

    order: SourcingOrder
    snapshot: Snapshot
    policy: Policy
    answered: SourceResult | None
    first: bool


async def read_question(
    connection: AsyncConnection, remembered: Network, request: SourceRequest, monotonic: float
) -> Question:
    """Everything the planner may know about the order and the world right now.

    Args:
        remembered: This process's memory of the network, brought up to date when stale.
        monotonic: Seconds of a steady clock; node loads are read again after one second.
    """
    values = {
        "order_id": request.order_id,
        "step_key": request.step_key,
        "excluded_since": request.as_of - request.policy.exclude_for,
    }
    row = (await connection.execute(_ORDER, values)).one()
    await _refresh(connection, remembered, row.network_version, monotonic)
    lines = tuple(_wanted(line) for line in row.lines or ())
    stock = await connection.execute(_STOCK, {"skus": sorted({line.sku for line in lines})})
    order = SourcingOrder.model_construct(
        order_id=request.order_id,
        channel=row.channel,
        ship_to=Place.model_construct(**row.place),
        service=ServiceLevel(row.service),
        lines=lines,
        excluded=tuple(sorted(set(row.excluded or ()) - set(request.only))),
        only=request.only,
        needed_by=None,
    )
    snapshot = Snapshot.model_construct(
        as_of=request.as_of,
        nodes=remembered.nodes,
        stock=tuple(Stock.model_construct(**position._mapping) for position in stock),
        loads=remembered.loads,
        rates=remembered.rates,
    )
    policy = remembered.policies.get(row.policy_version)
    if policy is None:
        policy = remembered.policies[row.policy_version] = Policy.model_validate(row.sourcing)
    answered = SourceResult.model_validate(row.result) if row.result else None
    return Question(order, snapshot, policy, answered, first=not row.accepted)


async def read_reroute(
    connection: AsyncConnection, remembered: Network, request: TryReroute, monotonic: float
) -> Question:
    """What the planner must answer to know whether one node could take a fulfillment order's units."""
    as_source = SourceRequest(
        step_key="", order_id=request.order_id, as_of=request.as_of, policy=request.policy, only=(request.to_node,)
    )
    question = await read_question(connection, remembered, as_source, monotonic)
    values = {"owner": fulfillment_order_id(request.order_id, request.n)}
    lines = tuple(_wanted(list(row)) for row in await connection.execute(_FULFILLMENT_LINES, values))
    stock = await connection.execute(_STOCK, {"skus": sorted({line.sku for line in lines})})
    return replace(
        question,
        order=question.order.model_copy(update={"lines": lines}),
        snapshot=question.snapshot.model_copy(
            update={"stock": tuple(Stock.model_construct(**position._mapping) for position in stock)}
        ),
    )


def _wanted(line: list[Any]) -> WantedLine:
    names = ("line_no", "sku", "quantity", "weight_g", "length_mm", "width_mm", "height_mm", "unit_price_minor")
    return WantedLine.model_construct(**dict(zip(names, line, strict=True)))


async def _refresh(connection: AsyncConnection, remembered: Network, version: int, monotonic: float) -> None:
    if remembered.version != version:
        remembered.nodes = await network.read_nodes(connection)
        remembered.rates = await network.read_rates(connection)
        remembered.version = version
    if monotonic - remembered.loads_at > 1.0:
        rows = await connection.execute(_LOADS)
        remembered.loads = tuple(NodeLoad.model_construct(node_id=row.node_id, units=row.units) for row in rows)
        remembered.loads_at = monotonic


async def commit_plan(
    connection: AsyncConnection, request: SourceRequest, plan: Plan, *, first: bool
) -> SourceResult | None:
    """Reserve the plan and open its fulfillment orders, in the caller's transaction.

    Returns:
        What was opened; ``None`` when the stock or the order changed since the snapshot: plan again.
    """
    answered = await lock_order(connection, request.order_id, request.step_key)
    if answered is not None:
        return SourceResult.model_validate(answered)
    waiting = {row.line_no: row.quantity for row in await connection.execute(_WAITING, {"order_id": request.order_id})}
    start = (await connection.execute(_NEXT_N, {"order_id": request.order_id})).scalar_one()
    claims = _claims(request.order_id, plan, start)
    if not _fits(claims, waiting) or not await reserve(connection, claims):
        return None
    result = SourceResult(
        fulfillments=tuple(_state(shipment, start + i) for i, shipment in enumerate(plan.shipments)),
        backordered=sum(waiting.values()) - sum(claim.quantity for claim in claims),
        promised_at=plan.promised_at,
    )
    await _record(connection, request.order_id, plan, claims, result, first=first)
    return await keep_result(connection, request.step_key, result)


def _claims(order_id: str, plan: Plan, start: int) -> list[Claim]:
    return [
        Claim.model_construct(
            owner=fulfillment_order_id(order_id, start + i),
            line_no=line.line_no,
            order_id=order_id,
            node_id=shipment.node_id,
            sku=line.sku,
            quantity=line.quantity,
        )
        for i, shipment in enumerate(plan.shipments)
        for line in shipment.lines
    ]


def _fits(claims: list[Claim], waiting: dict[int, int]) -> bool:
    """Whether the order still waits for every unit planned: staff may have cancelled some meanwhile."""
    planned: dict[int, int] = {}
    for claim in claims:
        planned[claim.line_no] = planned.get(claim.line_no, 0) + claim.quantity
    return all(units <= waiting.get(line_no, 0) for line_no, units in planned.items())


def _state(shipment: Any, n: int) -> FulfillmentState:
    units = sum(line.quantity for line in shipment.lines)
    return FulfillmentState(n=n, node_id=shipment.node_id, units=units, deliver_by=shipment.deliver_by)


async def _record(
    connection: AsyncConnection, order_id: str, plan: Plan, claims: list[Claim], result: SourceResult, *, first: bool
) -> None:
    opened = zip(plan.shipments, result.fulfillments, strict=True)
    fulfillments = [
        {
            "fulfillment_order_id": fulfillment_order_id(order_id, state.n),
            "n": state.n,
            "node_id": state.node_id,
            "units": state.units,
            "carrier": shipment.carrier,
            "service": shipment.service,
            "ship_by": shipment.ship_by.isoformat(),
            "deliver_by": shipment.deliver_by.isoformat(),
            "cost": shipment.cost.model_dump(),
            "planned_minor": shipment.cost.total,
        }
        for shipment, state in opened
    ]
    verdict = Verdict(order_id=order_id, promised_at=result.promised_at, backordered_units=result.backordered)
    detail = {
        "fulfillments": {state.n: f"{state.units} units at {state.node_id}" for state in result.fulfillments},
        "backordered": result.backordered,
        "cost_minor": plan.total_minor,
    }
    values = {
        "order_id": order_id,
        "fulfillments": json.dumps(fulfillments),
        "claims": json.dumps([{"line_no": claim.line_no, "quantity": claim.quantity} for claim in claims]),
        "plan": plan.model_dump_json(exclude={"shortages"} if len(plan.shortages) > 1000 else None),
        "event": "sourced" if result.fulfillments else "backordered",
        "detail": json.dumps(detail),
        "promised_at": result.promised_at,
        "verdict": verdict.model_dump_json() if first else None,
    }
    await connection.execute(_RECORD, values)
