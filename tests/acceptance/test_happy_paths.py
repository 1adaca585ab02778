"""An order is planned, paid, shipped and delivered, whoever ships it and from however many places."""

from __future__ import annotations

import pytest

from tests.support.system import System

TAKEN = {
    "wh-columbus": "task",
    "store-chicago": "task",
    "3pl-reno": "shipping_order",
    "vnd-northloop": "purchase_order",
}


@pytest.mark.parametrize("node_id", TAKEN)
async def test_each_kind_of_node_ships_an_order(shop: System, node_id: str) -> None:
    sku = shop.world.items[0].sku
    await shop.stock(sku, **{node_id.replace("-", "_"): 3})
    document = shop.order((sku, 3), shipping_minor=595)
    order_id = await shop.place(document)

    outcome = await shop.ended(order_id)

    assert (outcome.status, outcome.delivered_units) == ("delivered", 3)
    assert await shop.nodes(order_id) == {1: node_id}
    assert await shop.units(order_id) == {1: {"delivered": 3}}
    did = shop.did(order_id)
    assert did[f"{TAKEN[node_id]}.taken"] == did[f"{TAKEN[node_id]}.shipped"] == 1
    assert did["label.bought"] == (1 if TAKEN[node_id] == "task" else 0)
    assert (await shop.money(order_id))["captured"] == document.total_minor
    assert await shop.free(sku) == {}


async def test_lines_split_over_the_nodes_that_have_them(shop: System) -> None:
    east, west, vendor = (item.sku for item in shop.world.items[1:4])
    await shop.stock(east, wh_columbus=5)
    await shop.stock(west, **{"3pl_reno": 5})
    await shop.stock(vendor, vnd_maple=5)
    document = shop.order((east, 2), (west, 1), (vendor, 4))
    order_id = await shop.place(document)

    outcome = await shop.ended(order_id)

    assert (outcome.status, outcome.delivered_units, outcome.fulfillments) == ("delivered", 7, 3)
    assert set((await shop.nodes(order_id)).values()) == {"wh-columbus", "3pl-reno", "vnd-maple"}
    did = shop.did(order_id)
    assert did["task.shipped"] == did["shipping_order.shipped"] == did["purchase_order.shipped"] == 1
    assert (await shop.money(order_id))["captured"] == document.total_minor


async def test_one_line_splits_when_no_node_has_enough(shop: System) -> None:
    sku = shop.world.items[4].sku
    await shop.stock(sku, wh_columbus=3, store_austin=2)
    order_id = await shop.place(shop.order((sku, 5)))

    outcome = await shop.ended(order_id)

    assert (outcome.status, outcome.delivered_units) == ("delivered", 5)
    rows = await shop.rows("SELECT node_id, shipped FROM reservation WHERE order_id = :o", o=order_id)
    assert {row.node_id: row.shipped for row in rows} == {"wh-columbus": 3, "store-austin": 2}
    assert await shop.free(sku) == {}


async def test_two_lines_of_one_item_never_take_more_than_there_is(shop: System) -> None:
    sku = shop.world.items[5].sku
    await shop.stock(sku, wh_columbus=3)
    verdict = await shop.doms.submit(shop.order((sku, 2), (sku, 2)))
    assert verdict.backordered_units == 1

    async def shipped() -> bool:
        states = await shop.units(verdict.order_id)
        return sum(line.get("delivered", 0) for line in states.values()) == 3

    await shop.until(shipped)
    states = await shop.units(verdict.order_id)
    assert sum(line.get("backordered", 0) for line in states.values()) == 1
    assert await shop.free(sku) == {}
    await shop.stock_adds_up()


async def test_competing_orders_share_what_there_is(shop: System) -> None:
    sku = shop.world.items[6].sku
    await shop.stock(sku, wh_columbus=4, store_chicago=2)
    verdicts = [await shop.doms.submit(shop.order((sku, 2))) for _ in range(4)]

    assert [verdict.backordered_units for verdict in verdicts] == [0, 0, 0, 2]
    for verdict in verdicts[:3]:
        assert (await shop.ended(verdict.order_id)).status == "delivered"
    assert await shop.free(sku) == {}
