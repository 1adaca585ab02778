"""Trade rules as they are loaded, and met by orders and carts, on a real Postgres."""

from __future__ import annotations

from typing import Any

import pytest

from shared.client import Doms
from shared.database.decisions import explain
from shared.domain.carts import Cart, CartLine
from shared.domain.sourcing.plans import Because
from shared.errors import InvalidInput
from tests.support.facts import Facts
from tests.support.tables import put

NO_TEMPORAL: Any = None
LANES = "node_id,country,region,carrier,service,closed_to\n"


async def planned(shop: Facts, sku: str) -> tuple[list[str], dict[str, Because | None]]:
    order_id = await shop.keep((sku, 1))
    await shop.source(order_id)
    async with shop.database.reading() as connection:
        (decision,) = (await explain(connection, order_id)).decisions
    because = {one.node_id: one.because for one in decision.plan.candidates}
    return [one.node_id for one in decision.plan.shipments], because


async def test_a_rule_holds_from_the_next_order_on_and_until_it_is_taken_back(shop: Facts) -> None:
    sku = shop.sku()
    await shop.stock(sku, wh_columbus=9, store_austin=9)
    assert (await planned(shop, sku))[0] == ["wh-columbus"]
    await put(shop.database, lanes=f"{LANES}wh-columbus,US,,,,everything\n")
    ships, because = await planned(shop, sku)
    assert ships == ["store-austin"]
    assert because["wh-columbus"] is Because.RESTRICTED_LANE
    cart = Cart(postal_code="10001", lines=(CartLine(sku=sku, quantity=1),))
    promised = await Doms(NO_TEMPORAL, shop.database).promise(cart)
    assert {source.node_id for option in promised.options for source in option.sources} == {"store-austin"}
    await put(shop.database, lanes=f"{LANES}wh-columbus,US,,,,nothing\n")
    assert (await planned(shop, sku))[0] == ["wh-columbus"]


async def test_what_is_known_of_an_item_counts(shop: Facts) -> None:
    sku = shop.sku()
    await shop.stock(sku, wh_columbus=9)
    await put(shop.database, trade=f"sku,hazmat,banned_countries\n{sku},true,CU IR\n")
    assert (await planned(shop, sku))[0] == ["wh-columbus"]
    await put(shop.database, trade=f"sku,hazmat,banned_countries\n{sku},false,CU US\n")
    ships, because = await planned(shop, sku)
    assert (ships, because["wh-columbus"]) == ([], Because.RESTRICTED_LANE)


async def test_duties_are_told_with_the_decision(shop: Facts) -> None:
    sku = shop.sku()
    await shop.stock(sku, wh_columbus=9)
    await shop.run("UPDATE node SET place = jsonb_set(place, '{country}', '\"CA\"') WHERE node_id = 'wh-columbus'")
    await put(shop.database, customs="country,hs_prefix,duty_bp\nUS,9503,650\n")
    assert (await planned(shop, sku))[1]["wh-columbus"] is Because.MISSING_CUSTOMS_DATA
    await put(shop.database, trade=f"sku,origin_country,hs_code\n{sku},VN,950300\n")
    order_id = await shop.keep((sku, 2))
    await shop.source(order_id)
    (fulfillment,) = (await shop.tell(order_id)).fulfillments
    ((customs,),) = await shop.rows(
        "SELECT CAST(cost ->> 'customs' AS int) FROM fulfillment_order WHERE fulfillment_order_id = :f",
        f=fulfillment.fulfillment_order_id,
    )
    assert customs == 2 * (1001 * 650 // 10_000)


async def test_faults_are_told_by_row(shop: Facts) -> None:
    with pytest.raises(InvalidInput) as refused:
        await put(shop.database, lanes=f"{LANES}nowhere,US,,,,everything\n,us,,,,all\n")
    assert [fault.pointer for fault in refused.value.faults] == ["/2/node_id", "/3/country", "/3/closed_to"]
    with pytest.raises(InvalidInput) as refused:
        await put(shop.database, trade=f"sku,hs_code,banned_countries\n{shop.sku()},95,Cuba\n")
    assert sorted(fault.pointer for fault in refused.value.faults) == ["/2/banned_countries", "/2/hs_code"]
