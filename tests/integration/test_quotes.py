"""Carriers' quotes kept, planned by and kept fresh: a real Postgres, carriers over real sockets."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.orders import Orders
from activities.quotes import Quotes
from shared import quotes_client
from shared.carts_client import hold_cart
from shared.client import Doms
from shared.database import network, quotes
from shared.domain.carts import Cart, CartLine, Destination, HoldCart, Promise
from shared.domain.partners import PartnerEndpoint, PartnerKind
from shared.domain.quotes import LaneQuote, QuoteLane, destination_of
from shared.domain.sourcing.plans import PlannedShipment
from shared.domain.story import FulfillmentStory
from shared.errors import InvalidInput
from shared.gateways.directory import Gateways
from shared.loading import load
from shared.messages import SourceRequest
from shared.messages.quotes import QuoteRefreshInput, QuoteRefreshResult, QuoteRefreshStep
from shared.quotes_client import Quoting
from tests.support.facts import PROCESS, Facts
from tests.support.outside import Outside, outside
from tests.support.partners import PARTNER_KEY
from workers.sandbox.log import read_requests

NO_TEMPORAL: Any = None
CARRIERS = ("parcelpost", "swiftship")
NODE = "wh-columbus"


@pytest.fixture(scope="module")
async def shop(database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(database_url)
    yield facts
    await facts.database.close()


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outside]:
    async with outside(tmp_path_factory.mktemp("outside")) as world:
        yield world


@pytest.fixture
async def gateways(shop: Facts, world: Outside) -> AsyncIterator[Gateways]:
    """Both carriers quote, nothing is quoted yet, and everybody answers."""
    await shop.run("DELETE FROM carrier_quote")
    await shop.run("DELETE FROM quote_lane")
    await quoting(shop, world, *CARRIERS)
    for carrier in CARRIERS:
        await world.fault(carrier, "ok", ', "path": "quotes"')
    async with shop.database.reading() as connection:
        partners = await network.read_partners(connection)
    async with Gateways(partners, PARTNER_KEY) as gateways:
        yield gateways


async def quoting(shop: Facts, world: Outside, *carriers: str) -> None:
    endpoints = [
        PartnerEndpoint(
            partner_id=each, kind=PartnerKind.CARRIER, base_url=f"{world.url}/{each}", quotes=each in carriers
        )
        for each in CARRIERS
    ]
    async with shop.database.transaction() as connection:
        await network.save_partners(connection, endpoints)


def quote(carrier: str, service: str, price: int, weight_g: int, **changes: object) -> LaneQuote:
    one = LaneQuote(
        quote_id="q",
        carrier=carrier,
        service=service,
        price_minor=price,
        currency="USD",
        transit_days=1,
        expires_at=datetime.now(UTC) + timedelta(minutes=5),
        node_id=NODE,
        destination="US/100",
        weight_g=weight_g,
    )
    return one.model_copy(update=changes)


async def keep(shop: Facts, *found: LaneQuote) -> None:
    async with shop.database.statement() as connection:
        await quotes.keep_quotes(connection, found)


async def planned(shop: Facts, orders: Orders | None = None, *, as_of: datetime | None = None) -> FulfillmentStory:
    """What an order of one unit is planned as; it is cancelled again."""
    sku = shop.sku()
    await shop.stock(sku, wh_columbus=3)
    order_id = await shop.keep((sku, 1))
    request = SourceRequest(
        step_key=f"{order_id}/source/1", order_id=order_id, as_of=as_of or datetime.now(UTC), policy=PROCESS
    )
    await (orders or Orders(shop.database)).source(request)
    told = await shop.tell(order_id)
    await shop.cancel(order_id)
    assert told.plan is not None
    return told.fulfillments[0]


async def last_shipment(shop: Facts) -> PlannedShipment:
    ((plan,),) = await shop.rows("SELECT plan FROM decision ORDER BY order_id DESC, attempt DESC LIMIT 1")
    return PlannedShipment.model_validate(plan["shipments"][0])


async def step(shop: Facts) -> int:
    """The weight step of the card that the order's parcel pays."""
    by_card = await planned(shop)
    rates = [rate for rate in shop.world.rates if (rate.carrier, rate.service) == (by_card.carrier, by_card.service)]
    return next(b.up_to_g for rate in rates for b in rate.breaks if b.price_minor == by_card.cost.freight)


async def test_an_order_is_planned_by_a_quote_while_it_lasts(shop: Facts, gateways: Gateways) -> None:
    card, weight = await planned(shop), await step(shop)
    cheap = quote("swiftship", "two-day", 50, weight)
    await keep(shop, cheap)
    found = await planned(shop)
    assert (found.carrier, found.service, found.cost.freight) == ("swiftship", "two-day", 50)
    assert (await last_shipment(shop)).quoted_until == cheap.expires_at
    later = await planned(shop, as_of=cheap.expires_at)
    assert later.cost.freight == card.cost.freight, "it has expired by then"
    await shop.run("UPDATE carrier_quote SET expires_at = now()")
    early = await planned(shop, as_of=datetime.now(UTC) - timedelta(hours=1))
    assert early.cost.freight == card.cost.freight, "a step begun before it expired is late by now"
    assert (await last_shipment(shop)).quoted_until is None


