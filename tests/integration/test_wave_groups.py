"""Waves carried out on a real Postgres: whole groups or none, once, and never at anybody's cost who was faster."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.testing import ActivityEnvironment

from activities.orders import Orders
from activities.waves import Waves
from shared import supply_client
from shared.client import Doms
from shared.database import wave_groups, wave_runs
from shared.database.decisions import explain
from shared.database.fulfillment import begin_release
from shared.database.steps import lock_order
from shared.database.units import cancel_units, catch_up
from shared.database.wave_groups import GroupResult, Outcome
from shared.database.waves import due
from shared.domain.supply import Inbound, InboundKind, InboundLine
from shared.messages import CancelUnits, CatchUp, FulfillmentCall, LineQuantity
from shared.messages.waves import WaveStep
from tests.support.facts import Facts
from tests.support.supply_desk import SOON, Desk
from tests.support.wave_groups import carried_out, check_books, placed, planned, story, where
from workers.cli.explain import headline
from workers.cli.waves import told

RENO, COLUMBUS = "3pl-reno", "wh-columbus"


@pytest.fixture
async def shop(fresh_database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(fresh_database_url)
    yield facts
    await check_books(facts)
    await facts.database.close()


async def in_each_others_way(shop: Facts) -> tuple[str, str]:
    """Two orders of which the first has the unit that would save the second a parcel."""
    a, b = shop.sku(0), shop.sku(1)
    await shop.stock(a, **{"3pl_reno": 1})
    await shop.stock(b)
    first = await placed(shop, (a, 1))
    await shop.stock(a, wh_columbus=1)
    await shop.stock(b, **{"3pl_reno": 1})
    second = await placed(shop, (a, 1), (b, 1))
    assert await where(shop, first) == {1: RENO}
    assert await where(shop, second) == {1: RENO, 2: COLUMBUS}
    return first, second


async def free(shop: Facts, sku: str) -> dict[str, int]:
    rows = await shop.rows("SELECT node_id, free FROM stock_position WHERE sku = :s AND free > 0", s=sku)
    return {row.node_id: row.free for row in rows}


async def overtaken(
    shop: Facts, earlier: Callable[[AsyncConnection], Awaitable[object]], later: Coroutine[Any, Any, GroupResult]
) -> GroupResult:
    """``later`` while ``earlier`` has the locks and is not committed: it begins first and is second."""
    async with shop.database.transaction() as connection:
        await earlier(connection)
        waiting = asyncio.create_task(later)
        await somebody_waits(shop)
    return await waiting


async def somebody_waits(shop: Facts) -> None:
    async with asyncio.timeout(10):
        while not await shop.rows(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.01)


async def test_a_wave_moves_both_in_one_transaction(shop: Facts) -> None:
    first, second = await in_each_others_way(shop)
    before = await shop.rows("SELECT order_id, promised_at FROM orders ORDER BY 1")
    wave_id = await planned(shop)
    assert await carried_out(shop, wave_id) == GroupResult(outcome=Outcome.MOVED, moved=(first, second))
    assert await where(shop, first) == {2: COLUMBUS}
    assert await where(shop, second) == {3: RENO}
    assert await free(shop, shop.sku(0)) == {}
    ended = await shop.rows("SELECT DISTINCT status, excludes_node FROM fulfillment_order WHERE ended_at IS NOT NULL")
    assert [tuple(row) for row in ended] == [("replanned", False)]
    assert {row.order_id for row in before if row.promised_at is None} == set()
    assert [event.event for event in (await shop.tell(second)).timeline][-1] == "replanned"
    owed = await shop.rows("SELECT order_id, kind FROM wake ORDER BY 1")
    assert [tuple(row) for row in owed] == [(first, "replanned"), (second, "replanned")]


async def test_the_decision_says_which_wave_and_what_it_saved(shop: Facts) -> None:
    first, second = await in_each_others_way(shop)
    wave_id = await planned(shop)
    await carried_out(shop, wave_id)
    async with shop.database.reading() as connection:
        decisions = (await explain(connection, second)).decisions
    found = await story(shop, wave_id)
    line = headline(decisions[-1], "USD")
    assert f"replanned by wave {wave_id}, group 1" in line
    assert "with 1 other(s)" in line
    (group,) = found.groups
    assert (group.outcome, set(group.order_ids)) == ("moved", {first, second})
    assert (found.moved, found.refused, found.open) == (2, 0, 0)
    assert found.saved_minor == group.saved_minor == found.before_minor - found.after_minor > 300


async def test_a_repeat_answers_with_the_first_outcome(shop: Facts) -> None:
    first, _ = await in_each_others_way(shop)
    wave_id = await planned(shop)
    await carried_out(shop, wave_id)
    moves = await shop.rows("SELECT count(*) AS n FROM stock_move")
    again = await carried_out(shop, wave_id)
    assert again == GroupResult(outcome=Outcome.MOVED), "nobody is moved again"
    assert await shop.rows("SELECT count(*) AS n FROM stock_move") == moves
    assert await where(shop, first) == {2: COLUMBUS}


async def test_a_process_reads_what_was_moved(shop: Facts) -> None:
    _, second = await in_each_others_way(shop)
    await carried_out(shop, await planned(shop))
    async with shop.database.reading() as connection:
        found = await catch_up(connection, CatchUp(order_id=second, known=(1, 2)))
    assert (found.replanned, [each.n for each in found.unknown], found.backordered) == ((1, 2), [3], 0)
    assert found.promised_at is not None
    async with shop.database.transaction() as connection:
        release = await begin_release(connection, FulfillmentCall(order_id=second, n=1))
    assert release.request is None, "the node of one that was replanned is never told"
    assert release.outcome is not None
    assert release.outcome.replanned


# --- races ------------------------------------------------------------------------------------------------


async def test_a_cancellation_that_was_first_refuses_the_group(shop: Facts) -> None:
    first, second = await in_each_others_way(shop)
    wave_id = await planned(shop)
    request = CancelUnits(step_key="c", order_id=first, actor="a", reason="r")
    result = await overtaken(shop, lambda c: cancel_units(c, request), carried_out(shop, wave_id))
    assert result.outcome is Outcome.ORDER_CHANGED
    assert first in result.because
    assert await where(shop, first) == {}
    assert await where(shop, second) == {1: RENO, 2: COLUMBUS}, "half of a group is never moved"
    assert await free(shop, shop.sku(0)) == {RENO: 1}


async def test_a_cancellation_that_was_second_cancels_what_was_moved(shop: Facts) -> None:
    first, _ = await in_each_others_way(shop)
    wave_id = await planned(shop)
    async with shop.database.transaction() as connection:
        assert (await wave_groups.carry_out(connection, wave_id, 1, now=datetime.now(UTC))).outcome is Outcome.MOVED
        waiting = asyncio.create_task(shop.cancel(first))
        await somebody_waits(shop)
    await waiting
    assert await where(shop, first) == {}
    assert await free(shop, shop.sku(0)) == {COLUMBUS: 1}


async def test_a_line_cancelled_meanwhile_refuses_the_group(shop: Facts) -> None:
    _, second = await in_each_others_way(shop)
    wave_id = await planned(shop)
    request = CancelUnits(
        step_key="c", order_id=second, actor="a", reason="r", lines=(LineQuantity(line_no=2, quantity=1),)
    )
    async with shop.database.transaction() as connection:
        await cancel_units(connection, request)
    assert (await carried_out(shop, wave_id)).outcome is Outcome.ORDER_CHANGED


async def test_a_node_that_is_told_meanwhile_keeps_its_order(shop: Facts) -> None:
    first, second = await in_each_others_way(shop)
    wave_id = await planned(shop)
    call = FulfillmentCall(order_id=first, n=1)
    result = await overtaken(shop, lambda c: begin_release(c, call), carried_out(shop, wave_id))
    assert (result.outcome, f"{first} has f1 no longer" in result.because) == (Outcome.ORDER_CHANGED, True)
    assert await where(shop, first) == {1: RENO}
    assert await where(shop, second) == {1: RENO, 2: COLUMBUS}


async def test_an_order_that_is_being_sourced_is_waited_for(shop: Facts) -> None:
    first, _ = await in_each_others_way(shop)
    wave_id = await planned(shop)
    result = await overtaken(shop, lambda c: lock_order(c, first), carried_out(shop, wave_id))
    assert result.outcome is Outcome.MOVED, "whoever had the lock changed nothing"


async def waits_where_stock_came(shop: Facts) -> tuple[str, str]:
    """An order that a wave would find a unit for; returns it and the item."""
    sku = shop.sku(2)
    await shop.stock(sku)
    order_id = await placed(shop, (sku, 1))
    await shop.stock(sku, wh_columbus=1)
    return order_id, sku


async def test_an_order_that_waits_is_filled(shop: Facts) -> None:
    order_id, sku = await waits_where_stock_came(shop)
    result = await carried_out(shop, await planned(shop))
    assert (result.outcome, result.moved) == (Outcome.MOVED, (order_id,))
    assert await where(shop, order_id) == {1: COLUMBUS}
    (line,) = (await shop.tell(order_id)).lines
    assert (line.units.backordered, line.units.allocated) == (0, 1)
    assert (await shop.tell(order_id)).promised_at is not None
    assert await free(shop, sku) == {}


async def test_supply_that_a_filled_order_leaves_is_promised_to_who_waits(shop: Facts) -> None:
    """By its own process, which is told until it has heard: the wave's may die any time."""
    desk = cast(Doms, Desk(shop.database))
    sku = shop.sku(2)
    await shop.stock(sku)
    order_id = await placed(shop, (sku, 1))
    waits = await placed(shop, (sku, 1), channel="pos")
    line = InboundLine(sku=sku, quantity=1)
    coming = Inbound(
        inbound_id="PO-1", kind=InboundKind.PURCHASE_ORDER, node_id=COLUMBUS, expected_at=SOON, lines=(line,)
    )
    await supply_client.create_inbound(desk, coming, actor="buyer")
    bound = "SELECT order_id, inbound_id FROM supply_binding"
    assert [tuple(row) for row in await shop.rows(bound)] == [(order_id, "PO-1")]
    await shop.stock(sku, wh_columbus=1)
    assert (await carried_out(shop, await planned(shop))).moved == (order_id,)
    assert await shop.rows(bound) == []
    await Orders(shop.database, desk).catch_up(CatchUp(order_id=order_id, known=()))
    assert [tuple(row) for row in await shop.rows(bound)] == [(waits, "PO-1")]


