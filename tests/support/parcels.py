"""Two orders and the parcel they share, taken through their stages by the repositories alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.consolidations_client import form
from shared.database import consolidations, labels
from shared.database.consolidations import Mate
from shared.database.fulfillment import Release, begin_release, finish_release
from shared.database.inbox import Taken
from shared.database.labels import Labelling, Parcel
from shared.gateways.partner_messages import (
    FulfillmentPacked,
    FulfillmentShipped,
    Package,
    ShippedLine,
    TrackingStatus,
    TrackingUpdated,
)
from shared.gateways.protocol import Label
from shared.messages import FulfillmentCall, Separate
from tests.support.facts import Facts

NODE = "wh-columbus"


async def planned(shop: Facts, customer: str, *, paid: bool = True) -> str:
    """An order of the customer, planned for the node, which was not told."""
    order_id = await shop.keep((shop.sku(0), 1), customer_ref=customer)
    await shop.source(order_id)
    if paid:
        await shop.pay(order_id, "authorize")
    return order_id


async def merged(shop: Facts, *order_ids: str) -> tuple[str, ...]:
    return await form(shop.database, [f"{order_id}/f1" for order_id in order_ids], because="test")


def call(order_id: str) -> FulfillmentCall:
    return FulfillmentCall(order_id=order_id, n=1)


async def released(shop: Facts, order_id: str) -> Release:
    async with shop.database.transaction() as connection:
        release = await begin_release(connection, call(order_id))
        await finish_release(connection, call(order_id), NODE)
    return release


async def packed(shop: Facts, order_id: str, *, weight_g: int = 400, parcel_no: int = 1) -> None:
    lines = (ShippedLine(line_no=1, sku=shop.sku(0), quantity=1),)
    package = Package(package_no=1, parcel_no=parcel_no, weight_g=weight_g, lines=lines)
    await from_node(shop, FulfillmentPacked(packages=(package,), **about(order_id, "packed")))


async def shipped(shop: Facts, order_id: str, label: Label) -> Taken:
    lines = (ShippedLine(line_no=1, sku=shop.sku(0), quantity=1),)
    package = Package(package_no=1, lines=lines, carrier=label.carrier, tracking_no=label.tracking_no)
    return await from_node(shop, FulfillmentShipped(packages=(package,), **about(order_id, "shipped")))


async def scanned(shop: Facts, label: Label, status: TrackingStatus) -> Taken:
    scan = TrackingUpdated(
        message_id=f"{status}:{label.tracking_no}", reference=label.tracking_no, at=datetime.now(UTC), status=status
    )
    return await shop.take(label.carrier, scan)


async def from_node(shop: Facts, message: Any) -> Taken:
    return await shop.take(shop.world.node(NODE).partner_id, message)


def about(order_id: str, what: str) -> dict[str, Any]:
    return {
        "message_id": f"{what}:{order_id}".replace("/", "."),
        "reference": f"{order_id}/f1",
        "at": datetime.now(UTC),
    }


async def labelling(shop: Facts, order_id: str, *, after: timedelta = timedelta(0)) -> Labelling:
    async with shop.database.transaction() as connection:
        return await labels.begin_labelling(connection, call(order_id), now=datetime.now(UTC) + after)


async def separated(shop: Facts, order_id: str) -> bool:
    async with shop.database.transaction() as connection:
        request = Separate(step_key=f"{order_id}/unmerge", order_id=order_id, actor="pia")
        return (await consolidations.separate(connection, request)).done


def sold(parcel: Parcel, cost_minor: int = 777) -> Label:
    return Label(
        label_id=f"lbl-{parcel.reference}",
        reference=parcel.reference,
        carrier="parcelpost",
        service="ground",
        tracking_no=f"PA{abs(hash(parcel.reference))}",
        cost_minor=cost_minor,
    )


async def bought(shop: Facts, work: Labelling) -> Parcel:
    """The labels are bought; the first parcel with its label."""
    parcels = []
    for parcel in work.parcels:
        async with shop.database.transaction() as connection:
            parcels.append(await labels.record_label(connection, parcel.reference, sold(parcel)))
    return parcels[0]


async def packed_together(shop: Facts, ada: str) -> tuple[str, str]:
    """Two orders packed into one parcel, whose label nobody buys yet."""
    one, two = await planned(shop, ada), await planned(shop, ada)
    await merged(shop, one, two)
    for order_id in (one, two):
        await released(shop, order_id)
        await packed(shop, order_id)
    return one, two


async def on_the_way(shop: Facts, ada: str) -> tuple[str, str, Label]:
    """Two orders packed into one parcel, with its label."""
    one, two = await packed_together(shop, ada)
    label = (await bought(shop, await labelling(shop, two))).label()
    assert label is not None
    return one, two, label


async def packages(shop: Facts, *order_ids: str) -> dict[str, tuple[str, int]]:
    """The label's status and the share of its cost, by package."""
    statement = "SELECT package_id, label_status, label_cost_minor FROM package WHERE order_id = ANY(:o) ORDER BY 1"
    rows = await shop.rows(statement, o=list(order_ids))
    return {row.package_id: (row.label_status, row.label_cost_minor) for row in rows}


async def waiting(shop: Facts, order_id: str) -> list[Mate]:
    async with shop.database.reading() as connection:
        return await consolidations.waiting(connection, order_id)


async def somebody_waits(shop: Facts) -> None:
    async with asyncio.timeout(60):
        while not await shop.rows(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.01)
