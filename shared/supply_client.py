"""What staff and partners' messages do with expected supply: tell, send off, date anew, count in, give up.

Each is one transaction, in which who waits is bound again and promised anew; then the processes of the orders that got
something out of it, or another promise, are woken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import TypeVar

from shared.client import Doms
from shared.database import backorders, inbounds, quarantine, rises, turns, wakes
from shared.database.inbounds import lines_of
from shared.database.quarantine import Disposal
from shared.database.rebinding import Change, News, changing, rebind
from shared.database.receipts import Received, book_receipt
from shared.domain.supply import Inbound, Receipt
from shared.wakes_client import SUPPLY_CHANGED, tell

T = TypeVar("T")

#: What is done in the transaction; it answers with its result and the orders to be woken.
Work = Callable[[Change], Awaitable[tuple[T, Iterable[str]]]]


async def create_inbound(doms: Doms, inbound: Inbound, *, actor: str) -> bool:
    """Tell of supply that will come, and promise it to the orders that wait; false when it was told before.

    Raises:
        InvalidInput: a node or an item is unknown.
        Conflict: the id names other supply.
    """

    async def work(change: Change) -> tuple[bool, Iterable[str]]:
        if not await inbounds.keep_inbound(change.connection, inbound, actor=actor):
            return False, ()
        skus = sorted(line.sku for line in inbound.lines)
        await change.lock_supply(skus)
        because = f"{inbound.inbound_id} is expected {inbound.expected_at:%Y-%m-%d}"
        return True, await rebind(change, skus, because=because)

    return await _change(doms, work)


async def depart(doms: Doms, inbound_id: str, *, actor: str) -> bool:
    """Send a transfer off: its units leave their node, and orders may wait for them. False when it has left before.

    Raises:
        NotFound: there is no such inbound.
        Conflict: it is no transfer, is over, or its origin has fewer units that nobody has claimed.
    """

    async def work(change: Change) -> tuple[bool, Iterable[str]]:
        skus = await lines_of(change.connection, inbound_id)
        await turns.lock(change.connection, change.behind)
        if not await inbounds.depart(change.connection, inbound_id, actor=actor):
            return False, ()
        return True, await rebind(change, skus, because=f"{inbound_id} is on its way")

    return await _change(doms, work)


async def slip(doms: Doms, inbound_id: str, expected_at: datetime, *, because: str = "") -> int:
    """Date supply anew, later or earlier; returns how many orders are promised another date for it.

    Raises:
        NotFound: there is no such inbound.
        Conflict: it is over.
    """

    async def work(change: Change) -> tuple[int, Iterable[str]]:
        skus = await lines_of(change.connection, inbound_id)
        await change.lock_supply(skus)
        before = await inbounds.slip(change.connection, inbound_id, expected_at)
        why = f"{inbound_id} is expected {expected_at:%Y-%m-%d}, not {before:%Y-%m-%d}" + (
            f": {because}" * bool(because)
        )
        changed = await rebind(change, skus, because=why, news=News(redated=inbound_id))
        return len(changed), changed

    return await _change(doms, work)


async def cancel_inbound(doms: Doms, inbound_id: str, *, because: str = "") -> bool:
    """Give up what has not come; orders that waited for it wait for other supply. False when it was done before.

    Raises:
        NotFound: there is no such inbound.
        Conflict: it is closed, or a transfer on its way.
    """

    async def work(change: Change) -> tuple[bool, Iterable[str]]:
        skus = await lines_of(change.connection, inbound_id)
        await change.lock_supply(skus)
        if not await inbounds.cancel(change.connection, inbound_id):
            return False, ()
        why = f"{inbound_id} will not come" + (f": {because}" * bool(because))
        return True, await rebind(change, skus, because=why, news=News(redated=inbound_id))

    return await _change(doms, work)


async def receive(doms: Doms, receipt: Receipt, *, actor: str) -> Received:
    """Count a delivery in, keep it for the orders that wait in their order of service, and wake them.

    Raises:
        NotFound: there is no such inbound.
        InvalidInput: an item is unknown.
        Conflict: the reference names another receipt, or a transfer has not departed.
    """

    async def work(change: Change) -> tuple[Received, Iterable[str]]:
        booked = await book_receipt(change, receipt, actor=actor)
        return booked, booked.orders

    return await _change(doms, work)


async def release_quarantine(doms: Doms, disposal: Disposal, *, actor: str) -> int:
    """Put quarantined units on hand, for the orders that wait first; returns how many orders got some.

    Raises:
        NotFound: there is no such node or item.
        Conflict: fewer are quarantined.
    """

    async def work(change: Change) -> tuple[int, Iterable[str]]:
        queue = await rises.line_up(change.connection, [disposal.sku])
        await quarantine.release(change.connection, disposal, actor=actor)
        orders = await queue.serve(change.connection, as_of=change.as_of)
        return len(orders), orders

    return await _change(doms, work)


async def write_off_quarantine(doms: Doms, disposal: Disposal, *, actor: str) -> bool:
    """Write quarantined units off: they are gone. False when it was done before under this reference.

    Raises:
        NotFound: there is no such node or item.
        Conflict: fewer are quarantined.
    """
    async with doms.database.transaction() as connection:
        return await quarantine.write_off(connection, disposal, actor=actor)


async def pass_on(doms: Doms, order_id: str) -> int:
    """Give what an order does not need any more, on hand or to come, to who is next; returns how many got some."""
    async with doms.database.reading() as connection:
        skus = await backorders.items_to_pass_on(connection, order_id)
    if not skus:
        return 0

    async def work(change: Change) -> tuple[int, Iterable[str]]:
        await turns.lock_first(change.connection, skus, {order_id, *change.behind})
        served = await backorders.pass_on(change.connection, order_id, change.timetable, as_of=change.as_of)
        await inbounds.lock_lines(change.connection, skus)
        promised = await rebind(change, skus, because="supply was given back by another order")
        orders = served.union(promised)
        return len(orders), orders

    return await _change(doms, work)


async def _change(doms: Doms, work: Work[T]) -> T:
    async def owing(change: Change) -> tuple[T, list[str]]:
        result, changed = await work(change)
        orders = sorted(changed)
        await wakes.ask(change.connection, orders, wake=SUPPLY_CHANGED)
        return result, orders

    result, orders = await changing(doms.database, owing)
    await tell(doms.database, doms, orders, wake=SUPPLY_CHANGED)
    return result
