"""Orders are planned in cartons, packed as planned and labelled by what was packed."""

from __future__ import annotations

from tests.support.system import System

CARTONS = "name,length_mm,width_mm,height_mm,max_weight_g,tare_g,cost_minor,in_use\nbox,400,300,300,3000,150,60,{}\n"


async def test_an_order_is_packed_as_it_was_planned(shop: System) -> None:
    item = shop.world.items[7]
    units = 3000 // item.weight_g + 1
    await shop.stock(item.sku, wh_columbus=units)
    await shop.doms.load({"cartons": CARTONS.format("true").encode()}, actor="staff")
    order_id = await shop.place(shop.order((item.sku, units)))

    assert (await shop.ended(order_id)).status == "delivered"

    ((planned,),) = await shop.rows("SELECT packages FROM fulfillment_order WHERE order_id = :o", o=order_id)
    rows = await shop.rows("SELECT weight_g, lines FROM package WHERE order_id = :o ORDER BY package_no", o=order_id)
    assert len(rows) == 2
    assert [row.weight_g for row in rows] == [package["weight_g"] for package in planned]
    assert sum(row.weight_g for row in rows) == units * item.weight_g + 2 * 150
    assert [row.lines[0]["quantity"] for row in rows] == [package["lines"][0]["quantity"] for package in planned]
    assert shop.did(order_id)["label.bought"] == 2
    await shop.doms.load({"cartons": CARTONS.format("false").encode()}, actor="staff")
