"""Parcels that tasks of a sandbox node share, over real sockets. The sandbox's log is the judge."""

from __future__ import annotations

from collections import Counter

from shared.gateways.partner_messages import FulfillmentPacked
from shared.gateways.protocol import Consolidation, Label, SendLabel
from tests.support.outside import Outside
from tests.support.partners import label_for, request_for

TOGETHER = ("web/1/f1", "web/2/f1")


async def packed_together(world: Outside) -> list[FulfillmentPacked]:
    """Two tasks of a consolidation, packed."""
    consolidation = Consolidation(consolidation_id="web/1/f1/c1", members=2)
    for reference in TOGETHER:
        request = request_for(reference, quantities={1: 1}).model_copy(update={"consolidation": consolidation})
        await world.gateways.fulfillment("ours").request(request)
    return [await world.inbox.packed(reference) for reference in TOGETHER]


async def bought(world: Outside, reference: str) -> Label:
    return await world.gateways.carrier("parcelpost").buy_label(label_for(reference, weight_g=800))


async def stick(world: Outside, reference: str, label: Label, together: tuple[str, ...] = ()) -> None:
    request = SendLabel(reference=reference, node_id="reno", package_no=1, label=label, together=together)
    await world.gateways.fulfillment("ours").send_label(request)


async def test_a_shared_parcel_leaves_once_when_all_of_it_is_labelled(world: Outside) -> None:
    packed = await packed_together(world)
    assert [[package.parcel_no for package in message.packages] for message in packed] == [[1], [1]]
    label = await bought(world, "web/1/f1/c1/p1")
    await stick(world, TOGETHER[0], label, TOGETHER)
    assert world.effects("task.shipped") == [], "the other one's goods are in it, too"
    await stick(world, TOGETHER[1], label, TOGETHER)
    shipped = [await world.inbox.shipped(reference) for reference in TOGETHER]
    assert {message.packages[0].tracking_no for message in shipped} == {label.tracking_no}
    await world.quiet()
    did = Counter(world.effects())
    once = ("label.bought", "label.used", "parcel.delivered")
    assert [did[effect] for effect in (*once, "task.shipped", "label.misused")] == [1, 1, 1, 2, 0]


async def test_who_was_taken_apart_gets_a_parcel_of_its_own_by_its_label(world: Outside) -> None:
    await packed_together(world)
    for reference in TOGETHER:
        await stick(world, reference, await bought(world, f"{reference}/p1"))
    for reference in TOGETHER:
        await world.inbox.shipped(reference)
    await world.quiet()
    did = Counter(world.effects())
    assert [did[effect] for effect in ("label.used", "parcel.delivered", "label.misused")] == [2, 2, 0]
