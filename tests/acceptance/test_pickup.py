"""Orders that customers fetch at a store: as their cart was held, ready, handed over, or not fetched in time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.carts_client import hold_cart
from shared.domain.carts import CartLine, HoldCart
from shared.domain.fulfillment import Stage
from shared.domain.orders import Method
from shared.errors import InvalidInput
from shared.messages import CancelOrder
from tests.support.system import System

STORE = "store-chicago"


def fetched(cart_id: str, sku: str, units: int) -> HoldCart:
    lines = (CartLine(sku=sku, quantity=units),)
    return HoldCart(channel="webshop", cart_id=cart_id, lines=lines, method=Method.PICKUP, pickup_node_id=STORE)


async def test_the_order_of_a_cart_for_pickup_is_fetched_where_it_was_held(shop: System) -> None:
    sku = shop.world.items[20].sku
    await shop.stock(sku, wh_columbus=9, store_chicago=2)
    await hold_cart(shop.doms, fetched("p-1", sku, 2))
    document = shop.order((sku, 2), cart_id="p-1")
    order_id = await shop.place(document)
    outcome = await shop.ended(order_id)
    assert (outcome.status, outcome.delivered_units) == ("delivered", 2)
    assert await shop.nodes(order_id) == {1: STORE}
    assert await shop.free(sku) == {"wh-columbus": 9}
    assert (await shop.money(order_id))["captured"] == document.total_minor
    story = await shop.doms.get(order_id)
    assert (story.method, story.pickup_node_id) == (Method.PICKUP, STORE)
    assert story.ship_to.line1 == shop.world.node(STORE).name
    events = await shop.events(order_id)
    assert events.index("ready for pickup") < events.index("handed over")
    did = shop.did(order_id)
    assert not [name for name in did if name.startswith(("label.", "parcel."))], (
        "nothing travels, so no label is bought"
    )


async def test_what_is_not_fetched_in_time_goes_back_on_the_shelf(shop: System) -> None:
    sku = shop.world.items[21].sku
    await shop.stock(sku, store_chicago=3, wh_columbus=5)
    document = shop.order((sku, 3), method="pickup", pickup_node_id=STORE)
    async with shop.policy(pickup_within=timedelta(seconds=0.3)):
        order_id = await shop.place(document)
        outcome = await shop.ended(order_id)
    assert (outcome.status, outcome.cancelled_units) == ("cancelled", 3)
    assert await shop.free(sku) == {STORE: 3, "wh-columbus": 5}
    money = await shop.money(order_id)
    assert (money["captured"], money["voided"]) == (0, document.total_minor)
    events = await shop.events(order_id)
    assert "ready for pickup" in events
    assert "given back" in events
    assert "handed over" not in events


async def test_while_it_waits_on_the_counter_it_says_so_and_can_be_cancelled(shop: System) -> None:
    sku = shop.world.items[22].sku
    await shop.stock(sku, store_chicago=1)
    await shop.behave("accept", node_id=STORE)
    order_id = await shop.place(shop.order((sku, 1), method="pickup", pickup_node_id=STORE))
    await shop.stage(order_id, 1, Stage.READY)
    story = await shop.doms.get(order_id)
    assert f"the customer to fetch fulfillment order 1 (1 units) at {STORE}" in " ".join(story.waits_for)
    told = await shop.doms.cancel(order_id, CancelOrder(actor="agent-1", reason="changed their mind"))
    assert told.units == 1
    assert (await shop.ended(order_id)).status == "cancelled"
    assert await shop.free(sku) == {STORE: 1}


async def test_a_store_without_the_goods_lets_the_order_wait_and_no_other_node_ships(shop: System) -> None:
    sku = shop.world.items[23].sku
    await shop.stock(sku, wh_columbus=9)
    async with shop.policy(backorder_patience=timedelta(seconds=1)):
        verdict = await shop.doms.submit(shop.order((sku, 1), method="pickup", pickup_node_id=STORE))
        assert (verdict.backordered_units, verdict.promised_at) == (1, None)
        assert (await shop.ended(verdict.order_id)).status == "cancelled"


async def test_shipped_to_store_it_goes_to_the_stores_address_from_elsewhere(shop: System) -> None:
    sku = shop.world.items[24].sku
    await shop.stock(sku, wh_columbus=2, store_chicago=2)
    order_id = await shop.place(shop.order((sku, 2), method="ship_to_store", pickup_node_id=STORE))
    assert (await shop.ended(order_id)).delivered_units == 2
    assert await shop.nodes(order_id) == {1: "wh-columbus"}
    assert (await shop.doms.get(order_id)).ship_to.city == shop.world.node(STORE).place.city


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"method": "pickup", "pickup_node_id": "wh-columbus"}, "/pickup_node_id", "no_pickup_here"),
        ({"method": "pickup", "pickup_node_id": "nowhere"}, "/pickup_node_id", "no_pickup_here"),
        ({"method": "ship", "cart_id": "p-5"}, "/method", "not_as_held"),
        ({"method": "pickup", "pickup_node_id": "store-austin", "cart_id": "p-5"}, "/method", "not_as_held"),
    ],
)
async def test_what_cannot_be_fetched_is_refused(
    shop: System, changes: dict[str, str], pointer: str, code: str
) -> None:
    sku = shop.world.items[25].sku
    await shop.stock(sku, store_chicago=5)
    await hold_cart(shop.doms, fetched("p-5", sku, 1))
    with pytest.raises(InvalidInput) as refused:
        await shop.doms.submit(shop.order((sku, 1), **changes))
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [(pointer, code)]
