"""The planner's snapshot: everything it may know, read without holding a transaction open.

What it makes of it becomes true in ``shared.database.plans``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import ages, channels, network, node_days, prices, quotes, risks, trade, zones
from shared.database.cartons import read_cartons
from shared.database.channels import SELLS_EVERYTHING, Seen, Selling
from shared.database.exclusions import excluded_since
from shared.database.snapshots import FREE_STOCK
from shared.domain.cartons import Carton
from shared.domain.network import Node, Place
from shared.domain.orders import Method, ServiceLevel
from shared.domain.pricing.models import NO_PRICES, Prices
from shared.domain.sourcing.models import (
    NodeLoad,
    NodeRisk,
    Policy,
    ServiceRate,
    Snapshot,
    SourcingOrder,
    Stock,
    WantedLine,
    ZoneChart,
)
from shared.domain.trade import NO_TRADE, TradeRules
from shared.messages import FulfillmentState, SourceRequest, SourceResult, TryReroute, fulfillment_order_id

_ORDER = text(f"""
    SELECT o.channel, o.place, o.service, o.policy_version, o.accepted, o.cart_hold_id, p.sourcing,
           o.priority, o.tags, o.received_at, o.promised_at, o.method, o.pickup_node_id,
           EXISTS (SELECT FROM order_line l JOIN cart_hold_line h USING (sku)
                   WHERE l.order_id = o.order_id AND h.open > 0
                     AND h.expires_at <= statement_timestamp()) AS overdue_holds,
           (SELECT result FROM step_result WHERE step_key = :step_key) AS result,
           (SELECT version FROM network_version) AS network_version,
           ({quotes.VALID} AND {quotes.OF_ORDER} AND q.currency = o.currency) AS quotes,
           {excluded_since(":excluded_since")} AS excluded,
           (SELECT jsonb_agg(jsonb_build_object('n', f.n, 'node_id', f.node_id, 'units', f.units,
                                                'deliver_by', f.deliver_by, 'release_at', f.release_at,
                                                'pickup', f.carrier = 'pickup')
                              ORDER BY f.n)
            FROM fulfillment_order f
            WHERE f.order_id = o.order_id AND f.n > :known AND f.ended_at IS NULL) AS unknown,
           (SELECT jsonb_agg(jsonb_build_array(l.line_no, l.sku, l.unallocated + l.backordered, i.weight_g,
                                               i.length_mm, i.width_mm, i.height_mm, l.unit_price_minor,
                                               l.bundle_line_no, i.own_container)
                             ORDER BY l.line_no)
            FROM order_line l JOIN item i USING (sku)
            WHERE l.order_id = o.order_id AND l.unallocated + l.backordered > 0) AS lines
    FROM orders o JOIN policy_version p ON p.version = o.policy_version
    WHERE o.order_id = :order_id
""")  # noqa: S608 - our own fragments
#: What the order's own cart holds is there for it, also where nothing is free for others.
_STOCK_FOR_CART = text("""
    SELECT p.node_id, p.sku, p.free, coalesce(h.open, 0) AS own,
           coalesce(s.cost_minor, i.cost_minor) AS unit_cost_minor
    FROM stock_position p JOIN item i USING (sku) LEFT JOIN source_offer s USING (node_id, sku)
    LEFT JOIN cart_hold_line h ON h.cart_hold_id = :cart_hold_id AND h.node_id = p.node_id AND h.sku = p.sku
    WHERE p.sku = ANY(:skus) AND p.free + coalesce(h.open, 0) > 0
""")
_HOLDER = text("SELECT node_id FROM fulfillment_order WHERE fulfillment_order_id = :owner")
_FULFILLMENT_LINES = text("""
    SELECT r.line_no, r.sku, r.open, i.weight_g, i.length_mm, i.width_mm, i.height_mm, l.unit_price_minor,
           l.bundle_line_no, i.own_container
    FROM reservation r JOIN item i USING (sku) JOIN order_line l USING (order_id, line_no)
    WHERE r.owner = :owner AND r.open > 0 ORDER BY r.line_no
