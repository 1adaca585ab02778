"""Parcels that orders share, on a real Postgres: who joins, who leaves, who buys the label, and every race between."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from shared.database import candidates, consolidations, labels
from shared.database.consolidations import Mate, Regrouped
from shared.database.fulfillment import begin_release
from shared.database.inbox import Taken
from shared.database.labels import TAKE_OVER_AFTER
from shared.gateways.partner_messages import FulfillmentRejected, FulfillmentShipped, TrackingStatus
from shared.messages import Separate, order_workflow_id
from tests.support.facts import Facts
from tests.support.parcels import (
    about,
    bought,
    call,
    from_node,
    labelling,
    merged,
    on_the_way,
    packages,
    packed,
    packed_together,
    planned,
    released,
    scanned,
    separated,
    shipped,
    sold,
    somebody_waits,
    waiting,
)

LATER = timedelta(days=60)


@pytest.fixture(scope="module")
async def shop(database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(database_url)
    await facts.stock(facts.sku(0), wh_columbus=200)
    yield facts
    await facts.database.close()


@pytest.fixture
def ada() -> str:
    """A customer of the test's own: nobody else's orders are like hers."""
    return uuid.uuid4().hex


# --- joining and releasing --------------------------------------------------------------------------------


async def test_those_alike_are_found_and_who_was_taken_apart_is_left_so(shop: Facts, ada: str) -> None:
    one, two, three = await planned(shop, ada), await planned(shop, ada), await planned(shop, ada)
    await planned(shop, "bob")
    async with shop.database.reading() as connection:
        found = await candidates.alike(connection, three)
    assert found == (tuple(f"{order_id}/f1" for order_id in (one, two, three)),)
    await merged(shop, one, two, three)
    assert await separated(shop, two)
    async with shop.database.reading() as connection:
        assert await candidates.alike(connection, one) == ((f"{one}/f1", f"{three}/f1"),)
    assert (await shop.tell(one)).fulfillments[0].consolidation is not None
    assert (await shop.tell(two)).fulfillments[0].consolidation is None


async def test_the_first_that_is_released_summons_the_others(shop: Facts, ada: str) -> None:
    one, two, unpaid = await planned(shop, ada), await planned(shop, ada), await planned(shop, ada, paid=False)
    (consolidation_id,) = await merged(shop, one, two, unpaid)
    release = await released(shop, two)
    assert release.summon == (Mate(order_id=one, n=1),)
    assert release.request is not None
    assert release.request.consolidation is not None
    told = release.request.consolidation
    assert (told.consolidation_id, told.members) == (consolidation_id, 2)
    assert (await released(shop, one)).summon == ()
    assert (await shop.tell(unpaid)).fulfillments[0].consolidation is None, "nobody waits for its money"
    assert await merged(shop, one, unpaid) == (), "the node was told: nobody joins any more"


async def test_a_hold_takes_out_what_no_node_was_told_of(shop: Facts, ada: str) -> None:
    one, two = await planned(shop, ada), await planned(shop, ada)
    await merged(shop, one, two)
    await released(shop, one)
    await packed(shop, one)
    assert (await labelling(shop, one)).wait_until is not None
    await shop.hold(two)
    assert await waiting(shop, two) == [Mate(order_id=one, n=1)]
    (parcel,) = (await labelling(shop, one)).parcels
    assert [package.package_id for package in parcel.packages] == [f"{one}/f1/p1"]


async def test_race_of_merge_and_release_release_first(shop: Facts, ada: str) -> None:
    one, two = await planned(shop, ada), await planned(shop, ada)
    async with shop.database.transaction() as connection:
        await begin_release(connection, call(one))
        joining = asyncio.create_task(merged(shop, one, two))
        await somebody_waits(shop)
    assert await joining == (), "its node is told of it alone"
    assert (await shop.tell(two)).fulfillments[0].consolidation is None


async def test_race_of_merge_and_release_merge_first(shop: Facts, ada: str) -> None:
    one, two = await planned(shop, ada), await planned(shop, ada)
    async with shop.database.transaction() as connection:
        await consolidations.consolidate(connection, [f"{one}/f1", f"{two}/f1"], because="test")
        releasing = asyncio.create_task(released(shop, two))
        await somebody_waits(shop)
    with pytest.raises(Regrouped):  # its mate's order is not locked: the activity begins the transaction again
        await releasing
    assert (await released(shop, two)).summon == (Mate(order_id=one, n=1),)


async def test_race_of_two_merges(shop: Facts, ada: str) -> None:
    """Both want the same one: all three travel together, or the second begins again and finds them."""
    one, two, three = await planned(shop, ada), await planned(shop, ada), await planned(shop, ada)
    async with shop.database.transaction() as connection:
        await consolidations.consolidate(connection, [f"{one}/f1", f"{two}/f1"], because="test")
        joining = asyncio.create_task(merged(shop, two, three))
        await somebody_waits(shop)
    await joining
    story = (await shop.tell(one)).fulfillments[0].consolidation
    assert story is not None
    assert set(story.mates) == {f"{two}/f1", f"{three}/f1"}


async def test_who_may_lock_no_more_leaves_those_alone_that_share_with_others(shop: Facts, ada: str) -> None:
    one, two, three = await planned(shop, ada), await planned(shop, ada), await planned(shop, ada)
    await merged(shop, one, two)
    owners = [f"{two}/f1", f"{three}/f1"]
    async with shop.database.transaction() as connection:
        assert await consolidations.consolidate(connection, owners, because="test", locked=[two, three]) == ()
        found = await consolidations.consolidate(connection, owners, because="test", locked=[one, two, three])
    assert len(found) == 1
    story = (await shop.tell(three)).fulfillments[0].consolidation
    assert story is not None
    assert set(story.mates) == {f"{one}/f1", f"{two}/f1"}


async def test_who_is_alike_is_found_without_a_look_at_every_order(shop: Facts, ada: str) -> None:
    order_id = await planned(shop, ada)
    async with shop.database.transaction() as connection:
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
        query = text(f"EXPLAIN {candidates.ALIKE}")
        told = (await connection.execute(query, {"order_id": order_id})).scalars().all()
    assert any("orders_customer" in line for line in told)


# --- the label --------------------------------------------------------------------------------------------


async def test_the_last_to_pack_buys_once_for_all_to_the_cent(shop: Facts, ada: str) -> None:
    one, two = await planned(shop, ada), await planned(shop, ada)
    (consolidation_id,) = await merged(shop, one, two)
    await released(shop, two)
    await released(shop, one)
    await packed(shop, one, weight_g=300)
    first = await labelling(shop, one)
    assert first.wait_until is not None
    assert not first.parcels
    await packed(shop, two, weight_g=600)
    work = await labelling(shop, two)
    (parcel,) = work.parcels
    assert (parcel.reference, parcel.weight_g) == (f"{consolidation_id}/p1", 900)
    assert work.mates == (Mate(order_id=one, n=1),)

    for _ in range(2):  # a crash between the purchase and its record: it is recorded again
        labelled = await bought(shop, work)
    assert await packages(shop, one, two) == {f"{one}/f1/p1": ("completed", 259), f"{two}/f1/p1": ("completed", 518)}
    assert labelled.together == (f"{one}/f1", f"{two}/f1")
    mine = await labelling(shop, one)
    assert [each.label() for each in mine.parcels] == [sold(parcel)]
    for order_id in (one, two):
        assert [event.event for event in (await shop.tell(order_id)).timeline].count("label bought") == 1


async def test_a_crash_before_the_record_leaves_the_same_purchase_to_find(shop: Facts, ada: str) -> None:
    one, two = await packed_together(shop, ada)
    begun, again = await labelling(shop, two), await labelling(shop, two)
    assert [(parcel.reference, parcel.unsure) for parcel in begun.parcels] == [(begun.parcels[0].reference, False)]
    assert [(parcel.reference, parcel.unsure) for parcel in again.parcels] == [(begun.parcels[0].reference, True)]
    assert again.purchase(again.parcels[0]) == begun.purchase(begun.parcels[0])
    assert (await labelling(shop, one)).wait_until is not None, "the other one buys"
    taken_over = await labelling(shop, one, after=TAKE_OVER_AFTER + timedelta(minutes=1))
    assert [(parcel.reference, parcel.unsure) for parcel in taken_over.parcels] == [(begun.parcels[0].reference, True)]


async def test_who_was_to_buy_and_is_gone_leaves_the_purchase_to_the_others(shop: Facts, ada: str) -> None:
    one, two = await packed_together(shop, ada)
    (begun,) = (await labelling(shop, two)).parcels
    assert (await labelling(shop, one)).wait_until is not None
    await from_node(shop, FulfillmentRejected(reason="broken", **about(two, "rejected")))
    async with shop.database.transaction() as connection:
        assert (await labels.begin_voiding(connection, call(two))).parcels == (), "the others have use for it"
    assert await waiting(shop, two) == [Mate(order_id=one, n=1)]
    work = await labelling(shop, one)
    assert [(parcel.reference, parcel.unsure) for parcel in work.parcels] == [(begun.reference, True)]
    await bought(shop, work)
    assert await packages(shop, one, two) == {f"{one}/f1/p1": ("completed", 777), f"{two}/f1/p1": ("voided", 0)}


async def test_nobody_is_made_late_by_who_never_packs(shop: Facts, ada: str) -> None:
    one, two = await planned(shop, ada), await planned(shop, ada)
    await merged(shop, one, two)
    await released(shop, one)
    await released(shop, two)
    await packed(shop, one)
    (parcel,) = (await labelling(shop, one, after=LATER)).parcels
    assert [package.package_id for package in parcel.packages] == [f"{one}/f1/p1"]
    await packed(shop, two)
    (own,) = (await labelling(shop, two)).parcels
    assert own.reference == f"{two}/f1/p1"


async def test_a_member_that_is_rejected_unblocks_the_rest(shop: Facts, ada: str) -> None:
    one, two = await planned(shop, ada), await planned(shop, ada)
    await merged(shop, one, two)
    for order_id in (one, two):
        await released(shop, order_id)
    await packed(shop, one)
    assert (await labelling(shop, one)).wait_until is not None
    await from_node(shop, FulfillmentRejected(reason="broken", **about(two, "rejected")))
    assert await waiting(shop, two) == [Mate(order_id=one, n=1)]
    assert len((await labelling(shop, one)).parcels) == 1


async def test_who_leaves_after_the_label_leaves_it_to_the_others(shop: Facts, ada: str) -> None:
    one, two, _ = await on_the_way(shop, ada)
    await from_node(shop, FulfillmentRejected(reason="broken", **about(one, "rejected")))
    async with shop.database.transaction() as connection:
        assert (await labels.begin_voiding(connection, call(one))).parcels == ()
    assert await packages(shop, one, two) == {f"{one}/f1/p1": ("voided", 0), f"{two}/f1/p1": ("completed", 777)}
    await from_node(shop, FulfillmentRejected(reason="broken", **about(two, "rejected")))
    async with shop.database.transaction() as connection:
        (unused,) = (await labels.begin_voiding(connection, call(two))).parcels
        await labels.record_void(connection, call(two), unused, "voided")
    assert (await packages(shop, one, two))[f"{two}/f1/p1"][0] == "voided"


async def test_a_label_that_nothing_ships_under_is_left_to_the_others_or_given_back(shop: Facts, ada: str) -> None:
    one, two, label = await on_the_way(shop, ada)
    await from_node(shop, FulfillmentShipped(packages=(), **about(one, "shipped")))
    async with shop.database.transaction() as connection:
        assert (await labels.begin_voiding(connection, call(one))).parcels == ()
    assert await packages(shop, one, two) == {f"{one}/f1/p1": ("voided", 0), f"{two}/f1/p1": ("completed", 777)}
    await shipped(shop, two, label)
    async with shop.database.transaction() as connection:
        assert (await labels.begin_voiding(connection, call(two))).parcels == (), "it is on the road"
    assert (await packages(shop, two))[f"{two}/f1/p1"] == ("completed", 777)


async def test_what_leaves_under_another_label_keeps_it(shop: Facts, ada: str) -> None:
    """Its node did not wait for ours, which is bought for the others alone."""
    one, two = await packed_together(shop, ada)
    work = await labelling(shop, two)
    theirs = sold(work.parcels[0]).model_copy(update={"tracking_no": "OWN1"})
    await shipped(shop, one, theirs)
    assert (await labelling(shop, one)).parcels == ()
    (parcel,) = (await labelling(shop, two)).parcels
    assert parcel.weight_g == 400
    assert (await bought(shop, work)).label() == sold(parcel)
    assert await packages(shop, one, two) == {f"{one}/f1/p1": ("partner", 0), f"{two}/f1/p1": ("completed", 777)}
    assert (await shop.tell(one)).fulfillments[0].packages[0].tracking_no == "OWN1"


async def test_a_label_that_may_be_bought_for_what_left_without_it_is_looked_for(shop: Facts, ada: str) -> None:
    order_id = await planned(shop, ada)
    await released(shop, order_id)
    await packed(shop, order_id)
    (begun,) = (await labelling(shop, order_id)).parcels
    await shipped(shop, order_id, sold(begun).model_copy(update={"tracking_no": "OWN2"}))
    assert (await labelling(shop, order_id)).parcels == (), "it is not bought now"
    async with shop.database.transaction() as connection:
        (unused,) = (await labels.begin_voiding(connection, call(order_id))).parcels
        assert unused.reference == begun.reference
        await labels.record_void(connection, call(order_id), unused, "never_bought")
    assert await packages(shop, order_id) == {f"{order_id}/f1/p1": ("partner", 0)}


async def test_race_of_unmerge_and_label_label_first(shop: Facts, ada: str) -> None:
    one, two = await packed_together(shop, ada)
    async with shop.database.transaction() as connection:
        await labels.begin_labelling(connection, call(two), now=datetime.now(UTC))
        leaving = asyncio.create_task(separated(shop, one))
        await somebody_waits(shop)
    assert not await leaving
    story = (await shop.tell(one)).fulfillments[0].consolidation
    assert story is not None
    assert story.sealed_at is not None


async def test_race_of_unmerge_and_label_unmerge_first(shop: Facts, ada: str) -> None:
    one, two = await packed_together(shop, ada)
    async with shop.database.transaction() as connection:
        request = Separate(step_key=f"{one}/u", order_id=one, actor="pia")
        assert (await consolidations.separate(connection, request)).done
        buying = asyncio.create_task(labelling(shop, two))
        await somebody_waits(shop)
    (parcel,) = (await buying).parcels
    assert [package.package_id for package in parcel.packages] == [f"{two}/f1/p1"]
    (own,) = (await labelling(shop, one)).parcels
    assert own.reference == f"{one}/f1/p1"


async def test_who_is_taken_apart_when_packed_buys_at_once(shop: Facts, ada: str) -> None:
    """It waited for one that is not packed; also when it is told only after that one's label was bought."""
    one, two = await planned(shop, ada), await planned(shop, ada)
    await merged(shop, one, two)
    for order_id in (one, two):
        await released(shop, order_id)
    await packed(shop, one)
    assert (await labelling(shop, one)).wait_until is not None
    assert await separated(shop, one)
    assert await waiting(shop, one) == [Mate(order_id=one, n=1)]
    await packed(shop, two)
    assert (await labelling(shop, two)).parcels
    assert await waiting(shop, one) == [Mate(order_id=one, n=1)]


