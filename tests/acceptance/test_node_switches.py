"""Nodes are switched on and off for shipping and for pickup apart, and the next plan goes by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from shared.domain.carts import Cart, CartLine
from shared.domain.orders import Method
from shared.errors import InvalidInput, NotFound
from shared.nodes_client import switch
from tests.support.system import System

STORE, WAREHOUSE = "store-chicago", "wh-columbus"


@pytest.fixture
async def store(shop: System) -> AsyncIterator[str]:
    yield STORE
    await switch(shop.doms, STORE, ship=True, pickup=True)


async def test_a_node_that_does_not_ship_gets_no_new_order(shop: System, store: str) -> None:
    sku = shop.world.items[30].sku
    await shop.stock(sku, store_chicago=5)
    async with shop.policy(backorder_retry=timedelta(days=300)):
        found = await switch(shop.doms, store, ship=False)
        assert (found.ship_enabled, found.pickup_enabled) == (False, True)
        waiting = await shop.place(shop.order((sku, 1)))
        fetched = await shop.place(shop.order((sku, 1), method=Method.PICKUP, pickup_node_id=store))
    assert (await shop.ended(fetched)).delivered_units == 1
    assert (await shop.state(waiting)).backordered == 1

    await switch(shop.doms, store, ship=True)
    assert (await shop.ended(waiting)).delivered_units == 1


async def test_a_store_without_pickup_is_not_offered_and_still_ships(shop: System, store: str) -> None:
    sku = shop.world.items[31].sku
    await shop.stock(sku, store_chicago=5)
    cart = Cart(postal_code="60614", lines=(CartLine(sku=sku, quantity=1),), methods=(Method.PICKUP,))

    async def offered() -> set[str]:
        options = (await shop.doms.promise(cart)).options
        return {source.node_id for option in options for source in option.sources}

    assert store in await offered()
    await switch(shop.doms, store, pickup=False)
    assert store not in await offered()
    with pytest.raises(InvalidInput) as refused:
        await shop.doms.submit(shop.order((sku, 1), method=Method.PICKUP, pickup_node_id=store))
    assert {fault.pointer for fault in refused.value.faults} == {"/pickup_node_id"}
    outcome = await shop.ended(await shop.place(shop.order((sku, 1))))
    assert outcome.delivered_units == 1


async def test_there_is_no_switch_without_a_node(shop: System) -> None:
    with pytest.raises(NotFound):
        await switch(shop.doms, "nowhere", ship=False)
