"""A node that does not ship: its units are found elsewhere, and it is not asked again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.contracts import BATCH_QUEUE
from shared.messages.risks import RiskInput, RiskResult
from tests.support.system import PACE, QUICK, System, system
from workers.stack.temporal import EmbeddedTemporal

#: Short enough to wait for, long enough for a busy machine to answer in.
ANSWER_WITHIN = timedelta(seconds=2)


@pytest.fixture(scope="module")
async def shop(
    database_url: str, temporal_server: EmbeddedTemporal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    home: Path = tmp_path_factory.mktemp("shop")
    policy = QUICK.model_copy(update={"answer_within": ANSWER_WITHIN})
    pace = PACE.model_copy(update={"late_by": 3.0})
    async with system(database_url, temporal_server.address, home, policy=policy, pace=pace) as running:
        yield running


async def test_a_rejecting_node_is_left_out(shop: System) -> None:
    sku = shop.world.items[0].sku
    await shop.stock(sku, wh_columbus=2, store_austin=2)
    document = shop.order((sku, 2))
    order_id = shop.id_of(document)
    await shop.behave("reject", reference=f"{order_id}/f1")
    await shop.place(document)

    outcome = await shop.ended(order_id)

    assert (outcome.status, outcome.delivered_units, outcome.fulfillments) == ("delivered", 2, 2)
    first, second = (await shop.nodes(order_id)).values()
    assert {first, second} == {"wh-columbus", "store-austin"}
    assert await shop.free(sku) == {first: 2}
    did = shop.did(order_id)
    assert (did["task.rejected"], did["task.shipped"]) == (1, 1)
    rejected = await shop.rows(
        "SELECT status, request_status, excludes_node FROM fulfillment_order WHERE order_id = :o AND n = 1", o=order_id
    )
    assert rejected == [("cancelled", "rejected", True)]

    assessed = await shop.temporal.execute_workflow(
        "RiskAssessment", RiskInput(), id="risks", task_queue=BATCH_QUEUE, result_type=RiskResult
    )
    assert assessed.nodes == len(shop.world.nodes)
    risk = dict(await shop.rows("SELECT node_id, rejection_ppm FROM node_risk"))
    assert risk[first] > risk[second] > 0, "who did not fail is judged a little by who did"


async def test_units_wait_for_stock_when_every_node_rejects(shop: System) -> None:
    sku = shop.world.items[1].sku
    await shop.stock(sku, wh_columbus=2, store_austin=2, **{"3pl_reno": 2})
    document = shop.order((sku, 2))
    order_id = shop.id_of(document)
    await shop.behave("reject", reference=order_id)
    await shop.place(document)

    async def waits() -> bool:
        return (await shop.state(order_id)).backordered == 2

    await shop.until(waits)
    assert await shop.units(order_id) == {1: {"backordered": 2}}
    assert shop.did(order_id)["task.rejected"] == 2
    assert shop.did(order_id)["shipping_order.rejected"] == 1
    assert await shop.free(sku) == {"wh-columbus": 2, "store-austin": 2, "3pl-reno": 2}


async def test_a_silent_node_gives_back_and_another_ships(shop: System) -> None:
    sku = shop.world.items[2].sku
    await shop.stock(sku, wh_columbus=2, **{"3pl_reno": 2})
    document = shop.order((sku, 2))
    order_id = shop.id_of(document)
    await shop.behave("silent", reference=f"{order_id}/f1")
    await shop.place(document)

    outcome = await shop.ended(order_id)

    assert (outcome.status, outcome.delivered_units, outcome.fulfillments) == ("delivered", 2, 2)
    silent, _ = (await shop.nodes(order_id)).values()
    assert await shop.free(sku) == {silent: 2}
    did = shop.did(order_id)
    assert did["task.cancelled"] + did["shipping_order.cancelled"] == 1
    assert did["task.shipped"] + did["shipping_order.shipped"] == 1


async def test_a_node_that_answers_too_late_does_not_ship(shop: System) -> None:
    """It gave the work back before it looked at it: one parcel, from the other node."""
    sku = shop.world.items[3].sku
    await shop.stock(sku, wh_columbus=1, store_chicago=1)
    document = shop.order((sku, 1))
    order_id = shop.id_of(document)
    await shop.behave("late", reference=f"{order_id}/f1")
    await shop.place(document)

    outcome = await shop.ended(order_id)

    assert (outcome.delivered_units, outcome.fulfillments) == (1, 2)
    assert shop.did(order_id)["task.shipped"] == 1


@pytest.mark.parametrize(("ordered", "fewest"), [(6, 0), (1, 0)], ids=["some units", "zero units"])
async def test_what_was_shipped_short_comes_from_elsewhere(shop: System, ordered: int, fewest: int) -> None:
    sku = shop.world.items[4].sku
    await shop.stock(sku, wh_columbus=ordered, store_austin=ordered)
    document = shop.order((sku, ordered))
    order_id = shop.id_of(document)
    await shop.behave("short", reference=f"{order_id}/f1")
    await shop.place(document)

    outcome = await shop.ended(order_id)

    assert (outcome.status, outcome.delivered_units, outcome.fulfillments) == ("delivered", ordered, 2)
    first, second = (await shop.nodes(order_id)).values()
    assert first != second
    rows = await shop.rows("SELECT shipped, released FROM reservation WHERE order_id = :o ORDER BY owner", o=order_id)
    assert fewest <= rows[0].shipped < ordered
    assert rows[0].released == rows[1].shipped == ordered - rows[0].shipped
    money = await shop.money(order_id)
    assert money["captured"] == money["authorized"] == document.total_minor
