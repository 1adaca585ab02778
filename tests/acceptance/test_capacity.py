"""A node ships so much a day: what comes after is promised for the next day it works, and shipped all the same."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from shared.domain.calendars import local_day, ready_by, working_day
from shared.domain.orders import PaymentMethod
from shared.messages import CancelOrder
from tests.support.discrepancies import reconcile
from tests.support.system import System

NODE, OTHER = "store-austin", "store-chicago"


async def limit(shop: System, units: int, *, node: str = NODE, on: date | None = None) -> None:
    """Set every day of the weeks that are looked at, or one."""
    today = datetime.now(UTC).date()
    days = [on] if on else [today + timedelta(days=n) for n in range(40)]
    rows = "".join(f"{node},{day},,{units}\n" for day in days)
    await shop.doms.load({"capacity": f"node_id,day,service,units\n{rows}".encode()})


async def test_promises_follow_the_days_with_room(shop: System) -> None:
    sku = shop.world.items[0].sku
    await shop.stock(sku, store_austin=9)
    await limit(shop, 1)
    node = shop.world.node(NODE)

    verdicts = [await shop.doms.submit(shop.order((sku, 1))) for _ in range(2)]

    handed_over = [
        await shop.value("SELECT ship_by FROM fulfillment_order WHERE order_id = :o", o=verdict.order_id)
        for verdict in verdicts
    ]
    first, second = (local_day(at, node.place.time_zone) for at in handed_over)
    assert second == working_day(node.calendar, first, 1)
    early, late = (verdict.promised_at for verdict in verdicts)
    assert early is not None
    assert late is not None
    assert late > early
    for verdict in verdicts:
        outcome = await shop.ended(verdict.order_id)
        assert (outcome.status, outcome.delivered_units) == ("delivered", 1)
    days = await shop.rows("SELECT day, reserved, consumed FROM capacity_use WHERE node_id = :n ORDER BY day", n=NODE)
    assert [tuple(day) for day in days] == [(first, 0, 1), (second, 0, 1)]
    assert (await reconcile(shop)).breaks == 0


async def test_who_waits_for_a_day_has_the_next_that_frees_up_by_priority(shop: System) -> None:
    """Nobody looks by the clock here: orders are told of room, first the one that came last and is served first."""
    sku = shop.world.items[1].sku
    await shop.stock(sku, store_chicago=9)
    node = shop.world.node(OTHER)
    ready = ready_by(node, datetime.now(UTC))
    assert ready is not None
    first = local_day(ready, node.place.time_zone)
    await limit(shop, 0, node=OTHER)
    await limit(shop, 1, node=OTHER, on=first)
    document = shop.order((sku, 1))
    declined = PaymentMethod(token=f"tok_decline_once-{document.channel_order_id}")
    unpaid = await shop.place(document.model_copy(update={"payment": declined}))
    async with shop.policy(backorder_retry=timedelta(days=300)):
        early = await shop.place(shop.order((sku, 1), priority=3))
        vip = await shop.place(shop.order((sku, 1), priority=1))
    assert [(await shop.state(order_id)).backordered for order_id in (unpaid, early, vip)] == [0, 1, 1]

    await shop.doms.cancel(unpaid, CancelOrder(actor="pia", reason="never paid"))
    assert (await shop.ended(vip)).delivered_units == 1
    assert (await shop.state(early)).backordered == 1

    await limit(shop, 2, node=OTHER, on=first)
    assert (await shop.ended(early)).delivered_units == 1
    assert (await reconcile(shop)).breaks == 0
