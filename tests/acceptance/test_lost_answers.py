"""Partners that do the work and lose the answer, or are away for a while: each effect once, and nobody else waits."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowUpdateStage

from shared.domain.orders import PaymentMethod
from shared.messages import CancelOrder, CommandOutcome, LineQuantity, ReturnRequest
from tests.support.system import System

LOST = pytest.mark.parametrize("mode", ["drop_response", "error500_after_effect"])
CARRIERS = ("parcelpost", "swiftship")


@LOST
async def test_every_answer_on_the_way_out_is_lost_once(shop: System, mode: str) -> None:
    sku = shop.world.items[0].sku
    await shop.stock(sku, wh_columbus=2)
    for partner in ("payments", "wh-columbus", *CARRIERS):
        await shop.fault(partner, mode)
    document = shop.order((sku, 2))
    order_id = await shop.place(document)
    await shop.until_did(order_id, "payment.authorized")
    await shop.fault("payments", "ok")
    await shop.until_did(order_id, "task.taken")
    await shop.fault("payments", mode)
    await shop.fault("wh-columbus", "ok")
    await shop.until_did(order_id, "label.bought")
    for carrier in CARRIERS:
        await shop.fault(carrier, "ok")
    await shop.until_did(order_id, "payment.captured")
    await shop.fault("payments", "ok")

    outcome = await shop.ended(order_id)

    assert (outcome.status, outcome.delivered_units) == ("delivered", 2)
    did = shop.did(order_id)
    once = ("payment.authorized", "payment.captured", "task.taken", "label.bought", "task.shipped")
    assert [did[effect] for effect in once] == [1] * len(once)
    assert (await shop.money(order_id))["captured"] == document.total_minor
    assert await shop.cases(order_id) == []


@LOST
async def test_answers_lost_on_the_way_back(shop: System, mode: str) -> None:
    """A cancellation the node agreed to, and the void of the money."""
    sku = shop.world.items[1].sku
    await shop.stock(sku, wh_columbus=2)
    document = shop.order((sku, 2))
    order_id = shop.id_of(document)
    await shop.behave("silent", reference=order_id)
    await shop.place(document)
    await shop.stage(order_id, 1, "requested")
    await shop.fault("wh-columbus", mode)
    await shop.fault("payments", mode)
    handle = await shop.handle(order_id).start_update(
        "cancel", CancelOrder(actor="pia"), result_type=CommandOutcome, wait_for_stage=WorkflowUpdateStage.ACCEPTED
    )
    await shop.until_did(order_id, "task.cancelled")
    await shop.fault("wh-columbus", "ok")
    await shop.until_did(order_id, "payment.voided")
    await shop.fault("payments", "ok")

    assert (await handle.result()).units == 2
    assert (await shop.ended(order_id)).status == "cancelled"
    did = shop.did(order_id)
    assert (did["task.cancelled"], did["payment.voided"]) == (1, 1)


async def test_a_refund_and_a_notice_whose_answers_are_lost(shop: System) -> None:
    sku = shop.world.items[2].sku
    await shop.stock(sku, wh_columbus=1)
    order_id = await shop.place(shop.order((sku, 1)))
    await shop.ended(order_id)
    await shop.fault("wh-columbus", "error500_after_effect")
    await shop.fault("payments", "error500_after_effect")

    lines = (LineQuantity(line_no=1, quantity=1),)
    await shop.doms.return_units(ReturnRequest(actor="pia", order_id=order_id, lines=lines))
    await shop.until_did(order_id, "return.expected")
    await shop.fault("wh-columbus", "ok")
    await shop.until_did(order_id, "payment.refunded")
    await shop.fault("payments", "ok")

    async def closed() -> bool:
        status = "SELECT status FROM return_order WHERE order_id = :o"
        return bool(await shop.value(status, o=order_id) == "closed")

    await shop.until(closed)
    did = shop.did(order_id)
    assert (did["return.expected"], did["payment.refunded"]) == (1, 1)
    await shop.settled(order_id)


@LOST
async def test_a_node_rejects_and_its_receipt_is_lost(shop: System, mode: str) -> None:
    """By the time the request is repeated the node has said no: its units still go elsewhere."""
    sku = shop.world.items[3].sku
    await shop.stock(sku, wh_columbus=1, store_austin=1)
    document = shop.order((sku, 1))
    order_id = shop.id_of(document)
    await shop.behave("reject", reference=f"{order_id}/f1")
    for node_id in ("wh-columbus", "store-austin"):
        await shop.fault(node_id, mode)
    await shop.place(document)
    await shop.until_did(order_id, "task.rejected")
    for node_id in ("wh-columbus", "store-austin"):
        await shop.fault(node_id, "ok")

    outcome = await shop.ended(order_id)

    assert (outcome.delivered_units, outcome.fulfillments) == (1, 2)
    assert shop.did(order_id)["task.taken"] == 2


async def test_a_refused_request_goes_elsewhere_with_a_case(shop: System) -> None:
    """The node was told to forget the reference before its request came: it will never take it."""
    sku = shop.world.items[4].sku
    await shop.stock(sku, wh_columbus=1, store_austin=1)
    document = shop.order((sku, 1), payment=PaymentMethod(token="tok_ok"))
    order_id = shop.id_of(document)
    for node_id in ("wh-columbus", "store-austin"):
        await shop.forestall(node_id, f"{order_id}/f1")
    await shop.place(document)

    outcome = await shop.ended(order_id)

    assert (outcome.delivered_units, outcome.fulfillments) == (1, 2)
    assert await shop.cases(order_id) == ["request_refused"]


async def test_a_partner_that_is_away_keeps_only_its_own_orders_waiting(shop: System) -> None:
    away, near = shop.world.items[5].sku, shop.world.items[6].sku
    await shop.stock(away, vnd_alder=1)
    await shop.stock(near, wh_columbus=9)
    await shop.fault("vnd-alder", "down")
    waiting = await shop.place(shop.order((away, 1)))
    both = await shop.place(shop.order((away, 1), (near, 1)))
    others = [await shop.place(shop.order((near, 2))) for _ in range(4)]

    for order_id in others:
        assert (await shop.ended(order_id)).delivered_units == 2
    assert shop.did(waiting)["purchase_order.taken"] == 0

    async def near_came() -> bool:
        return bool((await shop.units(both))[2] == {"delivered": 1})

    await shop.until(near_came)
    await shop.fault("vnd-alder", "ok")
    assert (await shop.ended(waiting)).delivered_units == 1
