"""Cancelling: what no node was told of at once, the rest if its node agrees, and never what has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from shared.domain.orders import PaymentMethod
from shared.errors import Conflict, NotFound
from shared.gateways.partner_messages import FulfillmentShipped, Package, ShippedLine, TrackingStatus, TrackingUpdated
from shared.messages import CancelOrder, CommandOutcome, LineQuantity, ReleaseHold
from tests.support.system import PACE, System, system
from workers.stack.temporal import EmbeddedTemporal

EVERYTHING = CancelOrder(actor="pia", reason="customer called")


@pytest.fixture(scope="module")
async def shop(
    database_url: str, temporal_server: EmbeddedTemporal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """Nodes take their time between packing and shipping: then they no longer give anything back."""
    pace = PACE.model_copy(update={"ship_after": 1.0})
    async with system(database_url, temporal_server.address, tmp_path_factory.mktemp("shop"), pace=pace) as running:
        yield running


def only(*lines: tuple[int, int]) -> CancelOrder:
    return CancelOrder(actor="pia", lines=tuple(LineQuantity(line_no=n, quantity=units) for n, units in lines))


async def held(shop: System, *lines: tuple[str, int]) -> tuple[str, str]:
    """An order that waits for its payment: nothing of it was released. Returns its id and its hold's."""
    document = shop.order(*lines)
    token = PaymentMethod(token=f"tok_decline_once-{document.channel_order_id}")
    order_id = await shop.place(document.model_copy(update={"payment": token}))
    state = await shop.until_state(order_id, lambda state: state.holds)
    return order_id, state.holds[0].hold_id


async def released(shop: System, sku: str, units: int, behaviour: str = "silent") -> str:
    """An order whose one fulfillment order its node has and does nothing about."""
    document = shop.order((sku, units))
    order_id = shop.id_of(document)
    await shop.behave(behaviour, reference=f"{order_id}/f1")
    await shop.place(document)
    await shop.stage(order_id, 1, "requested")
    return order_id


def shipped(order_id: str, sku: str, units: int, tracking_no: str) -> FulfillmentShipped:
    package = Package(
        package_no=1,
        lines=(ShippedLine(line_no=1, sku=sku, quantity=units),),
        carrier="parcelpost",
        tracking_no=tracking_no,
    )
    return FulfillmentShipped(
        message_id=f"test:{tracking_no}", reference=f"{order_id}/f1", at=datetime.now(UTC), packages=(package,)
    )


def delivered(tracking_no: str) -> TrackingUpdated:
    return TrackingUpdated(
        message_id=f"test:{tracking_no}:delivered",
        reference=tracking_no,
        at=datetime.now(UTC),
        status=TrackingStatus.DELIVERED,
    )


# --- before release -------------------------------------------------------------------------------------


async def test_a_whole_order_before_release(shop: System) -> None:
    sku = shop.world.items[0].sku
    await shop.stock(sku, wh_columbus=2, store_austin=1)
    order_id, _ = await held(shop, (sku, 3))

    answer = await shop.doms.cancel(order_id, EVERYTHING)

    assert (answer.done, answer.units, answer.refused) == (True, 3, ())
    assert (await shop.ended(order_id)).status == "cancelled"
    assert await shop.free(sku) == {"wh-columbus": 2, "store-austin": 1}
    assert shop.did(order_id) == {"payment.declined": 1}


async def test_lines_and_quantities_before_release(shop: System) -> None:
    first, second = shop.world.items[1].sku, shop.world.items[2].sku
    await shop.stock(first, wh_columbus=4)
    await shop.stock(second, wh_columbus=1)
    order_id, hold_id = await held(shop, (first, 4), (second, 1))

    answer = await shop.doms.cancel(order_id, only((1, 3), (2, 1)))

    assert (answer.done, answer.units, answer.refused) == (True, 4, ())
    assert await shop.units(order_id) == {1: {"allocated": 1, "cancelled": 3}, 2: {"cancelled": 1}}
    await shop.doms.release(order_id, ReleaseHold(actor="pia", hold_id=hold_id))
    outcome = await shop.ended(order_id)
    assert (outcome.delivered_units, outcome.cancelled_units) == (1, 4)
    assert await shop.free(first) == {"wh-columbus": 3}


