"""What no node has: accepted, waited for, and given up when patience ends."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta

from tests.support.discrepancies import reconcile
from tests.support.system import System

#: A backorder never looks for stock by itself while a test runs: only an arrival can have woken it.
NEVER = timedelta(hours=1)


async def test_arriving_stock_wakes_a_backorder_at_once(shop: System) -> None:
    sku = shop.world.items[0].sku
    await shop.stock(sku)
    document = shop.order((sku, 2))
    async with shop.policy(backorder_retry=NEVER):
        verdict = await shop.doms.submit(document)
    assert (verdict.backordered_units, verdict.promised_at) == (2, None)
    order_id = verdict.order_id
    await shop.until_did(order_id, "payment.authorized")
    assert await shop.units(order_id) == {1: {"backordered": 2}}

    assert await shop.arrives(sku, "wh-columbus", 2) == 1

    outcome = await shop.ended(order_id)
    assert (outcome.status, outcome.delivered_units) == ("delivered", 2)
    assert await shop.value("SELECT promised_at FROM orders WHERE order_id = :o", o=order_id) is not None
    assert shop.did(order_id)["payment.authorized"] == 1
    assert (await shop.money(order_id))["captured"] == document.total_minor


async def test_too_little_stock_ships_what_there_is(shop: System) -> None:
    sku = shop.world.items[1].sku
    await shop.stock(sku)
    async with shop.policy(backorder_retry=NEVER):
        order_id = await shop.place(shop.order((sku, 3)))
    await shop.arrives(sku, "wh-columbus", 2)

    async def two_came() -> bool:
        return await shop.units(order_id) == {1: {"delivered": 2, "backordered": 1}}

    await shop.until(two_came)
    await shop.arrives(sku, "3pl-reno", 5)

    assert (await shop.ended(order_id)).delivered_units == 3
    assert await shop.free(sku) == {"3pl-reno": 4}


async def test_one_line_ships_while_another_waits(shop: System) -> None:
    there, missing = shop.world.items[2].sku, shop.world.items[3].sku
    await shop.stock(there, wh_columbus=1)
    await shop.stock(missing)
    document = shop.order((there, 1), (missing, 1), shipping_minor=595)
    async with shop.policy(backorder_retry=NEVER):
        order_id = await shop.place(document)

    async def one_came() -> bool:
        return await shop.units(order_id) == {1: {"delivered": 1}, 2: {"backordered": 1}}

    await shop.until(one_came)
    await shop.stage(order_id, 1, "done")  # delivered may be told while its capture is being answered
    assert (await shop.money(order_id))["captured"] == document.lines[0].total_minor + 595

    await shop.arrives(missing, "store-chicago", 1)
    assert (await shop.ended(order_id)).delivered_units == 2
    assert (await shop.money(order_id))["captured"] == document.total_minor


async def test_patience_ends_and_what_waits_is_cancelled(shop: System) -> None:
    there, missing = shop.world.items[4].sku, shop.world.items[5].sku
    await shop.stock(there, wh_columbus=1)
    await shop.stock(missing)
    document = shop.order((there, 1), (missing, 2))
    async with shop.policy(backorder_patience=timedelta(seconds=1.5)):
        order_id = await shop.place(document)

    outcome = await shop.ended(order_id)

    assert (outcome.status, outcome.delivered_units, outcome.cancelled_units) == ("delivered", 1, 2)
    money = await shop.money(order_id)
    assert money["captured"] == document.lines[0].total_minor
    assert money["voided"] == document.lines[1].total_minor


async def test_an_order_of_nothing_but_backorders_ends_cancelled(shop: System) -> None:
    sku = shop.world.items[6].sku
    await shop.stock(sku)
    document = shop.order((sku, 2))
    async with shop.policy(backorder_patience=timedelta(seconds=1)):
        order_id = await shop.place(document)

    outcome = await shop.ended(order_id)

    assert (outcome.status, outcome.cancelled_units, outcome.fulfillments) == ("cancelled", 2, 0)
    money = await shop.money(order_id)
    assert money["authorized"] == money["voided"] == document.total_minor
    assert await shop.value("SELECT lifecycle FROM orders WHERE order_id = :o", o=order_id) == "cancelled"


async def test_a_backorder_looks_for_stock_by_itself_too(shop: System) -> None:
    """Stock that was booked without telling anybody is found by the next look."""
    sku = shop.world.items[7].sku
    await shop.stock(sku)
    async with shop.policy(backorder_retry=timedelta(seconds=0.5)):
        order_id = await shop.place(shop.order((sku, 1)))
    await shop.stock(sku, store_austin=1)

    assert (await shop.ended(order_id)).delivered_units == 1


#: Books units in, and is killed after the commit, before anybody is told.
_KILLED = """
import asyncio, os, signal, sys
from shared.client import Doms
from shared.database.engine import Database
from shared.database.stock import Move

async def wake(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def main(url, sku):
    doms = Doms(None, Database(url, pool_size=1))
    doms.wake = wake
    move = Move(node_id="wh-columbus", sku=sku, cause="receive", on_hand=2, reference=f"asn/{sku}")
    await doms.receive_stock([move])

asyncio.run(main(*sys.argv[1:]))
"""


async def test_who_books_an_arrival_is_killed_and_the_order_is_woken_all_the_same(
    shop: System, database_url: str
) -> None:
    sku = shop.world.items[40].sku
    await shop.stock(sku)
    async with shop.policy(backorder_retry=NEVER):
        order_id = await shop.place(shop.order((sku, 2)))
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", _KILLED, database_url, sku)
    assert await killed.wait() == -signal.SIGKILL
    assert (await shop.state(order_id)).backordered == 2

    async def told() -> bool:
        await reconcile(shop)
        return not await shop.rows("SELECT FROM wake")

    await shop.until(told)
    assert (await shop.ended(order_id)).delivered_units == 2
