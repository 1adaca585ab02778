"""What carts are promised, on a real Postgres; no server of ours runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from shared.carts_client import hold_cart
from shared.client import Doms
from shared.domain.calendars import ready_by
from shared.domain.carts import Cart, CartLine, Destination, HoldCart
from shared.domain.network import NodeType
from shared.domain.orders import Method, ServiceLevel
from shared.errors import InvalidInput
from tests.support.facts import Facts

AS_OF = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
NO_TEMPORAL: Any = None


@pytest.fixture(scope="module")
async def shop(database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(database_url)
    yield facts
    await facts.database.close()


def cart(*lines: tuple[str, int]) -> Cart:
    return Cart(postal_code="10001", lines=tuple(CartLine(sku=sku, quantity=units) for sku, units in lines))


async def reserved(shop: Facts, sku: str) -> int:
    async with shop.database.reading() as connection:
        query = text("SELECT sum(reserved) FROM stock_position WHERE sku = :sku")
        return int((await connection.execute(query, {"sku": sku})).scalar_one())


async def test_each_service_level_has_its_date_cost_and_sources(shop: Facts) -> None:
    await shop.stock(shop.sku(), wh_columbus=5, **{"3pl_reno": 5})
    told = await Doms(NO_TEMPORAL, shop.database).promise(cart((shop.sku(), 2)), as_of=AS_OF)
    assert [option.service for option in told.options] == list(ServiceLevel)
    dates = [option.promised_at for option in told.options]
    assert all(dates)
    assert dates == sorted(dates, reverse=True)  # type: ignore[type-var]
    costs = [option.delivery_minor for option in told.options]
    assert costs == sorted(costs)
    assert [one.node_id for option in told.options for one in option.sources] == ["wh-columbus"] * 3
    assert await reserved(shop, shop.sku()) == 0


async def test_a_promise_is_what_the_order_gets(shop: Facts) -> None:
    await shop.stock(shop.sku(2), wh_columbus=2, store_chicago=9)
    promised = (await Doms(NO_TEMPORAL, shop.database).promise(cart((shop.sku(2), 3)))).options[0]
    order_id = await shop.keep((shop.sku(2), 3))
    await shop.source(order_id)
    told = await shop.tell(order_id)
    assert sorted(one.node_id for one in promised.sources) == sorted(f.node_id for f in told.fulfillments)
    assert promised.promised_at == told.promised_at


async def test_what_cannot_be_shipped_is_told(shop: Facts) -> None:
    await shop.stock(shop.sku(3), wh_columbus=1)
    told = await Doms(NO_TEMPORAL, shop.database).promise(cart((shop.sku(3), 4)))
    assert [sum(short.quantity for short in option.shortages) for option in told.options] == [3, 3, 3]
    with pytest.raises(InvalidInput) as refused:
        await Doms(NO_TEMPORAL, shop.database).promise(cart((shop.sku(), 1), ("NO-SUCH", 1)))
    assert [fault.pointer for fault in refused.value.faults] == ["/lines/1/sku"]


async def test_each_method_has_its_options(shop: Facts) -> None:
    sku = shop.sku(4)
    vendor = next(node for node in shop.world.nodes if node.node_type is NodeType.VENDOR).node_id
    await shop.stock(sku, wh_columbus=5, store_austin=3, **{vendor.replace("-", "_"): 4})
    asked = cart((sku, 2)).model_copy(update={"methods": tuple(Method)})
    told = await Doms(NO_TEMPORAL, shop.database).promise(asked, as_of=AS_OF)
    by_method = {method: [one for one in told.options if one.method is method] for method in Method}
    assert [len(options) for options in by_method.values()] == [3, 3, 2, 2]
    assert {source.node_id for one in by_method[Method.DROPSHIP] for source in one.sources} == {vendor}

    austin, chicago = by_method[Method.PICKUP]
    store = next(node for node in shop.world.nodes if node.node_id == "store-austin")
    assert (austin.pickup_node_id, austin.service, austin.promised_at) == (store.node_id, None, ready_by(store, AS_OF))
    assert austin.delivery_minor == store.handling_order_minor + 2 * store.handling_unit_minor
    assert (chicago.promised_at, sum(short.quantity for short in chicago.shortages)) == (None, 2)

    there = {one.pickup_node_id: one for one in by_method[Method.SHIP_TO_STORE]}
    assert list(there) == ["store-chicago", "store-austin"], "the nearest first"
    assert {source.node_id for source in there["store-austin"].sources} <= {"wh-columbus", vendor}


@pytest.mark.parametrize("method", list(Method))
async def test_what_is_promised_is_what_its_cart_holds(shop: Facts, method: Method) -> None:
    sku = shop.sku(5)
    vendor = next(node for node in shop.world.nodes if node.node_type is NodeType.VENDOR).node_id
    await shop.stock(sku, wh_columbus=9, store_chicago=9, **{vendor.replace("-", "_"): 9})
    doms = Doms(NO_TEMPORAL, shop.database)
    asked = cart((sku, 2)).model_copy(update={"methods": (method,)})
    option = (await doms.promise(asked)).options[0]
    request = HoldCart(
        channel="webshop",
        cart_id=f"by-{method}",
        lines=asked.lines,
        ship_to=Destination(postal_code="10001"),
        method=method,
        pickup_node_id=option.pickup_node_id,
    )
    held = await hold_cart(doms, request)
    assert [(one.node_id, one.open) for one in held.units] == [(one.node_id, one.units) for one in option.sources]


async def test_nobody_picks_up_where_that_is_not_offered(shop: Facts) -> None:
    request = HoldCart(
        channel="webshop",
        cart_id="nowhere",
        lines=cart((shop.sku(), 1)).lines,
        method=Method.PICKUP,
        pickup_node_id="wh-columbus",
    )
    with pytest.raises(InvalidInput) as refused:
        await hold_cart(Doms(NO_TEMPORAL, shop.database), request)
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [("/pickup_node_id", "no_pickup_here")]


@pytest.mark.parametrize(("method", "store"), [("pickup", None), ("ship", "store-chicago")])
def test_a_cart_is_fetched_somewhere_or_not_at_all(method: str, store: str | None) -> None:
    asked = {"channel": "webshop", "cart_id": "c", "lines": [{"sku": "A"}], "method": method, "pickup_node_id": store}
    with pytest.raises(ValidationError, match="pickup_node_id must be given"):
        HoldCart.model_validate(asked)
