"""A node is not told of what was planned for it before its window is over."""

from __future__ import annotations

from datetime import timedelta

from shared.messages import CancelOrder, PlaceHold, ReleaseHold, Reroute
from tests.support.system import System

SHORT, LONG = timedelta(seconds=2), timedelta(hours=12)


async def told(shop: System, order_id: str) -> str:
    """What the order waits for, in one piece."""
    return "; ".join((await shop.doms.get(order_id)).waits_for)


async def test_the_node_is_told_when_the_window_is_over(shop: System) -> None:
    sku = shop.world.items[0].sku
    await shop.stock(sku, wh_columbus=2)
    async with shop.policy(release_after=SHORT):
        order_id = await shop.place(shop.order((sku, 2)))
    assert (await shop.ended(order_id)).delivered_units == 2
    ((window, submitted, planned),) = await shop.rows(
        "SELECT release_at, submitted_at, created_at FROM fulfillment_order WHERE order_id = :o", o=order_id
    )
    assert window <= submitted
    assert window - planned < 2 * SHORT


async def test_in_the_window_staff_hold_cancel_and_send_elsewhere_as_ever(shop: System) -> None:
    sku = shop.world.items[1].sku
    await shop.stock(sku, wh_columbus=3)
    async with shop.policy(release_after=LONG):
        order_id = await shop.place(shop.order((sku, 3)))
    await shop.until_did(order_id, "payment.authorized")
    assert "not before" in await told(shop, order_id)
    hold = (await shop.doms.hold(order_id, PlaceHold(actor="pia", reason="call back"))).message
    assert (await shop.doms.release(order_id, ReleaseHold(actor="pia", hold_id=hold))).done
    assert (await shop.doms.cancel(order_id, CancelOrder(actor="pia", lines=({"line_no": 1, "quantity": 1},)))).done
    assert await shop.free(sku) == {"wh-columbus": 1}
    assert shop.did(order_id)["task.taken"] == 0, "the window lasts, whatever staff do meanwhile"

    await shop.stock(sku, store_austin=2)
    answer = await shop.doms.reroute(order_id, Reroute(actor="pia", n=1, to_node="store-austin"))
    assert answer.done, "what staff send somewhere does not wait"
    assert (await shop.ended(order_id)).delivered_units == 2
    assert (await shop.nodes(order_id))[2] == "store-austin"
