"""Carrying a wave out: one transaction for each group of orders that need what others of it give up.

Everything of the group is locked first: orders in the order of their ids, then days of limited nodes and then stock,
both in key order. What the orders give up and what they take changes hands in the one transaction, so that nobody
else is ever offered any of it. Whoever has lost a race is refused, with the whole group and as if it had never begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import capacity, channels, consolidations, rises, stock, wakes
from shared.database.capacity import Full
from shared.database.openings import OPEN, Opened, opened, rows_of
from shared.database.reservations import Claim, reserve_each
from shared.database.stock import Settle
from shared.database.waves import UNTOLD
from shared.domain.base import Instant, Model
from shared.domain.capacity import Work
from shared.domain.pools import Pooled
from shared.domain.sourcing.plans import Plan
from shared.domain.sourcing.stages import Rest
from shared.domain.waves.moves import GroupMove, OrderMove, Stood
from shared.messages import Wake, fulfillment_order_id

_GROUP = text("""
    SELECT g.moves, g.outcome, g.because, w.channel FROM wave_group g JOIN wave w USING (wave_id)
    WHERE g.wave_id = :wave_id AND g.number = :number FOR NO KEY UPDATE OF g
""")
_END = text("""
    UPDATE wave_group SET outcome = :outcome, because = :because, ended_at = now()
    WHERE wave_id = :wave_id AND number = :number
""")
_LOCK = text("SELECT FROM orders WHERE order_id = ANY(:order_ids) ORDER BY order_id FOR NO KEY UPDATE")
#: A statement of its own, after the lock: it sees what whoever held the lock before has committed.
_READ = text(f"""
    SELECT o.order_id, o.closed_at IS NOT NULL AS closed,
           EXISTS (SELECT FROM order_line l WHERE l.order_id = o.order_id AND l.unallocated > 0)
               OR EXISTS (SELECT FROM cart_hold_line h WHERE h.cart_hold_id = o.cart_hold_id AND h.open > 0)
               AS being_sourced,
           (SELECT jsonb_object_agg(line_no, backordered) FROM order_line l
            WHERE l.order_id = o.order_id AND l.backordered > 0) AS waiting,
           (SELECT coalesce(jsonb_agg(jsonb_build_object('n', f.n, 'node_id', f.node_id, 'units', r.units)
                                      ORDER BY f.n), '[]')
            FROM fulfillment_order f CROSS JOIN LATERAL (
                SELECT jsonb_object_agg(line_no, open) AS units FROM reservation
                WHERE owner = f.fulfillment_order_id AND open > 0) r
            WHERE f.order_id = o.order_id AND r.units IS NOT NULL AND {UNTOLD}) AS stood,
           (SELECT coalesce(max(n), 0) + 1 FROM fulfillment_order f WHERE f.order_id = o.order_id) AS next_n,
           (SELECT count(*) + 1 FROM decision d WHERE d.order_id = o.order_id) AS attempt,
           (SELECT plan -> 'rest' FROM decision d WHERE d.order_id = o.order_id ORDER BY attempt DESC LIMIT 1) AS rest
    FROM orders o WHERE o.order_id = ANY(:order_ids)
""")  # noqa: S608 - our own fragment
_CLAIMS = text("""
    SELECT owner, line_no, node_id, sku, open,
           EXISTS (SELECT FROM capacity_claim c WHERE c.owner = r.owner AND c.reserved > 0) AS dated
    FROM reservation r WHERE owner = ANY(:owners) AND open > 0
    ORDER BY owner, line_no
""")
_RECORD = text(f"""
    WITH moved AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:moved AS jsonb)) AS m(
            order_id text, attempt int, plan jsonb, detail jsonb, promised_at timestamptz)
    ), ended AS (
        UPDATE fulfillment_order SET status = 'replanned', reason = :because, ended_at = now()
        WHERE fulfillment_order_id = ANY(:ended)
    ), opened AS ({OPEN}
    ), lines AS (
        UPDATE order_line l SET allocated = l.allocated + w.units, backordered = l.backordered - w.units
        FROM jsonb_to_recordset(CAST(:filled AS jsonb)) AS w(order_id text, line_no int, units int)
        WHERE l.order_id = w.order_id AND l.line_no = w.line_no
    ), decided AS (
        INSERT INTO decision (order_id, attempt, plan) SELECT order_id, attempt, plan FROM moved
    ), noted AS (
        INSERT INTO timeline (order_id, actor, event, detail)
        SELECT order_id, 'doms', 'replanned', detail FROM moved ORDER BY order_id
    )
    UPDATE orders o SET promised_at = greatest(o.promised_at, m.promised_at)
    FROM moved m WHERE o.order_id = m.order_id
