"""Stock that rises goes to who waits, in their order of service, in the transaction that books it.

It is one piece for every kind of rise: deliveries, tables, feeds, counts that find more, returns, inspections, and what
orders and carts give back. Whoever books it lines up who waits before it locks any stock, changes the stock, and then
serves the queue of what its own moves have made free. Only items that somebody waits for are looked at, so a feed of a
million positions costs what those few do. Buffers that shrink move no units: they only wake who waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import turns, wakes
from shared.database.engine import Database, around_races
from shared.database.stock import Move, receive

if TYPE_CHECKING:
    from shared.domain.sourcing.timetable import Timetable

T = TypeVar("T")

_WAITED_FOR = text("SELECT DISTINCT sku FROM order_line WHERE backordered > 0")
_WAITED_FOR_OF = text("SELECT DISTINCT sku FROM order_line WHERE backordered > 0 AND sku = ANY(:skus)")
#: What an order may give back of what others wait for.
_GIVEN_BACK = text("""
    SELECT DISTINCT l.sku FROM order_line l
    WHERE l.order_id = :order_id
      AND EXISTS (SELECT FROM order_line w WHERE w.sku = l.sku AND w.backordered > 0 AND w.order_id <> l.order_id)
""")
#: Units that arrived for orders and that they have not taken yet.
_HELD = text("""
    SELECT o.order_id, h.node_id, h.sku, h.open FROM orders o JOIN cart_hold_line h USING (cart_hold_id)
    WHERE o.order_id = ANY(:order_ids) AND h.open > 0
""")
#: What the moves of this transaction have made free, and under which reference.
_RISEN = text("""
    SELECT node_id, sku, sum(on_hand - reserved - held) AS units, min(reference) AS reference, min(actor) AS actor
    FROM stock_move WHERE tx = pg_current_xact_id() AND sku = ANY(:skus)
    GROUP BY node_id, sku HAVING sum(on_hand - reserved - held) > 0
""")


@dataclass(frozen=True)
class Queue:
    """Items that some wait for, the first of them locked; without a timetable nobody does."""

    skus: Sequence[str] = ()
    timetable: Timetable | None = None

    async def serve(
        self, connection: AsyncConnection, *, as_of: datetime | None = None, but: Collection[str] = ()
    ) -> set[str]:
        """Keep what has become free in this transaction for who waits.

        Returns:
            The orders that got some, and those that have something to look for now.

        Args:
            but: Orders that are not served, for they are who leaves it.
        """
        if self.timetable is not None:
            await self._keep(connection, self.timetable, as_of or datetime.now(UTC), but)
        return set(await wakes.asked_here(connection)).difference(but)

    async def _keep(
        self, connection: AsyncConnection, timetable: Timetable, as_of: datetime, but: Collection[str]
    ) -> None:
        rows = (await connection.execute(_RISEN, {"skus": list(self.skus)})).all()
        if not rows:
            return
        from shared.database.backorders import keep_for_waiting  # it plans, which loads numpy

        await keep_for_waiting(
            connection,
            {(row.node_id, row.sku): int(row.units) for row in rows},
            timetable,
            reference=f"{min(row.reference for row in rows)}/kept",
            as_of=as_of,
            actor=min(row.actor for row in rows),
            but=but,
        )


async def line_up(connection: AsyncConnection, skus: Collection[str], *, order_ids: Sequence[str] = ()) -> Queue:
    """Lock the first orders that wait for any of these items, before the transaction locks other orders or stock.

    Args:
        order_ids: Orders that the transaction locks, too. When nobody waits they are left to it.
    """
    waited_for = sorted((await connection.execute(_WAITED_FOR_OF, {"skus": list(skus)})).scalars()) if skus else []
    return await _queue(connection, waited_for, order_ids)


async def serve_at_once(connection: AsyncConnection, skus: Collection[str]) -> set[str]:
    """As ``line_up`` and ``serve`` for who has locked stock already: nobody is waited for.

    Orders that others have locked get nothing now; they are being planned, and look for themselves.
    """
    waited_for = sorted((await connection.execute(_WAITED_FOR_OF, {"skus": list(skus)})).scalars())
    if not waited_for:
        return set()
    from shared.database.timetables import read_timetable  # it plans, which loads numpy

    return await Queue(waited_for, await read_timetable(connection)).serve(connection)


async def line_up_for_table(connection: AsyncConnection, skus: Collection[str]) -> Queue:
    """As ``line_up`` for any number of items."""
    waited_for = set((await connection.execute(_WAITED_FOR)).scalars())
    return await _queue(connection, sorted(waited_for.intersection(skus)), ())


async def line_up_behind(connection: AsyncConnection, order_id: str) -> Queue:
    """Lock an order that is about to give units back, and with it the first that wait for its items."""
    skus = sorted((await connection.execute(_GIVEN_BACK, {"order_id": order_id})).scalars())
    return await _queue(connection, skus, (order_id,))


async def line_up_for_leavings(
    connection: AsyncConnection, taken: Mapping[str, Mapping[tuple[str, str], int]], order_ids: Sequence[str]
) -> Queue:
    """Lock orders that are about to be planned, and who waits for what they leave of units that arrived for them.

    Args:
        taken: Units that plans take, by order, node and item.
        order_ids: All orders that the transaction locks.
    """
    held = await connection.execute(_HELD, {"order_ids": list(taken)})
    left = {row.sku for row in held if row.open > taken[row.order_id].get((row.node_id, row.sku), 0)}
    return await line_up(connection, left, order_ids=order_ids)


async def _queue(connection: AsyncConnection, skus: Sequence[str], order_ids: Sequence[str]) -> Queue:
    if not skus:
        return Queue()
    from shared.database.timetables import read_timetable  # it plans, which loads numpy

    timetable = await read_timetable(connection)
    await turns.lock_first(connection, skus, order_ids)
    return Queue(skus, timetable)


async def give_back(
    database: Database, order_id: str, step: Callable[[AsyncConnection], Awaitable[T]]
) -> tuple[T, set[str]]:
    """Take an order's step and keep what it gives back for who waits, in one transaction.

    Returns:
        The step's result, and the orders that got some, or room on a day.
    """
    async for attempt in around_races():
        with attempt:
            async with database.transaction() as connection:
                queue = await line_up_behind(connection, order_id)
                result = await step(connection)
                served = await queue.serve(connection)
    return result, served


async def book_arrival(database: Database, moves: Sequence[Move], *, as_of: datetime) -> None:
    """Book stock that has arrived and keep it for who waits, in one transaction. Moves are applied once."""
    skus = {move.sku for move in moves}
    async for attempt in around_races():
        with attempt:
            async with database.transaction() as connection:
                queue = await line_up(connection, skus)
                await receive(connection, moves)
                await wakes.ask_waiting(connection, skus)
                await queue.serve(connection, as_of=as_of)
