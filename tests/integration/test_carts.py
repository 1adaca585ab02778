"""Carts that hold stock, through the client, on a real Postgres; no server of ours runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.carts import Carts
from shared.carts_client import extend_cart, hold_cart, release_cart, show_cart
from shared.client import Doms
from shared.database.carts import list_holds
from shared.domain.carts import CartHold, CartLine, Destination, HoldCart
from shared.errors import Conflict, InvalidInput, NotFound
from shared.messages import CartSweepStep
from tests.support.facts import Facts
from tests.support.stock import residuals

NO_TEMPORAL: Any = None
NEW_YORK = Destination(postal_code="10001")


@pytest.fixture(scope="module")
async def shop(database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(database_url)
    yield facts
    async with facts.database.reading() as connection:
        assert await residuals(connection) == {}
    await facts.database.close()


def cart(cart_id: str, *lines: tuple[str, int], **changes: Any) -> HoldCart:
    asked = tuple(CartLine(sku=sku, quantity=units) for sku, units in lines)
    return HoldCart(channel="webshop", cart_id=cart_id, lines=asked, **({"ship_to": NEW_YORK} | changes))


async def hold(shop: Facts, request: HoldCart) -> CartHold:
    return await hold_cart(Doms(NO_TEMPORAL, shop.database), request)


async def show(shop: Facts, cart_id: str) -> CartHold:
    return await show_cart(Doms(NO_TEMPORAL, shop.database), f"webshop/{cart_id}")


async def expire(shop: Facts, cart_id: str) -> None:
    statement = "UPDATE cart_hold_line SET expires_at = now() - interval '1 second' WHERE cart_hold_id = :cart"
    await shop.run(statement, cart=f"webshop/{cart_id}")


async def allocated(shop: Facts, order_id: str) -> int:
    return (await shop.tell(order_id)).units.allocated


async def test_units_are_held_where_they_would_ship_from(shop: Facts) -> None:
    sku = shop.sku(0)
    await shop.stock(sku, wh_columbus=5, **{"3pl_reno": 5})
    held = await hold(shop, cart("where", (sku, 2), (sku, 1)))
    assert [(one.node_id, one.open) for one in held.units] == [("wh-columbus", 3)]
    assert [line.held for line in held.lines] == [2, 1]
    recorded = await show(shop, "where")
    assert (recorded.status, recorded.units, recorded.lines) == ("held", held.units, held.lines)


async def test_a_cart_without_a_destination_comes_from_few_nodes(shop: Facts) -> None:
    first, second = shop.sku(1), shop.sku(2)
    await shop.stock(first, wh_columbus=1, store_chicago=3)
    await shop.stock(second, store_chicago=3)
    held = await hold(shop, cart("few", (first, 3), (second, 1), ship_to=None))
    assert {one.node_id for one in held.units} == {"store-chicago"}


async def test_the_same_cart_again_is_answered_as_it_was(shop: Facts) -> None:
    sku = shop.sku(3)
    await shop.stock(sku, wh_columbus=4)
    answers = await asyncio.gather(*(hold(shop, cart("again", (sku, 4))) for _ in range(6)))
    assert {answer.units for answer in answers} == {answers[0].units}
    with pytest.raises(Conflict):
        await hold(shop, cart("again", (sku, 3)))
    assert (await shop.rows("SELECT sum(held) FROM stock_position WHERE sku = :sku", sku=sku))[0][0] == 4


async def test_too_little_holds_nothing_or_what_there_is(shop: Facts) -> None:
    sku, other = shop.sku(4), shop.sku(5)
    await shop.stock(sku, wh_columbus=2)
    await shop.stock(other, wh_columbus=1)
    with pytest.raises(Conflict) as refused:
        await hold(shop, cart("whole", (sku, 3), (other, 1)))
    assert refused.value.details["short"] == {sku: 1}
    with pytest.raises(NotFound):
        await show(shop, "whole")
    held = await hold(shop, cart("part", (sku, 3), (other, 1), partial=True))
    assert [(line.quantity, line.held) for line in held.lines] == [(3, 2), (1, 1)]
    with pytest.raises(InvalidInput):
        await hold(shop, cart("unknown", ("NO-SUCH", 1)))


async def test_an_order_takes_what_its_cart_holds(shop: Facts) -> None:
    """Also where safety was raised meanwhile; what it does not want is free again."""
    sku = shop.sku(6)
    await shop.stock(sku, wh_columbus=5)
    await hold(shop, cart("bought", (sku, 5)))
    await shop.run("UPDATE stock_position SET safety = 1 WHERE sku = :sku", sku=sku)
    somebody = await shop.keep((sku, 1))
    await shop.source(somebody)
    assert await allocated(shop, somebody) == 0

    order_id = await shop.keep((sku, 3), cart_id="bought")
    await shop.source(order_id)
    assert await allocated(shop, order_id) == 3
    now = await show(shop, "bought")
    assert (now.status, now.units[0].ordered, now.units[0].given_back) == ("ordered", 3, 2)
    (position,) = await shop.rows(
        "SELECT held, reserved, free FROM stock_position WHERE sku = :s AND on_hand > 0", s=sku
    )
    assert tuple(position) == (0, 3, 1)


async def test_an_overdue_cart_keeps_nobody_from_buying(shop: Facts) -> None:
    """Nothing sweeps here: the order, and another cart, take the units themselves."""
    sku = shop.sku(7)
    await shop.stock(sku, wh_columbus=2)
    await hold(shop, cart("late", (sku, 2)))
    await expire(shop, "late")
    assert (await show(shop, "late")).status == "overdue"
    order_id = await shop.keep((sku, 1))
    await shop.source(order_id)
    assert await allocated(shop, order_id) == 1
    assert (await show(shop, "late")).status == "given_back"
    await hold(shop, cart("later", (sku, 1)))
    await expire(shop, "later")
    assert (await hold(shop, cart("last", (sku, 1)))).lines[0].held == 1

    ordered_late = await shop.keep((sku, 1), cart_id="late")
    await shop.source(ordered_late)
    assert (await shop.tell(ordered_late)).units.backordered == 1


async def test_a_hold_is_extended_and_released(shop: Facts) -> None:
    sku, doms = shop.sku(8), Doms(NO_TEMPORAL, shop.database)
    await shop.stock(sku, wh_columbus=2)
    held = await hold(shop, cart("mine", (sku, 2)))
    longer = await extend_cart(doms, "webshop/mine", 60)
    assert longer.expires_at > held.expires_at
    assert (await extend_cart(doms, "webshop/mine", 1)).expires_at == longer.expires_at
    for _ in range(2):
        assert (await release_cart(doms, "webshop/mine", actor="test")).status == "given_back"
    with pytest.raises(Conflict):
        await extend_cart(doms, "webshop/mine", 60)
    with pytest.raises(NotFound):
        await release_cart(doms, "webshop/nobody", actor="test")


async def test_the_sweep_gives_back_what_is_overdue_and_nothing_else(shop: Facts) -> None:
    old, new = shop.sku(9), shop.sku(10)
    await shop.stock(old, wh_columbus=1)
    await shop.stock(new, wh_columbus=1)
    await hold(shop, cart("old", (old, 1)))
    await hold(shop, cart("new", (new, 1)))
    await expire(shop, "old")
    doms, step = Doms(NO_TEMPORAL, shop.database), CartSweepStep(as_of=datetime.now(UTC))
    assert (await ActivityEnvironment().run(Carts(doms).sweep, step)).items == 1
    assert (await ActivityEnvironment().run(Carts(doms).sweep, step)).items == 0
    assert [(await show(shop, name)).status for name in ("old", "new")] == ["given_back", "held"]
    assert (await show(shop, "new")).expires_at > datetime.now(UTC)


async def test_carts_that_keep_units_are_listed_by_the_end_of_their_time(shop: Facts) -> None:
    sku = shop.sku(11)
    await shop.stock(sku, wh_columbus=9)
    for cart_id in ("ends-late", "ends-soon", "ended", "released"):
        await hold(shop, cart(cart_id, (sku, 1), minutes=60 if cart_id == "ends-late" else 15))
    await expire(shop, "ended")
    await release_cart(Doms(NO_TEMPORAL, shop.database), "webshop/released", actor="test")
    async with shop.database.reading() as connection:
        listed = await list_holds(connection, channel="webshop")
        assert await list_holds(connection, channel="market") == []
    mine = [(one.cart_hold_id, one.status) for one in listed if any(units.sku == sku for units in one.units)]
    assert mine == [("webshop/ended", "overdue"), ("webshop/ends-soon", "held"), ("webshop/ends-late", "held")]