@pytest.mark.parametrize(
    "changes", [{"currency": "EUR"}, {"destination": "US/101"}, {"node_id": "store-austin"}, {"weight_g": 7}]
)
async def test_what_is_quoted_otherwise_is_not_used(
    shop: Facts, gateways: Gateways, changes: dict[str, object]
) -> None:
    card = await planned(shop)
    otherwise = quote("swiftship", "two-day", 50, await step(shop)).model_copy(update=changes)
    await keep(shop, otherwise)
    assert (await planned(shop)).cost == card.cost


async def test_an_account_that_is_turned_off_is_not_planned_by(shop: Facts, world: Outside, gateways: Gateways) -> None:
    card = await planned(shop)
    await keep(shop, quote("swiftship", "two-day", 50, await step(shop)))
    await quoting(shop, world, "parcelpost")
    assert (await planned(shop)).cost == card.cost
    await quoting(shop, world, "swiftship")
    assert (await planned(shop)).cost.freight == 50


async def test_the_areas_of_orders_are_called_alike_in_both_languages(shop: Facts) -> None:
    order_id = await shop.keep((shop.sku(), 1))
    ((place, named),) = await shop.rows(
        f"SELECT o.place, (SELECT q.d FROM (SELECT 'US/100' AS destination, 'US/100' AS d) q WHERE {quotes.OF_ORDER})"
        " FROM orders o WHERE order_id = :o",
        o=order_id,
    )
    assert named == destination_of(place["country"], place["postal_code"]) == "US/100"


async def test_a_later_quote_takes_the_place_and_an_earlier_one_does_not(shop: Facts, gateways: Gateways) -> None:
    now = datetime.now(UTC)
    for price, minutes in ((100, 5), (200, 9), (300, 7)):
        await keep(shop, quote("parcelpost", "ground", price, 500, expires_at=now + timedelta(minutes=minutes)))
    async with shop.database.reading() as connection:
        assert [one.price_minor for one in await quotes.list_quotes(connection, as_of=now)] == [200]
        assert await quotes.list_quotes(connection, as_of=now, node_id="3pl-reno") == ()
        assert await quotes.list_quotes(connection, as_of=now + timedelta(minutes=9)) == ()


async def test_of_a_service_that_is_quoted_twice_the_cheaper_one_is_kept(shop: Facts, gateways: Gateways) -> None:
    await keep(shop, *(quote("parcelpost", "ground", price, 500) for price in (300, 200, 400)))
    async with shop.database.reading() as connection:
        assert [one.price_minor for one in await quotes.list_quotes(connection, as_of=datetime.now(UTC))] == [200]


# --- kept fresh ---------------------------------------------------------------------------------------------


async def refresh(shop: Facts, gateways: Gateways, later: timedelta = timedelta()) -> QuoteRefreshResult:
    activity = Quotes(shop.database, Quoting(shop.database, gateways))
    step = QuoteRefreshStep(as_of=datetime.now(UTC) + later)
    result: QuoteRefreshResult = await ActivityEnvironment().run(activity.refresh, step)
    return result


async def test_what_orders_were_planned_for_is_quoted_for_the_next(shop: Facts, gateways: Gateways) -> None:
    orders = Orders(shop.database)
    card = await planned(shop, orders)
    lanes = await shop.rows("SELECT carrier, node_id, destination, weight_g, asked_at FROM quote_lane ORDER BY carrier")
    assert {lane.carrier for lane in lanes} == set(CARRIERS)
    assert {(lane.node_id, lane.destination) for lane in lanes} == {(NODE, "US/100")}
    await planned(shop, orders)
    again = await shop.rows("SELECT asked_at FROM quote_lane ORDER BY carrier")
    assert [lane.asked_at for lane in again] == [lane.asked_at for lane in lanes], "noted once an hour by a process"
    result = await refresh(shop, gateways)
    assert (result.lanes, result.unanswered) == (len(lanes), 0)
    assert result.quotes >= len(lanes)
    assert (await refresh(shop, gateways)).lanes == 0, "they last"
    found = await planned(shop, orders)
    shipment = await last_shipment(shop)
    assert shipment.quoted_until is not None
    ((price,),) = await shop.rows(
        "SELECT price_minor FROM carrier_quote WHERE carrier = :c AND service = :s AND weight_g = :w",
        c=found.carrier, s=found.service, w=lanes[0].weight_g,
    )  # fmt: skip
    assert found.cost.freight == price != card.cost.freight


