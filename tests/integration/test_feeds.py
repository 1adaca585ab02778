"""Feeds on a real Postgres: every row of a file is in or refused with its reason."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from shared.database import feed_moves
from shared.domain.feeds import Buffer
from shared.errors import Conflict, Unavailable
from shared.messages.feeds import FeedRunInput
from tests.support.feed_desk import Desk, opened

REAL = Path(__file__).parents[3] / "shared/data/edi/846/Stedi-Demos__malouf_lowes_846_20221006.edi"


@pytest.fixture
async def desk(fresh_database_url: str) -> AsyncIterator[Desk]:
    async with opened(fresh_database_url) as desk:
        yield desk


async def test_every_row_is_in_or_refused_with_its_reason_and_its_line(desk: Desk) -> None:
    source = await desk.define()
    content = 'sku,qty\ns1,7\ns2,10\ns9,4\ns3,2.5\n"s3",-1\ns1,8\ns3\n'
    run = await desk.run(source, content)
    assert (run.status, run.rows, run.changed, run.unchanged, run.refused) == ("applied", 7, 1, 1, 5)
    assert await desk.refused(run) == [
        (4, "item", "unknown_item", "s9,4"),
        (5, "quantity", "fraction", "s3,2.5"),
        (6, "quantity", "negative", '"s3",-1'),
        (7, "item", "duplicate", "s1,8"),
        (8, "", "wrong_number_of_cells", "s3"),
    ]
    assert await desk.on_hand() == {"s1": 7, "s2": 10, "s3": 10}
    moves = await desk.rows("SELECT * FROM stock_move WHERE cause = 'feed'")
    assert [(m.sku, m.on_hand, m.reference, m.actor) for m in moves] == [("s1", -3, f"feed/{run.run_id}", "acme")]


async def test_the_same_content_is_answered_with_its_first_run(desk: Desk) -> None:
    source = await desk.define()
    now = datetime.now(UTC)
    first = await desk.run(source, "sku,qty\ns1,7\n", now - timedelta(hours=1))
    await desk.move("s1", 5)
    again = await desk.run(source, "sku,qty\ns1,7\n", now)
    assert (again.again, again.run_id, again.changed) == (True, first.run_id, 1)
    assert (await desk.on_hand())["s1"] == 12


async def test_content_that_comes_back_later_is_news_unless_the_file_says_when_it_was(desk: Desk) -> None:
    """Seven, then five, then seven again is a stock that moves, not a repeat."""
    source = await desk.define()
    now = datetime.now(UTC)
    for hours, units in ((3, 7), (2, 5), (1, 7)):
        run = await desk.run(source, f"sku,qty\ns1,{units}\n", now - timedelta(hours=hours))
        assert (run.status, run.again) == ("applied", False)
    assert (await desk.on_hand())["s1"] == 7
    dated = await desk.define(reading={"format": "csv", "sku": "sku", "quantity": "qty", "as_of": "at"})
    first, second = (f"sku,qty,at\ns1,3,{now + timedelta(seconds=n):%Y-%m-%dT%H:%M:%SZ}\n" for n in (0, 1))
    assert not (await desk.run(dated, first)).again
    assert not (await desk.run(dated, second)).again
    assert (await desk.run(dated, first)).again


async def test_packs_are_converted_by_the_offer(desk: Desk) -> None:
    async with desk.database.transaction() as connection:
        await connection.execute(text("INSERT INTO source_offer VALUES ('n1', 's1', 'A-1', 100, 12, 0)"))
    reading = {"format": "csv", "partner_sku": "Item", "sku": "sku", "quantity": "qty", "thousands": ","}
    source = await desk.define(unit="pack", reading=reading)
    run = await desk.run(source, 'Item,sku,qty\nA-1,,"1,003"\n,s2,4\nA-1,,0.5\n')
    assert await desk.on_hand() == {"s1": 12036, "s2": 10, "s3": 10}
    assert [(row, code) for row, _, code, _ in await desk.refused(run)] == [(3, "unknown_pack"), (4, "fraction")]


async def test_a_number_that_several_items_share_names_none_of_them(desk: Desk) -> None:
    async with desk.database.transaction() as connection:
        await connection.execute(
            text("""
            INSERT INTO source_offer VALUES ('n1', 's1', 'A', 1, 1, 0), ('n1', 's2', 'A', 1, 1, 0),
                                            ('n1', 's3', 'B', 1, 1, 0)
        """)
        )
    source = await desk.define(reading={"format": "csv", "partner_sku": 1, "quantity": 2, "header": False})
    run = await desk.run(source, "A,1\nB,2\n")
    assert (await desk.on_hand(), [code for _, _, code, _ in await desk.refused(run)]) == (
        {"s1": 10, "s2": 10, "s3": 2}, ["ambiguous_item"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("sku,qty\ns1,1\ns2,2\n", "truncated"),
        ("sku,qty\ns1,1\nEND,2\n", "wrong_count"),
        ("sku,qty\nEND,0\ns1,1\n", "after_trailer"),
        ("sku;qty\ns1;1\nEND;1\n", "missing_column"),
        ('sku,qty\ns1,"1\n', "not_csv"),
        (b"sku,qty\ns1,\xff\n", "not_utf8"),
        ("sku,qty\nEND,0\n", "empty"),
        ("", "missing_column"),
        ("sku,qty\nno,1\nEND,1\n", "nothing_known"),
        ("sku,qty\n" + "s1,1\n" * 50, "too_large"),
        ("sku,qty\n" + "s1,1\n" * 5, "too_many_rows"),
    ],
)
async def test_a_file_that_is_not_whole_changes_nothing(desk: Desk, content: str | bytes, code: str) -> None:
    reading = {"format": "csv", "sku": "sku", "quantity": "qty", "trailer": {"marker": "END", "rows": 2}}
    source = await desk.define(reading=reading, max_bytes=200, max_rows=4, missing_means_zero=True)
    run = await desk.run(source, content)
    assert (run.status, run.code) == ("refused", code)
    assert await desk.on_hand() == {"s1": 10, "s2": 10, "s3": 10}
    assert await desk.cases("feed.refused") == ["acme"]
    assert await desk.rows("SELECT FROM feed_chunk") == []
    assert (await desk.rows("SELECT applying FROM feed_source"))[0].applying is None


async def test_a_refused_file_may_be_tried_again(desk: Desk) -> None:
    at = datetime.now(UTC)
    source = await desk.define(max_bytes=10)
    assert (await desk.run(source, "sku,qty\ns1,7\n", at)).code == "too_large"
    source = await desk.define()
    assert (await desk.run(source, "sku,qty\ns1,7\n", at)).status == "applied"


async def test_a_run_that_is_killed_between_chunks_ends_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_moves, "CHUNK", 1)
    source = await desk.define()
    run = await desk.take(source, "sku,qty\ns1,1\ns2,2\ns3,3\n")
    request = FeedRunInput(source_id="acme", run_id=run.run_id)
    env = ActivityEnvironment()
    await env.run(desk.feeds.stage, request)
    async with desk.database.transaction() as connection:
        half = await feed_moves.apply_chunk(connection, run.run_id, source, Buffer())
    assert (half.done, await desk.on_hand()) == (1, {"s1": 1, "s2": 10, "s3": 10})
    with pytest.raises(Unavailable, match="is being applied"):
        await desk.run(source, "sku,qty\ns1,5\n")
    with pytest.raises(Conflict, match="is being applied"):
        await desk.define()
    same = await desk.take(source, "sku,qty\ns1,1\ns2,2\ns3,3\n", run.as_of)
    assert (same.run_id, same.status, same.again) == (run.run_id, "staged", False)
    done = await desk.go_on(same)
    assert (done.changed, await desk.on_hand()) == (3, {"s1": 1, "s2": 2, "s3": 3})
    await desk.go_on(await desk.take(source, "sku,qty\ns1,1\ns2,2\ns3,3\n", run.as_of))
    assert len(await desk.rows("SELECT FROM stock_move WHERE cause = 'feed'")) == 3
    assert not await desk.rows("SELECT FROM pg_tables WHERE tablename LIKE 'feed_stage_%'")


@pytest.mark.skipif(not REAL.exists(), reason=f"a real partner's 846 is not here: {REAL}")
async def test_a_real_advice_of_six_warehouses(desk: Desk) -> None:
    """Items known by any of their three numbers are in at each warehouse, every other line is refused at each."""
    content = REAL.read_bytes()
    lines = [part.split(b"*") for part in content.replace(b"\n", b"").split(b"~") if part.startswith(b"LIN*")]
    numbers = [{name.decode(): value.decode() for name, value in zip(p[2::2], p[3::2], strict=True)} for p in lines]
    known = [
        told["VN"] if n % 3 == 0 else told["UP"] if n % 3 == 1 or not told["SK"].strip() else told["SK"]
        for n, told in enumerate(numbers[:1900])
    ]
    async with desk.database.transaction() as connection:
        await connection.execute(
            text("INSERT INTO item SELECT 'm' || n, '', 1, 1, 1, 1, 1, 1, 'USD' FROM generate_series(0, 1899) AS n")
        )
        await connection.execute(
            text("""
                INSERT INTO source_offer SELECT node_id, 'm' || n - 1, number, 1, 1, 0
                FROM unnest(CAST(:known AS text[])) WITH ORDINALITY AS k(number, n),
                     unnest(ARRAY['n1', 'n2']) AS v(node_id)
            """),
            {"known": known},
        )
    source = await desk.define(
        node_id=None, nodes={"002": "n1", "007": "n2"}, reading={"format": "x12_846"}, counts="available"
    )
    run = await desk.run(source, content)
    refused = await desk.refused(run)
    codes = {code: sum(each == code for _, _, each, _ in refused) for _, _, code, _ in refused}
    assert (run.status, run.rows, run.control_no) == ("applied", 2019 * 6, "039295820")
    assert codes == {"unknown_node": 2019 * 4, "unknown_item": 119 * 2}
    assert run.changed + run.unchanged == 1900 * 2
    assert refused[0][3].startswith("LIN*1*VN*LU04TTFSPF*SK*1617678*UP*848971007259 REF*WS*001*0")
    wanted = {f"m{n}": q for n, q in enumerate(_of_warehouse(content, b"007")[:1900])}
    assert {sku: units for sku, units in (await desk.on_hand("n2")).items() if sku.startswith("m")} == wanted
    cut = await desk.run(source, content[: len(content) // 2])
    assert (cut.status, cut.code) == ("refused", "truncated")
    other = await desk.run(source, content.replace(b"QTY*33*1564*EA", b"QTY*33*1565*EA"))
    assert (other.status, other.code) == ("refused", "repeated_control_number")


def _of_warehouse(content: bytes, code: bytes) -> list[int]:
    parts = [part.split(b"*") for part in content.replace(b"\n", b"").split(b"~")]
    return [int(part[3]) for part in parts if part[:3] == [b"REF", b"WS", code]]
