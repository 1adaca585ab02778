"""Tables loaded on a real Postgres: all rows or none, the same file once, and a ledger that adds up."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from shared.database.engine import Database
from shared.database.loads import Loaded
from shared.database.network import read_nodes
from shared.database.positions import read_history
from shared.database.reservations import Claim
from shared.database.snapshots import read_snapshot
from shared.database.stock import Settle, settle
from shared.errors import InvalidInput
from shared.intake.columns import TABLES
from shared.loading import load
from tests.support.stock import place, reserve, residuals, seed

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
    others = "usps,carrier,https://usps.example,true,,,\nwebshop,channel,https://shop.example,,,,\n"
    bundle = "SET-0001,Train set,900,400,300,100,2499,1280,USD,\n"
    more = {"partners": tables["partners"] + others, "items": tables["items"] + bundle}
    first = await put_all(database, tables | more)
    again = await put_all(database, tables)
    rows = {"partners": 3, "items": 2}
    assert [counts(loaded) for loaded in first] == [(rows.get(kind, 1), 0, 0) for kind in TABLES]
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


RATES = "carrier,service,level,max_distance_km,breaks,transit_days,zone\n"
ZONES = "carrier,origin,destination,zone\n"
_PLACES = text("""
    UPDATE node SET place = jsonb_build_object('latitude', 40, 'longitude', -83, 'postal_code', '43217')
""")


async def test_rates_and_zones_are_what_the_planner_meets(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(_PLACES)
        partner = (await connection.execute(text("SELECT partner_id FROM partner ORDER BY 1 LIMIT 1"))).scalar_one()
    tables = {
        "rates": RATES
        + f"{partner},ground,standard,480,500:720 2000:1135,3,2\n{partner},ground,standard,9000,500:990,5,8\n",
        "zones": ZONES + f"{partner},432,100,4\n{partner},432,005,5\n{partner},999,100,8\n",
    }
    first = await put_all(database, tables)
    again = await put_all(database, tables | {"zones": tables["zones"].replace("100,4", "100,3")})
    assert [counts(loaded) for loaded in first] == [(2, 0, 0), (3, 0, 0)]
    assert [counts(loaded) for loaded in again] == [(0, 0, 2), (0, 1, 2)]
    async with database.reading() as connection:
        seen = await read_snapshot(connection, ["s1"], datetime.now(UTC))
    loaded = [rate for rate in seen.rates if rate.service == "ground" and rate.carrier == partner]
    assert [(rate.zone, [(step.up_to_g, step.price_minor) for step in rate.breaks]) for rate in loaded] == [
        (2, [(500, 720), (2000, 1135)]),
        (8, [(500, 990)]),
    ]
    assert [(chart.origin, chart.zones) for chart in seen.zones] == [("432", {"100": 3, "005": 5})]


async def test_bad_rates_and_zones_are_told_at_once(database: Database) -> None:
    tables = {
        "rates": RATES + "nobody,ground,standard,480,500:720 400:800,3,2\nn,g,slow,480,500-720,3,\n",
        "zones": ZONES + "nobody,4321,100,0\n",
    }
    with pytest.raises(InvalidInput) as refused:
        await put_all(database, tables)
    pointers = {fault.pointer for fault in refused.value.faults}
    assert {"/rates.csv/2/breaks", "/rates.csv/2/carrier", "/rates.csv/3/breaks", "/rates.csv/3/level"} <= pointers
    assert {"/zones.csv/2/origin", "/zones.csv/2/zone", "/zones.csv/2/carrier"} <= pointers
