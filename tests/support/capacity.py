"""A warehouse whose days are limited, in units and in orders, and what is taken of them."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text

from activities.orders import Orders
from shared.database.checks import CHECKS
from shared.database.node_days import read_node_days
from shared.domain.calendars import local_day, ready_by
from shared.loading import load
from shared.messages import SourceRequest
from tests.support.facts import PROCESS, Facts
from tests.support.stock import residuals

NODE = "wh-columbus"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Facts]:
    """A merchant with a thousand of the item there; in the end all books agree."""
    facts = await Facts.load(url)
    await facts.stock(facts.sku(), wh_columbus=1000)
    yield facts
    await _check_books(facts)
    await facts.database.close()


async def _check_books(shop: Facts) -> None:
    """Days are the sum of their claims, claims have units to ship, and stock is one story."""
    async with shop.database.reading() as connection:
        assert await residuals(connection) == {}
        for check in CHECKS:
            if check.name in ("capacity_claims", "capacity_owners"):
                rows = await connection.execute(text(check.query))
                assert [row for row in rows if row.broken] == []
        over = """
            SELECT count(*) FROM capacity_use
            WHERE reserved + consumed > units + excess OR reserved_orders + consumed_orders > orders + excess_orders
        """
        assert (await connection.execute(text(over))).scalar_one() == 0


async def limit(shop: Facts, units: int | None) -> None:
    """So many units on each day."""
    await shop.run("UPDATE node SET daily_units = :units WHERE node_id = :node", units=units, node=NODE)


async def shipping_days(shop: Facts, count: int) -> list[date]:
    """The next days on which the warehouse ships."""
    node = shop.world.node(NODE)
    found = [ready_by(node, datetime.now(UTC), later=later) for later in range(count)]
    return [local_day(at, node.place.time_zone) for at in found if at is not None]


async def days_of_orders(shop: Facts) -> Counter[date]:
    """Units by the day on which they are to be handed over, as customers were promised."""
    node = shop.world.node(NODE)
    rows = await shop.rows("SELECT ship_by, units FROM fulfillment_order WHERE ended_at IS NULL AND shipped_at IS NULL")
    found: Counter[date] = Counter()
    for row in rows:
        found[local_day(row.ship_by, node.place.time_zone)] += row.units
    return found


async def used(shop: Facts) -> dict[date, tuple[int, int]]:
    """Reserved and consumed units by day, of all services together."""
    async with shop.database.reading() as connection:
        since = datetime.now(UTC).date() - timedelta(days=2)
        [found] = await read_node_days(connection, NODE, since=since, days=60)
    return {day.day: (day.reserved, day.consumed) for day in found.days if not day.service}


async def used_orders(shop: Facts) -> dict[date, tuple[int, int]]:
    """Reserved and consumed orders by day, of all services together."""
    rows = await shop.rows("SELECT day, reserved_orders, consumed_orders FROM capacity_use WHERE service = ''")
    return {row.day: (row.reserved_orders, row.consumed_orders) for row in rows}


async def limit_orders(shop: Facts, orders: int, *, service: str = "") -> None:
    """So many orders on each of the next weeks' days."""
    today = datetime.now(UTC).date()
    rows = "".join(f"{NODE},{today + timedelta(days=n)},{service},{orders}\n" for n in range(30))
    await load(shop.database, {"capacity": f"node_id,day,service,orders\n{rows}".encode()})


async def source_all(shops: Sequence[Orders], order_ids: Sequence[str]) -> None:
    """Have all of them sourced at once, by one worker and the other."""
    await asyncio.gather(
        *(
            shops[n % len(shops)].source(
                SourceRequest(
                    step_key=f"{order_id}/source/{uuid.uuid4().hex}",
                    order_id=order_id,
                    as_of=datetime.now(UTC),
                    policy=PROCESS,
                )
            )
            for n, order_id in enumerate(order_ids)
        )
    )
