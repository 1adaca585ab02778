"""What staff do with cycle counts."""

from __future__ import annotations

from collections.abc import Sequence

from shared.client import Doms
from shared.database import counts, wakes
from shared.database.counts import Counted
from shared.database.engine import around_races
from shared.database.positions import must_exist
from shared.database.rises import line_up
from shared.domain.counts import Count
from shared.wakes_client import tell_waiting


async def record_count(doms: Doms, count: Count, *, reference: str, actor: str) -> Sequence[Counted]:
    """Book a count, once under its reference, keep what was found for the orders that wait, and wake them.

    Raises:
        InvalidInput: it is of a moment to come.
        NotFound: there is no such node or item.
    """
    counts.refuse_future({1: count})
    async for attempt in around_races():
        with attempt:
            async with doms.database.transaction() as connection:
                await must_exist(connection, count.node_id, count.sku)
                queue = await line_up(connection, [count.sku])
                booked = await counts.record(connection, [count], reference=reference, actor=actor)
                await queue.serve(connection)
                more = [each.sku for each in booked if each.booked > 0]
                await wakes.ask_waiting(connection, more)
    await tell_waiting(doms.database, doms, more)
    return booked
