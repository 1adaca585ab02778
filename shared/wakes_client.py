"""Telling the processes of orders to look again, after the commit of what there is to look at."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from shared.database import orders, overdue, wakes
from shared.database.engine import Database
from shared.messages import Wake, order_workflow_id

ARRIVED = Wake(kind="stock_arrived")
SUPPLY_CHANGED = Wake(kind="supply_changed")
REPLANNED = Wake(kind="replanned")


class Processes(Protocol):
    """What tells a process of a recorded fact; ``shared.client.Doms`` does."""

    async def wake(self, workflow_id: str, wake: Wake) -> object: ...


async def tell(database: Database, processes: Processes, order_ids: Collection[str], *, wake: Wake = ARRIVED) -> None:
    """Wake orders, and forget that it was owed to them."""
    if not order_ids:
        return
    # Before they are told: what is owed from then on is of something they may not see.
    async with database.reading() as connection:
        owed = await wakes.owed_to(connection, order_ids, wake=wake)
    for order_id in order_ids:
        await processes.wake(order_workflow_id(order_id), wake)
    await _forget(database, owed)


async def give_overdue_back(database: Database, processes: Processes, skus: Collection[str]) -> None:
    """Give back what carts hold of items although their time is up, and wake the orders that get it first."""
    served = await overdue.pass_on(database, skus)
    await tell(database, processes, served or ())


async def tell_waiting(database: Database, processes: Processes, skus: Collection[str]) -> int:
    """Wake the orders that wait for these items, and forget that it was owed to them; returns how many."""
    if not skus:
        return 0
    async with database.reading() as connection:
        # Before it is seen who waits: what is owed from then on may be owed to who did not yet.
        owed = await wakes.owed_for(connection, skus)
        waiting = await orders.orders_waiting_for(connection, sorted(skus))
    await tell(database, processes, waiting)
    await _forget(database, owed)
    return len(waiting)


async def _forget(database: Database, owed: Sequence[int]) -> None:
    if owed:
        async with database.statement() as connection:
            await wakes.forget(connection, owed)
