"""Where nodes would stand best for the orders that came."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from workers.cli.history import history_body, read_history
from workers.cli.output import Answer, table
from workers.connect import doms_client

if TYPE_CHECKING:
    from shared.domain.locating import Layout, Locations, Site
    from shared.domain.sourcing.simulation import Replay

#: US ZIP codes that sites are chosen from.
CANDIDATES = 200


async def locate(
    *,
    k: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=10))] = 5,
    orders: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    since: datetime | None = None,
    limit: int = 100_000,
    html: Path | None = None,
) -> Answer:
    """Where 1 to k sites would ship these orders for the least freight, and what that saves. Changes nothing.

    Sites are chosen among US ZIP codes, as a p-median that is proven best or told with its gap, once in place of
    today's nodes and once beside them. Freight is by the loaded rates, each order whole from the site that ships it
    cheapest by the slowest class of services; stock, rent and hands are not known here. Amounts are minor units.

    ```
    doms locate
    doms locate --k 5 --since 2026-06-01
    doms locate --k 3 --orders orders.jsonl --html sites.html
    doms --json locate --k 2 --since 2026-06-01 | jq '.alone[].sites[].place.postal_code'
    ```

    Args:
        k: The most sites.
        orders: A file of order documents, or - for standard input.
        since: Look only at the stored orders received from this time (UTC) on; at all of them when not given.
        limit: At most so many stored orders.
        html: Write a report with charts and a map to this file as well; it needs no network to be read.
    """
    from shared.database.snapshots import AGREEING

    body = await history_body(orders, since)
    async with doms_client() as doms, doms.database.transaction() as connection:
        await connection.execute(AGREEING)
        replay = await read_history(connection, body, since, limit)
    found = await asyncio.to_thread(located, replay, k)
    if html is not None:
        from workers.report.pages import locations_page

        await asyncio.to_thread(html.write_text, locations_page(found, replay), encoding="utf-8")
    return Answer(found, show=lambda: drawn(found))


def located(replay: Replay, most: int) -> Locations:
    """The best sites for these orders.

    Raises:
        NotFound: there are no orders, no node that ships, or no rates.
    """
    from shared.domain.locating import demand_of, locate_sites, thinned
    from shared.domain.sourcing.models import Policy
    from shared.errors import NotFound
    from workers.demo.places import us_places

    today = [node.place for node in replay.nodes if node.ship_enabled]
    needed = {"orders": replay.orders, "nodes that ship": today, "rates": replay.rates}
    if missing := [name for name, rows in needed.items() if not rows]:
        raise NotFound(f"there are no {' and no '.join(missing)} to look at")
    demand = demand_of((each.order for each in replay.orders), Policy().dim_divisor)
    return locate_sites(demand, today, thinned(us_places(), demand, CANDIDATES), replay.rates, most)


def drawn(found: Locations) -> Any:
    """What each layout costs, where its sites are, and the centres of gravity."""
    from rich.console import Group

    from shared.domain.locating import FAST_DAYS

    rows = [
        ("today", found.today, ""),
        *((f"{count} in place of today's", one, _proof(one)) for count, one in enumerate(found.alone, 1)),
        *((f"today's and {count} more", one, _proof(one)) for count, one in enumerate(found.beside, 1)),
    ]
    title = f"{found.orders} order(s), sites among {found.candidates} places"
    columns = ("", "freight#", "saved#", "mean km#", f"in {FAST_DAYS} days#", "unserved#", "")
    layouts = [(name, *_figures(one), proof) for name, one, proof in rows]
    sites = [("today", ", ".join(_sites(found.today.sites)))]
    sites += [
        (f"{count} in place of today's", ", ".join(_sites(one.sites))) for count, one in enumerate(found.alone, 1)
    ]
    old = len(found.today.sites)
    sites += [
        (f"{count} beside today's", ", ".join(_sites(one.sites[old:]))) for count, one in enumerate(found.beside, 1)
    ]
    gravity = [
        (len(one.centres), one.mean_km, "; ".join(f"{at.latitude}, {at.longitude}" for at in one.centres))
        for one in found.gravity
    ]
    return Group(
        table(title, columns, layouts),
        table("sites, with the share of orders each serves", ("", "sites"), sites),
        table("centres of gravity", ("centres#", "mean km#", "latitude, longitude"), gravity),
    )


def _proof(one: Layout) -> str:
    return f"at most {one.gap_minor} from best" if one.gap_minor else "proven best"


def _figures(one: Layout) -> tuple[object, ...]:
    return one.freight_minor, one.saved_minor, one.mean_km, f"{one.fast:.1%}", one.unserved


def _sites(sites: Sequence[Site]) -> Iterator[str]:
    for site in sites:
        yield f"{site.place.city or site.place.postal_code} {site.place.region} {site.share:.0%}".replace("  ", " ")
