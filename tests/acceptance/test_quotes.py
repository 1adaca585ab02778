"""Orders planned by carriers' quotes, and labelled by whoever sells for least, from order to delivery."""

from __future__ import annotations

import uuid

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


async def test_orders_go_by_quotes_as_soon_as_carriers_give_them(shop: System) -> None:
    sku = shop.world.items[0].sku
    by_card = await delivered(shop, sku)
    assert choice(by_card) is None
    async with shop.database.transaction() as connection:
        await connection.exec_driver_sql("UPDATE partner SET quotes = true WHERE kind = 'carrier'")
    orders = [by_card]

    async def compared() -> bool:
        """The workers read their directory again every two seconds."""
        orders.append(await delivered(shop, sku))
        return choice(orders[-1]) is not None

    await shop.until(compared)
    found = choice(orders[-1])
    assert found is not None
    assert found.because is ShopReason.CHEAPEST_IN_TIME
    assert {one.carrier for one in found.offers} == set(CARRIERS)
    assert orders[-1].fulfillments[0].cost == by_card.fulfillments[0].cost, "nothing was quoted yet"

    result = await refreshed(shop)
    assert (result.lanes > 0, result.unanswered) == (True, 0)
    by_quote = await delivered(shop, sku)
    assert by_quote.plan is not None
    assert by_quote.plan.shipments[0].quoted_until is not None
    assert by_quote.fulfillments[0].cost.freight != by_card.fulfillments[0].cost.freight
    orders.append(by_quote)

    await shop.fault("parcelpost", "blackhole", path="quotes")
    one_silent = await delivered(shop, sku)
    found = choice(one_silent)
    assert found is not None
    assert (found.carrier, set(found.unanswered)) == ("swiftship", {"parcelpost"})
    await shop.fault("parcelpost", "ok", path="quotes")
    orders.append(one_silent)
    assert await disagreements(shop.database, shop.log, [order.order_id for order in orders]) == []
