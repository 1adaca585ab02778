"""A file compared with the source's last one comes to the same stock and the same refusals as one looked at whole."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from shared.database import feed_repeats, feed_staging
from shared.database.engine import Database
from shared.database.stock import Move, move
from shared.domain.feeds import FeedSource
from tests.support.feed_desk import Desk
from tests.support.stock import seed

ITEMS, ROUNDS = 14, 8
#: Two sources say the same of nodes of their own; what the second said last is forgotten before its next file.
SIDES = {"compared": ("n1", "n2"), "whole": ("n3", "n4")}
READINGS: dict[str, dict[str, Any]] = {
    "partner_sku": {"partner_sku": "item", "quantity": "qty"},
    "sku": {"sku": "item", "quantity": "qty"},
    "nodes": {"upc": "item", "quantity": "qty", "node": "at", "as_of": "of"},
}


class Lines:
    """What the partner's next files say, changed at random from one to the next."""

    def __init__(self, lot: random.Random, own: bool) -> None:
        self._lot, self._prefix = lot, "s" if own else "P-"
        self._rows = [self._row(n) for n in range(1, ITEMS)]

    def _row(self, n: int) -> list[str]:
        return [self._lot.choice(["A", "B"]), f"{self._prefix}{n}", str(self._lot.randrange(20))]

    def next(self) -> None:
        for _ in range(self._lot.randrange(1, 5)):
            row = self._lot.choice(self._rows)
            match self._lot.randrange(8):
                case 0 | 1:
                    row[2] = str(self._lot.randrange(20))
                case 2:
                    row[2] = self._lot.choice(["x", '"7"', "2.5", " 8 "])
                case 3:
                    self._rows.append(list(row))
                case 4:
                    self._rows.append([*row[:2], str(self._lot.randrange(20))])
                case 5:
                    self._rows.append(self._row(self._lot.randrange(1, ITEMS + 3)))
                case 6 if len(self._rows) > 3:
                    self._rows.remove(row)
                case _:
                    self._lot.shuffle(self._rows)

    def file(self, moment: datetime) -> str:
        return "".join(["at,item,qty,of\n", *(f"{','.join(row)},{moment.isoformat()}\n" for row in self._rows)])


@pytest.fixture
async def desk(fresh_database_url: str) -> AsyncIterator[Desk]:
    """Items under their partner's numbers, of which two items share one, with stock that is ten days old."""
    database = Database(fresh_database_url)
    await seed(database, nodes=4, skus=ITEMS, on_hand=10, days_ago=10)
    async with database.transaction() as connection:
        await connection.execute(
            text("""
                INSERT INTO source_offer SELECT node_id, 's' || n, 'P-' || CASE n WHEN 6 THEN 5 ELSE n END, 1, 2, 0
                FROM generate_series(1, :items) AS n, node
            """),
            {"items": ITEMS - 1},
        )
    desk = Desk(database)
    yield desk
    await database.close()


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each file that was staged, whether it was compared with the one before."""
    told, find = [], feed_repeats.find_repeats

    async def noting(*arguments: Any) -> Any:
        repeats = await find(*arguments)
        told.append(repeats is not None)
        return repeats

    monkeypatch.setattr(feed_staging, "find_repeats", noting)
    return told


async def define(desk: Desk, side: str, reading: str, **changes: Any) -> FeedSource:
    nodes: dict[str, Any] = {"node_id": SIDES[side][0]}
    if reading == "nodes":
        nodes = {"node_id": None, "nodes": dict(zip("AB", SIDES[side], strict=True))}
    settings = {"source_id": side, "reading": {"format": "csv"} | READINGS[reading], "missing_means_zero": True}
    return await desk.define(**settings | nodes | changes)


async def disturb(desk: Desk, lot: random.Random, step: int) -> None:
    """Something else happens to the stock of both sides, or to how it is known."""
    item = f"s{lot.randrange(1, ITEMS)}"
    match lot.randrange(5):
        case 0 | 1:
            cause = lot.choice(["receive", "count"])
            moves = [
                Move(node_id=node_id, sku=item, cause=cause, on_hand=3, reference=f"{cause}/{step}")
                for node_id in ("n1", "n3")
            ]
            async with desk.database.transaction() as connection:
                await move(connection, moves)
        case 2:
            number = f"P-{lot.randrange(1, ITEMS + 3)}"
            change = text("UPDATE source_offer SET partner_sku = :number WHERE sku = :item")
            async with desk.database.transaction() as connection:
                await connection.execute(change, {"number": number, "item": item})
        case _:
            pass


async def stock(desk: Desk, node_ids: tuple[str, ...]) -> list[Any]:
    statement = "SELECT sku, on_hand, feed_buffer FROM stock_position WHERE node_id = :n ORDER BY sku"
    return [await desk.rows(statement, n=node_id) for node_id in node_ids]


async def told_of(desk: Desk, source: FeedSource, content: str, moment: datetime) -> tuple[Any, ...]:
    """All that a file comes to."""
    run = await desk.run(source, content, moment)
    counts = run.model_dump(include={"status", "rows", "refused", "changed", "zeroed", "floored", "staged"})
    node_ids = SIDES[source.source_id]
    nodes = await desk.rows("SELECT node_ids FROM feed_run WHERE run_id = :r", r=run.run_id)
    spoken_of = sorted(node_ids.index(node_id) for node_id in nodes[0].node_ids)
    told = [(row, field, code) for row, field, code, _ in await desk.refused(run)]
    return counts, spoken_of, told, await stock(desk, node_ids)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("chance", range(2))
async def test_what_repeats_comes_to_the_same(desk: Desk, compared: list[bool], reading: str, chance: int) -> None:
    lot = random.Random(chance)
    lines = Lines(lot, own=reading == "sku")
    begun = datetime.now(UTC)
    for step in range(ROUNDS):
        if step % 4 == 0:
            unit = "pack" if step else "each"
            sources = [await define(desk, side, reading, unit=unit, buffer_units=1) for side in SIDES]
            await desk.watch()
        await disturb(desk, lot, step)
        lines.next()
        moment = begun + timedelta(milliseconds=step) if lot.random() < 0.3 else datetime.now(UTC)
        begun = max(begun, moment)
        await forget(desk, "whole")
        first, second = [await told_of(desk, source, lines.file(begun), begun) for source in sources]
        assert first == second, (chance, step)
    assert not any(compared[1::2])
    assert sum(compared) >= ROUNDS // 4


async def forget(desk: Desk, source_id: str) -> None:
    """Drop the file that the source's next one would be compared with."""
    chunks = text("DELETE FROM feed_chunk c USING feed_run r WHERE r.run_id = c.run_id AND r.source_id = :source_id")
    async with desk.database.transaction() as connection:
        await connection.execute(chunks, {"source_id": source_id})


