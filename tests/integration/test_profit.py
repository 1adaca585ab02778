"""What orders earn: expected from their plans, and as it came out, on real Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.domain.orders import OrderLine
from shared.domain.profit import Profit
from tests.support.facts import Facts

#: What every order of ``Facts`` pays for shipping.
SHIPPING = 595


@pytest.fixture(scope="module")
async def shop(database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(database_url)
    for item in facts.world.items[:3]:
        await facts.stock(item.sku, wh_columbus=50)
    yield facts
    await facts.database.close()


async def earned(shop: Facts, order_id: str) -> Profit:
    found = (await shop.tell(order_id)).profit
    assert found is not None
    return found


async def test_nothing_is_expected_of_an_order_without_a_source(shop: Facts) -> None:
    assert (await shop.tell(await shop.keep((shop.sku(), 2)))).profit is None


async def test_a_planned_order_earns_its_price_less_tax_and_what_its_plan_pays(shop: Facts) -> None:
    line = OrderLine(line_no=1, sku=shop.sku(), quantity=2, unit_price_minor=1001, discount_minor=102, tax_minor=150)
    order_id = await shop.keep((line.sku, 2), lines=(line,))
    await shop.source(order_id)
    told, found = await shop.tell(order_id), await earned(shop, order_id)
    [planned] = [each.cost for each in told.fulfillments]
    assert found.revenue_minor == 2 * 1001 - 102 + SHIPPING
    assert planned.item_cost == 2 * shop.world.items[0].cost_minor == found.goods_minor
    assert (found.shipping_minor, found.fees_minor) == (planned.freight, planned.handling + planned.dropship_fee)
    assert found.profit_minor == found.revenue_minor - planned.paid
    assert not found.settled


async def test_what_waits_or_is_cancelled_earns_and_costs_nothing(shop: Facts) -> None:
    order_id = await shop.keep((shop.sku(1), 60))
    await shop.source(order_id)
    found, units = await earned(shop, order_id), (await shop.tell(order_id)).units
    assert (units.allocated, units.backordered) == (50, 10)
    assert found.revenue_minor == 50 * 1001 + SHIPPING
    assert found.goods_minor == 50 * shop.world.items[1].cost_minor
    await shop.cancel(order_id)
    assert (await earned(shop, order_id)).profit_minor == 0


async def test_what_was_missing_and_what_was_paid_back_is_not_earned(shop: Facts) -> None:
    order_id = await shop.keep((shop.sku(2), 3))
    await shop.source(order_id)
    await shop.release(order_id)
    await shop.ship(order_id, short=1)
    await shop.cancel(order_id)
    found = await earned(shop, order_id)
    assert found.revenue_minor == 2 * 1001 + SHIPPING
    assert found.goods_minor == 2 * shop.world.items[2].cost_minor
    assert found.settled
    await shop.run(
        "UPDATE payment SET authorized_minor = 9999, captured_minor = 2597, refunded_minor = 1001 WHERE order_id = :o",
        o=order_id,
    )
    assert (await earned(shop, order_id)).profit_minor == found.profit_minor - 1001


async def test_a_label_takes_the_place_of_planned_freight(shop: Facts) -> None:
    order_id = await shop.until_delivered((shop.sku(), 1))
    before = await earned(shop, order_id)
    [planned] = [each.cost for each in (await shop.tell(order_id)).fulfillments]
    assert before.shipping_minor == planned.freight
    await shop.run(
        "UPDATE package SET label_status = 'completed', label_cost_minor = 77 WHERE order_id = :o", o=order_id
    )
    after = await earned(shop, order_id)
    assert (after.shipping_minor, after.profit_minor - before.profit_minor) == (77, planned.freight - 77)
