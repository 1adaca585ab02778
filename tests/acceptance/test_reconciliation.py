"""Reconciliation finds every discrepancy that is there and none that is not, and mends what is safe to mend."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any, cast

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from shared.errors import Conflict, NotFound
from shared.messages import Wake
from shared.order_processes import OrderProcesses
from tests.support import discrepancies
from tests.support.discrepancies import (
    IN_THE_DATABASE,
    OF_PROCESSES,
    agree,
    lose_process,
    put,
    reconcile,
    terminate_process,
)
from tests.support.system import System

NODE, SILENT_NODE = "wh-columbus", "store-chicago"
#: How long a busy machine may take to tell a process what it has to hear: nobody has forgotten it until then.
SLOW = timedelta(seconds=5)
#: How often each kind is seeded.
TIMES = 3


async def open_cases(shop: System) -> Counter[tuple[str, str]]:
    rows = await shop.rows(
        "SELECT kind, reference FROM exception_case WHERE kind LIKE 'recon.%' AND resolved_at IS NULL"
    )
    return Counter((row.kind, row.reference) for row in rows)


async def found(shop: System) -> Counter[str]:
    """Cases of each kind there ever were."""
    rows = await shop.rows("SELECT kind, count(DISTINCT reference) FROM exception_case GROUP BY kind")
    return Counter({row.kind: row.count for row in rows})


async def references(shop: System, kind: str) -> set[str]:
    rows = await shop.rows("SELECT reference FROM exception_case WHERE kind = :kind", kind=kind)
    return {row.reference for row in rows}


async def fingerprint(shop: System) -> object:
    """All that a run could change."""
    return await shop.rows("""
        SELECT (SELECT count(*) FROM stock_move), (SELECT sum(on_hand) FROM stock_position),
               (SELECT sum(reserved) FROM stock_position), (SELECT count(*) FROM exception_case),
               (SELECT count(*) FROM exception_case WHERE resolved_at IS NULL), (SELECT sum(open) FROM reservation),
               (SELECT count(*) FROM timeline), (SELECT count(*) FROM payment_operation),
               (SELECT count(*) FROM message_in WHERE wake IS NOT NULL AND signalled_at IS NULL)
    """)


async def test_nothing_is_found_in_a_system_that_is_right_while_orders_run(shop: System) -> None:
    skus = [item.sku for item in shop.world.items[:6]]
    for sku in skus:
        await shop.stock(sku, wh_columbus=300, **{"3pl_reno": 100})
    await agree(shop)
    await shop.behave("short", node_id="3pl-reno")

    async def order(n: int) -> str:
        return await shop.place(shop.order((skus[n % 6], 1 + n % 3), (skus[(n + 1) % 6], 12 if n % 10 == 0 else 1)))

    async def traffic() -> list[str]:
        placed: list[str] = []
        for group in (range(n, n + 4) for n in range(0, 40, 4)):
            placed += await asyncio.gather(*(order(n) for n in group))
        return placed

    running = asyncio.create_task(traffic())
    runs = []
    while not running.done():
        runs.append(await reconcile(shop, resend_after=SLOW))
    placed = await running
    await asyncio.gather(*(shop.finished(order_id) for order_id in placed))
    runs += [await reconcile(shop) for _ in range(2)]

    assert len(runs) > 4
    assert [(each.breaks, each.repaired) for each in runs] == [(0, 0)] * len(runs)
    assert runs[-1].checked["partner_stock"] > 0
    assert await open_cases(shop) == Counter()
    assert await shop.rows("SELECT FROM stock_move WHERE actor = 'reconciliation'") == []


@pytest.mark.parametrize("node", ["wh-columbus", "3pl-reno"])
async def test_an_order_whose_process_is_lost_is_taken_to_its_end(shop: System, node: str) -> None:
    sku = shop.world.items[50].sku
    await shop.stock(sku, **{node.replace("-", "_"): 4})
    await shop.behave("late", node_id=node)
    order_id = await shop.place(shop.order((sku, 2)))
    await shop.stage(order_id, 1, "requested")
    await lose_process(shop, order_id)
    owed = "SELECT count(*) FROM message_in WHERE order_id = :o AND wake IS NOT NULL AND signalled_at IS NULL"

    async def heard_by_nobody() -> bool:
        return bool(await shop.value(owed, o=order_id))

    await shop.until(heard_by_nobody)

    async def over() -> object:
        await reconcile(shop)
        return await shop.value("SELECT closed_at FROM orders WHERE order_id = :o", o=order_id)

    await shop.until(over)
    outcome = await shop.ended(order_id)
    assert outcome.status == "delivered"


class Hasty:
    """A client whose processes hear something before they have done anything."""

    def __init__(self, temporal: Client, wake: Wake) -> None:
        self._temporal, self._wake = temporal, wake

    async def start_workflow(self, *args: Any, **how: Any) -> Any:
        return await self._temporal.start_workflow(
            *args, **how, start_signal=self._wake.kind, start_signal_args=[self._wake]
        )


async def test_an_order_whose_process_was_terminated_goes_on_when_staff_say_so(shop: System) -> None:
    sku = shop.world.items[51].sku
    await shop.stock(sku, wh_columbus=4)
    await shop.behave("late", node_id=NODE)
    order_id = await shop.place(shop.order((sku, 2)))
    await shop.stage(order_id, 1, "requested")
    await terminate_process(shop, order_id)
    said = "SELECT count(*) FROM message_in WHERE order_id = :o AND wake IS NOT NULL"

    async def packed() -> bool:
        return bool(await shop.value(said, o=order_id))

    await shop.until(packed)
    hasty = cast(Client, Hasty(shop.temporal, Wake(kind="packed", n=1)))
    await OrderProcesses(hasty, shop.database).restart(order_id)
    outcome = await shop.ended(order_id)
    assert outcome.status == "delivered"
    with pytest.raises(Conflict):
        await OrderProcesses(shop.temporal, shop.database).restart(order_id)
    with pytest.raises(NotFound):
        await OrderProcesses(shop.temporal, shop.database).restart("webshop/nobody")


@pytest.mark.timeout(120)
async def test_every_seeded_discrepancy_is_found_and_what_is_safe_is_mended(shop: System) -> None:
    items = iter(item.sku for item in shop.world.items[10:])
    over = {kind: [next(items) for _ in range(TIMES)] for kind in IN_THE_DATABASE}
    waiting = {kind: [next(items) for _ in range(TIMES)] for kind in (*OF_PROCESSES, "busy")}
    for sku in (sku for skus in over.values() for sku in skus):
        await shop.stock(sku, wh_columbus=20)
    for sku in (sku for skus in waiting.values() for sku in skus):
        await shop.stock(sku, store_chicago=5)
    more, fewer = ([item.sku for item in shop.world.items[n : n + TIMES]] for n in (0, 3))
    for sku in more + fewer:
        await shop.stock(sku, **{"3pl_reno": 20})
    await agree(shop)
    await shop.behave("silent", node_id=SILENT_NODE)

    async with shop.policy(answer_within=timedelta(hours=1)):
        done = {kind: [await shop.place(shop.order((sku, 2))) for sku in skus] for kind, skus in over.items()}
        held = {kind: [await shop.place(shop.order((sku, 5))) for sku in skus] for kind, skus in waiting.items()}
    await asyncio.gather(*(shop.finished(order_id) for orders in done.values() for order_id in orders))
    await asyncio.gather(*(shop.stage(order_id, 1, "requested") for orders in held.values() for order_id in orders))
    assert (await reconcile(shop)).breaks == 0

    for kind, orders in done.items():
        for order_id, sku in zip(orders, over[kind], strict=True):
            await discrepancies.run(shop, IN_THE_DATABASE[kind], order_id=order_id, node_id=NODE, sku=sku)
    for kind, seed in OF_PROCESSES.items():
        for order_id in held[kind]:
            await seed(shop, order_id)
    await put(shop, [("3pl-reno", sku, 4) for sku in more])
    await put(shop, [("3pl-reno", sku, -4) for sku in fewer])
    await put(shop, [(SILENT_NODE, sku, 3) for sku in waiting["busy"]])

    runs = [await reconcile(shop) for _ in range(2)]

    kinds = await found(shop)
    assert {kind for kind in (*IN_THE_DATABASE, *OF_PROCESSES) if kinds[kind] < TIMES} == set()
    partner = {"3pl-reno/" + sku for sku in more + fewer} | {f"{SILENT_NODE}/{sku}" for sku in waiting["busy"]}
    assert await references(shop, "recon.partner_stock") >= partner
    # What is exact and the same twice is corrected; where orders may have left it is not, and waits for a person.
    assert {kind: where for kind, where in await open_cases(shop) if where.startswith("3pl-reno")} == {}
    for sku in more:
        assert (await shop.free(sku))["3pl-reno"] == 24
    for sku in fewer:
        assert (await shop.free(sku))["3pl-reno"] == 16
    for sku in waiting["busy"]:
        assert ("recon.partner_stock", f"{SILENT_NODE}/{sku}") in await open_cases(shop)
    for order_id in done["recon.ended_reservations"]:
        assert not await shop.rows("SELECT FROM reservation WHERE order_id = :o AND open > 0", o=order_id)
    for order_id in held["recon.process_missing"]:
        assert (await shop.handle(order_id).describe()).status is WorkflowExecutionStatus.RUNNING
    assert sum(run.repaired for run in runs) >= 4 * TIMES

    await reconcile(shop)
    before = await fingerprint(shop)
    again = await asyncio.gather(reconcile(shop), reconcile(shop))
    assert await fingerprint(shop) == before
    assert [run.repaired for run in again] == [0, 0]