async def test_what_the_order_does_not_have(shop: System) -> None:
    sku = shop.world.items[3].sku
    await shop.stock(sku, wh_columbus=2)
    order_id, _ = await held(shop, (sku, 2))

    unknown = await shop.doms.cancel(order_id, only((9, 1)))
    too_many = await shop.doms.cancel(order_id, only((1, 5)))

    assert (unknown.done, unknown.units, len(unknown.refused)) == (False, 0, 1)
    assert "does not have 1 of these units" in unknown.refused[0]
    assert (too_many.done, too_many.units) == (True, 2)
    assert "does not have 3 of these units" in too_many.refused[0]
    assert (await shop.ended(order_id)).cancelled_units == 2


async def test_an_order_that_is_over_or_was_never_placed(shop: System) -> None:
    sku = shop.world.items[3].sku
    await shop.stock(sku, wh_columbus=1)
    order_id = await shop.place(shop.order((sku, 1)))
    await shop.ended(order_id)

    with pytest.raises(Conflict):
        await shop.doms.cancel(order_id, EVERYTHING)
    with pytest.raises(NotFound):
        await shop.doms.cancel("webshop/never", EVERYTHING)


# --- after release --------------------------------------------------------------------------------------


async def test_a_node_that_has_not_packed_agrees(shop: System) -> None:
    sku = shop.world.items[4].sku
    await shop.stock(sku, wh_columbus=2)
    order_id = await released(shop, sku, 2)

    answer = await shop.doms.cancel(order_id, EVERYTHING)

    assert (answer.done, answer.units, answer.refused) == (True, 2, ())
    assert (await shop.ended(order_id)).status == "cancelled"
    assert shop.did(order_id)["task.cancelled"] == 1
    assert await shop.free(sku) == {"wh-columbus": 2}
    money = await shop.money(order_id)
    assert money["voided"] == money["authorized"] > 0


async def test_a_node_that_has_packed_refuses_and_ships(shop: System) -> None:
    sku = shop.world.items[5].sku
    await shop.stock(sku, vnd_alder=2)
    order_id = await shop.place(shop.order((sku, 2)))
    await shop.until_did(order_id, "purchase_order.packed")

    answer = await shop.doms.cancel(order_id, EVERYTHING)

    assert (answer.done, answer.units) == (False, 0)
    assert answer.refused == ("vnd-alder does not give fulfillment order 1 back: it ships",)
    outcome = await shop.ended(order_id)
    assert (outcome.status, outcome.delivered_units) == ("delivered", 2)
    assert "cancel refused" in await shop.events(order_id)
    assert (await shop.money(order_id))["voided"] == 0


async def test_part_of_what_a_node_has(shop: System) -> None:
    """A node gives back all or nothing: what was not cancelled is sourced again."""
    sku = shop.world.items[6].sku
    await shop.stock(sku, wh_columbus=5)
    order_id = await released(shop, sku, 5)

    answer = await shop.doms.cancel(order_id, only((1, 2)))

    assert (answer.done, answer.units, answer.refused) == (True, 2, ())
    outcome = await shop.ended(order_id)
    assert (outcome.delivered_units, outcome.cancelled_units, outcome.fulfillments) == (3, 2, 2)
    assert await shop.nodes(order_id) == {1: "wh-columbus", 2: "wh-columbus"}
    assert await shop.free(sku) == {"wh-columbus": 2}


async def test_the_next_node_is_asked_when_one_refuses(shop: System) -> None:
    sku = shop.world.items[7].sku
    await shop.stock(sku, vnd_alder=3, wh_columbus=2)
    document = shop.order((sku, 5))
    order_id = shop.id_of(document)
    await shop.behave("silent", node_id="wh-columbus")
    try:
        await shop.place(document)
        await shop.until_did(order_id, "purchase_order.packed")
        await shop.until_did(order_id, "task.taken")
        answer = await shop.doms.cancel(order_id, only((1, 2)))
    finally:
        await shop.behave("accept", node_id="wh-columbus")

    assert (answer.done, answer.units) == (True, 2)
    assert len(answer.refused) == 1
    assert answer.refused[0].startswith("vnd-alder")
    outcome = await shop.ended(order_id)
    assert (outcome.delivered_units, outcome.cancelled_units) == (3, 2)


