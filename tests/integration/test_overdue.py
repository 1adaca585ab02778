"""What carts hold although their time is up goes to who waits, whoever finds it first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from shared.carts_client import hold_cart
from shared.database import carts
from shared.database.reservations import Claim, reserve_each
from shared.domain.carts import Cart, CartLine, Destination, HoldCart
from shared.errors import Conflict
from tests.support.facts import Facts
from tests.support.rises import NODE, UNITS, Shop, hold
from workers.demo.world import make_world


class Slow(NamedTuple):
    shop: Shop
    waiting: str

    async def has_its_units(self) -> None:
        await self.shop.source(self.waiting)
        assert (await self.shop.reserved())[self.waiting] == UNITS - 2


@pytest.fixture
async def slow(fresh_database_url: str) -> AsyncIterator[Slow]:
    """A shop all of whose units an overdue cart holds, while an order waits for some of them."""
    facts = await Facts.load(fresh_database_url, make_world(items=1))
    shop = Shop(facts, 0)
    await hold(shop, "webshop/slow")
    waiting = await shop.order(UNITS - 2)
    await facts.run("UPDATE cart_hold_line SET expires_at = now() - interval '1 second'")
    yield Slow(shop, waiting)
    await facts.database.close()


async def by_order(shop: Shop) -> None:
    await shop.order(UNITS)


async def by_cart(shop: Shop) -> None:
    line = CartLine(sku=shop.sku, quantity=UNITS)
    with pytest.raises(Conflict):
        await hold_cart(shop.doms, HoldCart(channel="webshop", cart_id="next", lines=(line,)))


async def by_promise(shop: Shop) -> None:
    cart = Cart(postal_code="10001", lines=(CartLine(sku=shop.sku, quantity=UNITS),))
    told = await shop.doms.promise(cart)
    assert min(sum(one.quantity for one in option.shortages) for option in told.options) == UNITS - 2


@pytest.mark.parametrize("finds", [by_order, by_cart, by_promise])
async def test_who_waits_goes_before_who_finds_it(slow: Slow, finds: Callable[[Shop], Awaitable[None]]) -> None:
    await finds(slow.shop)
    assert slow.shop.woken == {slow.waiting}
    await slow.has_its_units()


async def test_a_cart_gets_what_nobody_waits_for(slow: Slow) -> None:
    shop, to = slow.shop, Destination(postal_code="10001")
    line = CartLine(sku=shop.sku, quantity=2)
    held = await hold_cart(shop.doms, HoldCart(channel="webshop", cart_id="next", lines=(line,), ship_to=to))
    assert [unit.open for unit in held.units] == [2]
    await slow.has_its_units()


async def test_an_order_that_finds_it_under_the_lock_leaves_it_to_who_waits(slow: Slow) -> None:
    """The time was not up yet when the plan was made."""
    shop = slow.shop
    comes = await shop.facts.keep((shop.sku, 3))
    claim = Claim(owner=f"{comes}/f1", line_no=1, order_id=comes, node_id=NODE, sku=shop.sku, quantity=3)
    async with shop.database.transaction() as connection:
        assert await reserve_each(connection, [[claim]]) == [False]
    await slow.has_its_units()


async def test_a_cart_that_finds_it_under_the_lock_leaves_it_to_who_waits(slow: Slow) -> None:
    held = await carts.hold_units(
        slow.shop.database,
        "webshop/next",
        {(NODE, slow.shop.sku): 3},
        channel="webshop",
        lines=(),
        content_hash="",
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        partial=True,
    )
    assert [unit.quantity for unit in held or ()] == [2]
    await slow.has_its_units()
