"""Deliveries counted in, quarantined, transferred, and there for who waits: real Postgres, no processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from shared import supply_client
from shared.client import Doms
from shared.database import supply
from shared.database.quarantine import Disposal
from shared.database.stock import Move
from shared.domain.supply import InboundKind
from shared.errors import Conflict, NotFound
from tests.support.supply_desk import Shop, opened


@pytest.fixture
async def shop(fresh_database_url: str) -> AsyncIterator[Shop]:
    async with opened(fresh_database_url) as shop:
        yield shop


# --- receipts ---------------------------------------------------------------------------------------------


async def test_units_are_counted_in_good_damaged_short_and_over(shop: Shop) -> None:
    inbound_id = await shop.expect(10)
    await shop.receive(inbound_id, 4, damaged=1, reference="asn-1")
    assert await shop.line(inbound_id) == {"quantity": 10, "open": 5, "received": 4, "damaged": 1}
    assert await shop.position() == (4, 0, 0, 1, 4)
    again = await shop.receive(inbound_id, 4, damaged=1, reference="asn-1")
    assert again.again
    assert await shop.position() == (4, 0, 0, 1, 4)
    with pytest.raises(Conflict):
        await shop.receive(inbound_id, 3, reference="asn-1")
    closed = await shop.receive(inbound_id, 3, short=True)
    assert closed.closed
    assert await shop.line(inbound_id) == {"quantity": 10, "received": 7, "damaged": 1, "missing": 2}
    assert await shop.cases() == set()
    assert (await shop.receive(inbound_id, 2)).lines[0].over == 2
    assert await shop.cases() == {"over_receipt"}
    with pytest.raises(NotFound):
        await shop.receive("PO-nothing", 1)


async def test_an_item_nobody_expected_is_taken_in(shop: Shop) -> None:
    inbound_id = await shop.expect(1)
    shop.sku = shop.facts.sku(1)
    assert (await shop.receive(inbound_id, 6)).lines[0].over == 6
    assert await shop.cases() == {"over_receipt"}


async def test_receipts_at_once_are_each_booked_once(shop: Shop) -> None:
    inbound_id = await shop.expect(20)
    orders = [await shop.wait(1) for _ in range(6)]
    await asyncio.gather(*(shop.receive(inbound_id, 2, reference=f"asn-{n % 8}") for n in range(24)))
    assert await shop.line(inbound_id) == {"quantity": 20, "open": 4, "received": 16}
    assert await shop.position() == (16, 0, 6, 0, 10)
    assert set(orders) <= set(shop.desk.woken)


async def test_quarantine_is_released_or_written_off(shop: Shop) -> None:
    inbound_id = await shop.expect(5)
    await shop.receive(inbound_id, damaged=5)
    order_id = await shop.wait(1)
    of = {"node_id": "wh-columbus", "sku": shop.sku}
    inspected = Disposal(**of, quantity=2, reference="inspection-1")
    assert await supply_client.release_quarantine(shop.doms, inspected, actor="qa") == 1
    assert await supply_client.release_quarantine(shop.doms, inspected, actor="qa") == 0
    assert await shop.position() == (2, 0, 1, 3, 1)
    await shop.facts.source(order_id)
    assert await shop.position() == (2, 1, 0, 3, 1)
    scrap = Disposal(**of, quantity=3, reference="scrap-1")
    assert await supply_client.write_off_quarantine(shop.doms, scrap, actor="qa")
    assert not await supply_client.write_off_quarantine(shop.doms, scrap, actor="qa")
    with pytest.raises(Conflict):
        await supply_client.write_off_quarantine(shop.doms, scrap.model_copy(update={"reference": "2"}), actor="qa")


# --- transfers --------------------------------------------------------------------------------------------


async def test_a_transfer_moves_units_and_loses_none(shop: Shop) -> None:
    await shop.facts.stock(shop.sku, store_chicago=5)
    move: dict[str, Any] = {"kind": InboundKind.TRANSFER, "origin_node_id": "store-chicago"}
    inbound_id = await shop.expect(5, **move)
    too_many = await shop.expect(6, **move)
    with pytest.raises(Conflict):
        await supply_client.depart(shop.doms, too_many, actor="store")
    with pytest.raises(Conflict):
        await shop.receive(inbound_id, 5)
    assert await supply_client.depart(shop.doms, inbound_id, actor="store")
    assert not await supply_client.depart(shop.doms, inbound_id, actor="store")
    assert (await shop.position("store-chicago"))[0] == 0
    async with shop.facts.database.reading() as connection:
        moving = await supply.tell_inbound(connection, inbound_id)
    assert (moving.status, moving.node_id, moving.units) == ("in_transit", "wh-columbus", 5)
    order_id = await shop.wait(1)
    assert await shop.bound() == {(order_id, inbound_id): 1}
    with pytest.raises(Conflict):
        await supply_client.cancel_inbound(shop.doms, inbound_id)
    received = await shop.receive(inbound_id, 3, damaged=1, short=True)
    assert received.closed
    assert await shop.position() == (3, 0, 1, 1, 2)
    assert await shop.cases() == {"lost_in_transfer"}


# --- the moment it lands ----------------------------------------------------------------------------------


async def test_what_lands_is_there_for_who_waits_in_their_order_of_service(shop: Shop) -> None:
    inbound_id = await shop.expect(4)
    early, urgent, calm = await shop.wait(3), await shop.wait(3, priority=1), await shop.wait(1)
    assert await shop.bound() == {(early, inbound_id): 3, (urgent, inbound_id): 1}
    await shop.receive(inbound_id, 3)
    for order_id in (calm, early, urgent):
        await shop.facts.source(order_id)
    assert await shop.reserved() == {urgent: 1, early: 2}
    await shop.receive(inbound_id, 1)
    for order_id in (await shop.wait(1), calm, urgent, early):
        await shop.facts.source(order_id)
    assert await shop.reserved() == {urgent: 1, early: 3}
    assert not await shop.bound()
    over = await shop.expect(1)
    await shop.receive(over, 3, reference="all that was left")
    for order_id in (calm, urgent):
        await shop.facts.source(order_id)
    assert await shop.reserved() == {urgent: 3, early: 3, calm: 1}


async def test_what_arrives_unannounced_is_kept_for_who_waits_too(shop: Shop) -> None:
    early, late = await shop.wait(2), await shop.wait(2)
    doms = Doms(cast(Any, None), shop.facts.database)
    doms.wake = shop.desk.wake  # type: ignore[method-assign]
    move = Move(node_id="wh-columbus", sku=shop.sku, cause="receive", on_hand=3, reference="asn-1")
    for _ in range(2):
        assert await doms.receive_stock([move]) == 2
        assert await shop.position() == (3, 0, 3, 0, 0)
    await shop.facts.cancel(early)
    assert await supply_client.pass_on(shop.doms, early) == 1
    await shop.facts.source(late)
    assert await shop.reserved() == {late: 2}
    assert await shop.position() == (3, 2, 0, 0, 1)


async def test_nobody_who_comes_at_the_moment_it_lands_is_faster(shop: Shop) -> None:
    inbound_id = await shop.expect(10)
    waiting = [await shop.wait(2) for _ in range(5)]
    racing = [asyncio.create_task(shop.wait(1)) for _ in range(20)]
    landing = asyncio.create_task(shop.receive(inbound_id, 10))
    more = [asyncio.create_task(shop.wait(1)) for _ in range(20)]
    await asyncio.gather(*racing, landing, *more)
    await asyncio.gather(*(shop.facts.source(order_id) for order_id in waiting))
    assert await shop.reserved() == dict.fromkeys(waiting, 2)
    assert await shop.position() == (10, 10, 0, 0, 0)
