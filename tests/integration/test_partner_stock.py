"""A node's own figures against the ledger: orders under way are no break, what is different twice is corrected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from shared.database import partner_stock
from shared.database.partner_stock import NodeCompared
from shared.database.stock import Move, move
from shared.gateways.protocol import StockFigure, StockSnapshot
from tests.support.facts import Facts

NODE = "wh-columbus"


@pytest.fixture
async def shop(fresh_database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(fresh_database_url)
    await facts.stock(facts.sku(), wh_columbus=50)
    yield facts
    await facts.database.close()


async def moment(shop: Facts) -> datetime:
    at: datetime = (await shop.rows("SELECT clock_timestamp()"))[0][0]
    return at


async def tells(shop: Facts, units: int, *, at: datetime | None = None, sku: str = "") -> NodeCompared:
    figures = (StockFigure(sku=sku or shop.sku(), on_hand=units),)
    snapshot = StockSnapshot(node_id=NODE, as_of=at or await moment(shop), figures=figures)
    async with shop.database.transaction() as connection:
        return await partner_stock.compare(connection, snapshot)


async def on_hand(shop: Facts) -> int:
    query = "SELECT on_hand FROM stock_position WHERE (node_id, sku) = (:node, :sku)"
    return int((await shop.rows(query, node=NODE, sku=shop.sku()))[0][0])


async def cases(shop: Facts) -> list[tuple[bool, str]]:
    query = "SELECT resolved_at, resolution FROM exception_case WHERE kind = 'recon.partner_stock' ORDER BY case_id"
    return [(row.resolved_at is None, row.resolution) for row in await shop.rows(query)]


async def test_figures_that_agree_say_nothing(shop: Facts) -> None:
    assert await tells(shop, 50) == NodeCompared(checked=1)
    assert await shop.rows("SELECT FROM stock_comparison") == []


@pytest.mark.parametrize("units", [47, 53])
async def test_the_same_difference_twice_is_corrected_by_a_move(shop: Facts, units: int) -> None:
    assert await tells(shop, units) == NodeCompared(checked=1)
    more = (shop.sku(),) if units > 50 else ()
    assert await tells(shop, units) == NodeCompared(checked=1, breaks=1, repaired=1, more=more)
    assert await on_hand(shop) == units
    (noted,) = await shop.rows("SELECT on_hand, reference FROM stock_move WHERE actor = 'reconciliation'")
    assert noted.on_hand == units - 50
    assert noted.reference.startswith(f"recon/{NODE}/")
    assert await cases(shop) == [(False, f"corrected by {units - 50:+} after it was the same twice")]
    assert await tells(shop, units) == NodeCompared(checked=1)
    assert len(await cases(shop)) == 1


async def test_the_same_run_again_changes_nothing(shop: Facts) -> None:
    first = await moment(shop)
    await tells(shop, 47, at=first)
    await tells(shop, 47, at=first)
    assert await on_hand(shop) == 50
    second = await moment(shop)
    await tells(shop, 47, at=second)
    await tells(shop, 47, at=second)
    assert await on_hand(shop) == 47


async def test_runs_that_overlap_correct_once(shop: Facts) -> None:
    await tells(shop, 47)
    at = await moment(shop)
    done = await asyncio.gather(*(tells(shop, 47, at=at) for _ in range(4)))
    assert sum(each.repaired for each in done) == 1
    assert await on_hand(shop) == 47
    assert (await tells(shop, 47)).breaks == 0
    assert [still_open for still_open, _ in await cases(shop)] == [False]


async def test_a_difference_that_goes_by_itself_is_none(shop: Facts) -> None:
    await tells(shop, 47)
    assert await tells(shop, 50) == NodeCompared(checked=1)
    assert await tells(shop, 47) == NodeCompared(checked=1)
    assert await cases(shop) == []


async def test_a_difference_that_changes_is_a_case_until_it_is_the_same_twice(shop: Facts) -> None:
    await tells(shop, 47)
    assert (await tells(shop, 45)).breaks == 1
    assert await on_hand(shop) == 50
    assert (await tells(shop, 45)).repaired == 1
    assert await on_hand(shop) == 45
    assert [still_open for still_open, _ in await cases(shop)] == [False]


async def test_units_that_orders_have_claimed_are_not_taken_away(shop: Facts) -> None:
    order_id = await shop.keep((shop.sku(), 48))
    await shop.source(order_id)
    for _ in range(3):
        await tells(shop, 40)
    assert await on_hand(shop) == 50
    assert await cases(shop) == [(True, "")]


async def test_what_was_asked_for_may_have_left(shop: Facts) -> None:
    order_id = await shop.keep((shop.sku(), 5))
    await shop.source(order_id)
    await shop.release(order_id)
    for _ in range(3):
        assert (await tells(shop, 45)).breaks == 0
    assert await cases(shop) == []


async def test_what_had_left_is_known_when_its_ship_confirm_comes(shop: Facts) -> None:
    order_id = await shop.keep((shop.sku(), 5))
    await shop.source(order_id)
    await shop.release(order_id)
    before = await moment(shop)
    await shop.ship(order_id)
    # By its message it left after this moment: then 45 was three too few, and none of it explains that.
    assert (await tells(shop, 47, at=before)).breaks == 0
    assert (await tells(shop, 42)).repaired == 1
    assert await on_hand(shop) == 42


async def test_a_ship_confirm_that_comes_late_explains_the_figure(shop: Facts) -> None:
    order_id = await shop.keep((shop.sku(), 5))
    await shop.source(order_id)
    await shop.release(order_id)
    left_at = await moment(shop)
    figure_at = await moment(shop)
    await shop.ship(order_id)
    await shop.run(
        "UPDATE message_in SET body = jsonb_set(body, '{at}', to_jsonb(CAST(:at AS text))) WHERE type LIKE '%shipped'",
        at=left_at.isoformat(),
    )
    assert await tells(shop, 45, at=figure_at) == NodeCompared(checked=1)
    assert await shop.rows("SELECT FROM stock_comparison") == []


async def test_what_was_received_after_the_moment_may_have_been_there(shop: Facts) -> None:
    at = await moment(shop)
    async with shop.database.transaction() as connection:
        await move(connection, [Move(node_id=NODE, sku=shop.sku(), cause="receive", on_hand=7, reference="PO-1")])
    assert (await tells(shop, 57, at=at)).breaks == 0
    assert await tells(shop, 57) == NodeCompared(checked=1)
    assert await cases(shop) == []


async def test_a_correction_makes_an_earlier_comparison_void(shop: Facts) -> None:
    await tells(shop, 47)
    async with shop.database.transaction() as connection:
        await move(connection, [Move(node_id=NODE, sku=shop.sku(), cause="count", on_hand=-3, reference="c-1")])
    assert await tells(shop, 47) == NodeCompared(checked=1)
    assert await on_hand(shop) == 47
    assert await cases(shop) == []


async def test_what_the_ledger_never_knew_is_opened(shop: Facts) -> None:
    sku = shop.sku(3)
    await shop.run("DELETE FROM stock_position WHERE (node_id, sku) = (:node, :sku)", node=NODE, sku=sku)
    await shop.run("ALTER TABLE stock_move DISABLE TRIGGER append_only")
    await shop.run("DELETE FROM stock_move WHERE (node_id, sku) = (:node, :sku)", node=NODE, sku=sku)
    for _ in range(2):
        done = await tells(shop, 4, sku=sku)
    assert done.repaired == 1
    query = "SELECT on_hand FROM stock_position WHERE (node_id, sku) = (:node, :sku)"
    assert (await shop.rows(query, node=NODE, sku=sku))[0][0] == 4


async def test_a_clock_that_is_behind_is_no_break(shop: Facts) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    # An hour ago, before it was opened, nothing was here by the ledger; what came since may have been there.
    assert (await tells(shop, 50, at=at)).breaks == 0
