"""Orders planned again together while they run: their processes follow the facts, and ship from the new nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import activity
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

from activities.reconciliation import Reconciliation
from activities.waves import Waves
from shared.client import Doms
from shared.domain.highs import Unsolved
from shared.domain.orders import PaymentMethod
from shared.domain.waves.results import WaveSummary
from shared.errors import Conflict
from shared.messages import CancelOrder, PlaceHold, ReconcileStep, ReleaseHold, Wake
from shared.messages.waves import WaveInput, WaveStep
from shared.waves_client import run_wave
from tests.support.system import System
from workers.main import activity_methods
from workers.planning import planning
from workflows.registry import PLANNING_WORKFLOWS
from workflows.waves import StartWavesWorkflow

RENO, COLUMBUS = "3pl-reno", "wh-columbus"
WINDOW = timedelta(hours=9)


@pytest.fixture(scope="module")
async def solver(shop: System, database_url: str) -> AsyncIterator[System]:
    async with planning(shop.temporal, database_url):
        yield shop


async def held(shop: System, *lines: tuple[str, int]) -> tuple[str, str]:
    """An order that is paid for and held by staff, so that no node is told whatever the time of day; and its hold."""
    document = shop.order(*lines)
    token = PaymentMethod(token=f"tok_decline_once-{document.channel_order_id}")
    order_id = await shop.place(document.model_copy(update={"payment": token}))
    declined = (await shop.until_state(order_id, lambda state: state.holds)).holds[0].hold_id
    hold = (await shop.doms.hold(order_id, PlaceHold(actor="pia", reason="call back"))).message
    await let_go(shop, order_id, declined)
    await shop.until_did(order_id, "payment.authorized")
    return order_id, hold


async def in_each_others_way(
    shop: System, n: int, *, window: timedelta = WINDOW
) -> tuple[tuple[str, str], tuple[str, str]]:
    """Two orders of which the first has the unit that would save the second a parcel."""
    a, b = shop.world.items[n].sku, shop.world.items[n + 1].sku
    await shop.stock(a, **{"3pl_reno": 1})
    await shop.stock(b)
    async with shop.policy(release_after=window):
        first = await held(shop, (a, 1))
        await shop.stock(a, wh_columbus=1)
        await shop.stock(b, **{"3pl_reno": 1})
        second = await held(shop, (a, 1), (b, 1))
    assert await shop.nodes(first[0]) == {1: RENO}
    assert await shop.nodes(second[0]) == {1: RENO, 2: COLUMBUS}
    return first, second


async def end_windows(shop: System) -> None:
    """What a wave opens is told when what it replaces would have been."""
    async with shop.database.transaction() as connection:
        await connection.exec_driver_sql("UPDATE fulfillment_order SET release_at = now() WHERE ended_at IS NULL")


async def wave(shop: System) -> WaveSummary:
    return await run_wave(shop.temporal, WaveInput(channel="webshop"))


async def let_go(shop: System, order_id: str, hold_id: str) -> None:
    assert (await shop.doms.release(order_id, ReleaseHold(actor="pia", hold_id=hold_id))).done


async def test_orders_that_a_wave_moves_ship_from_their_new_nodes(solver: System) -> None:
    shop = solver
    first, second = await in_each_others_way(shop, 0)
    await end_windows(shop)

    done = await wave(shop)

    assert (done.moved, done.refused) == (2, 0)
    assert done.saved_minor > 300
    for order_id, hold_id in (first, second):
        await let_go(shop, order_id, hold_id)
    assert (await shop.ended(first[0])).delivered_units == 1
    assert (await shop.ended(second[0])).delivered_units == 2
    for (order_id, _), ended, shipped in ((first, [RENO], [COLUMBUS]), (second, [RENO, COLUMBUS], [RENO])):
        rows = await shop.rows(
            "SELECT node_id, status, submitted_at FROM fulfillment_order WHERE order_id = :o ORDER BY n", o=order_id
        )
        assert [row.node_id for row in rows if row.status == "replanned"] == ended
        assert [row.node_id for row in rows if row.status == "closed"] == shipped
        assert all(row.submitted_at is None for row in rows if row.status == "replanned")
        assert "replanned" in await shop.events(order_id)


async def test_what_waits_is_begun_when_a_wave_finds_it_a_source(solver: System) -> None:
    shop = solver
    sku = shop.world.items[4].sku
    await shop.stock(sku)
    async with shop.policy(backorder_retry=timedelta(hours=5)):
        order_id = await shop.place(shop.order((sku, 2)))
    await shop.until_did(order_id, "payment.authorized")
    await shop.stock(sku, wh_columbus=2)

    assert (await wave(shop)).moved == 1

    assert (await shop.ended(order_id)).delivered_units == 2
    assert await shop.nodes(order_id) == {1: COLUMBUS}


async def test_a_process_that_nobody_tells_finds_out_before_it_tells_the_node(solver: System) -> None:
    shop = solver
    first, second = await in_each_others_way(shop, 6, window=timedelta(0))
    await carried_out_by_one_that_dies(shop)
    assert [each.stage for each in (await shop.state(first[0])).fulfillments] == ["planned"], "it was not told"
    for order_id, hold_id in (first, second):
        await let_go(shop, order_id, hold_id)
    for order_id, node_id in ((first[0], COLUMBUS), (second[0], RENO)):
        await shop.ended(order_id)
        assert await shop.rows("SELECT node_id FROM fulfillment_order WHERE order_id = :o AND shipped_at IS NOT NULL",
                               o=order_id) == [(node_id,)]  # fmt: skip


async def test_reconciliation_tells_those_that_a_crash_left_untold(solver: System) -> None:
    shop = solver
    first, second = await in_each_others_way(shop, 8)
    await carried_out_by_one_that_dies(shop)
    step = ReconcileStep(run_id="r", started_at=datetime.now(UTC), resend_after=timedelta(0))
    result = await ActivityEnvironment().run(Reconciliation(shop.database, shop.doms).resume_stragglers, step)
    assert result.checked["wake_ups"] >= 2
    await shop.until_state(first[0], lambda state: [each.stage for each in state.fulfillments] == ["done", "planned"])
    for order_id, _ in (first, second):
        await shop.doms.cancel(order_id, CancelOrder(actor="test"))
        assert (await shop.ended(order_id)).cancelled_units


async def carried_out_by_one_that_dies(shop: System) -> None:
    """A wave whose worker is gone before any process was told."""

    class Mute(Doms):
        async def wake(self, workflow_id: str, wake: Wake) -> bool:
            raise ConnectionError("killed")

    step = WaveStep(channel="webshop", wave_id=f"webshop/{datetime.now(UTC):%H%M%S%f}", started_at=datetime.now(UTC))
    worker = Waves(shop.database, Mute(shop.temporal, shop.database))
    await ActivityEnvironment().run(worker.plan, step)
    with pytest.raises(ConnectionError):
        await ActivityEnvironment().run(worker.carry_out, step)


class _OneChannelBroken(Waves):
    """The activities, with a channel on which the solver gives up and that is due before all others."""

    @activity.defn(name="waves.due")
    async def due(self, as_of: datetime) -> tuple[str, ...]:
        return ("broken", *await super().due(as_of))

    @activity.defn(name="waves.plan")
    async def plan(self, step: WaveStep) -> None:
        if step.channel == "broken":
            raise Unsolved("no answer")
        await super().plan(step)


async def test_the_scheduled_wave_is_of_channels_that_keep_orders_back(shop: System) -> None:
    """One that fails keeps no other from its own."""
    first, second = await in_each_others_way(shop, 10)
    async with shop.database.transaction() as connection:
        await connection.exec_driver_sql(
            "UPDATE fulfillment_order SET release_at = now() + interval '1 hour' WHERE ended_at IS NULL"
        )
    waves = _OneChannelBroken(shop.database, shop.doms)
    async with Worker(
        shop.temporal, task_queue="broken", workflows=PLANNING_WORKFLOWS, activities=activity_methods(waves)
    ):
        done = await shop.temporal.execute_workflow(StartWavesWorkflow.run, id="start-waves", task_queue="broken")
    assert done == 1
    await shop.until_state(second[0], lambda state: [each.stage for each in state.fulfillments][:2] == ["done", "done"])
    for order_id, _ in (first, second):
        await shop.doms.cancel(order_id, CancelOrder(actor="test"))
        await shop.ended(order_id)


async def test_a_channel_has_one_wave_at_a_time(shop: System) -> None:
    handle = await shop.temporal.start_workflow(
        "Wave", WaveInput(channel="pos"), id="wave/pos", task_queue="nobody-works-here"
    )
    with pytest.raises(Conflict, match="runs already"):
        await run_wave(shop.temporal, WaveInput(channel="pos"))
    await handle.terminate()