async def test_stock_that_a_new_order_takes_is_not_taken_from_it(shop: Facts) -> None:
    order_id, sku = await waits_where_stock_came(shop)
    wave_id = await planned(shop)
    faster = await placed(shop, (sku, 1))
    result = await carried_out(shop, wave_id)
    assert (result.outcome, f"{sku} at {COLUMBUS}" in result.because) == (Outcome.STOCK_TAKEN, True)
    assert await where(shop, faster) == {1: COLUMBUS}
    assert await where(shop, order_id) == {}
    found = await story(shop, wave_id)
    assert [(each.outcome, each.because) for each in found.groups] == [("stock_taken", result.because)]
    console = Console(file=io.StringIO(), width=250)
    console.print(told(found))
    assert "stock taken" in console.file.getvalue()  # type: ignore[attr-defined]
    async with shop.database.reading() as connection:
        (listed,) = await wave_runs.list_waves(connection, channel="webshop")
        assert await wave_runs.list_waves(connection, channel="pos") == []
    assert (listed.wave_id, listed.moved, listed.refused, listed.saved_minor) == (wave_id, 0, 1, 0)


async def test_a_day_that_is_full_by_now_refuses_the_group(shop: Facts) -> None:
    await shop.run("UPDATE node SET daily_units = 1 WHERE node_id = :n", n=COLUMBUS)
    order_id, _ = await waits_where_stock_came(shop)
    wave_id = await planned(shop)
    other = shop.sku(4)
    await shop.stock(other, wh_columbus=1)
    await placed(shop, (other, 1))
    result = await carried_out(shop, wave_id)
    assert (result.outcome, COLUMBUS in result.because) == (Outcome.DAY_FULL, True)
    assert await where(shop, order_id) == {}


