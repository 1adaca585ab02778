"""Orders planned by carriers' quotes, and labelled by whoever sells for least, from order to delivery."""

from __future__ import annotations

import uuid
from datetime import timedelta

from shared.contracts import BATCH_QUEUE
from shared.domain.rate_shopping import RateShop, ShopReason
from shared.domain.story import OrderStory
from shared.messages.quotes import QuoteRefreshInput, QuoteRefreshResult
from tests.support.referee import disagreements
from tests.support.system import System

CARRIERS = ("parcelpost", "swiftship")


async def delivered(shop: System, sku: str) -> OrderStory:
    """An order of one unit, taken to its end."""
    await shop.stock(sku, wh_columbus=5)
    order_id = await shop.place(shop.order((sku, 1)))
    outcome = await shop.ended(order_id)
    assert (outcome.delivered_units, shop.did(order_id)["label.bought"]) == (1, 1)
    return await shop.doms.get(order_id)


def choice(order: OrderStory) -> RateShop | None:
    ((parcel,),) = (f.packages for f in order.fulfillments)
    if parcel.rate_shop is not None:
        assert (parcel.carrier, parcel.label_cost_minor) == (parcel.rate_shop.carrier, parcel.rate_shop.price_minor)
    return parcel.rate_shop


async def refreshed(shop: System) -> QuoteRefreshResult:
    result: QuoteRefreshResult = await shop.temporal.execute_workflow(
        "QuoteRefresh",
        QuoteRefreshInput(),
        id=f"quote-refresh/{uuid.uuid4().hex[:8]}",
        task_queue=BATCH_QUEUE,
        result_type=QuoteRefreshResult,
    )
    return result


async def quoting(shop: System, sku: str) -> OrderStory:
    """Have both carriers' accounts quote; returns the first order whose label was bought by comparing rates."""
    async with shop.database.transaction() as connection:
        await connection.exec_driver_sql("UPDATE partner SET quotes = true WHERE kind = 'carrier'")
    orders: list[OrderStory] = []

    async def known() -> bool:
        orders.append(await delivered(shop, sku))
        return choice(orders[-1]) is not None

    await shop.until(known)
    return orders[-1]


async def nothing_disagrees(shop: System) -> None:
    """The partners' log, the facts and what must hold of both tell one story of all orders."""
    orders = [row.order_id for row in await shop.rows("SELECT order_id FROM orders")]
    assert await disagreements(shop.database, shop.log, orders) == []


async def test_orders_go_by_quotes_as_soon_as_carriers_give_them(shop: System) -> None:
    sku = shop.world.items[0].sku
    by_card = await quoting(shop, sku)
    found = choice(by_card)
    assert found is not None
    assert found.because is ShopReason.CHEAPEST_IN_TIME
    assert {one.carrier for one in found.offers} == set(CARRIERS)
    assert by_card.plan is not None
    assert by_card.plan.shipments[0].quoted_until is None, "no lane was quoted yet"

    result = await refreshed(shop)
    assert (result.lanes > 0, result.unanswered) == (True, 0)
    by_quote = await delivered(shop, sku)
    assert by_quote.plan is not None
    assert by_quote.plan.shipments[0].quoted_until is not None
    assert by_quote.fulfillments[0].cost.freight != by_card.fulfillments[0].cost.freight

    await shop.fault("parcelpost", "blackhole", path="quotes")
    one_silent = await delivered(shop, sku)
    found = choice(one_silent)
    assert found is not None
    assert (found.carrier, set(found.unanswered)) == ("swiftship", {"parcelpost"})
    await shop.fault("parcelpost", "ok", path="quotes")
    await nothing_disagrees(shop)


async def test_a_parcel_of_two_orders_is_compared_once_and_told_with_both(shop: System) -> None:
    sku = shop.world.items[1].sku
    await quoting(shop, sku)
    await shop.stock(sku, wh_columbus=9)
    async with shop.policy(release_after=timedelta(seconds=3), consolidate=True):
        placed = [await shop.place(shop.order((sku, units), customer_ref="ada")) for units in (1, 2)]
    for order_id in placed:
        assert (await shop.ended(order_id)).status == "delivered"
    parcels = [f.packages[0] for order_id in placed for f in (await shop.doms.get(order_id)).fulfillments]
    one, other = parcels
    assert one.rate_shop is not None
    assert one.rate_shop == other.rate_shop
    assert one.rate_shop.weight_g == one.weight_g + other.weight_g
    assert one.rate_shop.price_minor == one.label_cost_minor + other.label_cost_minor
    await nothing_disagrees(shop)
