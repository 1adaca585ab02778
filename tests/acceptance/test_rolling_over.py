"""A long life is many runs: rolling over loses no unit, no hold and no wake-up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from shared.messages import CancelOrder, LineQuantity, OrderState, PlaceHold, ReleaseHold, Wake
from tests.support.stack import short_home
from tests.support.system import QUICK, System, system
from workers.stack import temporal
from workers.stack.temporal import EmbeddedTemporal, temporal_running

#: Events after which the server suggests a new run. An order's first minute is about this long.
SUGGESTED_AFTER = 40
#: Of a fulfillment order that never will be: it is kept, once, and nothing comes of it.
NOISE = Wake(kind="delivered", n=99)


@pytest.fixture(scope="module")
def forgetful_server() -> Iterator[EmbeddedTemporal]:
    """A Temporal server that suggests a new run soon."""
    with pytest.MonkeyPatch.context() as patch, short_home() as home:
        setting = f"limit.historyCount.suggestContinueAsNew={SUGGESTED_AFTER}"
        patch.setattr(temporal, "_DYNAMIC_CONFIG", (*temporal._DYNAMIC_CONFIG, setting))
        with temporal_running(home, time_skipping=True) as server:
            yield server


@pytest.fixture(scope="module")
async def shop(
    database_url: str, forgetful_server: EmbeddedTemporal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    policy = QUICK.model_copy(update={"backorder_retry": timedelta(hours=1)})
    home = tmp_path_factory.mktemp("shop")
    async with system(database_url, forgetful_server.address, home, policy=policy) as running:
        yield running


async def run_id(shop: System, order_id: str) -> str:
    description = await shop.handle(order_id).describe()
    assert description.run_id is not None
    return description.run_id


async def rolled(shop: System, order_id: str) -> OrderState:
    """Make the order start a new run by waking it for nothing, and wait until it has."""
    before = await run_id(shop, order_id)

    async def another() -> bool:
        await shop.doms.wake(f"order/{order_id}", NOISE)
        return await run_id(shop, order_id) != before

    await shop.until(another)
    return await shop.state(order_id)


async def waiting(shop: System, sku: str, units: int) -> str:
    await shop.stock(sku)
    order_id = await shop.place(shop.order((sku, units)))
    await shop.until_did(order_id, "payment.authorized")
    await shop.until_state(order_id, lambda state: state.authorized)
    return order_id


async def test_a_backorder_waits_over_many_runs(shop: System) -> None:
    sku = shop.world.items[0].sku
    order_id = await waiting(shop, sku, 3)
    first = await shop.state(order_id)

    for _ in range(3):
        last = await rolled(shop, order_id)
    assert last == first.model_copy(update={"early": (NOISE,)})

    await shop.arrives(sku, "wh-columbus", 3)
    assert (await shop.ended(order_id)).delivered_units == 3
    assert shop.did(order_id)["payment.authorized"] == 1


async def test_no_arrival_is_lost_in_a_flood_of_wake_ups(shop: System) -> None:
    """Signals while rolling: the arrival is somewhere among hundreds, in whichever run."""
    sku = shop.world.items[1].sku
    order_id = await waiting(shop, sku, 2)
    before = await run_id(shop, order_id)

    async def flood() -> None:
        for _ in range(60):
            await shop.doms.wake(f"order/{order_id}", NOISE)

    async def arrive() -> None:
        await shop.until(_rolled)
        await shop.arrives(sku, "store-austin", 2)

    async def _rolled() -> bool:
        return await run_id(shop, order_id) != before

    await asyncio.gather(arrive(), *(flood() for _ in range(5)))

    outcome = await shop.ended(order_id)
    assert outcome.delivered_units == 2


async def test_holds_and_half_done_work_are_carried_over(shop: System) -> None:
    sku, missing, last = (item.sku for item in shop.world.items[2:5])
    await shop.stock(sku, wh_columbus=2)
    await shop.stock(missing)
    await shop.stock(last)
    document = shop.order((sku, 2), (missing, 2), (last, 1))
    order_id = shop.id_of(document)
    await shop.behave("silent", reference=f"{order_id}/f1")
    await shop.place(document)
    await shop.stage(order_id, 1, "requested")
    hold = await shop.doms.hold(order_id, PlaceHold(actor="pia", reason="customer will call"))
    await shop.arrives(missing, "store-chicago", 2)
    before = await shop.until_state(order_id, lambda state: len(state.fulfillments) == 2)

    state = await rolled(shop, order_id)

    assert [(f.n, f.stage) for f in state.fulfillments] == [(1, "requested"), (2, "planned")]
    assert (state.holds, state.backordered) == (before.holds, 1)
    cancelled = await shop.doms.cancel(
        order_id,
        CancelOrder(actor="pia", lines=(LineQuantity(line_no=1, quantity=1), LineQuantity(line_no=3, quantity=1))),
    )
    assert (cancelled.units, cancelled.refused) == (2, ())
    await rolled(shop, order_id)
    await shop.doms.release(order_id, ReleaseHold(actor="pia", hold_id=hold.message))

    outcome = await shop.ended(order_id)
    assert (outcome.delivered_units, outcome.cancelled_units) == (3, 2)
    assert shop.did(order_id)["payment.authorized"] == 1


async def test_a_silent_node_is_still_asked_after_a_new_run(shop: System) -> None:
    sku, missing = shop.world.items[5].sku, shop.world.items[6].sku
    await shop.stock(sku, wh_columbus=1, store_austin=1)
    await shop.stock(missing)
    document = shop.order((sku, 1), (missing, 1))
    order_id = shop.id_of(document)
    await shop.behave("silent", reference=f"{order_id}/f1")
    async with shop.policy(answer_within=timedelta(seconds=2), backorder_patience=timedelta(seconds=4)):
        await shop.place(document)
        await shop.stage(order_id, 1, "requested")
    await rolled(shop, order_id)

    outcome = await shop.ended(order_id)

    assert (outcome.delivered_units, outcome.cancelled_units, outcome.fulfillments) == (1, 1, 2)


async def test_an_order_of_many_events_rolls_over_by_itself(shop: System) -> None:
    """Six shipments are more than one run holds; every capture is made once."""
    nodes = ("wh_columbus", "3pl_reno", "store_chicago", "store_austin", "vnd_alder", "vnd_maple")
    skus = [item.sku for item in shop.world.items[10 : 10 + len(nodes)]]
    for sku, node in zip(skus, nodes, strict=True):
        await shop.stock(sku, **{node: 1})
    document = shop.order(*((sku, 1) for sku in skus))
    order_id = await shop.place(document)
    before = await run_id(shop, order_id)

    outcome = await shop.ended(order_id)

    assert (outcome.delivered_units, outcome.fulfillments) == (6, 6)
    assert await run_id(shop, order_id) != before
    assert (await shop.money(order_id))["captured"] == document.total_minor
