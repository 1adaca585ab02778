"""Days of nodes limited in orders, whatever their units: alone, beside a limit of units, and by service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from activities.orders import Orders
from shared.database.engine import Database
from shared.domain.orders import ServiceLevel
from shared.messages import CancelUnits, LineQuantity
from tests.support.capacity import (
    days_of_orders,
    limit,
    limit_orders,
    opened,
    shipping_days,
    source_all,
    used,
    used_orders,
)
from tests.support.facts import Facts


@pytest.fixture
async def shop(fresh_database_url: str) -> AsyncIterator[Facts]:
    async with opened(fresh_database_url) as facts:
        yield facts


async def test_orders_fill_a_day_whatever_their_units(shop: Facts, fresh_database_url: str) -> None:
    await limit_orders(shop, 7)
    order_ids = [await shop.keep((shop.sku(), 1 + n % 3)) for n in range(24)]
    databases = [Database(fresh_database_url, pool_size=2) for _ in range(2)]
    shops = [Orders(database) for database in databases]
    for _ in range(3):
        # As their processes do, those that lost the race for days too often look again.
        await source_all(shops, order_ids)
    for one, database in zip(shops, databases, strict=True):
        await one.aclose()
        await database.close()
    assert await used_orders(shop) == dict(zip(await shipping_days(shop, 4), [(7, 0)] * 3 + [(3, 0)], strict=True))


async def test_units_and_orders_both_close_a_day(shop: Facts) -> None:
    await limit(shop, 10)
    await limit_orders(shop, 2)
    first, second, third = await shipping_days(shop, 3)
    for units in (1, 9, 1, 12):
        await shop.source(await shop.keep((shop.sku(), units)))
    assert await days_of_orders(shop) == {first: 10, second: 1, third: 12}
    taken = {day: units for day, units in (await used(shop)).items() if any(units)}
    assert taken == {first: (10, 0), second: (1 + 2, 0), third: (10, 0)}
    assert await used_orders(shop) == {first: (2, 0), second: (2, 0), third: (1, 0)}


async def test_an_order_of_a_day_ends_with_its_last_unit(shop: Facts) -> None:
    await limit_orders(shop, 2)
    [first] = await shipping_days(shop, 1)
    cancelled, rejected, shipped, short = [await shop.keep((shop.sku(), 3)) for _ in range(4)]
    await shop.source(cancelled)
    request = CancelUnits(
        step_key=f"{cancelled}/cancel/some",
        order_id=cancelled,
        actor="agent-1",
        reason="test",
        lines=(LineQuantity(line_no=1, quantity=2),),
    )
    async with aclosing(Orders(shop.database)) as orders:
        await orders.cancel(request)
    assert (await used_orders(shop))[first] == (1, 0)
    await shop.cancel(cancelled)
    assert (await used_orders(shop))[first] == (0, 0)
    await shop.source(rejected)
    await shop.release(rejected)
    await shop.reject(rejected)
    assert (await used_orders(shop))[first] == (0, 0)
    for order_id, missing in ((shipped, 0), (short, 2)):
        await shop.source(order_id)
        await shop.release(order_id)
        await shop.ship(order_id, short=missing)
    assert (await used_orders(shop))[first] == (0, 2)
    await shop.source(await shop.keep((shop.sku(), 1)))
    assert (await used_orders(shop))[first] == (0, 2)


async def test_a_service_has_a_limit_of_orders_of_its_own(shop: Facts) -> None:
    first, second = await shipping_days(shop, 2)
    await limit_orders(shop, 1, service="standard")
    for service in (ServiceLevel.STANDARD, ServiceLevel.EXPEDITED, ServiceLevel.STANDARD, ServiceLevel.EXPEDITED):
        await shop.source(await shop.keep((shop.sku(), 4), service=service))
    assert await days_of_orders(shop) == {first: 12, second: 4}


async def test_a_limit_of_orders_lowered_below_what_is_taken_adds_nothing(shop: Facts) -> None:
    await limit_orders(shop, 3)
    for _ in range(3):
        await shop.source(await shop.keep((shop.sku(), 1)))
    await limit_orders(shop, 1)
    first, second = await shipping_days(shop, 2)
    [day] = await shop.rows("SELECT orders, reserved_orders, excess_orders FROM capacity_use")
    assert tuple(day) == (1, 3, 2)
    await shop.source(await shop.keep((shop.sku(), 1)))
    assert await used_orders(shop) == {first: (3, 0), second: (1, 0)}
