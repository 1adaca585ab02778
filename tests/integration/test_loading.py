"""Tables loaded on a real Postgres: all rows or none, the same file once, and a ledger that adds up."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping

import pytest
from sqlalchemy import text

from shared.database.engine import Database
from shared.database.loads import Loaded
from shared.database.network import read_nodes
from shared.database.positions import read_history
from shared.database.reservations import Claim, reserve
from shared.database.stock import Settle, settle
from shared.errors import InvalidInput
from shared.intake.columns import TABLES
from shared.loading import load
from tests.support.stock import place, residuals, seed

HEADER = "node_id,sku,on_hand,safety\n"


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    """Ten of each of two items at two nodes; three of the first are reserved at the first node."""
    database = Database(fresh_database_url)
    await seed(database, nodes=2, skus=2, on_hand=10)
    await place(database, {"o": [(1, "s1", 3)]})
    claim = Claim(owner="o/f1", line_no=1, order_id="o", node_id="n1", sku="s1", quantity=3)
    async with database.transaction() as connection:
        assert await reserve(connection, [claim])
    yield database
    await database.close()


async def put(database: Database, *, dry_run: bool = False, **tables: str) -> list[Loaded]:
    return await put_all(database, tables, dry_run=dry_run)


async def put_all(database: Database, tables: Mapping[str, str], *, dry_run: bool = False) -> list[Loaded]:
    loaded, _ = await load(database, {kind: content.encode() for kind, content in tables.items()}, dry_run=dry_run)
    return loaded


def counts(loaded: Loaded) -> tuple[int, int, int]:
    return loaded.added, loaded.changed, loaded.unchanged


async def positions(database: Database) -> dict[tuple[str, str], tuple[int, int, int]]:
    async with database.reading() as connection:
        rows = await connection.execute(text("SELECT * FROM stock_position"))
        return {(row.node_id, row.sku): (row.on_hand, row.reserved, row.safety) for row in rows}


async def test_a_count_becomes_moves(database: Database) -> None:
    (items,) = await put(database, items="sku,weight_g,length_mm,width_mm,height_mm,price_minor,cost_minor,currency\n"
                         "s3,1,1,1,1,1,1,USD\n")  # fmt: skip
    (loaded,) = await put(database, stock=HEADER + "n1,s1,8,1\nn1,s2,10,\nn2,s1,10,4\nn1,s3,5,2\nn2,s3,0,\n")
    assert (counts(items), counts(loaded)) == ((1, 0, 0), (2, 2, 1))
    assert await positions(database) == {
        ("n1", "s1"): (8, 3, 1), ("n1", "s2"): (10, 0, 0), ("n2", "s1"): (10, 0, 4),
        ("n2", "s2"): (10, 0, 0), ("n1", "s3"): (5, 0, 2), ("n2", "s3"): (0, 0, 0),
    }  # fmt: skip
    async with database.reading() as connection:
        # the order's line was not told of its reservation: only stock is looked at here
        assert (await residuals(connection)).keys() <= {"lines_unlike_their_reservations"}
        (one,) = await read_history(connection, "s1", node_id="n1")
        (three,) = await read_history(connection, "s3", node_id="n1")
    assert [(move.cause, move.on_hand) for move in one.moves][-1] == ("adjust", -2)
    assert [(move.cause, move.on_hand) for move in three.moves] == [("receive", 5)]


async def test_the_same_file_again_changes_nothing_also_when_stock_has_moved(database: Database) -> None:
    content = HEADER + "n1,s1,8,\nn1,s2,10,\n"
    await put(database, stock=content)
    async with database.transaction() as connection:
        await settle(connection, [Settle(owner="o/f1", line_no=1, shipped=3)], reference="o/f1")
        await connection.execute(text("UPDATE stock_position SET safety = 5 WHERE sku = 's2'"))
    before = await positions(database)
    (again,) = await put(database, stock=content)
    assert (again.again, counts(again), await positions(database)) == (True, (0, 0, 2), before)


async def test_fewer_than_are_reserved_cannot_be_there(database: Database) -> None:
    before = await positions(database)
    with pytest.raises(InvalidInput) as refused:
        await put(database, stock=HEADER + "n2,s1,1,\nn1,s1,2,\n")
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [("/3/on_hand", "below_reserved")]
    assert await positions(database) == before


async def test_nothing_is_written_when_any_row_of_any_table_has_a_fault(database: Database) -> None:
    header = "sku,weight_g,length_mm,width_mm,height_mm,price_minor,cost_minor,currency\n"
    with pytest.raises(InvalidInput) as refused:
        await put(database, items=header + "s3,1,1,1,1,1,1,USD\n", stock=HEADER + "n1,s3,1,\nn1,s4,x,\nn9,s3,1,\n")
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [
        ("/stock.csv/3/on_hand", "not_an_integer"),
        ("/stock.csv/3/sku", "unknown_sku"),
        ("/stock.csv/4/node_id", "unknown_node_id"),
    ]
    async with database.reading() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM item"))).scalar_one() == 2


async def test_a_dry_run_counts_and_keeps_nothing(database: Database) -> None:
    before = await positions(database)
    (loaded,) = await put(database, stock=HEADER + "n1,s1,8,\n", dry_run=True)
    assert (counts(loaded), await positions(database)) == ((0, 1, 0), before)
    (loaded,) = await put(database, stock=HEADER + "n1,s1,8,\n")
    assert (counts(loaded), loaded.again) == ((0, 1, 0), False)


async def test_a_whole_merchant_is_loaded_at_once_and_again(database: Database) -> None:
    tables = {kind: table.template() for kind, table in TABLES.items()}
    first = await put_all(database, tables)
    again = await put_all(database, tables)
    assert [counts(loaded) for loaded in first] == [(1, 0, 0)] * len(TABLES)
    assert [counts(loaded) for loaded in again] == [(0, 0, 1)] * len(TABLES)
    changed = await put(database, nodes=tables["nodes"].replace("14:00", "15:00"))
    assert [counts(loaded) for loaded in changed] == [(0, 1, 0)]
    async with database.transaction() as connection:
        await connection.execute(text("DELETE FROM stock_position WHERE node_id LIKE 'n_'"))
        await connection.execute(text("DELETE FROM node WHERE node_id LIKE 'n_'"))
        (node,) = await read_nodes(connection)
    assert (node.node_id, node.calendar.cutoff.hour) == ("wh-columbus", 15)


async def test_fifty_thousand_rows_take_seconds(fresh_database_url: str) -> None:
    database = Database(fresh_database_url)
    await seed(database, nodes=20, skus=2_500, on_hand=0)
    rows = (f"n{n},s{s},{n + s % 40},1\n" for s in range(1, 2_501) for n in range(1, 21))
    began = time.perf_counter()
    (loaded,) = await put(database, stock=HEADER + "".join(rows))
    took = time.perf_counter() - began
    async with database.reading() as connection:
        assert await residuals(connection) == {}
    await database.close()
    print(f"{loaded.rows} rows in {took:.1f} s")
    assert counts(loaded) == (0, 50_000, 0)
    assert took < 30