# --- on the road ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
async def test_a_scan_reaches_all_also_who_confirms_after_it(shop: Facts, ada: str, late: bool) -> None:
    one, two, label = await on_the_way(shop, ada)
    await shipped(shop, one, label)
    if not late:
        await shipped(shop, two, label)
    scan = await scanned(shop, label, TrackingStatus.DELIVERED)
    confirm = await shipped(shop, two, label) if late else Taken()

    woken = sorted((wake.workflow_id, wake.wake.kind) for wake in (*scan.wakes, *confirm.wakes))
    delivered = [(order_workflow_id(order_id), "delivered") for order_id in (one, two)]
    assert [each for each in woken if each[1] == "delivered"] == sorted(delivered)
    for order_id in (one, two):
        (parcel,) = (await shop.tell(order_id)).fulfillments[0].packages
        assert (parcel.tracking_status, parcel.delivered_at is None) == ("delivered", False)
    assert await shop.rows("SELECT FROM message_in WHERE wake IS NOT NULL AND signalled_at IS NULL") == []
    again = await scanned(shop, label, TrackingStatus.DELIVERED)
    assert again.wakes == ()


async def test_race_of_a_scan_and_the_second_ship_confirm(shop: Facts, ada: str) -> None:
    one, two, label = await on_the_way(shop, ada)
    await shipped(shop, one, label)
    async with shop.database.transaction() as connection:
        # What a ship confirm locks first, held while the scan looks for all that the parcel carries.
        await consolidations.lock_with_mates(connection, two, f"{two}/f1")
        scanning = asyncio.create_task(scanned(shop, label, TrackingStatus.DELIVERED))
        await somebody_waits(shop)
    await scanning
    await shipped(shop, two, label)
    for order_id in (one, two):
        assert (await shop.tell(order_id)).units.delivered == 1


async def test_race_of_two_ship_confirms_that_a_scan_came_before(shop: Facts, ada: str) -> None:
    one, two, label = await on_the_way(shop, ada)
    await scanned(shop, label, TrackingStatus.DELIVERED)
    await asyncio.gather(shipped(shop, one, label), shipped(shop, two, label))
    for order_id in (one, two):
        assert (await shop.tell(order_id)).units.delivered == 1
