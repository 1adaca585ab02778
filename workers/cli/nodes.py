"""See how full the days of nodes are, and switch nodes on and off."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from cyclopts import App

from workers.cli.output import Answer, table
from workers.connect import doms_client

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shared.database.node_days import DayOfNode, NodeDays

app = App(name="nodes", help=__doc__)


@app.command
async def capacity(node: str = "", *, since: date | None = None, days: int = 14) -> Answer:
    """Show the days of nodes: what each can ship, and what is promised of it.

    A day is one of the node's own calendar, on which shipments are handed over to the carrier; what does not fit there
    is made ready on the working days before. An order that finds a day full is promised by the next day with room.
    `reserved` is still to leave, `consumed` has left. `over` was promised before the limit was lowered: nothing is
    added, and nothing is taken back.

    Every day has the node's `daily_units` (`doms load nodes`); single days, and services of a day, are set by
    `doms load capacity FILE.csv`, in units, in fulfillment orders or in both: whichever is full first closes the day. A
    node without either is not limited, and days of which nothing is set or taken are not listed.

    ```
    doms nodes capacity wh-columbus --days 5
    doms nodes capacity --since 2026-11-27
    ```

    Args:
        node: Only this node.
        since: The first day; today when not given.
        days: How many days.
    """
    from shared.database.node_days import read_node_days
    from shared.errors import Fault, InvalidInput

    if days < 1:
        raise InvalidInput([Fault(pointer="/days", code="not_positive", message="must be one or more")])
    first = since or datetime.now(UTC).date()
    async with doms_client() as doms, doms.database.reading() as connection:
        found = await read_node_days(connection, node, since=first, days=days)
    return Answer(found, show=lambda: _shown(found))


@app.command
async def switch(node: str, *, ship: bool | None = None, pickup: bool | None = None) -> Answer:
    """Switch a node on or off, for shipping and for pickup apart; what is not named stays as it is.

    The next plan goes by it: a node that does not ship gets no new fulfillment orders, and its stock is not offered to
    channels; one without pickup is not offered to carts, and refuses orders that would be fetched there. What a node
    was given already stays with it (`doms orders reroute`). When it ships again, who waits for what it has is woken.

    ```
    doms nodes switch store-austin --no-ship
    doms nodes switch store-austin --ship --no-pickup
    ```

    Args:
        node: The node.
        ship: Whether it ships to customers and stores.
        pickup: Whether customers may fetch their orders there.
    """
    from shared.errors import Fault, InvalidInput
    from shared.nodes_client import switch as switch_node

    if ship is None and pickup is None:
        raise InvalidInput([Fault(pointer="", code="nothing_named", message="name --ship, --pickup or both")])
    async with doms_client() as doms:
        found = await switch_node(doms, node, ship=ship, pickup=pickup)
    told = f"{found.node_id}: ships {_yes(found.ship_enabled)}, pickup {_yes(found.pickup_enabled)}"
    return Answer(found, text=told)


def _yes(on: bool) -> str:
    return "yes" if on else "no"


def _shown(nodes: Sequence[NodeDays]) -> Any:
    from rich.console import Group

    return Group(*(_node(each) for each in nodes)) if nodes else "no node has a limit"


def _node(node: NodeDays) -> Any:
    standing = "no limit" if node.daily_units is None else f"{node.daily_units} units a day"
    columns = ("day", "service", "of", "limit#", "reserved#", "consumed#", "free#", "over#")
    return table(f"{node.node_id}: {standing}", columns, [row for day in node.days for row in _rows(day)])


def _rows(day: DayOfNode) -> Iterator[tuple[Any, ...]]:
    """A row for each limit; one for units where both were lifted."""
    name = (f"{day.day:%a %d %b %Y}", day.service or "all")
    if day.units is not None or day.orders is None:
        limit = "none" if day.units is None else day.units
        yield *name, "units", limit, day.reserved, day.consumed, _or_empty(day.free), day.excess or ""
    if day.orders is not None:
        taken = (day.reserved_orders, day.consumed_orders, _or_empty(day.free_orders), day.excess_orders or "")
        yield *name, "orders", day.orders, *taken


def _or_empty(units: int | None) -> int | str:
    return "" if units is None else units