""")


@dataclass
class Network:
    """Nodes, rates, channels and prices as last read; read again when their version moves on."""

    version: int = 0
    nodes: tuple[Node, ...] = ()
    rates: tuple[ServiceRate, ...] = ()
    zones: tuple[ZoneChart, ...] = ()
    risks: tuple[NodeRisk, ...] = ()
    trade_rules: TradeRules = NO_TRADE.rules
    cartons: tuple[Carton, ...] = ()
    loads: tuple[NodeLoad, ...] = ()
    limited: frozenset[str] = frozenset()
    quoting: tuple[str, ...] = ()
    prices: Prices = NO_PRICES
    selling: Selling = SELLS_EVERYTHING
    loads_at: float = 0.0
    policies: dict[str, Policy] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What the planner is to answer, or the answer this step gave before.

    Attributes:
        unknown: Fulfillment orders that the order's process lost in a crash: none was sent.
        quoting: Carriers that can be asked for quotes.
        overdue: Items that carts may hold although their time is up.
    """

    order: SourcingOrder
    snapshot: Snapshot
    policy: Policy
    answered: SourceResult | None
    first: bool
    unknown: tuple[FulfillmentState, ...] = ()
    quoting: tuple[str, ...] = ()
    overdue: tuple[str, ...] = ()


async def read_question(
    connection: AsyncConnection, remembered: Network, request: SourceRequest, monotonic: float
) -> Question:
    """Everything the planner may know about the order and the world right now.

    Args:
        remembered: This process's memory of the network, brought up to date when stale.
        monotonic: Seconds of a steady clock; node loads and prices are read again after one second.
    """
    values = {
        "order_id": request.order_id,
        "step_key": request.step_key,
        "excluded_since": request.as_of - request.policy.exclude_for,
        "known": request.known,
        "as_of": request.as_of,
    }
    row = (await connection.execute(_ORDER, values)).one()
    await _refresh(connection, remembered, row.network_version, monotonic)
    lines = tuple(_wanted(line) for line in row.lines or ())
    stock, pooled = await _stock(connection, remembered.selling, row, lines)
    order = SourcingOrder.model_construct(
        order_id=request.order_id,
        channel=row.channel,
        ship_to=Place.model_construct(**row.place),
        service=ServiceLevel(row.service),
        lines=lines,
        excluded=tuple(sorted(set(row.excluded or ()) - set(request.only))),
        only=request.only,
        needed_by=None,
        priority=row.priority,
        tags=tuple(row.tags),
        received_at=row.received_at,
        promised_at=row.promised_at,
        method=Method(row.method),
        pickup_node_id=row.pickup_node_id,
    )
    snapshot = Snapshot.model_construct(
        as_of=request.as_of,
        nodes=remembered.nodes,
        stock=stock,
        pooled=pooled,
        loads=await _loads(connection, remembered, stock, request.as_of),
        rates=remembered.rates,
        zones=remembered.zones,
        quotes=quotes.quotes_of(row.quotes),
        risks=remembered.risks,
        trade=await trade.read_for(connection, remembered.trade_rules, {line.sku for line in lines}),
        cartons=remembered.cartons,
        ineligible=remembered.selling.ineligible,
    )
    snapshot = remembered.prices.at(request.as_of).put_on(snapshot)
    policy = remembered.policies.get(row.policy_version)
    if policy is None:
        policy = remembered.policies[row.policy_version] = Policy.model_validate(row.sourcing)
    if policy.clear_aged_minor:
        idle = await ages.read_idle(connection, {line.sku for line in lines}, request.as_of)
        snapshot = snapshot.model_copy(update={"idle": idle})
    answered = SourceResult.model_validate(row.result | {"look_again": True}) if row.result else None
    unknown = tuple(FulfillmentState.model_validate(lost) for lost in row.unknown or ())
    first, quoting = not row.accepted, remembered.quoting
    overdue = tuple(sorted({line.sku for line in lines})) if row.overdue_holds else ()
    return Question(order, snapshot, policy, answered, first, unknown, quoting, overdue)


