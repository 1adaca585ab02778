"""What staff do with nodes."""

from __future__ import annotations

from shared.client import Doms
from shared.database import network, wakes
from shared.database.engine import around_races
from shared.database.network import Switches
from shared.wakes_client import tell


async def switch(doms: Doms, node_id: str, *, ship: bool | None = None, pickup: bool | None = None) -> Switches:
    """Switch a node on or off for shipping and for pickup; whatever is planned from then on goes by it.

    A node that ships again is looked at by the orders that wait for what it has.

    Raises:
        NotFound: there is no such node.
    """
    async for attempt in around_races():
        with attempt:
            async with doms.database.transaction() as connection:
                switches = await network.switch(connection, node_id, ship=ship, pickup=pickup)
                if ship:
                    await wakes.ask_for_room(connection, [node_id], units=None)
                waiting = await wakes.asked_here(connection)
    await tell(doms.database, doms, waiting)
    return switches
