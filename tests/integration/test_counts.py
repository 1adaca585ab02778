"""Cycle counts against the ledger: what moved since is kept, claims are kept, and wrong records are doubted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from shared.database import counts
from shared.database.counts import Counted, Widened
from shared.database.engine import Database
from shared.database.reservations import Claim
from shared.database.stock import Move, move
from shared.domain.counts import Count, CountReason, node_doubt, position_doubt
from shared.errors import InvalidInput
from shared.loading import load
from tests.support.counts import count_buffer, shortfall
from tests.support.stock import place, reserve, residuals, seed

NOW = datetime.now(UTC)
_MOVED_AT = """
    WITH noted AS (
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, reference, actor, at)
        VALUES ('n1', :sku, :cause, :units, 0, :reference, 'test', :at))
    UPDATE stock_position SET on_hand = on_hand + :units WHERE (node_id, sku) = ('n1', :sku)
"""


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    database = Database(fresh_database_url)
    await seed(database, nodes=2, skus=20, on_hand=10)
    yield database
    await database.close()


async def run(database: Database, statement: str, **values: Any) -> list[Any]:
    async with database.transaction() as connection:
        result = await connection.execute(text(statement), values)
        return list(result.all()) if result.returns_rows else []


async def count(
    database: Database, sku: str, units: int, reference: str, *, at: datetime | None = None, node_id: str = "n1"
) -> Sequence[Counted]:
    asked = Count(node_id=node_id, sku=sku, counted=units, counted_at=at, reason=CountReason.LOST)
    async with database.transaction() as connection:
        return await counts.record(connection, [asked], reference=reference, actor="auditor")


async def on_hand(database: Database, sku: str) -> int:
    query = "SELECT on_hand FROM stock_position WHERE (node_id, sku) = ('n1', :sku)"
    return int((await run(database, query, sku=sku))[0][0])


async def wrong(database: Database) -> dict[str, int]:
    async with database.reading() as connection:
        return await residuals(connection)


async def test_a_count_is_booked_once_with_its_variance(database: Database) -> None:
    (first,) = await count(database, "s1", 8, "c-1")
    assert (first.recorded, first.variance, first.booked) == (10, -2, -2)
    assert await count(database, "s1", 8, "c-1") == []
    assert await count(database, "s1", 3, "c-1") == []
    assert await on_hand(database, "s1") == 8
    (noted,) = await run(database, "SELECT on_hand, actor, reference FROM stock_move WHERE cause = 'count'")
    assert tuple(noted) == (-2, "auditor", "c-1")
    assert await wrong(database) == {}


async def test_an_exact_count_moves_nothing(database: Database) -> None:
    (exact,) = await count(database, "s1", 10, "c-1")
    assert exact.booked == 0
    assert await run(database, "SELECT FROM stock_move WHERE cause = 'count'") == []


async def test_what_nobody_recorded_is_found(database: Database) -> None:
    await run(database, "DELETE FROM stock_position WHERE sku = 's20'")
    await count(database, "s20", 4, "c-1")
    assert await on_hand(database, "s20") == 4


async def test_what_left_since_the_count_stays_left(database: Database) -> None:
    async with database.transaction() as connection:
        await move(connection, [Move(node_id="n1", sku="s1", cause="ship", on_hand=-3, reference="f1")])
    (counted,) = await count(database, "s1", 12, "c-1", at=NOW - timedelta(minutes=5))
    # The stock was not opened yet five minutes ago, so all of it came after the count.
    assert (counted.recorded, await on_hand(database, "s1")) == (0, 12 + 7)


async def test_claims_are_kept_and_what_is_missing_is_a_case(database: Database) -> None:
    await place(database, {"o": [(1, "s1", 6)]})
    claim = Claim(owner="o/f1", line_no=1, order_id="o", node_id="n1", sku="s1", quantity=6)
    async with database.transaction() as connection:
        assert await reserve(connection, [claim])
        await move(connection, [Move(node_id="n1", sku="s1", cause="hold", held=1, reference="cart")])
    (counted,) = await count(database, "s1", 2, "c-1")
    assert (counted.variance, counted.booked, await on_hand(database, "s1")) == (-8, -3, 7)
    (case,) = await run(database, "SELECT kind, reference, detail FROM exception_case")
    assert (case.kind, case.reference) == ("count.below_claims", "n1/s1")
    assert case.detail == {"counted": 2, "claimed": 7, "unbooked": 5, "count": "c-1"}


async def test_counts_that_race_with_shipments_agree_with_one_order_of_them(database: Database) -> None:
    async def ship(n: int) -> None:
        async with database.transaction() as connection:
            await move(connection, [Move(node_id="n1", sku="s1", cause="ship", on_hand=-1, reference=f"f{n}")])

    await asyncio.gather(*(ship(n) for n in range(6)), *(count(database, "s1", 20, f"c-{n}") for n in range(3)))
    # Whatever was counted first, each unit that left after it is gone.
    assert 14 <= await on_hand(database, "s1") <= 20
    assert await wrong(database) == {}


EVENTS = st.lists(st.tuples(st.integers(1, 60), st.integers(-4, 6).filter(bool)), max_size=6)
COUNTED = st.lists(st.integers(0, 61), min_size=1, max_size=4, unique=True)


@settings(max_examples=40)
@given(events=EVENTS, counted_at=COUNTED, error=st.integers(-5, 5))
def test_true_counts_in_any_order_lead_to_what_is_there(
    database_url: str, events: list[tuple[int, int]], counted_at: list[int], error: int
) -> None:
    """What is really there differs from the record by an error; counts of it come in late and out of order."""

    def really(minute: int) -> int:
        return 40 + error + sum(units for at, units in events if at <= minute)

    async def story() -> tuple[int, dict[str, int]]:
        database = Database(database_url, pool_size=1)
        async with database.transaction() as connection:
            tables = "stock_count, stock_move, stock_position, orders, policy_version, item, node, partner"
            await connection.execute(text(f"TRUNCATE {tables} CASCADE"))
        await seed(database, nodes=1, skus=1, on_hand=0)
        began = NOW - timedelta(hours=2)
        for n, (minute, units) in enumerate([(0, 40), *events]):
            at = began + timedelta(minutes=minute)
            cause = "ship" if units < 0 else "receive"
            await run(database, _MOVED_AT, sku="s1", cause=cause, units=units, reference=f"m{n}", at=at)
        for minute in counted_at:
            at = began + timedelta(minutes=minute, seconds=30)
            await count(database, "s1", really(minute), f"c-{minute}", at=at)
        result = await on_hand(database, "s1"), await wrong(database)
        await database.close()
        return result

    units, faults = asyncio.run(story())
    assert units == really(61)
    assert faults == {}


async def test_a_correction_booked_later_knows_better_than_an_older_count(database: Database) -> None:
    before = NOW + timedelta(seconds=1)
    await run(database, "SELECT pg_sleep(1.1)")
    async with database.transaction() as connection:
        await move(connection, [Move(node_id="n1", sku="s1", cause="adjust", on_hand=-4, reference="by-hand")])
    (counted,) = await count(database, "s1", 6, "c-1", at=before)
    assert (counted.superseded, counted.booked, await on_hand(database, "s1")) == (True, 0, 6)


# --- accuracy and buffers ---------------------------------------------------------------------------------


async def test_accuracy_by_node_with_its_reasons(database: Database) -> None:
    for sku, units in (("s1", 10), ("s2", 9), ("s3", 12), ("s4", 10)):
        await count(database, sku, units, "c-1")
    await count(database, "s1", 10, "c-2", node_id="n2")
    async with database.reading() as connection:
        first, second = await counts.accuracy(connection, since=NOW - timedelta(days=1))
        (near,) = await counts.accuracy(connection, since=NOW - timedelta(days=1), node_id="n1", tolerance=12)
        later = await counts.accuracy(connection, since=NOW + timedelta(days=1))
    assert (first.node_id, first.counts, first.right, first.accuracy) == ("n1", 4, 2, 0.5)
    assert first.unit_accuracy == pytest.approx(1 - 3 / 41)
    assert first.reasons == {CountReason.LOST: 2}
    assert (second.accuracy, second.reasons) == (1.0, {})
    assert near.right == 3
    assert later == []


async def buffers(database: Database) -> dict[tuple[str, str], int]:
    rows = await run(database, "SELECT node_id, sku, count_buffer FROM stock_position WHERE count_buffer > 0")
    return {(row.node_id, row.sku): row.count_buffer for row in rows}


async def widen(database: Database) -> int:
    return (await widened(database)).changed


async def widened(database: Database) -> Widened:
    async with database.transaction() as connection:
        return await counts.widen_buffers(connection, as_of=datetime.now(UTC))


async def test_buffers_widen_where_records_are_wrong_and_narrow_as_counts_get_exact(database: Database) -> None:
    shares = []
    for n in range(1, 13):
        (booked,) = await count(database, f"s{n}", 10 - (n % 4), "c-1")
        shares.append(shortfall(booked.recorded, booked.counted))
    assert await widen(database) == 20
    doubt = node_doubt(shares)
    assert doubt == 3000
    wide = await buffers(database)
    assert wide == {
        ("n1", f"s{n}"): count_buffer(10 - (n % 4) if n < 13 else 10, position_doubt(shares[n - 1 : n][:1], doubt))
        for n in range(1, 21)
    }
    free = await run(database, "SELECT free FROM stock_position WHERE (node_id, sku) = ('n1', 's20')")
    assert free[0][0] == 7
    assert await widen(database) == 0

    for again in (2, 3, 4):
        for n in range(1, 13):
            await count(database, f"s{n}", 10 - (n % 4), f"c-{again}")
    more = (await widened(database)).more
    assert "s3" in more
    left = await buffers(database)
    assert all(("n1", f"s{n}") not in left for n in range(1, 13))


async def test_every_shortfall_the_database_works_out_is_the_domains(database: Database) -> None:
    for n, (recorded, counted) in enumerate([(7, 3), (3, 2), (9, 8), (10, 0)], start=1):
        await count(database, f"s{n}", recorded, "c-1")
        await count(database, f"s{n}", counted, "c-2")
    rows = await run(database, "SELECT sku, recorded, counted FROM stock_count WHERE reference = 'c-2' ORDER BY sku")
    await widen(database)
    found = await buffers(database)
    for row in rows:
        own = [shortfall(row.recorded, row.counted), shortfall(10, row.recorded)]
        assert found.get(("n1", row.sku), 0) == count_buffer(row.counted, position_doubt(own, 0))


# --- what to count, and tables ----------------------------------------------------------------------------


async def test_what_was_never_counted_comes_first_then_what_is_most_overdue(database: Database) -> None:
    async with database.transaction() as connection:
        await move(connection, [Move(node_id="n1", sku="s2", cause="ship", on_hand=-5, reference="f1")])
        await move(connection, [Move(node_id="n1", sku="s3", cause="ship", on_hand=-1, reference="f2")])
    await run(database, "DELETE FROM stock_position WHERE sku NOT IN ('s1', 's2', 's3', 's4')")
    await count(database, "s2", 5, "c-1")
    await count(database, "s1", 10, "c-2")
    async with database.reading() as connection:
        due = await counts.plan(connection, "n1", as_of=NOW + timedelta(days=40), limit=10)
    assert [each.sku for each in due] == ["s3", "s4", "s2", "s1"]
    assert [each.count_class for each in due] == ["B", "C", "A", "C"]
    assert due[2].overdue == pytest.approx(40 / 30, rel=0.01)


TABLE = b"node_id,sku,counted,counted_at,reason\nn1,s1,8,,lost\nn1,s2,10,,\nn1,s3,13,,found\n"


async def test_a_table_of_counts_is_loaded_once(database: Database) -> None:
    await place(database, {"o": [(1, "s3", 1)]})
    await run(database, "UPDATE order_line SET unallocated = 0, backordered = 1")
    loaded, waiting = await load(database, {"counts": TABLE}, actor="auditor")
    assert [(each.rows, each.added, each.changed) for each in loaded] == [(3, 1, 2)]
    assert waiting == ["o"]
    again, _ = await load(database, {"counts": TABLE}, actor="auditor")
    assert [(each.unchanged, each.again) for each in again] == [(3, True)]
    assert await on_hand(database, "s3") == 13


async def test_every_fault_of_a_table_of_counts_is_told(database: Database) -> None:
    table = (
        b"node_id,sku,counted,counted_at,reason\n"
        b"n1,s1,-1,,lost\nn9,s1,1,,lost\nn1,s2,1,2026-01-01,lost\nn1,s3,1,,stolen\nn1,s4,1.5,,lost\n"
    )
    with pytest.raises(InvalidInput) as refused:
        await load(database, {"counts": table})
    assert {(fault.pointer, fault.code) for fault in refused.value.faults} == {
        ("/2/counted", "too_small"),
        ("/3/node_id", "unknown_node_id"),
        ("/4/counted_at", "bad_format"),
        ("/5/reason", "unknown_value"),
        ("/6/counted", "not_an_integer"),
    }


async def test_a_count_of_a_moment_to_come_is_refused(database: Database) -> None:
    table = b"node_id,sku,counted,counted_at\nn1,s1,1,2999-01-01T00:00:00Z\n"
    with pytest.raises(InvalidInput, match="not be to come"):
        await load(database, {"counts": table})
    assert await on_hand(database, "s1") == 10