async def test_what_ends_soon_is_asked_again_and_what_nobody_plans_for_forgotten(
    shop: Facts, gateways: Gateways
) -> None:
    await planned(shop)
    first = await refresh(shop, gateways)
    soon = timedelta(minutes=25)
    assert (await refresh(shop, gateways, later=soon)).lanes == first.lanes, "half an hour is nearly over"
    forgotten = await refresh(shop, gateways, later=QuoteRefreshInput().asked_within + timedelta(seconds=5))
    assert (forgotten.lanes, forgotten.expired) == (0, first.quotes)
    assert (await refresh(shop, gateways)).lanes == 0
    assert await shop.rows("SELECT FROM quote_span"), "orders that went by them may be planned again"
    await refresh(shop, gateways, later=timedelta(days=31))
    assert not await shop.rows("SELECT FROM quote_span")


async def test_a_carrier_that_is_down_leaves_its_lanes_to_the_card(
    shop: Facts, world: Outside, gateways: Gateways
) -> None:
    await planned(shop)
    await world.fault("parcelpost", "down", ', "path": "quotes"')
    result = await refresh(shop, gateways)
    assert 0 < result.unanswered < result.lanes
    rows = await shop.rows("SELECT DISTINCT carrier FROM carrier_quote")
    assert [row.carrier for row in rows] == ["swiftship"]


# --- promises -----------------------------------------------------------------------------------------------


async def promised(shop: Facts, asking: Quoting | None = None) -> Promise:
    await shop.stock(shop.sku(3), wh_columbus=5, store_chicago=5)
    cart = Cart(postal_code="10001", lines=(CartLine(sku=shop.sku(3), quantity=1),))
    return await Doms(NO_TEMPORAL, shop.database).promise(cart, quoting=asking)


async def test_a_promise_asks_for_what_is_not_quoted_yet(shop: Facts, world: Outside, gateways: Gateways) -> None:
    by_card = await promised(shop)
    assert all(source.quoted_until is None for option in by_card.options for source in option.sources)
    asking = Quoting(shop.database, gateways)
    found = await promised(shop, asking)
    assert all(source.quoted_until for option in found.options for source in option.sources)
    assert [one.delivery_minor for one in found.options] != [one.delivery_minor for one in by_card.options]
    asked = len(read_requests(world.database))
    assert (await promised(shop, asking)).options == found.options
    assert len(read_requests(world.database)) == asked, "what is on record is not asked for again"
    assert (await promised(shop)).options == found.options, "and is used by whoever asks"
    held = await hold_cart(
        Doms(NO_TEMPORAL, shop.database),
        HoldCart(
            channel="webshop",
            cart_id="c-1",
            lines=(CartLine(sku=shop.sku(3), quantity=1),),
            ship_to=Destination(postal_code="10001"),
        ),
    )
    assert {units.node_id for units in held.units} == {source.node_id for source in found.options[0].sources}


@pytest.mark.parametrize("mode", ["blackhole", "slow", "down", "refuse"])
async def test_a_promise_waits_for_no_carrier(shop: Facts, world: Outside, gateways: Gateways, mode: str) -> None:
    by_card = await promised(shop)
    for carrier in CARRIERS:
        await world.fault(carrier, mode, ', "path": "quotes"')
    began = time.monotonic()
    found = await promised(shop, Quoting(shop.database, gateways))
    assert time.monotonic() - began < quotes_client.PROMISE_WAITS + 3.0
    assert found.options == by_card.options


async def test_quotes_of_thousands_of_lanes_are_kept_in_one_statement(shop: Facts, gateways: Gateways) -> None:
    lanes = [
        QuoteLane(carrier="parcelpost", node_id=NODE, country="US", postal_code=f"{n:05}", weight_g=500)
        for n in range(0, 99_999, 50)
    ]
    async with shop.database.statement() as connection:
        await quotes.note_lanes(connection, lanes)
        count = (await connection.execute(text("SELECT count(*) FROM quote_lane"))).scalar_one()
        due = await quotes.due_lanes(
            connection,
            asked_since=datetime.now(UTC) - timedelta(hours=1),
            lasting_until=datetime.now(UTC),
            limit=100,
        )
    assert count == len({lane.destination for lane in lanes}) == 1000
    assert len(due) == 100


async def test_accounts_are_set_up_with_the_other_partners(shop: Facts, world: Outside, gateways: Gateways) -> None:
    header = "partner_id,kind,base_url,quotes\n"
    with pytest.raises(InvalidInput) as refused:
        await load(shop.database, {"partners": f"{header}{NODE},fulfillment,{world.url},true\n".encode()})
    assert [fault.pointer for fault in refused.value.faults] == ["/2"]
    rows = f"{header}parcelpost,carrier,{world.url}/parcelpost,true\nswiftship,carrier,{world.url}/swiftship,\n"
    await load(shop.database, {"partners": rows.encode()})
    async with shop.database.reading() as connection:
        assert await quotes.read_quoting(connection) == ("parcelpost",)
        await gateways.update(await network.read_partners(connection))
    assert gateways.quoting == ["parcelpost"]
