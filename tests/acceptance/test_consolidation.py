"""Orders of one recipient travel in one parcel: one label, the same tracking, each order's own money and end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared import consolidations_client
from shared.database.steps import lock_order
from shared.errors import Conflict
from shared.messages import CancelOrder, Unmerge, Wake, order_workflow_id
from shared.order_processes import OrderProcesses
from tests.support.discrepancies import reconcile, terminate_process
from tests.support.referee import disagreements
from tests.support.system import System

#: Long enough for the other order to come; the first timer that ends tells the node of both.
WINDOW = timedelta(seconds=3)
CARRIERS = ("parcelpost", "swiftship")


async def pair(shop: System, sku: str, customer: str, *, second: str = "") -> tuple[str, str]:
    """Two orders of one customer, planned for one node."""
    await shop.stock(sku, wh_columbus=9)
    if second:
        await shop.stock(second, wh_columbus=9)
    one = await shop.place(shop.order((sku, 1), customer_ref=customer))
    two = await shop.place(shop.order((second or sku, 2), customer_ref=customer))
    return one, two


async def parcels(shop: System, *order_ids: str) -> list[Any]:
    return await shop.rows(
        """SELECT order_id, package_id, label_id, tracking_no, label_status, label_cost_minor, label_reference, weight_g
           FROM package WHERE order_id = ANY(:o) ORDER BY package_id""",
        o=list(order_ids),
    )


async def agreed(shop: System) -> None:
    """The partners' log, the facts and the invariants tell the same of every order so far, all of which are over."""
    orders = [row.order_id for row in await shop.rows("SELECT order_id FROM orders")]
    assert await disagreements(shop.database, shop.log, orders) == []


def bought(shop: System, *label_ids: str) -> list[int]:
    """What the carriers took for these labels."""
    return [e.amount or 0 for e in shop.effects() if e.effect == "label.bought" and e.business_key in label_ids]


async def test_two_orders_of_one_recipient_travel_under_one_label(shop: System) -> None:
    sku, other = shop.world.items[0].sku, shop.world.items[1].sku
    async with shop.policy(release_after=WINDOW, consolidate=True):
        one, two = await pair(shop, sku, "ada", second=other)
    assert [each.order_id for each in await shop.doms.list_orders(merged=True)] == [two, one]

    for order_id in (one, two):
        assert (await shop.ended(order_id)).status == "delivered"

    rows = await parcels(shop, one, two)
    assert len(rows) == 2
    assert len({(row.label_id, row.tracking_no, row.label_status) for row in rows}) == 1
    assert bought(shop, rows[0].label_id) == [sum(row.label_cost_minor for row in rows)]
    assert sum(1 for e in shop.effects() if e.effect == "label.used" and e.business_key == rows[0].label_id) == 1
    for order_id in (one, two):
        story = await shop.doms.get(order_id)
        assert (await shop.money(order_id))["captured"] == story.total_minor
        assert story.fulfillments[0].consolidation is not None
        assert {"merged", "label bought", "shipped", "parcel delivered"} <= {event.event for event in story.timeline}
        assert await shop.cases(order_id) == []
    await agreed(shop)
    assert await shop.doms.list_orders(merged=True) == []


async def test_one_is_cancelled_before_the_label(shop: System) -> None:
    sku = shop.world.items[2].sku
    async with shop.policy(release_after=WINDOW, consolidate=True):
        one, two = await pair(shop, sku, "bob")
    assert (await shop.doms.cancel(two, CancelOrder(actor="pia", reason="wrong size"))).done

    assert (await shop.ended(two)).status == "cancelled"
    assert (await shop.ended(one)).status == "delivered"
    (row,) = await parcels(shop, one, two)
    assert bought(shop, row.label_id) == [row.label_cost_minor]
    assert (await shop.doms.get(one)).fulfillments[0].consolidation is None


async def test_one_is_rejected_after_both_were_told(shop: System) -> None:
    sku = shop.world.items[3].sku
    await shop.stock(sku, wh_columbus=9, store_austin=9)
    async with shop.policy(release_after=WINDOW, consolidate=True):
        one, two = [shop.order((sku, 1), customer_ref="eve") for _ in range(2)]
        await shop.behave("reject", reference=f"{shop.id_of(two)}/f1")
        first, second = await shop.place(one), await shop.place(two)

    for order_id in (first, second):
        assert (await shop.ended(order_id)).delivered_units == 1
    rows = await parcels(shop, first, second)
    assert len({row.label_id for row in rows}) == 2
    await agreed(shop)