""")  # noqa: S608 - our own fragment


class Outcome(StrEnum):
    """What became of a group."""

    MOVED = "moved"
    ORDER_CHANGED = "order_changed"  #: its node was told of it, it was cancelled, it was sourced: it is not as it was
    STOCK_TAKEN = "stock_taken"
    DAY_FULL = "day_full"
    TOO_LATE = "too_late"  #: a node's cut-off has passed since: it would hand over later than was planned


class GroupResult(Model):
    """What became of a group, and why where it was refused.

    Attributes:
        moved: Its orders.
        served: Other orders for which units are kept that the group left free.
    """

    outcome: Outcome
    because: str = ""
    moved: tuple[str, ...] = ()
    served: tuple[str, ...] = ()


class _Refused(Exception):
    def __init__(self, outcome: Outcome, because: str) -> None:
        super().__init__(because)
        self.outcome, self.because = outcome, because


class _Standing(NamedTuple):
    """An order as it is now, which is locked, and what becomes of it."""

    move: OrderMove
    row: Any

    @property
    def ends(self) -> list[str]:
        return [fulfillment_order_id(self.move.order_id, n) for n in self.move.ends]

    @property
    def opens(self) -> list[tuple[Opened, tuple[Work, ...]]]:
        return [
            (opened(self.move.order_id, n, opening.shipment, opening.release_at), opening.works)
            for n, opening in enumerate(self.move.opens, start=self.row.next_n)
        ]

    def owner_at(self, node_id: str) -> str:
        """The fulfillment order that the order has at a node then."""
        opens = [row.fulfillment_order_id for row, _ in self.opens if row.node_id == node_id]
        stays = [
            fulfillment_order_id(self.move.order_id, stood.n)
            for stood in self.move.stood
            if stood.node_id == node_id and stood.n not in self.move.ends
        ]
        return (opens + stays)[0]

    @property
    def claims(self) -> list[Claim]:
        return [
            Claim.model_construct(
                owner=fulfillment_order_id(self.move.order_id, n),
                line_no=line.line_no,
                order_id=self.move.order_id,
                node_id=opening.shipment.node_id,
                sku=line.sku,
                quantity=line.quantity,
            )
            for n, opening in enumerate(self.move.opens, start=self.row.next_n)
            for line in opening.shipment.lines
        ]


class _Moved(Model):
    order_id: str
    attempt: int
    plan: Plan
    detail: dict[str, Any]
    promised_at: Instant | None


_MOVED, _STOOD = TypeAdapter(list[_Moved]), TypeAdapter(tuple[Stood, ...])
_FILLED: TypeAdapter[list[dict[str, Any]]] = TypeAdapter(list[dict[str, Any]])


async def carry_out(connection: AsyncConnection, wave_id: str, number: int, *, now: datetime) -> GroupResult:
    """Move a group's orders or none of them, once: repeated, it moves nobody and answers with the first outcome.

    The caller's transaction keeps what became of it, also of a group that is refused.
    """
    group = {"wave_id": wave_id, "number": number}
    row = (await connection.execute(_GROUP, group)).one()
    if row.outcome is not None:
        return GroupResult(outcome=row.outcome, because=row.because)
    moves = GroupMove.model_validate(row.moves)
    try:
        _require_time(moves, now)
        async with connection.begin_nested():
            served = await _move(connection, wave_id, moves, row.channel)
        result = GroupResult(
            outcome=Outcome.MOVED,
            moved=tuple(move.order_id for move in moves.orders),
            served=tuple(sorted(served)),
        )
    except _Refused as refused:
        result = GroupResult(outcome=refused.outcome, because=refused.because)
    await connection.execute(_END, group | {"outcome": result.outcome, "because": result.because})
    return result


def _require_time(group: GroupMove, now: datetime) -> None:
    openings = (opening for move in group.orders for opening in move.opens)
    late = sorted({each.shipment.node_id for each in openings if each.cutoff is not None and each.cutoff <= now})
    if late:
        raise _Refused(Outcome.TOO_LATE, f"the cut-off of {', '.join(late)} has passed since it was planned")


async def _move(connection: AsyncConnection, wave_id: str, group: GroupMove, channel: str) -> set[str]:
    queue = await _lock_orders(connection, group)
    standing = await _as_it_was(connection, group)
    openings = [each for one in standing for each in one.opens]
    ends = [owner for one in standing for owner in one.ends]
    claims = [claim for one in standing for claim in one.claims]
    works = [(row.fulfillment_order_id, work) for row, asked in openings for work in asked]
    given_up = (await connection.execute(_CLAIMS, {"owners": ends})).all()
    pooled = await _pooled(connection, channel, claims)

    if works or any(row.dated for row in given_up):
        await capacity.lock(connection, ends, [work for _, work in works])
    await stock.lock(connection, _positions(given_up, claims, pooled))
    released = [Settle(owner=row.owner, line_no=row.line_no, released=row.open) for row in given_up]
    await stock.settle(connection, released, reference=f"{wave_id}/{group.number}")
    (days,) = await capacity.lay_plans(connection, [works])
    if isinstance(days, Full):
        raise _Refused(Outcome.DAY_FULL, _nodes_of(work for _, work in works))
    if not all(await reserve_each(connection, [claims], pooled={0: pooled})):
        raise _Refused(Outcome.STOCK_TAKEN, _units_of(claims))
    await capacity.claim(connection, days)
    await _record(connection, wave_id, standing, [row for row, _ in openings])
    await _share(connection, wave_id, group, standing)
    await wakes.ask(connection, [move.order_id for move in group.orders], wake=Wake(kind="replanned"))
    return await queue.serve(connection)


async def _share(connection: AsyncConnection, wave_id: str, group: GroupMove, standing: Sequence[_Standing]) -> None:
    """Have the orders share the parcels for which they were moved."""
    by_order = {one.move.order_id: one for one in standing}
    for parcel in group.parcels:
        owners = [by_order[order_id].owner_at(parcel.node_id) for order_id in parcel.order_ids]
        because = f"wave {wave_id}"
        if not await consolidations.consolidate(connection, owners, because=because, locked=list(by_order)):
            raise _Refused(Outcome.ORDER_CHANGED, f"{' and '.join(parcel.order_ids)} may not share a parcel any more")


async def _lock_orders(connection: AsyncConnection, group: GroupMove) -> rises.Queue:
    """Lock the group's orders, and with them those that wait for units it might leave free."""
    order_ids = [move.order_id for move in group.orders]
    skus = {line.sku for move in group.orders for shipment in move.plan.shipments for line in shipment.lines}
    queue = await rises.line_up(connection, skus, order_ids=order_ids)
    await connection.execute(_LOCK, {"order_ids": order_ids})
    return queue


