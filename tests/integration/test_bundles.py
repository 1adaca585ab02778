"""Bundles of items, on a real Postgres: loaded, sold by what their components have, ordered and cancelled whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.carts_client import hold_cart
from shared.client import Doms
from shared.database.units import cancel_units
from shared.domain.carts import CartLine, HoldCart
from shared.domain.orders import OrderLine
from shared.errors import InvalidInput
from shared.messages import CancelUnits, LineQuantity
from tests.support.facts import Facts

NO_TEMPORAL: Any = None
ITEM = "sku,weight_g,length_mm,width_mm,height_mm,price_minor,cost_minor,currency\n{},900,300,200,100,5000,0,USD\n"


@pytest.fixture(scope="module")
async def shop(database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(database_url)
    await load(facts, items=ITEM.format("SET-1"))
    rows = f"SET-1,{facts.sku(0)},2\nSET-1,{facts.sku(1)},1\n"
    await load(facts, bundles=f"bundle_sku,component_sku,quantity\n{rows}")
    yield facts
    await facts.database.close()


async def load(shop: Facts, **tables: str) -> None:
    await Doms(NO_TEMPORAL, shop.database).load({kind: table.encode() for kind, table in tables.items()})


async def available(shop: Facts) -> dict[str, int]:
    told = await Doms(NO_TEMPORAL, shop.database).availability("webshop", ["SET-1", shop.sku(0)])
    return {item.sku: item.available for item in told.items}


async def test_a_bundle_is_sold_as_often_as_its_components_allow(shop: Facts) -> None:
    await shop.stock(shop.sku(0), wh_columbus=3, store_austin=2)
    await shop.stock(shop.sku(1), wh_columbus=9)
    assert await available(shop) == {"SET-1": 2, shop.sku(0): 5}
    doms = Doms(NO_TEMPORAL, shop.database)
    version = (await doms.availability("webshop", ["SET-1"])).version
    await shop.stock(shop.sku(1), wh_columbus=1)
    changed = await doms.availability_changes("webshop", version)
    assert {item.sku: item.available for item in changed.items} == {"SET-1": 1, shop.sku(1): 1}


async def test_a_table_says_what_is_no_bundle(shop: Facts) -> None:
    header = "bundle_sku,component_sku,quantity\n"
    other = shop.sku(3)
    tables = {
        f"{other},SET-1,1\n": {"/2/component_sku": "component_is_a_bundle"},
        f"{shop.sku(0)},{other},1\n": {"/2/bundle_sku": "bundle_is_a_component"},
        f"SET-9,{other},1\n": {"/2/bundle_sku": "unknown_bundle_sku"},
        f"SET-1,{other},0\n": {"/2/quantity": "too_small"},
    }
    for rows, faults in tables.items():
        with pytest.raises(InvalidInput) as refused:
            await load(shop, bundles=header + rows)
        assert {fault.pointer: fault.code for fault in refused.value.faults} == faults
    with pytest.raises(InvalidInput) as refused:
        await load(shop, stock="node_id,sku,on_hand\nwh-columbus,SET-1,4\n")
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [("/2/sku", "is_a_bundle")]


async def ordered(shop: Facts) -> str:
    """Three bundles, and two of one of their components, at a node that has all of it."""
    await shop.stock(shop.sku(0), wh_columbus=8)
    await shop.stock(shop.sku(1), wh_columbus=3)
    lines = (
        OrderLine(line_no=1, sku="SET-1", quantity=3, unit_price_minor=4999, discount_minor=500, tax_minor=101),
        OrderLine(line_no=7, sku=shop.sku(0), quantity=2, unit_price_minor=1001),
    )
    order_id = await shop.keep(("SET-1", 3), lines=lines)
    await shop.source(order_id)
    return order_id


async def test_an_order_of_bundles_keeps_its_lines_and_its_money(shop: Facts) -> None:
    told = await shop.tell(await ordered(shop))
    assert [(line.line_no, line.sku, line.quantity, line.bundle_line_no) for line in told.lines] == [
        (7, shop.sku(0), 2, None),
        (8, shop.sku(1), 3, 1),
        (9, shop.sku(0), 6, 1),
    ]
    assert told.units.allocated == 11
    (bundle,) = told.bundles
    assert (bundle.line_no, bundle.sku, bundle.quantity, bundle.total_minor) == (1, "SET-1", 3, 3 * 4999 - 500 + 101)
    assert sum(line.total_minor for line in told.lines if line.bundle_line_no == 1) == bundle.total_minor


async def test_bundles_are_cancelled_whole(shop: Facts) -> None:
    """Not one of which a component has shipped; asked for again, nothing more happens."""
    order_id = await ordered(shop)
    first = await cancel(shop, order_id, 1)
    assert (first.units, first.missing, first.too_late) == (3, 0, 0)
    now = {line.line_no: line.units for line in (await shop.tell(order_id)).lines}
    assert [(now[n].cancelled, now[n].allocated) for n in (7, 8, 9)] == [(0, 2), (1, 2), (2, 4)]

    left = "UPDATE order_line SET allocated = 1, shipped = 1 WHERE order_id = :order_id AND line_no = 8"
    await shop.run(left, order_id=order_id)
    second = await cancel(shop, order_id, 2)
    assert (second.units, second.too_late) == (3, 1)


async def cancel(shop: Facts, order_id: str, bundles: int) -> Any:
    request = CancelUnits(
        step_key=f"{order_id}/cancel/{bundles}",
        order_id=order_id,
        lines=(LineQuantity(line_no=1, quantity=bundles),),
        actor="test",
        reason="test",
    )
    answers = []
    for _ in range(2):
        async with shop.database.transaction() as connection:
            answers.append(await cancel_units(connection, request))
    assert answers[0].units == answers[1].units
    return answers[0]


async def test_a_cart_holds_a_bundles_components(shop: Facts) -> None:
    await shop.stock(shop.sku(0), wh_columbus=4)
    await shop.stock(shop.sku(1), wh_columbus=4)
    cart = HoldCart(channel="webshop", cart_id="bundles", lines=(CartLine(sku="SET-1", quantity=2),))
    held = await hold_cart(Doms(NO_TEMPORAL, shop.database), cart)
    assert {one.sku: one.open for one in held.units} == {shop.sku(0): 4, shop.sku(1): 2}
    assert [(line.sku, line.held) for line in held.lines] == [("SET-1", 2)]
    with pytest.raises(InvalidInput):
        await hold_cart(Doms(NO_TEMPORAL, shop.database), cart.model_copy(update={"cart_id": "x", "partial": True}))
