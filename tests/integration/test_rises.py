"""Whatever makes stock rise, it goes to who waits: nobody who comes at that moment is faster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities import orders
from activities.carts import Carts
from shared import counts_client
from shared.database import rises
from shared.database.sourcing import Question
from shared.domain.counts import Count
from shared.domain.sourcing.plans import Plan
from shared.messages import CartSweepStep, SourceRequest
from tests.support.books import books_agree
from tests.support.facts import PROCESS, Facts
from tests.support.rises import MENDED, NODE, RISES, UNITS, Shop, by_arrival, hold
from workers.demo.world import make_world


@pytest.fixture
async def facts(fresh_database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(fresh_database_url, make_world(items=len(RISES)))
    yield facts
    await books_agree(facts.database)
    await facts.database.close()


async def test_nobody_who_comes_at_that_moment_is_faster(facts: Facts) -> None:
    """40 new orders race with each kind of rise, an item for each."""
    for n, kind in enumerate(RISES):
        shop = Shop(facts, n)
        await shop.stock(0)
        rise = await kind(shop)
        waiting = [await shop.order(2) for _ in range(UNITS // 2)]
        before = [asyncio.create_task(shop.order(1)) for _ in range(20)]
        rising = asyncio.ensure_future(rise())
        after = [asyncio.create_task(shop.order(1)) for _ in range(20)]
        await asyncio.gather(*before, rising, *after)
        await asyncio.gather(*(shop.source(order_id) for order_id in waiting))
        assert await shop.reserved() == dict.fromkeys(waiting, 2) | shop.others, kind.__name__


async def test_what_an_overdue_cart_held_is_kept_for_who_waits(facts: Facts) -> None:
    shop = Shop(facts, 0)
    await hold(shop, "webshop/c-1")
    first, second = await shop.order(UNITS - 1), await shop.order(UNITS - 1)
    await facts.run("UPDATE cart_hold_line SET expires_at = now() - interval '1 second'")
    swept = await ActivityEnvironment().run(Carts(shop.doms).sweep, CartSweepStep(as_of=datetime.now(UTC)))
    assert (swept.items, shop.woken) == (1, {first, second})
    for order_id in (await shop.order(1), second, first):
        await shop.source(order_id)
    assert await shop.reserved() == {first: UNITS - 1, second: 1}


async def test_what_falls_overdue_while_another_is_swept_is_kept_for_who_waits(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, later = Shop(facts, 0), Shop(facts, 1)
    for each in (shop, later):
        await hold(each, f"webshop/{each.sku}")
        await each.order(UNITS)
    end = "UPDATE cart_hold_line SET expires_at = now() - interval '1 second' WHERE sku = :sku"
    await facts.run(end, sku=shop.sku)
    line_up = rises.line_up

    async def while_time_passes(*args: Any) -> rises.Queue:
        queue = await line_up(*args)
        await facts.run(end, sku=later.sku)
        return queue

    monkeypatch.setattr("activities.carts.line_up", while_time_passes)
    await ActivityEnvironment().run(Carts(shop.doms).sweep, CartSweepStep(as_of=datetime.now(UTC)))
    rows = await facts.rows("SELECT sku, held, free FROM stock_position WHERE held > 0 ORDER BY sku")
    assert [tuple(row) for row in rows] == [(sku, UNITS, 0) for sku in sorted((shop.sku, later.sku))]


async def test_what_reconciliation_makes_free_is_kept_for_who_waits(facts: Facts) -> None:
    for n, kind in enumerate(MENDED):
        shop = Shop(facts, n)
        await shop.stock(0)
        rise = await kind(shop)
        waiting = [await shop.order(UNITS // 2) for _ in range(2)]
        await rise()
        assert shop.woken >= set(waiting), kind.__name__
        for order_id in (await shop.order(1), *waiting):
            await shop.source(order_id)
        assert await shop.reserved() == dict.fromkeys(waiting, UNITS // 2), kind.__name__


async def test_what_rises_while_an_order_is_planned_is_looked_for_again(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(facts, 0)
    await shop.stock(2)
    order_id = await facts.keep((shop.sku, 5))
    rise, planned = await by_arrival(shop), orders._plan

    async def while_it_rises(question: Question) -> Plan:
        answer = await planned(question)
        await rise()
        return answer

    def request(n: int) -> SourceRequest:
        return SourceRequest(step_key=f"{order_id}/{n}", order_id=order_id, as_of=datetime.now(UTC), policy=PROCESS)

    with monkeypatch.context() as planning:
        planning.setattr(orders, "_plan", while_it_rises)
        late = await orders.Orders(facts.database, shop.doms).source(request(1))
    again = await orders.Orders(facts.database, shop.doms).source(request(2))
    assert (late.backordered, late.contended, shop.woken) == (3, True, set())
    assert (again.backordered, again.contended) == (0, False)
    never = await orders.Orders(facts.database, shop.doms).source(
        SourceRequest(
            step_key="other", order_id=await facts.keep((shop.sku, 99)), as_of=datetime.now(UTC), policy=PROCESS
        )
    )
    assert (never.backordered, never.contended) == (99 - UNITS + 3, False)


async def test_a_rise_that_is_told_again_is_kept_once(facts: Facts) -> None:
    shop = Shop(facts, 0)
    await shop.stock(0)
    order_id = await shop.order(UNITS)
    for _ in range(2):
        await counts_client.record_count(
            shop.doms, Count(node_id=NODE, sku=shop.sku, counted=3), reference="count-1", actor="clerk"
        )
        held = await facts.rows(
            "SELECT held, free FROM stock_position WHERE (node_id, sku) = (:n, :s)", n=NODE, s=shop.sku
        )
        assert [tuple(row) for row in held] == [(3, 0)]
    await shop.source(order_id)
    assert await shop.reserved() == {order_id: 3}