async def test_what_was_not_committed_when_the_last_file_was_read_is_looked_at(
    desk: Desk, compared: list[bool]
) -> None:
    source = await define(desk, "compared", "sku")
    async with desk.database.transaction() as late:
        await move(late, [Move(node_id="n1", sku="s1", cause="receive", on_hand=5, reference="late")])
        await desk.run(source, "item,qty\ns2,1\ns1,10\n")
    assert (await desk.on_hand())["s1"] == 15
    await desk.run(source, "item,qty\ns2,2\ns1,10\n")
    assert (await desk.on_hand())["s1"] == 10
    assert compared == [False, True]


async def test_figures_that_could_not_be_booked_are_looked_at_again(desk: Desk, compared: list[bool]) -> None:
    source = await define(desk, "compared", "sku")
    await hold(desk, 4)
    assert (await desk.run(source, "item,qty\ns2,1\ns1,3\n")).floored == 1
    await hold(desk, -4)
    await desk.run(source, "item,qty\ns2,2\ns1,3\n")
    assert (await desk.on_hand())["s1"] == 3
    await desk.run(source, "item,qty\ns2,4\ns1,3\n")
    assert compared == [False, False, True]


async def hold(desk: Desk, units: int) -> None:
    """Units of an item go to a cart, or come back."""
    cause = "hold" if units > 0 else "expire"
    async with desk.database.transaction() as connection:
        await connection.execute(
            text("UPDATE stock_position SET held = held + :units WHERE node_id = 'n1' AND sku = 's1'"), {"units": units}
        )
        await connection.execute(
            text("""
                INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, held, reference, actor)
                VALUES ('n1', 's1', :cause, 0, 0, :units, 'cart', 'test')
            """),
            {"cause": cause, "units": units},
        )


async def test_what_is_held_back_of_old_figures_is_given_back(desk: Desk, compared: list[bool]) -> None:
    source = await define(desk, "compared", "sku", stale_after=timedelta(hours=1), missing_means_zero=False)
    old = datetime.now(UTC) - timedelta(hours=2)
    await desk.run(source, "item,qty\ns2,1\ns1,10\n", old)
    assert await desk.free("s1", "n1") == 5
    await desk.run(source, "item,qty\ns2,2\ns1,10\n")
    assert await desk.free("s1", "n1") == 10
    await desk.run(source, "item,qty\ns2,3\ns1,10\n")
    assert compared == [False, False, True]


async def test_only_the_last_file_is_kept(desk: Desk) -> None:
    source = await define(desk, "compared", "sku")
    runs = [await desk.run(source, f"item,qty\ns2,{n}\n") for n in range(3)]
    assert await desk.rows("SELECT DISTINCT run_id FROM feed_chunk") == [(runs[-1].run_id,)]
