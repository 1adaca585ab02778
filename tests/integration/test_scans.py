"""Scans of parcels: each carrier's numbers are its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from shared.gateways.partner_messages import FulfillmentShipped, Package, ShippedLine, TrackingStatus, TrackingUpdated
from tests.support.facts import Facts

ONE, OTHER = "parcelpost", "swiftship"


@pytest.fixture(scope="module")
async def shop(database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(database_url)
    await facts.stock(facts.sku(), wh_columbus=20)
    yield facts
    await facts.database.close()


@pytest.fixture
def number() -> str:
    return uuid.uuid4().hex[:12]


async def scan(shop: Facts, carrier: str, number: str) -> None:
    said = TrackingUpdated(
        message_id=uuid.uuid4().hex, reference=number, at=datetime.now(UTC), status=TrackingStatus.DELIVERED
    )
    await shop.take(carrier, said)


async def ship(shop: Facts, carrier: str, number: str) -> str:
    """An order shipped in a parcel of this number."""
    order_id = await shop.keep((shop.sku(), 1))
    await shop.source(order_id)
    await shop.pay(order_id, "authorize")
    await shop.release(order_id)
    (f,) = await shop.live(order_id)
    lines = (ShippedLine(line_no=1, sku=shop.sku(), quantity=1),)
    said = FulfillmentShipped(
        message_id=uuid.uuid4().hex,
        reference=f.fulfillment_order_id,
        at=datetime.now(UTC),
        packages=(Package(package_no=1, lines=lines, carrier=carrier, tracking_no=number),),
    )
    await shop.take(shop.world.node(f.node_id).partner_id, said)
    return order_id


async def delivered(shop: Facts, order_id: str) -> int:
    return (await shop.tell(order_id)).units.delivered


async def test_an_early_scan_is_not_in_the_way_of_another_carriers_parcel(shop: Facts, number: str) -> None:
    await scan(shop, OTHER, number)
    order_id = await ship(shop, ONE, number)
    assert await delivered(shop, order_id) == 0
    assert await delivered(shop, await ship(shop, OTHER, number)) == 1
    assert await delivered(shop, order_id) == 0


async def test_each_carrier_scans_its_own_parcel_of_a_number(shop: Facts, number: str) -> None:
    by_carrier = {carrier: await ship(shop, carrier, number) for carrier in (ONE, OTHER)}
    for carrier, order_id in by_carrier.items():
        await scan(shop, carrier, number)
        assert await delivered(shop, order_id) == 1
