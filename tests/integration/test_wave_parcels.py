"""Parcels that waves move orders for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.database import policies
from shared.database.wave_groups import Outcome
from shared.domain.sourcing.models import Policy
from tests.support.facts import PROCESS, Facts
from tests.support.wave_groups import carried_out, check_books, placed, planned, story, where

COLUMBUS = "wh-columbus"


@pytest.fixture
async def shop(fresh_database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(fresh_database_url)
    yield facts
    await check_books(facts)
    await facts.database.close()


async def of_one_customer(shop: Facts) -> tuple[str, str]:
    """Two orders of one customer that ship from two nodes, of which one has what both want."""
    a, b = shop.sku(7), shop.sku(8)
    await shop.stock(a, store_chicago=1)
    first = await placed(shop, (a, 1), customer_ref="ada")
    await shop.stock(a, wh_columbus=1)
    await shop.stock(b, wh_columbus=1)
    second = await placed(shop, (b, 1), customer_ref="ada")
    process = PROCESS.model_copy(update={"consolidate": True})
    async with shop.database.transaction() as connection:
        await policies.begin(connection, Policy(version="together/1"), process, "test")
    await shop.run("UPDATE orders SET policy_version = 'together/1'")
    return first, second


async def shared(shop: Facts) -> list[tuple[str, str]]:
    rows = await shop.rows("""
        SELECT f.order_id, f.node_id FROM fulfillment_order f JOIN consolidation_member m USING (fulfillment_order_id)
        WHERE m.left_at IS NULL AND f.ended_at IS NULL ORDER BY 1
    """)
    return [(row.order_id, row.node_id) for row in rows]


async def test_orders_of_one_customer_share_the_parcel_they_are_moved_for(shop: Facts) -> None:
    first, second = await of_one_customer(shop)
    wave_id = await planned(shop)
    assert (await carried_out(shop, wave_id)).outcome is Outcome.MOVED
    assert await shared(shop) == [(first, COLUMBUS), (second, COLUMBUS)]
    found = await story(shop, wave_id)
    assert (found.moved, found.shared_parcels) == (2, 1)
    assert found.saved_minor > 300
    again = await planned(shop)
    assert (await story(shop, again)).groups == (), "what shares a parcel stays with it"


async def test_who_may_share_no_parcel_by_now_is_not_moved_for_one(shop: Facts) -> None:
    first, second = await of_one_customer(shop)
    wave_id = await planned(shop)
    await shop.hold(second)
    result = await carried_out(shop, wave_id)
    assert (result.outcome, "may not share" in result.because) == (Outcome.ORDER_CHANGED, True)
    assert await where(shop, first) == {1: "store-chicago"}
    assert await shared(shop) == []


async def test_a_parcel_is_shared_by_all_for_whom_it_was_planned_or_by_nobody(shop: Facts) -> None:
    third_item = shop.sku(9)
    await shop.stock(third_item, wh_columbus=1)
    third = await placed(shop, (third_item, 1), customer_ref="ada")
    await of_one_customer(shop)
    wave_id = await planned(shop)
    await shop.hold(third)
    result = await carried_out(shop, wave_id)
    assert (result.outcome, "may not share" in result.because) == (Outcome.ORDER_CHANGED, True)
    assert await shared(shop) == []


async def test_nobody_shares_where_the_policy_does_not_say_so(shop: Facts) -> None:
    await of_one_customer(shop)
    await shop.run("UPDATE orders SET policy_version = :v", v=Policy().version)
    wave_id = await planned(shop)
    assert (await carried_out(shop, wave_id)).outcome is Outcome.MOVED, "the first is nearer there all the same"
    assert await shared(shop) == []
