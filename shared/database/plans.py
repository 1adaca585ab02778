"""The transaction that makes plans true: many orders' plans in one, with a handful of statements for all of them.

Each plan is reserved whole or not at all; one that lost the race for stock is planned again on what is left.
Orders are locked in the order of their ids, after them days of limited nodes and then stock, both in key order, so
that no two batches, and no batch and step of one order, deadlock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import capacity
from shared.database.batcher import Batcher
from shared.database.bindings import Want, bind_wants
from shared.database.capacity import Full
from shared.database.engine import Database, around_faults
from shared.database.openings import OPEN, Opened, opened, rows_of
from shared.database.reservations import Claim, reserve_each
from shared.database.rises import Queue, line_up_for_leavings
from shared.domain.base import Instant, Model
from shared.domain.capacity import Work
from shared.domain.fulfillment import PICKUP
from shared.domain.orders import Verdict
from shared.domain.pools import Pooled
from shared.domain.sourcing.batches import Place
from shared.domain.sourcing.plans import Plan, PlannedShipment
from shared.domain.sourcing.stages import Rest, Then
from shared.errors import NotFound
from shared.messages import FulfillmentState, SourceRequest, SourceResult, fulfillment_order_id

#: A plan of 10,000 lines can fall short on each; the reasons of this many say enough.
_SHORTAGES = 1000
#: Lines of the plans that share a transaction: 200 ordinary orders.
_LINES_AT_ONCE = 600
#: One batch is prepared here while another is written there; more only wait for each other's rows.
_BATCHES_AT_ONCE = 2

_LOCK = text("""
    SELECT order_id FROM orders WHERE order_id = ANY(:order_ids) ORDER BY order_id FOR NO KEY UPDATE
""")
#: A statement of its own, after the lock: it sees what whoever held the lock before has committed.
_READ = text("""
    SELECT a.step_key, s.result, (SELECT promised_at FROM orders o WHERE o.order_id = a.order_id) AS promised_at,
           (SELECT cart_hold_id FROM orders o WHERE o.order_id = a.order_id) AS cart_hold_id,
           (SELECT coalesce(max(n), 0) + 1 FROM fulfillment_order f WHERE f.order_id = a.order_id) AS next_n,
           (SELECT count(*) + 1 FROM decision d WHERE d.order_id = a.order_id) AS attempt,
           (SELECT coalesce(jsonb_agg(jsonb_build_array(line_no, unallocated + backordered)), '[]') FROM order_line l
            WHERE l.order_id = a.order_id AND unallocated + backordered > 0) AS waiting
    FROM unnest(CAST(:order_ids AS text[]), CAST(:step_keys AS text[])) AS a(order_id, step_key)
    LEFT JOIN step_result s USING (step_key)
""")
_RECORD = text(f"""
    WITH sourced AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:sourced AS jsonb)) AS s(
            order_id text, step_key text, attempt int, plan jsonb, event text, detail jsonb,
            promised_at timestamptz, place_in_batch text, verdict jsonb, result jsonb)
    ), opened AS ({OPEN}
    ), lines AS (
        UPDATE order_line l
        SET allocated = l.allocated + w.planned, backordered = w.waiting - w.planned, unallocated = 0
        FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS w(order_id text, line_no int, waiting int, planned int)
        WHERE l.order_id = w.order_id AND l.line_no = w.line_no
    ), decided AS (
        INSERT INTO decision (order_id, attempt, plan) SELECT order_id, attempt, plan FROM sourced
    ), noted AS (
        INSERT INTO timeline (order_id, actor, event, detail)
        SELECT order_id, 'doms', event, detail FROM sourced ORDER BY order_id
    ), kept AS (
        INSERT INTO step_result (step_key, result) SELECT step_key, result FROM sourced
    )
    UPDATE orders o
    SET accepted = true, place_in_batch = CAST(s.place_in_batch AS double precision[]),
        promised_at = greatest(o.promised_at, s.promised_at), verdict = coalesce(o.verdict, s.verdict)
    FROM sourced s WHERE o.order_id = s.order_id