async def read_reroute(
    connection: AsyncConnection, remembered: Network, request: TryReroute, monotonic: float
) -> Question:
    """What the planner must answer to know whether one node, or any other, could take a fulfillment order's units."""
    as_source = SourceRequest(
        step_key="",
        order_id=request.order_id,
        as_of=request.as_of,
        policy=request.policy,
        only=(request.to_node,) if request.to_node else (),
    )
    question = await read_question(connection, remembered, as_source, monotonic)
    values = {"owner": fulfillment_order_id(request.order_id, request.n)}
    holder = (await connection.execute(_HOLDER, values)).scalar_one()
    lines = tuple(_wanted(list(row)) for row in await connection.execute(_FULFILLMENT_LINES, values))
    skus = sorted({line.sku for line in lines})
    positions = (await connection.execute(FREE_STOCK, {"skus": skus})).all()
    stock, pooled = await channels.stock_for(connection, remembered.selling, question.order.channel, positions)
    excluded = tuple(sorted({*question.order.excluded, holder}))
    loads = await _loads(connection, remembered, stock, question.snapshot.as_of)
    rules = await trade.read_for(connection, remembered.trade_rules, skus)
    seen = question.snapshot.model_copy(update={"stock": stock, "pooled": pooled, "loads": loads, "trade": rules})
    return replace(
        question,
        overdue=tuple(skus),
        order=question.order.model_copy(update={"lines": lines, "excluded": excluded}),
        snapshot=remembered.prices.at(request.as_of).put_on(seen),
    )


async def _stock(connection: AsyncConnection, selling: Selling, order: Any, lines: Sequence[WantedLine]) -> Seen:
    skus = sorted({line.sku for line in lines})
    if order.cart_hold_id is None:
        rows = await connection.execute(FREE_STOCK, {"skus": skus})
    else:
        rows = await connection.execute(_STOCK_FOR_CART, {"skus": skus, "cart_hold_id": order.cart_hold_id})
    return await channels.stock_for(connection, selling, order.channel, rows.all())


async def _loads(
    connection: AsyncConnection, remembered: Network, stock: Sequence[Stock], as_of: datetime
) -> tuple[NodeLoad, ...]:
    """Loads of all nodes; of the limited ones that could give something, by day and as they are now."""
    if not remembered.limited:
        return remembered.loads
    holders = remembered.limited.intersection(row.node_id for row in stock)
    return await node_days.with_days(connection, remembered.loads, holders, as_of)


def _wanted(line: list[Any]) -> WantedLine:
    names = (
        "line_no", "sku", "quantity", "weight_g", "length_mm", "width_mm", "height_mm", "unit_price_minor", "group",
        "own_container",
    )  # fmt: skip
    return WantedLine.model_construct(**dict(zip(names, line, strict=True)))


async def _refresh(connection: AsyncConnection, remembered: Network, version: int, monotonic: float) -> None:
    if remembered.version != version:
        remembered.nodes = await network.read_nodes(connection)
        remembered.rates = await network.read_rates(connection)
        remembered.zones = await zones.read_charts(connection)
        remembered.risks = await risks.read_risks(connection)
        remembered.trade_rules = await trade.read_rules(connection)
        remembered.cartons = await read_cartons(connection)
        remembered.selling = await channels.read_selling(connection)
        remembered.limited = await node_days.read_limited(connection)
        remembered.quoting = await quotes.read_quoting(connection)
        remembered.loads_at = 0.0
        remembered.version = version
    if monotonic - remembered.loads_at > 1.0:
        remembered.loads = await node_days.read_loads(connection, remembered.limited)
        remembered.prices = await prices.refresh(connection, remembered.prices)
        remembered.loads_at = monotonic
