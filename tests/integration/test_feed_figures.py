"""What figures of sources do to positions: what is claimed, newer or too old stands above them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from unittest.mock import AsyncMock

import pytest
from sqlalchemy import text

from shared.database import feed_freshness
from shared.database.reservations import Claim
from shared.database.stock import Move, move
from shared.errors import InvalidInput
from tests.support.feed_desk import Desk, opened
from tests.support.stock import place, reserve


@pytest.fixture
async def desk(fresh_database_url: str) -> AsyncIterator[Desk]:
    async with opened(fresh_database_url) as desk:
        yield desk


async def test_an_older_snapshot_is_refused_whole(desk: Desk) -> None:
    source = await desk.define()
    now = datetime.now(UTC)
    await desk.run(source, "sku,qty\ns1,7\n", now)
    late = await desk.run(source, "sku,qty\ns1,9\n", now - timedelta(minutes=1))
    assert (late.status, late.code) == ("refused", "older_than_applied")
    assert (await desk.on_hand())["s1"] == 7
    assert await desk.cases("feed.refused") == ["acme"]
    await desk.run(source, "sku,qty\ns1,6\n", now + timedelta(seconds=1))
    assert await desk.cases("feed.refused") == [], "a later file that is applied answers it"
    ahead = await desk.run(source, "sku,qty\ns1,9\n", now + timedelta(hours=1))
    assert ahead.code == "from_the_future", "it would keep every next file out"


async def test_a_snapshot_cannot_resurrect_what_left_after_it_was_taken(desk: Desk) -> None:
    source = await desk.define()
    taken = datetime.now(UTC)
    await desk.move("s1", -4, "write_off")
    await desk.move("s2", 6)
    run = await desk.run(source, "sku,qty\ns1,10\ns2,10\ns3,9\n", taken)
    assert await desk.on_hand() == {"s1": 6, "s2": 16, "s3": 9}
    assert (run.changed, run.unchanged) == (1, 2)


async def test_a_count_that_is_newer_than_the_snapshot_stands(desk: Desk) -> None:
    source = await desk.define()
    taken = datetime.now(UTC)
    await desk.move("s1", -3, "count")
    await desk.run(source, "sku,qty\ns1,10\n", taken)
    assert (await desk.on_hand())["s1"] == 7


async def test_nothing_falls_below_what_is_claimed(desk: Desk) -> None:
    source = await desk.define()
    await place(desk.database, {"o": [(1, "s1", 6)]})
    claim = Claim(owner="o/f1", line_no=1, order_id="o", node_id="n1", sku="s1", quantity=6)
    async with desk.database.transaction() as connection:
        assert await reserve(connection, [claim])
    run = await desk.run(source, "sku,qty\ns1,2\n")
    assert ((await desk.on_hand())["s1"], run.floored) == (6, 1)
    assert await desk.cases("stock.below_claims") == ["n1/s1"]
    await desk.run(source, "sku,qty\ns1,6\n")
    assert await desk.cases("stock.below_claims") == [], "it agrees now"


async def test_missing_items_are_zero_only_if_the_source_says_so(desk: Desk) -> None:
    source = await desk.define()
    await desk.run(source, "sku,qty\ns1,7\n")
    assert await desk.on_hand() == {"s1": 7, "s2": 10, "s3": 10}
    whole = await desk.define(missing_means_zero=True)
    run = await desk.run(whole, "sku,qty\ns1,7\ns2,many\n")
    assert await desk.on_hand() == {"s1": 7, "s2": 10, "s3": 0}, "a row that is refused is not missing"
    assert (run.zeroed, run.changed, run.unchanged, run.refused) == (1, 0, 1, 1)
    assert await desk.on_hand("n2") == {"s1": 10, "s2": 10, "s3": 10}


async def test_deltas_add_up_in_any_order_and_each_once(desk: Desk) -> None:
    source = await desk.define(kind="delta")
    now = datetime.now(UTC)
    await desk.run(source, "sku,qty\ns1,-3\ns2,5\ns1,-2\n", now)
    await desk.run(source, "sku,qty\ns1,4\ns3,-25\n", now - timedelta(hours=1))
    again = await desk.run(source, "sku,qty\ns1,4\ns3,-25\n", now + timedelta(hours=1))
    assert again.again
    assert await desk.on_hand() == {"s1": 9, "s2": 15, "s3": 0}


async def test_what_is_booked_while_a_file_waits_for_it_is_kept(desk: Desk) -> None:
    waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    now = datetime.now(UTC)
    for definition, content, expected in (({}, "sku,qty\ns1,7\n", 7 + 3), ({"kind": "delta"}, "sku,qty\ns1,5\n", 18)):
        source = await desk.define(**definition)
        async with desk.database.transaction() as connection:
            change = Move(node_id="n1", sku="s1", cause="receive", on_hand=3, reference=f"po/{expected}")
            await move(connection, [change])
            running = asyncio.create_task(desk.run(source, content, now - timedelta(minutes=1)))
            while not await desk.rows(waits):
                assert not running.done()
        assert (await running).changed == 1
        assert (await desk.on_hand())["s1"] == expected


async def test_old_figures_are_discounted_then_hidden_and_fresh_ones_sold(desk: Desk) -> None:
    limits = {"stale_after": timedelta(hours=4), "stale_percent": 25, "hide_after": timedelta(days=1)}
    source = await desk.define(buffer_units=1, **limits)
    now = datetime.now(UTC)
    await desk.run(source, "sku,qty\ns1,7\ns2,10\n", now - timedelta(days=2))
    assert [await desk.free(sku) for sku in ("s1", "s2")] == [0, 0], "what is old already is not sold first"
    await desk.watch()
    assert [await desk.free(sku) for sku in ("s1", "s2", "s3")] == [0, 0, 0]
    assert await desk.cases("feed.stale") == ["acme/n1"]
    await desk.run(source, "sku,qty\ns1,7\ns2,12\n", now - timedelta(hours=5))
    await desk.watch()
    assert [await desk.free(sku) for sku in ("s1", "s2", "s3")] == [7 - 1 - 2, 12 - 1 - 3, 10 - 1 - 3]
    await desk.run(source, "sku,qty\ns1,7\ns2,11\n", now)
    await desk.watch()
    assert [await desk.free(sku) for sku in ("s1", "s2", "s3")] == [6, 10, 9]
    assert (await desk.cases("feed.stale"), await desk.free("s1", "n2")) == ([], 10)
    (row,) = await desk.rows("SELECT * FROM stock_source")
    assert (row.state, row.as_of) == ("fresh", now)
    later = now + timedelta(minutes=1)
    await desk.run(source, "sku,qty\ns1,7\ns2,11\n", later)
    assert (await desk.rows("SELECT as_of FROM stock_source"))[0].as_of == later, "who says the same again was heard"


async def test_a_source_that_lets_a_node_go_holds_nothing_back_of_it(desk: Desk) -> None:
    source = await desk.define(buffer_units=4)
    await desk.run(source, "sku,qty\ns1,10\n")
    assert await desk.free("s1") == 10 - 4
    await desk.define(buffer_units=1)
    await desk.watch()
    assert await desk.free("s1") == 10 - 1, "what another definition holds back is looked at again"
    await desk.define(buffer_units=0)
    await desk.watch()
    assert await desk.free("s1") == 10
    await desk.define(buffer_units=2)
    await desk.watch()
    await desk.define(node_id="n2")
    assert await desk.free("s1") == 10
    with pytest.raises(InvalidInput, match="speaks for the stock of n2"):
        await desk.define(source_id="other", node_id="n2")
    with pytest.raises(InvalidInput, match="there is no node n7"):
        await desk.define(node_id="n7")


async def test_orders_that_wait_are_woken_by_what_a_file_brings(desk: Desk) -> None:
    source = await desk.define()
    await place(desk.database, {"o": [(1, "s1", 60)]})
    async with desk.database.transaction() as connection:
        await connection.execute(text("UPDATE order_line SET unallocated = 0, backordered = 60"))
    run = await desk.run(source, "sku,qty\ns1,80\n")
    assert (run.orders_woken, desk.woken.workflows) == (1, ["order/o"])


async def test_what_is_held_back_no_longer_is_owed_to_who_waits(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await place(desk.database, {"o": [(1, "s1", 60)]})
    async with desk.database.transaction() as connection:
        await connection.execute(text("UPDATE order_line SET unallocated = 0, backordered = 60"))
    await desk.define(buffer_units=10)
    await desk.watch()
    assert await desk.rows("SELECT FROM wake") == []
    await desk.define(buffer_units=4)
    with monkeypatch.context() as dying:
        dying.setattr(feed_freshness, "keep_state", AsyncMock(side_effect=ConnectionError))
        with pytest.raises(ConnectionError):
            await desk.watch()
    assert await desk.rows("SELECT sku FROM wake") == [("s1",)]
    await desk.define(node_id="n2")
    assert await desk.rows("SELECT sku FROM wake") == [("s1",), ("s1",)]