async def test_a_line_that_has_left(shop: System) -> None:
    gone, waiting = shop.world.items[8].sku, shop.world.items[9].sku
    await shop.stock(gone, wh_columbus=1)
    await shop.stock(waiting)
    order_id = await shop.place(shop.order((gone, 1), (waiting, 1)))
    await shop.until_did(order_id, "task.shipped")
    await shop.stage(order_id, 1, "in_transit", "done")

    late = await shop.doms.cancel(order_id, only((1, 1)))
    assert (late.done, late.refused) == (False, ("1 units have left: return them instead",))

    rest = await shop.doms.cancel(order_id, EVERYTHING)
    assert (rest.done, rest.units, rest.refused) == (True, 1, ("1 units have left: return them instead",))
    outcome = await shop.ended(order_id)
    assert (outcome.delivered_units, outcome.cancelled_units) == (1, 1)


# --- a cancellation and a ship confirm: exactly one of the two --------------------------------------------


async def test_the_ship_confirm_comes_first(shop: System) -> None:
    sku = shop.world.items[10].sku
    await shop.stock(sku, vnd_alder=2)
    order_id = await released(shop, sku, 2)
    assert await shop.tell("vnd-alder", shipped(order_id, sku, 2, "RACE1")) == 204

    answer = await shop.doms.cancel(order_id, EVERYTHING)

    assert (answer.done, answer.refused) == (False, ("2 units have left: return them instead",))
    assert await shop.tell("parcelpost", delivered("RACE1")) == 204
    outcome = await shop.ended(order_id)
    assert (outcome.delivered_units, outcome.cancelled_units) == (2, 0)
    assert (await shop.money(order_id))["voided"] == 0


async def test_the_cancellation_comes_first(shop: System) -> None:
    sku = shop.world.items[11].sku
    await shop.stock(sku, vnd_alder=2)
    order_id = await released(shop, sku, 2)
    answer = await shop.doms.cancel(order_id, EVERYTHING)
    assert (answer.done, answer.units) == (True, 2)
    outcome = await shop.ended(order_id)

    assert await shop.tell("vnd-alder", shipped(order_id, sku, 2, "RACE2")) == 204

    assert (outcome.status, outcome.cancelled_units) == ("cancelled", 2)
    assert await shop.cases(order_id) == ["shipped_after_cancel"]
    assert (await shop.money(order_id))["captured"] == 0
    await shop.settled(order_id)


async def test_the_ship_confirm_overtakes_a_cancellation_under_way(shop: System) -> None:
    """The node agrees to give back what it has shipped already: what it did wins over what it says."""
    sku = shop.world.items[12].sku
    await shop.stock(sku, vnd_maple=2)
    order_id = await released(shop, sku, 2)
    await shop.fault("vnd-maple", "down")
    cancelling: asyncio.Task[CommandOutcome] = asyncio.create_task(shop.doms.cancel(order_id, EVERYTHING))

    async def asked() -> bool:
        status = "SELECT request_status FROM fulfillment_order WHERE order_id = :o"
        return bool(await shop.value(status, o=order_id) == "cancel_requested")

    await shop.until(asked)
    assert await shop.tell("vnd-maple", shipped(order_id, sku, 2, "RACE3")) == 204
    await shop.fault("vnd-maple", "ok")

    answer = await cancelling
    assert (answer.done, answer.units) == (False, 0)
    assert await shop.tell("parcelpost", delivered("RACE3")) == 204
    outcome = await shop.ended(order_id)
    assert (outcome.delivered_units, outcome.cancelled_units) == (2, 0)
    assert await shop.cases(order_id) == []


@pytest.mark.parametrize("turn", range(6))
async def test_whatever_the_timing_there_is_one_outcome(shop: System, turn: int) -> None:
    sku = shop.world.items[13 + turn].sku
    await shop.stock(sku, vnd_alder=1)
    order_id = await released(shop, sku, 1)
    tracking_no = f"TURN{turn}"

    async def ship() -> None:
        assert await shop.tell("vnd-alder", shipped(order_id, sku, 1, tracking_no)) == 204
        assert await shop.tell("parcelpost", delivered(tracking_no)) == 204

    async def cancel() -> CommandOutcome | None:
        try:
            return await shop.doms.cancel(order_id, EVERYTHING)
        except Conflict:  # delivered before the command came
            return None

    racers = [ship(), cancel()] if turn % 2 else [cancel(), ship()]
    await asyncio.gather(*racers)

    outcome = await shop.ended(order_id)
    money = await shop.money(order_id)
    if outcome.delivered_units:
        assert (outcome.cancelled_units, money["voided"]) == (0, 0)
        assert await shop.cases(order_id) == []
    else:
        assert (outcome.cancelled_units, money["captured"]) == (1, 0)
        assert await shop.cases(order_id) == ["shipped_after_cancel"]