""")  # noqa: S608 - our own fragment


@dataclass(frozen=True)
class Draft:
    """A plan that is to become true.

    Attributes:
        first: It is the order's first, which the channel's verdict goes by.
        dates: When the customer would have what the plan leaves waiting, by line and inbound.
        pooled: Items of which something is kept for other channels.
        works: What the plan asks of nodes whose days are limited.
        releases: When the nodes are told, by node; those that are not named are told at once.
        place: Where the order stands among those that wait.
    """

    request: SourceRequest
    plan: Plan
    first: bool
    dates: Mapping[int, Mapping[str, datetime]] = field(default_factory=dict)
    pooled: tuple[Pooled, ...] = ()
    works: tuple[Work, ...] = ()
    releases: Mapping[str, datetime] = field(default_factory=dict)
    place: Place = ()

    @property
    def order_id(self) -> str:
        return self.request.order_id

    @property
    def lines(self) -> int:
        return sum(len(shipment.lines) for shipment in self.plan.shipments)


#: What was opened; ``None`` when the stock or the order changed since the snapshot, or its days are full: plan again.
Outcome = SourceResult | NotFound | Full | None


class _Line(Model):
    order_id: str
    line_no: int
    waiting: int
    planned: int


class _Sourced(Model):
    order_id: str
    step_key: str
    attempt: int
    plan: Plan
    event: str
    detail: dict[str, Any]
    promised_at: Instant | None
    place_in_batch: str
    verdict: Verdict | None
    result: SourceResult


@dataclass(frozen=True)
class _Bid:
    """A draft against its order as it is now, which is locked."""

    draft: Draft
    next_n: int
    attempt: int
    waiting: dict[int, int]
    claims: list[Claim]
    promised_at: datetime | None


_LINES, _SOURCED = TypeAdapter(list[_Line]), TypeAdapter(list[_Sourced])


def committer(
    database: Database, wake: Callable[[Collection[str]], Awaitable[None]] | None = None
) -> Batcher[Draft, SourceResult | None]:
    """Commits the plans that this process has at the same time together. Close it before the database.

    Args:
        wake: Is told the orders that got what others had not taken.
    """

    async def commit(drafts: Sequence[Draft]) -> Sequence[Outcome]:
        async for attempt in around_faults():
            with attempt:
                served: set[str] = set()
                async with database.transaction() as connection:
                    outcomes = await commit_plans(connection, drafts, served)
        if served and wake is not None:
            await wake(served)
        return outcomes

    return Batcher(
        commit,
        key=lambda draft: draft.order_id,
        weigh=lambda draft: draft.lines,
        limit=_LINES_AT_ONCE,
        at_once=_BATCHES_AT_ONCE,
    )


async def commit_plans(
    connection: AsyncConnection, drafts: Sequence[Draft], served: set[str] | None = None
) -> list[Outcome]:
    """Reserve plans of different orders and open their fulfillment orders, in the caller's transaction.

    A step that has a result already answers with it. Where stock is not enough for all, the earlier draft wins. What
    an order's cart holds goes to its first plan that takes anything, and what that does not use is given back: what
    was held because it arrived is kept for the next who wait.

    Args:
        served: Is told the orders that got something.
    """
    outcomes: dict[str, Outcome] = {}
    queue = await _line_up(connection, drafts)
    bids = [bid for bid in await _bids(connection, drafts, outcomes) if _fits(bid)]
    laid = await capacity.lay_plans(connection, [_works(bid) for bid in bids])
    outcomes |= {bid.draft.order_id: days for bid, days in zip(bids, laid, strict=True) if isinstance(days, Full)}
    placed = [(bid, days) for bid, days in zip(bids, laid, strict=True) if not isinstance(days, Full)]
    pooled = {n: bid.draft.pooled for n, (bid, _) in enumerate(placed) if bid.draft.pooled}
    won = await reserve_each(connection, [bid.claims for bid, _ in placed], pooled=pooled)
    winning = [both for both, reserved in zip(placed, won, strict=True) if reserved]
    await capacity.claim(connection, [claim for _, days in winning for claim in days])
    got = await queue.serve(connection, but={draft.order_id for draft in drafts})
    if served is not None:
        served |= got
    winners = await _dated(connection, [bid for bid, _ in winning])
    if winners:
        await _record(connection, winners)
    outcomes |= {bid.draft.order_id: result for bid, result in winners}
    return [outcomes.get(draft.order_id) for draft in drafts]


async def _line_up(connection: AsyncConnection, drafts: Sequence[Draft]) -> Queue:
    """Lock who waits for what plans leave of arrived units. Only who has waited has such units."""
    taken = {draft.order_id: _taken(draft) for draft in drafts if not draft.first}
    return await line_up_for_leavings(connection, taken, [draft.order_id for draft in drafts]) if taken else Queue()


def _taken(draft: Draft) -> dict[tuple[str, str], int]:
    taken: dict[tuple[str, str], int] = {}
    for shipment in draft.plan.shipments:
        for line in shipment.lines:
            key = (shipment.node_id, line.sku)
            taken[key] = taken.get(key, 0) + line.quantity
    return taken


async def _bids(connection: AsyncConnection, drafts: Sequence[Draft], outcomes: dict[str, Outcome]) -> list[_Bid]:
    """Lock the orders and read where they stand; what is settled already goes to ``outcomes``."""
    order_ids = [draft.order_id for draft in drafts]
    assert len(set(order_ids)) == len(order_ids), "plans of one order are committed one after the other"
    there = set((await connection.execute(_LOCK, {"order_ids": order_ids})).scalars())
    values = {"order_ids": order_ids, "step_keys": [draft.request.step_key for draft in drafts]}
    rows = {row.step_key: row for row in await connection.execute(_READ, values)}
    bids = []
    for draft in drafts:
        row = rows[draft.request.step_key]
        if draft.order_id not in there:
            outcomes[draft.order_id] = NotFound(f"there is no order {draft.order_id}", order_id=draft.order_id)
        elif row.result is not None:
            outcomes[draft.order_id] = SourceResult.model_validate(row.result | {"look_again": True})
        else:
            claims = _claims(draft, row.next_n, row.cart_hold_id)
            bids.append(_Bid(draft, row.next_n, row.attempt, dict(row.waiting), claims, row.promised_at))
    return bids


def _claims(draft: Draft, next_n: int, cart_hold_id: str | None) -> list[Claim]:
    return [
        Claim.model_construct(
            owner=fulfillment_order_id(draft.order_id, n),
            line_no=line.line_no,
            order_id=draft.order_id,
            node_id=shipment.node_id,
            sku=line.sku,
            quantity=line.quantity,
            cart_hold_id=cart_hold_id,
        )
        for n, shipment in enumerate(draft.plan.shipments, start=next_n)
        for line in shipment.lines
    ]


def _works(bid: _Bid) -> list[tuple[str, Work]]:
    return [(fulfillment_order_id(bid.draft.order_id, bid.next_n + work.n), work) for work in bid.draft.works]


def _fits(bid: _Bid) -> bool:
    """Whether the order still waits for every unit planned: staff may have cancelled some meanwhile."""
    return all(units <= bid.waiting.get(line_no, 0) for line_no, units in _planned(bid).items())


def _planned(bid: _Bid) -> dict[int, int]:
    planned: dict[int, int] = {}
    for claim in bid.claims:
        planned[claim.line_no] = planned.get(claim.line_no, 0) + claim.quantity
    return planned


async def _dated(connection: AsyncConnection, bids: Sequence[_Bid]) -> list[tuple[_Bid, SourceResult]]:
    """Bind what the plans leave waiting to dated supply; the orders are promised by it, too."""
    bound = await bind_wants(connection, [want for bid in bids for want in _wants(bid)])
    return [(bid, _result(bid, bound.get(bid.draft.order_id))) for bid in bids]


def _wants(bid: _Bid) -> list[Want]:
    planned, dates = _planned(bid), bid.draft.dates
    return [
        Want(bid.draft.order_id, line_no, units - planned.get(line_no, 0), dates[line_no])
        for line_no, units in bid.waiting.items()
        if units > planned.get(line_no, 0) and dates.get(line_no)
    ]


def _result(bid: _Bid, supplied: datetime | None) -> SourceResult:
    plan = bid.draft.plan
    promised = [date for date in (plan.promised_at, supplied) if date is not None]
    return SourceResult(
        fulfillments=tuple(
            _state(shipment, n, bid.draft.releases.get(shipment.node_id))
            for n, shipment in enumerate(plan.shipments, start=bid.next_n)
        ),
        backordered=sum(bid.waiting.values()) - sum(claim.quantity for claim in bid.claims),
        promised_at=max(promised, default=None),
        rest=_rest(plan),
        order_promised_at=max([*promised, bid.promised_at] if bid.promised_at else promised, default=None),
    )


def _rest(plan: Plan) -> Rest | None:
    """What the process has to do with what waits; that it waits is said already."""
    acts = plan.rest is not None and plan.rest.then in (Then.QUEUE, Then.CANCEL_AFTER)
    return plan.rest if acts and plan.shortages else None


def _state(shipment: PlannedShipment, n: int, release_at: datetime | None) -> FulfillmentState:
    units = sum(line.quantity for line in shipment.lines)
    return FulfillmentState(
        n=n,
        node_id=shipment.node_id,
        units=units,
        deliver_by=shipment.deliver_by,
        release_at=release_at,
        pickup=shipment.carrier == PICKUP,
    )


async def _record(connection: AsyncConnection, winners: Sequence[tuple[_Bid, SourceResult]]) -> None:
    values = {
        "sourced": _SOURCED.dump_json([_sourced(bid, result) for bid, result in winners]).decode(),
        "opened": rows_of([row for bid, result in winners for row in _opened(bid, result)]),
        "lines": _LINES.dump_json([row for bid, _ in winners for row in _lines(bid)]).decode(),
    }
    await connection.execute(_RECORD, values)


def _sourced(bid: _Bid, result: SourceResult) -> _Sourced:
    draft = bid.draft
    verdict = Verdict(order_id=draft.order_id, promised_at=result.promised_at, backordered_units=result.backordered)
    detail = {
        "fulfillments": {str(state.n): f"{state.units} units at {state.node_id}" for state in result.fulfillments},
        "backordered": result.backordered,
        "cost_minor": draft.plan.total_minor,
    }
    return _Sourced.model_construct(
        order_id=draft.order_id,
        step_key=draft.request.step_key,
        attempt=bid.attempt,
        plan=draft.plan.model_copy(update={"shortages": draft.plan.shortages[:_SHORTAGES]}),
        event="sourced" if result.fulfillments else "backordered",
        detail=detail,
        promised_at=result.promised_at,
        place_in_batch="{" + ",".join("NULL" if key is None else repr(key) for key in draft.place) + "}",
        verdict=verdict if draft.first else None,
        result=result,
    )


def _opened(bid: _Bid, result: SourceResult) -> list[Opened]:
    staff_chose = bool(bid.draft.request.only)
    return [
        opened(bid.draft.order_id, state.n, shipment, state.release_at, staff_chose=staff_chose)
        for shipment, state in zip(bid.draft.plan.shipments, result.fulfillments, strict=True)
    ]


def _lines(bid: _Bid) -> list[_Line]:
    planned = _planned(bid)
    return [
        _Line.model_construct(
            order_id=bid.draft.order_id, line_no=line_no, waiting=units, planned=planned.get(line_no, 0)
        )
        for line_no, units in bid.waiting.items()
    ]
