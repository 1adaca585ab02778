"""Orders of one recipient travel in one parcel: one label, the same tracking, each order's own money and end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.messages import CancelOrder
from tests.support.referee import disagreements
from tests.support.system import System

#: Long enough for the other order to come; the first timer that ends tells the node of both.
WINDOW = timedelta(seconds=2)


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
    assert await disagreements(shop.database, shop.log, [one, two]) == []
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