async def test_staff_merge_and_take_apart(shop: System) -> None:
    sku = shop.world.items[4].sku
    async with shop.policy(release_after=WINDOW):
        one, two = await pair(shop, sku, "kim")
        stranger = await shop.place(shop.order((sku, 1), customer_ref="lou"))
    with pytest.raises(Conflict, match="different recipients"):
        await consolidations_client.merge(shop.doms, [one, stranger])
    merged = await consolidations_client.merge(shop.doms, [one, two, stranger], reason="the customer asked")
    assert [set(owners) for owners in merged.parcels.values()] == [{f"{one}/f1", f"{two}/f1"}]
    outcome = await consolidations_client.unmerge(shop.doms, two, Unmerge(actor="pia", reason="a gift"))
    assert outcome.done
    again = await consolidations_client.unmerge(shop.doms, two, Unmerge(actor="pia"))
    assert not again.done

    for order_id in (one, two, stranger):
        assert (await shop.ended(order_id)).status == "delivered"
    assert len({row.label_id for row in await parcels(shop, one, two)}) == 2
    with pytest.raises(Conflict):
        await consolidations_client.unmerge(shop.doms, two, Unmerge(actor="pia"))


async def test_a_label_that_is_refused_is_tried_again_for_all_who_share_it(shop: System) -> None:
    """Somebody is told, and has the carriers sell again; the mate of who buys is gone and finds the label later."""
    sku = shop.world.items[6].sku
    for carrier in CARRIERS:
        await shop.fault(carrier, "refuse", path="labels")
    async with shop.policy(release_after=WINDOW, consolidate=True):
        placed = await pair(shop, sku, "zoe")

    async def refused() -> bool:
        return any(["label" in await shop.cases(order_id) for order_id in placed])

    await shop.until(refused)
    for carrier in CARRIERS:
        await shop.fault(carrier, "ok", path="labels")
    sealed_by = "SELECT sealed_by FROM consolidation JOIN consolidation_member USING (consolidation_id) "
    buyer = await shop.value(f"{sealed_by} WHERE fulfillment_order_id = :f", f=f"{placed[0]}/f1")
    buys, mate = sorted(placed, key=lambda order_id: not buyer.startswith(order_id))
    await terminate_process(shop, mate)
    await shop.doms.wake(order_workflow_id(buys), Wake(kind="label_due", n=1))
    await shop.stage(buys, 1, "labelled")
    await OrderProcesses(shop.temporal, shop.database).restart(mate)
    await shop.until(lambda: told_again(shop, mate))
    for order_id in placed:
        assert (await shop.ended(order_id)).status == "delivered"
    rows = await parcels(shop, *placed)
    assert len({row.label_id for row in rows}) == 1
    assert bought(shop, rows[0].label_id) == [sum(row.label_cost_minor for row in rows)]


async def told_again(shop: System, order_id: str) -> bool:
    """Whether a reconciliation has told the order's process all that it was told before."""
    await reconcile(shop)
    owed = "SELECT FROM message_in WHERE order_id = :o AND wake IS NOT NULL AND signalled_at IS NULL"
    return not await shop.rows(owed, o=order_id)


async def test_a_worker_that_dies_between_purchase_and_record_buys_nothing_twice(shop: System) -> None:
    """The carrier's answer is lost, and the next attempt dies before it has written down what it found."""
    sku = shop.world.items[5].sku
    for carrier in CARRIERS:
        await shop.fault(carrier, "error500_after_effect")
    before = len([e for e in shop.effects() if e.effect == "label.bought"])
    async with shop.policy(release_after=WINDOW, consolidate=True):
        one, two = await pair(shop, sku, "mia")

    async def was_bought() -> bool:
        return len([e for e in shop.effects() if e.effect == "label.bought"]) > before

    await shop.until(was_bought)
    async with shop.database.transaction() as connection:
        await lock_order(connection, one)
        for carrier in CARRIERS:
            await shop.fault(carrier, "ok")
        await shop.until(lambda: killed_who_waits(shop))

    for order_id in (one, two):
        assert (await shop.ended(order_id)).status == "delivered"
    rows = await parcels(shop, one, two)
    assert len({row.label_id for row in rows}) == 1
    assert len([e for e in shop.effects() if e.effect == "label.bought"]) == before + 1
    assert sum(row.label_cost_minor for row in rows) == bought(shop, rows[0].label_id)[0]
    await agreed(shop)


async def killed_who_waits(shop: System) -> bool:
    """End the connection that waits for a lock, if there is one."""
    ended = await shop.rows("""
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """)
    return bool(ended)
