"""Who waits is bound anew when supply changes, and promised anew; only the orders for which that changes are locked.

However many wait, who is bound to what is worked out without their locks, under those of the inbound lines, which
keep all bindings of the items as they are. Orders that get another binding are locked then, without waiting for
anybody, as stock is locked by now. Where others have locked some, or have changed them meanwhile, the transaction
is begun again behind them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import bindings, inbounds, turns
from shared.database.engine import Database, around_races
from shared.database.timetables import read_timetable
from shared.database.turns import Overtaken
from shared.database.waiting import WaitingLine, read_waiting, read_waiting_of
from shared.domain.sourcing.timetable import Coming, Timetable
from shared.domain.supply import Bound, Demand, Supply, Turn, bind

T = TypeVar("T")

#: What an order is promised follows from where its units come from. Without any date the last one told stands.
_PROMISE = text("""
    WITH now_promised AS (
        SELECT o.order_id, o.promised_at AS before, greatest(
            (SELECT max(deliver_by) FROM fulfillment_order f
             WHERE f.order_id = o.order_id AND f.status NOT IN ('cancelled', 'replanned')),
            (SELECT max(promised_at) FROM supply_binding b WHERE b.order_id = o.order_id)) AS promised_at
        FROM orders o WHERE order_id = ANY(:order_ids)
    ), changed AS (
        UPDATE orders o SET promised_at = n.promised_at FROM now_promised n
        WHERE o.order_id = n.order_id AND n.promised_at IS DISTINCT FROM n.before AND n.promised_at IS NOT NULL
        RETURNING o.order_id, n.before, n.promised_at
    ), noted AS (
        INSERT INTO timeline (order_id, actor, event, detail)
        SELECT order_id, 'doms', 'promise changed',
               jsonb_build_object('from', before, 'to', promised_at, 'because', CAST(:because AS text))
        FROM changed ORDER BY order_id
    )
    SELECT order_id FROM changed ORDER BY order_id
""")


@dataclass(frozen=True)
class Change:
    """A transaction in which supply changes.

    Attributes:
        as_of: Now; supply that is overdue is taken to come at once.
        behind: Orders to be locked before anything else is: an attempt before this one found them locked.
    """

    connection: AsyncConnection
    timetable: Timetable
    as_of: datetime
    behind: Collection[str]

    async def lock_supply(self, skus: Sequence[str]) -> None:
        """Lock what is to come of these items, where no stock changes."""
        await turns.lock(self.connection, self.behind)
        await inbounds.lock_lines(self.connection, skus)


async def changing(database: Database, work: Callable[[Change], Awaitable[T]]) -> T:
    """Change supply in one transaction; returns what was done in it."""
    async with database.reading() as connection:
        timetable = await read_timetable(connection)
    behind = set[str]()
    async for attempt in around_races():
        with attempt:
            try:
                async with database.transaction() as connection:
                    result = await work(Change(connection, timetable, datetime.now(UTC), behind))
            except Overtaken as overtaken:
                behind |= overtaken.order_ids
                raise
    return result


async def rebind(
    change: Change,
    skus: Sequence[str],
    *,
    because: str,
    redated: str = "",
    came: Mapping[tuple[str, int], int] = MappingProxyType({}),
    came_with: str = "",
) -> list[str]:
    """Bind who waits to what comes now, and promise anew; returns the orders whose promise changed.

    Supply has changed, and what is to come of the items is locked.

    Args:
        because: Why, for the timelines of the orders.
        redated: The inbound that has another date now. What is bound to any other keeps the date that was promised.
        came: Units that order lines got, and wait for no more.
        came_with: The inbound they came with.

    Raises:
        Overtaken: others are changing orders that would get another binding.
    """
    waiting = await read_waiting(change.connection, skus)
    coming = await bindings.rows_coming(change.connection, skus)
    moved: list[WaitingLine] = []
    rows: list[dict[str, Any]] = []
    for sku in skus:
        lines = [line for line in waiting if line.sku == sku]
        supplies = [Supply(row.inbound_id, row.open, row.expected_at) for row in coming if row.sku == sku]
        still = {line.turn: _still_bound(line, came.get(line.key, 0), came_with) for line in lines if line.bound}
        dates = _Dates(change, lines, coming, redated)
        demands = [Demand(line.turn, line.units) for line in lines]
        for line, demand, bound in zip(lines, demands, bind(demands, supplies, still, dates), strict=True):
            if bound != line.bound or any(dates(demand, name) != line.promised_with[name] for name in bound):
                moved.append(line)
                rows += bindings.rows_of(sku, demand, bound, dates)
    if not moved:
        return []
    orders = {line.turn.order_id for line in moved}
    await _lock(change.connection, moved, orders)
    await bindings.write(change.connection, [line.key for line in moved], rows)
    values = {"order_ids": sorted(orders), "because": because}
    return list((await change.connection.execute(_PROMISE, values)).scalars())


def _still_bound(line: WaitingLine, came: int, came_with: str) -> Bound:
    return {name: max(0, units - came) if name == came_with else units for name, units in line.bound.items()}


class _Dates:
    """When customers would have units of one item, worked out once, where it was not promised."""

    def __init__(self, change: Change, lines: Iterable[WaitingLine], coming: Iterable[Any], redated: str) -> None:
        self._change, self._redated = change, redated
        self._lines = {line.turn: line for line in lines}
        self._coming = {row.inbound_id: Coming(row.inbound_id, row.node_id, row.expected_at) for row in coming}
        self._known: dict[tuple[Turn, str], datetime | None] = {}

    def __call__(self, demand: Demand, inbound_id: str) -> datetime | None:
        line = self._lines[demand.turn]
        if inbound_id in line.promised_with and inbound_id != self._redated:
            return line.promised_with[inbound_id]
        asked = demand.turn, inbound_id
        if asked not in self._known:
            coming = self._coming[inbound_id]
            self._known[asked] = line.date(coming, self._change.timetable, self._change.as_of)
        return self._known[asked]


async def _lock(connection: AsyncConnection, lines: Sequence[WaitingLine], order_ids: Collection[str]) -> None:
    await turns.lock_free(connection, order_ids)
    now = await read_waiting_of(connection, {line.sku for line in lines}, order_ids)
    there = {line.key: line for line in now}
    changed = {line.turn.order_id for line in lines if line.key not in there or not line.is_as(there[line.key])}
    if changed:
        raise Overtaken(changed)