async def test_a_group_is_refused_when_a_cut_off_has_passed_since(shop: Facts) -> None:
    """Its nodes would hand over later than was planned: the worker that planned it was gone for a while."""
    first, second = await in_each_others_way(shop)
    wave_id = await planned(shop)
    result = await carried_out(shop, wave_id, after=timedelta(days=7))
    assert (result.outcome, RENO in result.because) == (Outcome.TOO_LATE, True)
    assert (await where(shop, first), await where(shop, second)) == ({1: RENO}, {1: RENO, 2: COLUMBUS})


async def test_a_wave_that_was_left_behind_is_planned_as_of_its_own_time(shop: Facts) -> None:
    await in_each_others_way(shop)
    began = datetime.now(UTC)
    step = WaveStep(channel="webshop", wave_id="webshop/late", started_at=began - timedelta(days=7))
    await ActivityEnvironment().run(Waves(shop.database, cast(Doms, Desk(shop.database))).plan, step)
    assert (await carried_out(shop, "webshop/late")).outcome is Outcome.MOVED
    (plan,) = {row.plan["as_of"] for row in await shop.rows("SELECT plan FROM decision WHERE plan ? 'replanned'")
               if row.plan["replanned"]}  # fmt: skip
    assert datetime.fromisoformat(plan) >= began


