"""A step whose worker died is taken again, perhaps under another key: nothing it did is lost or done twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from activities.orders import Orders
from shared.database.deliveries import read_delivery
from shared.database.network import read_items
from shared.database.orders import keep_order
from shared.domain.bundles import stock_lines
from shared.domain.policy import ProcessPolicy
from shared.messages import CancelUnits, LineQuantity, SourceRequest
from shared.places import locate
from tests.support.system import System


async def kept(shop: System, sku: str, units: int) -> str:
    """An order on record whose process the test plays."""
    document = shop.order((sku, units))
    order_id = shop.id_of(document)
    version = await shop.value("SELECT version FROM policy_version WHERE active")
    async with shop.database.transaction() as connection:
        items = await read_items(connection, [sku])
        lines = stock_lines(document.lines, items)
        delivery = await read_delivery(connection, document, locate(document.ship_to))
        await keep_order(connection, order_id, document, lines, delivery=delivery, policy_version=version)
    return order_id


def source(order_id: str, key: int, known: int = 0) -> SourceRequest:
    return SourceRequest(
        step_key=f"{order_id}/source/{key}",
        order_id=order_id,
        as_of=datetime.now(UTC),
        policy=ProcessPolicy(),
        known=known,
    )


def cancel(order_id: str, key: int, units: int, known: int = 0) -> CancelUnits:
    lines = (LineQuantity(line_no=1, quantity=units),)
    return CancelUnits(
        step_key=f"{order_id}/cancel/{key}", order_id=order_id, lines=lines, actor="pia", reason="", known=known
    )


@pytest.fixture
async def orders(shop: System) -> Orders:
    return Orders(shop.database)


async def test_the_same_key_gives_the_first_answer_and_says_so(shop: System, orders: Orders) -> None:
    sku = shop.world.items[0].sku
    await shop.stock(sku, wh_columbus=3)
    order_id = await kept(shop, sku, 3)

    first = await orders.source(source(order_id, 1))
    again = await orders.source(source(order_id, 1))

    assert (first.look_again, again.look_again) == (False, True)
    assert again.fulfillments == first.fulfillments
    assert await shop.value("SELECT count(*) FROM fulfillment_order WHERE order_id = :o", o=order_id) == 1


async def test_another_key_finds_what_the_process_does_not_know(shop: System, orders: Orders) -> None:
    sku = shop.world.items[1].sku
    await shop.stock(sku, wh_columbus=3)
    order_id = await kept(shop, sku, 3)
    lost = await orders.source(source(order_id, 1))

    found = await orders.source(source(order_id, 2))
    known = await orders.source(source(order_id, 3, known=1))

    assert found.fulfillments == lost.fulfillments
    assert (found.backordered, known.fulfillments) == (0, ())
    assert await shop.events(order_id) == ["placed", "sourced"], "looking again leaves no trace"


async def test_a_cancellation_names_what_the_process_does_not_know(shop: System, orders: Orders) -> None:
    sku = shop.world.items[2].sku
    await shop.stock(sku, wh_columbus=3)
    order_id = await kept(shop, sku, 3)
    lost = await orders.source(source(order_id, 1))

    answer = await orders.cancel(cancel(order_id, 2, units=1))

    assert (answer.units, answer.unallocated, answer.planned) == (1, 0, {1: 2})
    assert [(f.n, f.units) for f in answer.unknown] == [(1, 2)]
    assert lost.fulfillments[0].units == 3


async def test_a_zombie_and_its_successor_take_a_step_once(shop: System, orders: Orders) -> None:
    sku = shop.world.items[3].sku
    await shop.stock(sku, wh_columbus=5)
    order_id = await kept(shop, sku, 5)
    await orders.source(source(order_id, 1))

    answers = await asyncio.gather(*(orders.cancel(cancel(order_id, 2, units=2, known=1)) for _ in range(4)))

    assert sorted(answer.look_again for answer in answers) == [False, True, True, True]
    assert {answer.units for answer in answers} == {2}
    assert await shop.units(order_id) == {1: {"allocated": 3, "cancelled": 2}}
    await shop.stock_adds_up()
