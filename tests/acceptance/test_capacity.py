"""A node ships so much a day: what comes after is promised for the next day it works, and shipped all the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.domain.calendars import local_day, working_day
from tests.support.discrepancies import reconcile
from tests.support.system import System

NODE = "store-austin"


async def limit(shop: System, units: int) -> None:
    today = datetime.now(UTC).date()
    days = "".join(f"{NODE},{today + timedelta(days=n)},,{units}\n" for n in range(40))
    await shop.doms.load({"capacity": f"node_id,day,service,units\n{days}".encode()})


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
