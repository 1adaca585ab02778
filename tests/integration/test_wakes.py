"""Whoever makes stock rise may die before it has told who waits: they are told all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from temporalio.testing import ActivityEnvironment

from activities.reconciliation import Reconciliation, Resume
from shared import wakes_client
from shared.database import orders, wakes
from shared.messages import ReconcileResult, ReconcileStep
from tests.support.facts import Facts
from tests.support.rises import RISES, UNITS, Died, Rise, Shop
from workers.demo.world import make_world


@pytest.fixture(scope="module")
async def facts(database_url: str) -> AsyncIterator[Facts]:
    """One shop for all; each test takes an item of its own."""
    facts = await Facts.load(database_url, make_world(items=2 * len(RISES) + 2))
    yield facts
    await facts.database.close()


async def take_up(shop: Shop) -> int:
    """Look for what a crash left behind, as old as a minute by now; returns how many wake-ups were sent."""
    await shop.facts.run("UPDATE wake SET at = at - interval '1 minute'")
    await shop.facts.run("UPDATE message_in SET received_at = received_at - interval '1 minute'")
    step = ReconcileStep(run_id="run-1", started_at=datetime.now(UTC), resend_after=timedelta(seconds=30))
    activity = Reconciliation(shop.database, cast(Resume, shop.doms))
    result: ReconcileResult = await ActivityEnvironment().run(activity.resume_stragglers, step)
    return result.checked["wake_ups"]


async def owed(shop: Shop) -> int:
    (row,) = await shop.facts.rows("SELECT count(*) AS wakes FROM wake")
    return int(row.wakes)


async def waited_for(facts: Facts, n: int, kind: Rise) -> tuple[Shop, list[str]]:
    """An item that orders wait for, and that has risen."""
    shop = Shop(facts, n)
    await shop.stock(0)
    rise = await kind(shop)
    waiting = [await shop.order(2) for _ in range(UNITS // 2)]
    await facts.run("DELETE FROM wake")
    shop.woken.clear()
    shop.dies = n >= len(RISES)
    with suppress(Died):
        await rise()
    return shop, waiting


@pytest.mark.parametrize("n", range(len(RISES)), ids=[kind.__name__ for kind in RISES])
async def test_who_waits_is_told_and_nothing_is_owed(facts: Facts, n: int) -> None:
    shop, waiting = await waited_for(facts, n, RISES[n])
    assert shop.woken >= set(waiting)
    assert await owed(shop) == 0


@pytest.mark.parametrize("n", range(len(RISES)), ids=[kind.__name__ for kind in RISES])
async def test_who_was_not_told_because_of_a_crash_is_told_later(facts: Facts, n: int) -> None:
    shop, waiting = await waited_for(facts, len(RISES) + n, RISES[n])
    assert shop.woken == set()
    shop.dies = False
    assert await take_up(shop) > 0
    assert shop.woken >= set(waiting)
    for order_id in waiting:
        await shop.source(order_id)
    assert await shop.reserved() == dict.fromkeys(waiting, 2) | shop.others
    assert (await owed(shop), await take_up(shop)) == (0, 0)


async def test_who_has_looked_by_itself_is_not_told(facts: Facts) -> None:
    shop, waiting = await waited_for(facts, 2 * len(RISES), RISES[0])
    assert await owed(shop) > 0
    for order_id in waiting:
        await shop.source(order_id)
    shop.dies, before = False, set(shop.woken)
    assert await take_up(shop) == 0
    assert (shop.woken, await owed(shop)) == (before, 0)


async def test_what_somebody_else_owes_meanwhile_is_not_forgotten(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, (order_id, *_) = await waited_for(facts, 2 * len(RISES) + 1, RISES[0])
    for each in await facts.rows("SELECT order_id FROM order_line WHERE sku = :sku", sku=shop.sku):
        await shop.source(each.order_id)
    late: list[str] = []

    async def before_another_comes(*args: Any) -> Any:
        """One who comes now waits, and whoever narrows a buffer then dies before it is told."""
        waiting = await orders_waiting_for(*args)
        late.append(await shop.order(2))
        async with shop.database.transaction() as connection:
            await wakes.ask_waiting(connection, [shop.sku])
        return waiting

    orders_waiting_for = orders.orders_waiting_for
    monkeypatch.setattr(orders, "orders_waiting_for", before_another_comes)
    shop.dies = False
    shop.woken.clear()
    await wakes_client.tell_waiting(shop.database, shop.doms, [shop.sku])
    monkeypatch.undo()

    assert order_id not in shop.woken
    assert shop.woken.isdisjoint(late)
    assert await take_up(shop) > 0
    assert shop.woken == set(late)