async def test_a_day_limited_in_orders_is_planned_around(shop: Facts) -> None:
    """Two orders that wait find their units where each day has room for one order: they leave on different days."""
    sku = shop.sku(2)
    await shop.stock(sku)
    waiting = [await shop.keep((sku, 1)) for _ in range(2)]
    for order_id in waiting:
        await shop.source(order_id)
    await shop.stock(sku, wh_columbus=2)
    await shop.run(
        "INSERT INTO node_capacity (node_id, day, orders) SELECT :n, current_date + d, 1 FROM generate_series(-1, 9) d",
        n=COLUMBUS,
    )
    wave_id = await planned(shop)
    async with shop.database.reading() as connection:
        numbers = await wave_runs.open_groups(connection, wave_id)
    results = [await carried_out(shop, wave_id, number) for number in numbers]
    assert {result.outcome for result in results} == {Outcome.MOVED}
    assert [await where(shop, order_id) for order_id in waiting] == [{1: COLUMBUS}, {1: COLUMBUS}]
    days = await shop.rows("SELECT day, reserved_orders FROM capacity_use WHERE node_id = :n", n=COLUMBUS)
    assert [row.reserved_orders for row in days] == [1, 1]


async def test_other_groups_go_on_when_one_is_refused(shop: Facts) -> None:
    first, second = await in_each_others_way(shop)
    order_id, sku = await waits_where_stock_came(shop)
    wave_id = await planned(shop)
    await placed(shop, (sku, 1))
    async with shop.database.reading() as connection:
        numbers = await wave_runs.open_groups(connection, wave_id)
    outcomes = [(await carried_out(shop, wave_id, number)).outcome for number in numbers]
    assert sorted(outcomes) == [Outcome.MOVED, Outcome.STOCK_TAKEN]
    found = await story(shop, wave_id)
    assert (found.moved, found.refused, found.open) == (2, 1, 0)
    assert (await where(shop, first), await where(shop, second)) == ({2: COLUMBUS}, {3: RENO})
    assert await where(shop, order_id) == {}


async def test_days_change_hands_with_the_units(shop: Facts) -> None:
    await shop.run("UPDATE node SET daily_units = 5 WHERE node_id IN (:a, :b)", a=COLUMBUS, b=RENO)
    await in_each_others_way(shop)
    wave_id = await planned(shop)
    assert (await carried_out(shop, wave_id)).outcome is Outcome.MOVED
    used = await shop.rows("SELECT node_id, sum(reserved) AS units FROM capacity_use GROUP BY node_id ORDER BY node_id")
    assert [tuple(row) for row in used] == [(RENO, 2), (COLUMBUS, 1)]


# --- what a wave leaves alone -----------------------------------------------------------------------------


async def test_units_left_free_are_kept_for_who_waits(shop: Facts) -> None:
    a, b = shop.sku(5), shop.sku(6)
    await shop.stock(a, **{"3pl_reno": 1})
    await shop.stock(b, wh_columbus=1)
    await placed(shop, (a, 1), (b, 1))
    waits = await placed(shop, (a, 1), channel="pos")
    await shop.stock(a, wh_columbus=1)
    held = "SELECT node_id, open FROM cart_hold_line WHERE sku = :s AND open > 0"
    assert await shop.rows(held, s=a) == []
    result = await carried_out(shop, await planned(shop))
    assert (result.outcome, result.served) == (Outcome.MOVED, (waits,))
    assert [tuple(row) for row in await shop.rows(held, s=a)] == [(RENO, 1)]


async def test_only_channels_that_keep_orders_back_are_due(shop: Facts) -> None:
    await in_each_others_way(shop)
    async with shop.database.reading() as connection:
        assert await due(connection, datetime.now(UTC)) == ()
    await shop.run("UPDATE fulfillment_order SET release_at = now() + interval '1 hour'")
    async with shop.database.reading() as connection:
        assert await due(connection, datetime.now(UTC)) == ("webshop",)
    await shop.run("UPDATE fulfillment_order SET staff_chose = true")
    async with shop.database.reading() as connection:
        assert await due(connection, datetime.now(UTC)) == ()
        assert (await shop.rows("SELECT count(*) AS n FROM wave")) == [(0,)]


async def test_what_staff_sent_somewhere_stays_there(shop: Facts) -> None:
    first, _ = await in_each_others_way(shop)
    await shop.run("UPDATE fulfillment_order SET staff_chose = true WHERE order_id = :o", o=first)
    assert (await story(shop, await planned(shop))).groups == ()


async def test_a_moved_order_waits_no_longer_than_it_would_have(shop: Facts) -> None:
    first, second = await in_each_others_way(shop)
    await shop.run("UPDATE fulfillment_order SET release_at = now() + interval '1 minute' WHERE order_id = :o", o=first)
    (before,) = await shop.rows("SELECT release_at FROM fulfillment_order WHERE order_id = :o", o=first)
    await carried_out(shop, await planned(shop))
    after = {each.order_id: each.release_at for each in await shop.rows(
        "SELECT order_id, release_at FROM fulfillment_order WHERE ended_at IS NULL"
    )}  # fmt: skip
    assert after[second] is None
    assert after[first] is None or after[first] <= before.release_at
