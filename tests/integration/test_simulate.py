"""Simulations of stored orders and of documents, on a real Postgres."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console
from sqlalchemy import text

from shared.database import replays
from shared.database.quotes import keep_quotes
from shared.database.snapshots import AGREEING
from shared.domain.orders import OrderDocument
from shared.domain.quotes import LaneQuote
from shared.domain.sourcing.models import Policy
from shared.domain.sourcing.presets import PRESETS
from shared.domain.sourcing.simulation import Replay, compare
from shared.errors import InvalidInput
from tests.support.facts import Facts
from workers.cli.simulate import drawn
from workers.demo.orders import make_orders


async def since(shop: Facts, at: datetime, limit: int = 100) -> Replay:
    async with shop.database.transaction() as connection:
        await connection.execute(AGREEING)
        return await replays.stored_orders(connection, at, limit)


async def of_documents(shop: Facts, documents: list[OrderDocument]) -> Replay:
    async with shop.database.transaction() as connection:
        await connection.execute(AGREEING)
        return await replays.documents(connection, documents, datetime.now(UTC))


async def now(shop: Facts) -> datetime:
    async with shop.database.reading() as connection:
        at: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return at


async def test_stored_orders_meet_the_stock_of_their_day(shop: Facts) -> None:
    sku = shop.sku()
    await shop.stock(sku, wh_columbus=3)
    before = await shop.keep((sku, 1))
    await shop.source(before)
    began = await now(shop)
    orders = [await shop.keep((sku, units)) for units in (1, 2)]
    for order_id in orders:
        await shop.source(order_id)
    actual = [f for order_id in orders for f in (await shop.tell(order_id)).fulfillments]
    await shop.stock(sku, wh_columbus=50)
    (result,) = compare(await since(shop, began), [Policy()]).policies
    assert (
        {each.node_id: each.units for each in result.nodes}
        == {"wh-columbus": sum(f.units for f in actual)}
        == {"wh-columbus": 2}
    )
    assert (result.orders, result.short_units, result.late_orders) == (2, 1, 0)
    assert result.paid_minor == sum(f.cost.paid for f in actual)
    assert (await since(shop, await now(shop))).orders == ()
    assert len((await since(shop, began, limit=1)).orders) == 1


async def test_stored_orders_are_planned_by_the_quotes_of_their_time(shop: Facts) -> None:
    sku = shop.sku()
    await shop.stock(sku, wh_columbus=9)
    await shop.run("UPDATE partner SET quotes = true WHERE partner_id = 'swiftship'")
    began = await now(shop)
    orders = []
    for price in (50, 50, 40, None):
        if price is not None:
            await quote(shop, price)
        else:
            await shop.run("DELETE FROM carrier_quote")
        orders.append(await shop.keep((sku, 1)))
        await shop.source(orders[-1])
    actual = [f.cost.freight for order_id in orders for f in (await shop.tell(order_id)).fulfillments]
    assert actual[:3] == [50, 50, 40]
    replay = await since(shop, began)
    assert [{each.price_minor for each in one.quotes} for one in replay.orders[:3]] == [{50}, {50}, {40}]
    spans = await shop.rows("SELECT price_minor FROM quote_span WHERE weight_g = 30000 ORDER BY begins")
    assert [row.price_minor for row in spans] == [50, 40], "the same again is no other quote"
    (result,) = compare(replay._replace(orders=replay.orders[:3]), [Policy()]).policies
    assert result.paid_by_term["freight"] == sum(actual[:3])


async def quote(shop: Facts, price: int) -> None:
    """Have every parcel from there to the customer quoted at this price."""
    of_service = [rate for rate in shop.world.rates if (rate.carrier, rate.service) == ("swiftship", "two-day")]
    one = LaneQuote(
        quote_id="q", carrier="swiftship", service="two-day", price_minor=price, currency="USD", transit_days=1,
        expires_at=datetime.now(UTC) + timedelta(hours=1), node_id="wh-columbus", destination="US/100", weight_g=1,
    )  # fmt: skip
    weights = {step.up_to_g for rate in of_service for step in rate.breaks}
    async with shop.database.statement() as connection:
        await keep_quotes(connection, [one.model_copy(update={"weight_g": weight}) for weight in weights])


async def test_stored_orders_meet_the_limits_of_their_day(shop: Facts) -> None:
    """Of a day that is past what was recorded counts, of others what is set."""
    today = (await now(shop)).date()
    past, coming = today - timedelta(days=5), today + timedelta(days=5)
    await shop.run("UPDATE node SET daily_units = 7")
    await shop.run("INSERT INTO capacity_use (node_id, day, units, orders) VALUES ('wh-columbus', :d, 3, 2)", d=past)
    await shop.run("INSERT INTO capacity_use (node_id, day, units) VALUES ('3pl-reno', :d, NULL)", d=past)
    set_ = "INSERT INTO node_capacity (node_id, day, orders) VALUES ('wh-columbus', :d, 9)"
    await shop.run(set_, d=past)
    await shop.run(set_, d=coming)
    limits = (await since(shop, datetime.now(UTC) - timedelta(days=6))).limits
    assert [(each.day, each.units, each.orders) for each in limits] == [(past, 3, 2), (coming, None, 9)]


async def test_documents_meet_the_stock_of_now(shop: Facts) -> None:
    documents = list(make_orders(shop.world, 40, 1, datetime.now(UTC) - timedelta(hours=1)))
    found = compare(await of_documents(shop, documents), list(PRESETS.values()))
    by_name = {each.policy_version: each for each in found.policies}
    assert found.orders == 40
    assert by_name["cheapest"].paid_minor <= by_name["fastest"].paid_minor
    assert by_name["fastest"].days_to_deliver < by_name["cheapest"].days_to_deliver
    assert by_name["fewest-parcels"].split_orders <= by_name["cheapest"].split_orders
    console = Console(file=io.StringIO(), width=250)
    console.print(drawn(found))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "40 order(s) replayed" in shown
    assert "split rate" in shown
    assert "wh-columbus" in shown


async def test_documents_meet_no_units_that_are_held_back(shop: Facts) -> None:
    """What counts and feeds give reason to doubt is not there for anybody now; what they doubted then is not known."""
    sku = shop.sku()
    began = await now(shop)
    await shop.stock(sku, wh_columbus=9)
    await shop.keep((sku, 1))
    await shop.run("UPDATE stock_position SET safety = 1, count_buffer = 2, feed_buffer = 3 WHERE sku = :s", s=sku)
    (document,) = make_orders(shop.world, 1, 1, datetime.now(UTC))
    line = document.lines[0].model_copy(update={"sku": sku})
    replay = await of_documents(shop, [document.model_copy(update={"lines": (line,)})])
    assert replay.stock["wh-columbus", sku] == 9 - 1 - 2 - 3
    replay = await since(shop, began)
    came = sum(each.units for each in replay.arrivals if each.node_id == "wh-columbus")
    assert replay.stock["wh-columbus", sku] + came == 9 - 1


async def test_documents_of_unknown_items_are_refused(shop: Facts) -> None:
    (document,) = make_orders(shop.world, 1, 1, datetime.now(UTC))
    line = document.lines[0].model_copy(update={"sku": "NO-SUCH"})
    with pytest.raises(InvalidInput):
        await of_documents(shop, [document.model_copy(update={"lines": (line,)})])
