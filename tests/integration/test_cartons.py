"""Cartons as they are loaded, planned with and asked of nodes, on a real Postgres."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from shared.client import Doms
from shared.database.decisions import explain
from shared.database.fulfillment import begin_release
from shared.domain.cartons import PlannedPackage, contents
from shared.domain.carts import Cart, CartLine
from shared.domain.sourcing.plans import PlannedShipment
from shared.errors import InvalidInput
from shared.gateways.fulfillment.mapping import document_for
from shared.gateways.protocol import FulfillmentRequest
from shared.messages import FulfillmentCall
from tests.support.facts import Facts
from tests.support.tables import put
from workers.cli.drawing import story
from workers.cli.explain import drawn

NO_TEMPORAL: Any = None
CARTONS = "name,node_id,length_mm,width_mm,height_mm,max_weight_g,tare_g,cost_minor\n"
ITEMS = "sku,weight_g,length_mm,width_mm,height_mm,price_minor,cost_minor,currency,own_container\n"


async def planned(shop: Facts, *lines: tuple[str, int]) -> tuple[str, PlannedShipment]:
    order_id = await shop.keep(*lines)
    await shop.source(order_id)
    async with shop.database.reading() as connection:
        (decision,) = (await explain(connection, order_id)).decisions
    (shipment,) = decision.plan.shipments
    return order_id, shipment


async def requested(shop: Facts, order_id: str) -> FulfillmentRequest:
    async with shop.database.transaction() as connection:
        release = await begin_release(connection, FulfillmentCall(order_id=order_id, n=1))
    assert release.request is not None
    return release.request


def brief(packages: tuple[PlannedPackage, ...]) -> list[tuple[str | None, int, int]]:
    return [(one.carton, sum(line.quantity for line in one.lines), one.billable_g) for one in packages]


async def items(shop: Facts) -> tuple[str, str]:
    """A mug of 100 x 100 x 100 mm and 400 g, and a chair that is its own container."""
    mug, chair = shop.sku(0), shop.sku(1)
    rows = f"{mug},400,100,100,100,900,400,USD,false\n{chair},7000,800,500,300,9900,5000,USD,true\n"
    await put(shop.database, items=ITEMS + rows)
    await shop.stock(mug, wh_columbus=50)
    await shop.stock(chair, wh_columbus=5)
    return mug, chair


async def test_a_shipment_is_planned_asked_for_and_told_as_it_is_packed(shop: Facts) -> None:
    mug, chair = await items(shop)
    await put(shop.database, cartons=f"{CARTONS}one,,100,100,100,5000,50,20\nfour,,200,200,100,5000,120,60\n")
    order_id, shipment = await planned(shop, (mug, 3), (chair, 1))
    assert brief(shipment.packages) == [("four", 3, 1320), (None, 1, 24_000)]
    assert shipment.cost.packaging == 60
    assert shipment.cost.freight == sum(one.price_minor for one in shipment.packages)
    request = await requested(shop, order_id)
    assert [(one.carton, one.weight_g, one.lines) for one in request.packages] == [
        (one.carton, one.weight_g, one.lines) for one in shipment.packages
    ]
    assert document_for(request).packages == request.packages
    told = await shop.tell(order_id)
    assert told.fulfillments[0].planned_packages == shipment.packages
    async with shop.database.reading() as connection:
        explained = await explain(connection, order_id)
    for drawing in (story(told), drawn(explained)):
        written = StringIO()
        Console(file=written, width=300).print(drawing)
        assert "four" in written.getvalue()
        assert "as it is" in written.getvalue()


async def test_carts_are_promised_as_they_would_be_packed(shop: Facts) -> None:
    mug, _ = await items(shop)
    cart = Cart(postal_code="10001", lines=(CartLine(sku=mug, quantity=5),))
    doms = Doms(NO_TEMPORAL, shop.database)
    assert not (await doms.promise(cart)).options[0].sources[0].packages
    await put(shop.database, cartons=f"{CARTONS}four,,200,200,100,5000,120,60\n")
    (source,) = (await doms.promise(cart)).options[0].sources
    assert brief(source.packages) == [("four", 4, 1720), ("four", 1, 800)]


async def test_a_node_packs_in_its_own_cartons_while_they_are_in_use(shop: Facts) -> None:
    mug, _ = await items(shop)
    own = "big,wh-columbus,300,300,300,20000,300,90"
    await put(shop.database, cartons=f"{CARTONS}four,,200,200,100,5000,120,60\n{own}\n")
    assert brief((await planned(shop, (mug, 5)))[1].packages) == [("big", 5, 5400)]
    await put(shop.database, cartons=f"{CARTONS.strip()},in_use\n{own},false\n")
    assert [one.carton for one in (await planned(shop, (mug, 5)))[1].packages] == ["four", "four"]
    await shop.run("UPDATE carton SET in_use = false")
    assert (await planned(shop, (mug, 5)))[1].packages == ()


async def test_nothing_is_suggested_for_what_is_no_longer_asked(shop: Facts) -> None:
    mug, _ = await items(shop)
    await put(shop.database, cartons=f"{CARTONS}four,,200,200,100,5000,120,60\n")
    order_id, shipment = await planned(shop, (mug, 3))
    assert contents(shipment.packages) == {1: 3}
    await shop.run("UPDATE reservation SET open = 2, released = 1 WHERE order_id = :o", o=order_id)
    assert (await requested(shop, order_id)).packages == ()


async def test_faults_are_told_by_row(shop: Facts) -> None:
    with pytest.raises(InvalidInput) as refused:
        await put(
            shop.database, cartons=f"{CARTONS}a,nowhere,0,10,10,1,,\nb,,10,10,ten,0,-1,\nc,,1,1,1,1,,\nc,,1,1,1,1,,\n"
        )
    assert sorted((fault.pointer, fault.code) for fault in refused.value.faults) == [
        ("/2/length_mm", "too_small"),
        ("/2/node_id", "unknown_node_id"),
        ("/3/height_mm", "not_an_integer"),
        ("/3/max_weight_g", "too_small"),
        ("/3/tare_g", "too_small"),
        ("/5/name", "duplicate"),
    ]
