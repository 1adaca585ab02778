"""Who waits is bound anew when supply changes, and promised anew; only the orders for which that changes are locked.

However many wait, who is bound to what is worked out without their locks, of as few of them as it takes, under the
locks of the inbound lines, which keep all bindings of the items as they are. Orders that get another binding are
locked then, without waiting for anybody, as stock is locked by now. Where others have locked some, or have changed
them meanwhile, the transaction is begun again behind them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import bindings, inbounds, turns
from shared.database.engine import Database, around_races
from shared.database.timetables import read_timetable
from shared.database.turns import Overtaken
from shared.database.waiting import EVERY, WaitingLine, read_first, read_waiting_of
from shared.domain.sourcing.timetable import Coming, Timetable
from shared.domain.supply import Bound, Demand, Supply, Turn, bind

T = TypeVar("T")
#: Lines that get another binding, and the rows of it.
Moved = list[tuple[WaitingLine, list[dict[str, Any]]]]

_BOUND = text("""
    SELECT b.inbound_id, b.sku, sum(b.quantity) AS units
    FROM inbound_line l JOIN supply_binding b USING (inbound_id, sku)
    WHERE l.sku = ANY(:skus) AND l.open > 0 GROUP BY b.inbound_id, b.sku
""")
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


#: So many lines of each item are looked at; only where they leave some supply, all of them are.
_FIRST = 100


@dataclass(frozen=True)
class Change:
    """A transaction in which supply changes.

    Attributes:
        as_of: Now; supply that is overdue is taken to come at once.
        behind: Orders to be locked before stock is: an attempt before this one had to change them while others did.
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


@dataclass(frozen=True)
class News:
    """What has become of supply that orders are bound to; of supply that is new there is none.

    Attributes:
        redated: The inbound that has another date now, or will not come. What is bound to any other keeps the date that
            was promised.
        came: Units that order lines got, and wait for no more.
        came_with: The inbound they came with.
    """

    redated: str = ""
    came: Mapping[tuple[str, int], int] = field(default_factory=dict)
    came_with: str = ""

    def still_bound(self, line: WaitingLine) -> Bound:
        came = self.came.get(line.key, 0)
        return {name: max(0, units - came) if name == self.came_with else units for name, units in line.bound.items()}


async def rebind(change: Change, skus: Sequence[str], *, because: str, news: News = News()) -> list[str]:
    """Bind who waits to what comes now, and promise anew; returns the orders whose promise changed.

    Supply has changed, and what is to come of the items is locked.

    Args:
        because: Why, for the timelines of the orders.

    Raises:
        Overtaken: others are changing orders that would get another binding.
    """
    coming = await bindings.rows_coming(change.connection, skus)
    rows = await change.connection.execute(_BOUND, {"skus": list(skus)})
    bound = {(row.inbound_id, row.sku): int(row.units) for row in rows}
    moved = await _Look(change, news, coming, bound, _FIRST).moved(skus)
    if moved is None:
        moved = await _Look(change, news, coming, bound, EVERY).moved(skus)
    if not moved:
        return []
    orders = {line.turn.order_id for line, _ in moved}
    await _lock(change.connection, [line for line, _ in moved], orders)
    await bindings.write(change.connection, [line.key for line, _ in moved], [row for _, rows in moved for row in rows])
    values = {"order_ids": sorted(orders), "because": because}
    return list((await change.connection.execute(_PROMISE, values)).scalars())


@dataclass(frozen=True)
class _Look:
    """A look at those who wait: at the first of each item, and at those whom the news concerns.

    Attributes:
        coming: The lines of inbounds of which something is to come.
        bound: How many units of each are bound, by whomever.
        first: How many are the first.
    """

    change: Change
    news: News
    coming: Sequence[Any]
    bound: Mapping[tuple[str, str], int]
    first: int

    async def moved(self, skus: Sequence[str]) -> Moved | None:
        """Who gets another binding; ``None`` where those who were not looked at have to be asked."""
        concerned = {order_id for order_id, _ in self.news.came}
        lines = await read_first(self.change.connection, skus, self.first, concerned, [self.news.redated])
        dates = _Dates(self.change, lines, self.coming, self.news.redated)
        by_item: dict[str, list[WaitingLine]] = {}
        for line in lines:
            by_item.setdefault(line.sku, []).append(line)
        found: Moved = []
        for sku, of_item in by_item.items():
            moved = self._bind(sku, of_item, dates)
            if moved is None:
                return None
            found += moved
        return found

    def _bind(self, sku: str, lines: Sequence[WaitingLine], dates: _Dates) -> Moved | None:
        still = {line.turn: self.news.still_bound(line) for line in lines if line.bound}
        supplies = self._supplies(sku, lines)
        takers = sum(line.rank <= self.first for line in lines)
        everybody = takers < self.first
        if not everybody and _is_lost(supplies, still.values()):
            return None
        demands = [Demand(line.turn, line.units) for line in lines]
        answer = bind(demands, supplies, still, dates, first=takers)
        taken = sum(units for bound in answer for units in bound.values())
        if not everybody and taken < sum(supply.units for supply in supplies):
            return None
        return [
            (line, bindings.rows_of(sku, demand, bound, dates))
            for line, demand, bound in zip(lines, demands, answer, strict=True)
            if bound != line.bound or any(dates(demand, name) != line.promised_with[name] for name in bound)
        ]

    def _supplies(self, sku: str, lines: Iterable[WaitingLine]) -> list[Supply]:
        """What is there for these lines: all but what others are bound to."""
        own = Counter[str]()
        for line in lines:
            own.update(line.bound)
        return [
            Supply(
                row.inbound_id,
                row.open - self.bound.get((row.inbound_id, sku), 0) + own[row.inbound_id],
                row.expected_at,
            )
            for row in self.coming
            if row.sku == sku
        ]


def _is_lost(supplies: Iterable[Supply], still: Iterable[Bound]) -> bool:
    """Whether less comes than is bound: then those served last lose it, whoever they are."""
    wanted = Counter[str]()
    for bound in still:
        wanted.update(bound)
    return any(wanted[supply.inbound_id] > supply.units for supply in supplies)


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
    if any(line.key not in there or not line.is_as(there[line.key]) for line in lines):
        raise Overtaken(order_ids)