async def _as_it_was(connection: AsyncConnection, group: GroupMove) -> list[_Standing]:
    """The orders as they are, provided that they are as the wave saw them."""
    values = {"order_ids": [move.order_id for move in group.orders]}
    rows = {row.order_id: row for row in await connection.execute(_READ, values)}
    standing = [_Standing(move, rows[move.order_id]) for move in group.orders]
    for move, row in standing:
        if why := _changed(move, row):
            raise _Refused(Outcome.ORDER_CHANGED, f"{move.order_id} {why}")
    return standing


def _changed(move: OrderMove, row: Any) -> str:
    """What is not as the wave saw it; empty when everything is."""
    if row.closed:
        return "is over"
    if row.being_sourced:
        return "is being sourced"
    stood = {each.n: each for each in _STOOD.validate_python(row.stood)}
    for each in move.stood:
        if each.n not in stood:
            return f"has f{each.n} no longer to be moved: {each.node_id} was told of it, or it was cancelled"
        if stood[each.n] != each:
            return f"has other units in f{each.n}"
    if len(stood) != len(move.stood):
        return "was planned again"
    waiting = {int(line_no): units for line_no, units in (row.waiting or {}).items()}
    return "" if waiting == move.waiting else "waits for other units"


async def _pooled(connection: AsyncConnection, channel: str, claims: Sequence[Claim]) -> tuple[Pooled, ...]:
    """What of the claimed items is kept from the channel."""
    selling = await channels.read_selling(connection)
    return await channels.read_pooled(connection, selling, channel, sorted({claim.sku for claim in claims}))


def _positions(given_up: Sequence[Any], claims: Sequence[Claim], pooled: Sequence[Pooled]) -> set[tuple[str, str]]:
    """Every position that is given to, taken from, or looked at."""
    return {
        *((row.node_id, row.sku) for row in given_up),
        *((claim.node_id, claim.sku) for claim in claims),
        *((node_id, item.sku) for item in pooled for node_id in item.nodes),
    }


def _nodes_of(works: Iterable[Work]) -> str:
    return f"no room on the days of {', '.join(sorted({work.node_id for work in works}))}"


def _units_of(claims: Sequence[Claim]) -> str:
    wanted = sorted({f"{claim.sku} at {claim.node_id}" for claim in claims})
    return f"somebody was faster: {', '.join(wanted[:5])}" + (" and others" if len(wanted) > 5 else "")


async def _record(
    connection: AsyncConnection, wave_id: str, standing: Sequence[_Standing], openings: list[Opened]
) -> None:
    filled = [
        {"order_id": move.order_id, "line_no": line_no, "units": units}
        for move, _ in standing
        for line_no, units in move.filled.items()
    ]
    values = {
        "because": f"wave {wave_id}",
        "ended": [owner for one in standing for owner in one.ends],
        "opened": rows_of(openings),
        "filled": _FILLED.dump_json(filled).decode(),
        "moved": _MOVED.dump_json([_moved(one) for one in standing]).decode(),
    }
    await connection.execute(_RECORD, values)


def _rest(row: Any) -> Rest | None:
    """What a stage of its policy said of the units that wait stands as long as any of them do."""
    return None if row.rest is None else Rest.model_validate(row.rest)


def _moved(one: _Standing) -> _Moved:
    move, row = one
    why = move.plan.replanned
    assert why is not None, "a wave says so in the plans it makes"
    detail = {
        "wave": why.wave_id,
        "group": why.group,
        "saved_minor": why.saved_minor,
        "ended": list(move.ends),
        "fulfillments": {str(each.n): f"{each.units} units at {each.node_id}" for each, _ in one.opens},
        "found": sum(move.filled.values()),
    }
    return _Moved.model_construct(
        order_id=move.order_id,
        attempt=row.attempt,
        plan=move.plan.model_copy(update={"rest": _rest(row)}) if move.plan.shortages else move.plan,
        detail=detail,
        promised_at=move.plan.promised_at,
    )
