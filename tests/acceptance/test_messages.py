"""What partners say, however often and in whatever order: the same facts, and nothing for strangers."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import inbox
from shared.domain.orders import PaymentMethod
from shared.gateways.partner_messages import (
    FulfillmentAccepted,
    FulfillmentPacked,
    FulfillmentRejected,
    FulfillmentShipped,
    Package,
    PartnerMessage,
    ShippedLine,
    TrackingStatus,
    TrackingUpdated,
)
from tests.support.system import System

NOW = datetime.now(UTC)


def some_id() -> str:
    return f"test:{uuid.uuid4().hex}"


class Node:
    """The words of a node and its carrier about one fulfillment order of one line."""

    def __init__(self, order_id: str, sku: str, units: int) -> None:
        self.reference = f"{order_id}/f1"
        self.tracking_no = f"PP{uuid.uuid4().hex[:10].upper()}"
        lines = (ShippedLine(line_no=1, sku=sku, quantity=units),)
        self._packed = Package(package_no=1, weight_g=500, lines=lines)
        labelled = {"carrier": "parcelpost", "service": "ground", "tracking_no": self.tracking_no}
        self._shipped = self._packed.model_copy(update=labelled)

    def accepted(self) -> FulfillmentAccepted:
        return FulfillmentAccepted(message_id=some_id(), reference=self.reference, at=NOW)

    def rejected(self) -> FulfillmentRejected:
        return FulfillmentRejected(message_id=some_id(), reference=self.reference, at=NOW, reason="damaged")

    def packed(self) -> FulfillmentPacked:
        return FulfillmentPacked(message_id=some_id(), reference=self.reference, at=NOW, packages=(self._packed,))

    def shipped(self) -> FulfillmentShipped:
        return FulfillmentShipped(message_id=some_id(), reference=self.reference, at=NOW, packages=(self._shipped,))

    def scan(self, status: TrackingStatus) -> TrackingUpdated:
        return TrackingUpdated(message_id=some_id(), reference=self.tracking_no, at=NOW, status=status)


async def asked(shop: System, item: int, node_id: str, units: int = 2) -> tuple[str, Node]:
    """An order whose node has its request and leaves the talking to the test."""
    sku = shop.world.items[item].sku
    await shop.stock(sku, **{node_id.replace("-", "_"): units})
    document = shop.order((sku, units))
    order_id = shop.id_of(document)
    await shop.behave("silent", reference=order_id)
    await shop.place(document)
    await shop.stage(order_id, 1, "requested")
    return order_id, Node(order_id, sku, units)


_FACTS = (
    "SELECT status, request_status, shipped_at, delivered_at, ended_at FROM fulfillment_order WHERE order_id = :o",
    "SELECT * FROM order_line WHERE order_id = :o",
    "SELECT * FROM reservation WHERE order_id = :o",
    "SELECT * FROM package WHERE order_id = :o",
    "SELECT cause, on_hand, reserved FROM stock_move WHERE reference LIKE :o || '%' ORDER BY cause",
    "SELECT p.* FROM stock_position p JOIN reservation r USING (node_id, sku) WHERE r.order_id = :o",
    "SELECT kind FROM exception_case WHERE order_id = :o",
    "SELECT count(*) FROM message_in WHERE order_id = :o AND applied_at IS NULL",
)


async def facts(connection: AsyncConnection, order_id: str) -> list[list[Any]]:
    """What is on record, every moment as "then": only whether it came counts."""
    tables = [(await connection.execute(text(read), {"o": order_id})).all() for read in _FACTS]
    return [
        [tuple("then" if isinstance(value, datetime) else value for value in row) for row in rows] for rows in tables
    ]


@pytest.mark.parametrize(
    ("item", "node_id", "middle"),
    [(0, "wh-columbus", "packed"), (1, "vnd-alder", "out_for_delivery")],
    ids=["warehouse", "vendor"],
)
async def test_five_events_in_every_order_come_to_the_same(shop: System, item: int, node_id: str, middle: str) -> None:
    order_id, node = await asked(shop, item, node_id)
    events: tuple[tuple[str, PartnerMessage], ...] = (
        (node_id, node.accepted()),
        (node_id, node.packed()) if middle == "packed" else ("parcelpost", node.scan(TrackingStatus(middle))),
        (node_id, node.shipped()),
        ("parcelpost", node.scan(TrackingStatus.IN_TRANSIT)),
        ("parcelpost", node.scan(TrackingStatus.DELIVERED)),
    )
    ends: list[Any] = []
    for permutation in permutations(events):
        async with shop.database.engine.connect() as connection:
            woken: set[str] = set()
            for partner_id, message in permutation:
                woken |= {up.wake.kind for up in (await inbox.take(connection, partner_id, message)).wakes}
            ends.append(await facts(connection, order_id))
            await connection.rollback()
        assert {"shipped", "delivered"} <= woken

    assert len(ends) == 120
    for end in ends:
        assert end == ends[0]
    assert ends[0][0] == [("closed", "closed", "then", "then", "then")]
    await shop.tell(node_id, node.shipped())
    await shop.tell("parcelpost", node.scan(TrackingStatus.DELIVERED))
    assert (await shop.ended(order_id)).delivered_units == 2


async def test_a_delivery_that_is_known_before_the_ship_confirm(shop: System) -> None:
    order_id, node = await asked(shop, 2, "vnd-maple")
    assert await shop.tell("parcelpost", node.scan(TrackingStatus.DELIVERED)) == 204
    assert await shop.tell("parcelpost", node.scan(TrackingStatus.IN_TRANSIT)) == 204
    assert await shop.units(order_id) == {1: {"released": 2}}

    assert await shop.tell("vnd-maple", node.shipped()) == 204

    assert (await shop.ended(order_id)).delivered_units == 2
    assert shop.did(order_id)["payment.captured"] == 1


async def test_everything_said_twice(shop: System) -> None:
    order_id, node = await asked(shop, 3, "vnd-maple")
    said = (
        ("vnd-maple", node.accepted()),
        ("vnd-maple", node.shipped()),
        ("parcelpost", node.scan(TrackingStatus.IN_TRANSIT)),
        ("parcelpost", node.scan(TrackingStatus.DELIVERED)),
    )
    for partner_id, message in said:
        assert await shop.tell(partner_id, message) == 204
        assert await shop.tell(partner_id, message) == 204
        reworded = message.model_copy(update={"message_id": some_id()})
        assert await shop.tell(partner_id, reworded) == 204

    assert (await shop.ended(order_id)).delivered_units == 2
    did, events = shop.did(order_id), await shop.events(order_id)
    assert did["payment.captured"] == 1
    assert (events.count("shipped"), events.count("parcel delivered")) == (1, 1)
    moves = await shop.rows("SELECT cause FROM stock_move WHERE reference = :r", r=node.reference)
    assert sorted(moves) == [("reserve",), ("ship",)]


async def test_messages_about_an_order_that_is_over(shop: System) -> None:
    order_id, node = await asked(shop, 4, "vnd-maple")
    await shop.tell("vnd-maple", node.shipped())
    await shop.tell("parcelpost", node.scan(TrackingStatus.DELIVERED))
    await shop.ended(order_id)
    before = await shop.units(order_id)

    for partner_id, message in (
        ("vnd-maple", node.rejected()),
        ("vnd-maple", node.packed()),
        ("vnd-maple", node.shipped()),
        ("parcelpost", node.scan(TrackingStatus.EXCEPTION)),
    ):
        assert await shop.tell(partner_id, message) == 204
    assert await shop.units(order_id) == before
    await shop.settled(order_id)
    assert not await shop.rows("SELECT FROM message_in WHERE wake IS NOT NULL AND signalled_at IS NULL")


async def test_a_node_may_refuse_what_it_has_packed(shop: System) -> None:
    """It packed, found the goods damaged and says so: another node ships."""
    sku = shop.world.items[5].sku
    await shop.stock(sku, wh_columbus=1, store_austin=1)
    document = shop.order((sku, 1))
    order_id = shop.id_of(document)
    await shop.fault("parcelpost", "down")
    await shop.fault("swiftship", "down")
    await shop.place(document)
    await shop.stage(order_id, 1, "packed")
    (node_id,) = (await shop.nodes(order_id)).values()
    assert await shop.tell(node_id, Node(order_id, sku, 1).rejected()) == 204
    await shop.fault("parcelpost", "ok")
    await shop.fault("swiftship", "ok")

    outcome = await shop.ended(order_id)

    assert (outcome.delivered_units, outcome.fulfillments) == (1, 2)
    assert len(set((await shop.nodes(order_id)).values())) == 2


async def test_a_node_may_ship_under_a_label_of_its_own(shop: System) -> None:
    """The carriers did not sell ours for too long: none is bought any more."""
    sku = shop.world.items[9].sku
    await shop.stock(sku, wh_columbus=1)
    for carrier in ("parcelpost", "swiftship"):
        await shop.fault(carrier, "down")
    order_id = await shop.place(shop.order((sku, 1)))
    await shop.stage(order_id, 1, "packed")
    node = Node(order_id, sku, 1)
    assert await shop.tell("wh-columbus", node.shipped()) == 204
    for carrier in ("parcelpost", "swiftship"):
        await shop.fault(carrier, "ok")

    async def captured() -> bool:
        return shop.did(order_id)["payment.captured"] == 1

    await shop.until(captured)
    assert await shop.tell("parcelpost", node.scan(TrackingStatus.DELIVERED)) == 204

    assert (await shop.ended(order_id)).delivered_units == 1
    assert shop.did(order_id)["label.bought"] == 0


async def test_a_node_may_ship_nothing_of_what_it_has_packed(shop: System) -> None:
    """Its label is given back, and another node ships."""
    sku = shop.world.items[8].sku
    await shop.stock(sku, wh_columbus=1, store_austin=1)
    document = shop.order((sku, 1))
    order_id = shop.id_of(document)
    await shop.behave("silent", reference=f"{order_id}/f1")
    await shop.place(document)
    await shop.stage(order_id, 1, "requested")
    (node_id,) = (await shop.nodes(order_id)).values()
    node = Node(order_id, sku, 1)
    await shop.tell(node_id, node.packed())

    async def labelled() -> bool:
        return shop.did(order_id)["label.bought"] == 1

    await shop.until(labelled)
    assert await shop.tell(node_id, node.shipped().model_copy(update={"packages": ()})) == 204

    outcome = await shop.ended(order_id)

    assert (outcome.delivered_units, outcome.fulfillments) == (1, 2)
    did = shop.did(order_id)
    assert (did["label.bought"], did["label.used"], did["payment.captured"]) == (2, 1, 1)
    given_back = {effect.business_key for effect in shop.effects() if effect.effect == "label.voided"}
    unused = await shop.rows("SELECT label_id FROM package WHERE fulfillment_order_id = :f", f=node.reference)
    assert {row.label_id for row in unused} <= given_back


async def test_strangers_are_turned_away(shop: System) -> None:
    order_id, node = await asked(shop, 6, "vnd-alder")

    assert await shop.tell("vnd-maple", node.shipped()) == 401, "another partner's work"
    assert await shop.tell("vnd-alder", node.shipped(), key="a key that leaked elsewhere") == 401
    assert await shop.tell("nobody", node.shipped()) == 401
    assert await shop.units(order_id) == {1: {"released": 2}}
    assert await shop.tell("vnd-alder", node.shipped()) == 204
    assert await shop.tell("swiftship", node.scan(TrackingStatus.DELIVERED)) == 401, "another carrier's parcel"
    assert await shop.tell("parcelpost", node.scan(TrackingStatus.DELIVERED)) == 204
    await shop.ended(order_id)


async def test_nobody_ships_what_was_not_sent_to_them(shop: System) -> None:
    sku = shop.world.items[7].sku
    await shop.stock(sku, vnd_alder=1)
    document = shop.order((sku, 1), payment=PaymentMethod(token="tok_declined"))
    order_id = await shop.place(document)
    await shop.until_state(order_id, lambda state: state.holds)
    node = Node(order_id, sku, 1)

    assert await shop.tell("vnd-alder", node.shipped()) == 401
    assert await shop.tell("vnd-alder", node.rejected()) == 401
    assert await shop.units(order_id) == {1: {"allocated": 1}}


_NUL = b'{"type": "fulfillment.accepted", "message_id": "x", "reference": "\\u0000", "at": "2026-01-01T00:00:00Z"}'


@pytest.mark.parametrize("body", [b"", b"{}", b'{"type": "fulfillment.shipped"}', _NUL, b"[" * 1000])
async def test_nonsense_is_refused(shop: System, body: bytes) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{shop.api_url}/v1/partners/vnd-alder/messages", content=body)
        assert answer.status_code == 401
    signed = await shop.post("vnd-alder", some_id(), body)
    assert signed.status_code == 400
    assert signed.headers["content-type"] == "application/problem+json"
