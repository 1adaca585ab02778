"""Nodes of the sandbox, over real sockets. The sandbox's log is the judge."""

from __future__ import annotations

from collections import Counter

import pytest

from shared.domain.network import NodeType
from shared.errors import PartnerRefused
from shared.gateways.protocol import (
    ExpectReturn,
    SendLabel,
    VoidOutcome,
)
from tests.support.outside import OURS, Outside, cancel
from tests.support.partners import label_for, request_for, units
from workers.sandbox.config import Behaviour

EFFECTS = {
    NodeType.WAREHOUSE: "task",
    NodeType.STORE: "task",
    NodeType.LOGISTICS: "shipping_order",
    NodeType.VENDOR: "purchase_order",
}


@pytest.mark.parametrize("node_type", OURS)
async def test_our_nodes_wait_for_labels_and_ship(world: Outside, node_type: NodeType) -> None:
    request = request_for("web/1/f1", node_type=node_type, quantities={1: 60, 2: 3})
    await world.gateways.fulfillment("ours").request(request)
    packed = await world.inbox.packed("web/1/f1")
    assert units(packed) == {1: 60, 2: 3}
    assert len(packed.packages) == 2, "more than 25 kg"
    assert (await world.pending()).waiting_for_labels == 1
    await world.label_all(packed)
    shipped = await world.inbox.shipped("web/1/f1")
    assert units(shipped) == {1: 60, 2: 3}
    await world.quiet()
    for package in shipped.packages:
        assert world.inbox.statuses(package.tracking_no) == ["in_transit", "out_for_delivery", "delivered"]
    assert world.inbox.types("web/1/f1") == ["fulfillment.accepted", "fulfillment.packed", "fulfillment.shipped"]
    assert Counter(world.effects()) == {
        "task.taken": 1,
        "task.packed": 1,
        "task.shipped": 1,
        "label.bought": 2,
        "label.used": 2,
        "parcel.delivered": 2,
        "message.sent": 9,
    }
    label = await world.gateways.carrier("parcelpost").find_label("web/1/f1/p1")
    assert label is not None
    assert await world.gateways.carrier("parcelpost").void_label(label.label_id) is VoidOutcome.ALREADY_USED


@pytest.mark.parametrize("node_type", [NodeType.LOGISTICS, NodeType.VENDOR])
async def test_third_parties_and_vendors_ship_on_their_own(world: Outside, node_type: NodeType) -> None:
    partner = world.gateways.fulfillment("acme")
    assert not await partner.find("web/1/f1", "reno", node_type)
    for _ in range(2):
        await partner.request(request_for("web/1/f1", node_type=node_type, quantities={1: 2}))
    assert await partner.find("web/1/f1", "reno", node_type)
    shipped = await world.inbox.shipped("web/1/f1")
    assert shipped.packages[0].carrier == "parcelpost"
    await world.quiet()
    assert world.inbox.statuses(shipped.packages[0].tracking_no)[-1] == "delivered"
    assert world.inbox.types("web/1/f1") == ["fulfillment.accepted", "fulfillment.shipped"]
    kind = EFFECTS[node_type]
    assert [e for e in world.effects() if e.startswith(kind)] == [f"{kind}.taken", f"{kind}.packed", f"{kind}.shipped"]
    assert world.effects("label.bought") == []


async def test_a_reject_is_the_last_word(world: Outside) -> None:
    await world.behave("web/1", Behaviour.REJECT)
    await world.gateways.fulfillment("ours").request(request_for("web/1/f1"))
    await world.quiet()
    assert world.inbox.types("web/1/f1") == ["fulfillment.rejected"]


async def test_silence_lasts(world: Outside) -> None:
    await world.behave("web/1/f1", Behaviour.SILENT)
    await world.gateways.fulfillment("ours").request(request_for("web/1/f1"))
    await world.quiet()
    assert world.inbox.messages == []
    assert world.effects() == ["task.taken"]


async def test_a_late_node_works_after_all(world: Outside) -> None:
    await world.behave("web/1/f1", Behaviour.LATE)
    await world.gateways.fulfillment("acme").request(request_for("web/1/f1", node_type=NodeType.VENDOR))
    await world.gateways.fulfillment("acme").request(request_for("web/2/f1", node_type=NodeType.VENDOR))
    await world.inbox.shipped("web/1/f1")
    assert world.inbox.types("web/2/f1") == ["fulfillment.accepted", "fulfillment.shipped"]


@pytest.mark.parametrize("node_type", NodeType)
async def test_a_short_shipment_holds_fewer_units(world: Outside, node_type: NodeType) -> None:
    await world.behave("web/1/f1", Behaviour.SHORT)
    await world.gateways.fulfillment("ours").request(request_for("web/1/f1", node_type=node_type))
    if node_type in OURS:
        await world.label_all(await world.inbox.packed("web/1/f1"))
    # The one unit of the one line is missing: a ship confirm without a package.
    assert units(await world.inbox.shipped("web/1/f1")) == {}


async def test_a_cancelled_task_never_ships(world: Outside) -> None:
    await world.behave("web/1/f1", Behaviour.LATE)
    partner = world.gateways.fulfillment("ours")
    await partner.request(request_for("web/1/f1"))
    for _ in range(2):
        assert (await partner.cancel(cancel("web/1/f1"))).accepted
    await world.quiet()
    assert world.effects() == ["task.taken", "task.cancelled"]
    assert world.inbox.messages == []


async def test_a_packed_task_ships_although_asked_not_to(world: Outside) -> None:
    partner = world.gateways.fulfillment("ours")
    await partner.request(request_for("web/1/f1"))
    packed = await world.inbox.packed("web/1/f1")
    answer = await partner.cancel(cancel("web/1/f1"))
    assert (answer.accepted, answer.reason) == (False, "packed")
    await world.label_all(packed)
    await world.inbox.shipped("web/1/f1")


async def test_a_request_that_comes_after_its_cancellation_is_refused(world: Outside) -> None:
    partner = world.gateways.fulfillment("ours")
    assert (await partner.cancel(cancel("web/1/f1"))).accepted
    with pytest.raises(PartnerRefused):
        await partner.request(request_for("web/1/f1"))
    assert world.effects() == []


async def test_a_label_sticks_once(world: Outside) -> None:
    partner = world.gateways.fulfillment("ours")
    carrier = world.gateways.carrier("parcelpost")
    first, other = [await carrier.buy_label(label_for(f"web/1/f1/{n}")) for n in (1, 2)]
    send = SendLabel(reference="web/1/f1", node_id="reno", package_no=1, label=first)
    with pytest.raises(PartnerRefused):
        await partner.send_label(send)
    await partner.request(request_for("web/1/f1", quantities={1: 60}))
    await world.inbox.packed("web/1/f1")
    for _ in range(2):
        await partner.send_label(send)
    for wrong in ({"label": other}, {"package_no": 3}):
        with pytest.raises(PartnerRefused):
            await partner.send_label(send.model_copy(update=wrong))
    assert (await world.pending()).waiting_for_labels == 1


async def test_a_return_is_received_and_graded(world: Outside) -> None:
    partner = world.gateways.fulfillment("ours")
    expected = ExpectReturn(
        reference="ret-1",
        order_id="web/1",
        node_id="reno",
        node_type=NodeType.STORE,
        lines=request_for("web/1/f1", quantities={1: 2, 2: 1}).lines,
    )
    assert not await partner.find_return("ret-1")
    for _ in range(2):
        await partner.expect_return(expected)
    assert await partner.find_return("ret-1")
    await world.quiet()
    assert [m.type for m in world.inbox.messages] == ["return.received"]
    assert world.effects("return.received") == ["ret-1"]


@pytest.mark.slow
async def test_ten_thousand_lines(world: Outside) -> None:
    quantities = {n: 1 + n % 3 for n in range(1, 10_001)}
    await world.gateways.fulfillment("ours").request(request_for("web/1/f1", quantities=quantities))
    packed = await world.inbox.packed("web/1/f1")
    assert len(packed.packages) == 400
    await world.label_all(packed)
    assert units(await world.inbox.shipped("web/1/f1")) == quantities
    await world.quiet()
    assert len(world.effects("parcel.delivered")) == 400
