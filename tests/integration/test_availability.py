"""What channels may sell on a real Postgres, beside the naive sum, and a feed that loses nothing."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from shared.database.availability import Changes, read_all, read_availability, read_changes
from shared.database.engine import Database
from shared.database.network import save_safety
from shared.database.reservations import Claim
from shared.database.stock import Move, receive
from shared.domain.availability import Allocation, available
from shared.domain.pools import Pool
from tests.support.stock import place, reserve, seed
from tests.support.tables import put

CHANNELS = "channel,rank,every_node\nweb,1,true\napp,2,false\n"
ELIGIBILITY = "channel,node_id,sells\nweb,n3,false\napp,n1,true\napp,n3,true\n"
_ALLOCATE = text("""
    INSERT INTO channel_allocation (channel, sku, pool, fall_through) VALUES (:channel, :sku, :pool, :through)
""")


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    """Ten of each of four items at three nodes."""
    database = Database(fresh_database_url)
    await seed(database, nodes=3, skus=4, on_hand=10)
    yield database
    await database.close()


async def sells(database: Database, channel: str, *skus: str) -> list[int]:
    async with database.reading() as connection:
        return [item.available for item in (await read_availability(connection, channel, skus)).items]


async def changes(database: Database, after: int, limit: int = 1000) -> Changes:
    async with database.reading() as connection:
        return await read_changes(connection, "web", after, limit)


async def version(database: Database) -> int:
    async with database.reading() as connection:
        return (await read_all(connection, "web")).version


def arrival(sku: str, reference: str, units: int = 1) -> Move:
    return Move(node_id="n1", sku=sku, cause="receive", on_hand=units, reference=reference)


async def test_a_channel_that_is_not_configured_sells_all_that_ships(database: Database) -> None:
    await place(database, {"o": [(1, "s1", 3)]})
    claim = Claim(owner="o/f1", line_no=1, order_id="o", node_id="n1", sku="s1", quantity=3)
    async with database.transaction() as connection:
        assert await reserve(connection, [claim])
        await save_safety(connection, [{"node_id": "n2", "sku": "s1", "safety": 14}])
        await connection.execute(text("UPDATE node SET ship_enabled = false WHERE node_id = 'n3'"))
    async with database.reading() as connection:
        answer = await read_availability(connection, "anything", ["s1", "nonsense", "s2", "s1"])
    told = [(item.sku, item.available, item.known) for item in answer.items]
    assert told == [("s1", 7, True), ("nonsense", 0, False), ("s2", 20, True)]


async def test_channels_nodes_and_allocations_shape_it(database: Database) -> None:
    allocation = "channel,sku,pool,fall_through,percent,cap\nweb,,,,50,\nweb,s2,12,false,,\napp,s3,6,,,\napp,s4,,,,4\n"
    await put(database, channels=CHANNELS, eligibility=ELIGIBILITY, allocation=allocation)
    # s2: web keeps 12 of n1 and n2, so app is left 18; s3: app's 6 may all lie at n3, so half of n1 and n2 is web's
    assert await sells(database, "web", "s1", "s2", "s3", "s4") == [10, 12, 10, 10]
    assert await sells(database, "app", "s1", "s2", "s3", "s4") == [20, 18, 20, 4]
    assert await sells(database, "other", "s2", "s3") == [18, 24]


async def test_it_agrees_with_the_pure_function_on_random_networks(database: Database) -> None:
    lot = random.Random(11)
    await put(database, channels=CHANNELS, eligibility=ELIGIBILITY)
    eligible = {"web": {"n1", "n2"}, "app": {"n1", "n3"}}
    for _ in range(15):
        rules = {(c, s): lot.randrange(0, 40) for c in eligible for s in (None, "s1", "s2") if lot.random() < 0.6}
        async with database.transaction() as connection:
            await connection.execute(text("DELETE FROM channel_allocation"))
            await connection.execute(text("UPDATE stock_position SET on_hand = floor(random() * 20)"))
            stock = {
                (r.node_id, r.sku): r.on_hand for r in await connection.execute(text("SELECT * FROM stock_position"))
            }
            for (channel, sku), pool in rules.items():
                values = {"channel": channel, "sku": sku, "pool": pool, "through": pool % 2 == 0}
                await connection.execute(_ALLOCATE, values)
        for sku in ("s1", "s2", "s3"):
            own = {c: rules.get((c, sku), rules.get((c, None))) for c in eligible}
            pools = [Pool(channel=c, units=u, nodes=frozenset(eligible[c])) for c, u in own.items() if u is not None]
            at = {node: stock[node, sku] for node in ("n1", "n2", "n3")}
            for c, units in own.items():
                rule = None if units is None else Allocation(channel=c, pool=units, fall_through=units % 2 == 0)
                assert await sells(database, c, sku) == [available(at, c, eligible[c], pools, rule)]


async def test_only_what_changed_is_told_each_item_once(database: Database) -> None:
    since = await version(database)
    async with database.transaction() as connection:
        await receive(connection, [arrival("s2", "a"), arrival("s2", "b"), arrival("s3", "a")])
        await save_safety(connection, [{"node_id": "n1", "sku": "s4", "safety": 2}])
    told = await changes(database, since)
    assert [(item.sku, item.available) for item in told.items] == [("s2", 32), ("s3", 31), ("s4", 28)]
    assert (told.reload, told.more) == (False, False)
    assert (await changes(database, told.version)).items == ()


async def test_pages_are_cut_between_transactions_and_versions_only_grow(database: Database) -> None:
    since = await version(database)
    for number, skus in enumerate((("s1",), ("s2", "s3"), ("s4",), ("s1",))):
        async with database.transaction() as connection:
            await receive(connection, [arrival(sku, f"r{number}") for sku in skus])
    pages, versions = [], [since]
    while True:
        page = await changes(database, versions[-1], 1)
        pages.append([item.sku for item in page.items])
        versions.append(page.version)
        if not page.more:
            break
    assert pages == [["s2", "s3"], ["s4"], ["s1"]]
    assert versions == sorted(versions)


async def test_what_commits_late_is_not_lost(database: Database) -> None:
    """The first transaction draws the lower id and commits last; remembering the highest id seen would skip it."""
    since = await version(database)
    async with database.engine.connect() as early, database.engine.connect() as late:
        await receive(early, [arrival("s1", "early")])
        await receive(late, [arrival("s2", "late")])
        await late.commit()
        between = await changes(database, since)
        assert between.items == ()
        await early.commit()
    told = await changes(database, between.version)
    ids = "SELECT sku FROM stock_move WHERE reference IN ('early', 'late') ORDER BY move_id"
    async with database.reading() as connection:
        assert list((await connection.execute(text(ids))).scalars()) == ["s1", "s2"]
    assert {item.sku for item in told.items} == {"s1", "s2"}


async def test_a_transaction_that_is_older_but_draws_later_is_not_lost(database: Database) -> None:
    """Numbers of transactions and ids of moves need not have the same order either."""
    since = await version(database)
    async with database.engine.connect() as older, database.engine.connect() as newer:
        await older.execute(text("SELECT pg_current_xact_id()"))
        await receive(newer, [arrival("s1", "newer")])
        await receive(older, [arrival("s2", "older")])
        await older.commit()
        told = await changes(database, since)
        assert [item.sku for item in told.items] == ["s2"]
        await newer.commit()
    assert [item.sku for item in (await changes(database, told.version)).items] == ["s1"]


async def test_a_follower_ends_with_what_a_full_read_says(database: Database) -> None:
    lot = random.Random(5)
    async with database.reading() as connection:
        known = await read_all(connection, "web")
    shelf, after = {item.sku: item.available for item in known.items}, known.version
    open_ones = [await database.engine.connect() for _ in range(4)]
    for step in range(60):
        writer = lot.choice(open_ones)
        await writer.commit() if lot.random() < 0.5 else await writer.rollback()
        sku = f"s{open_ones.index(writer) + 1}"
        await receive(writer, [arrival(sku, f"step{step}", lot.randrange(1, 5))])
        told = await changes(database, after, 2)
        shelf |= {item.sku: item.available for item in told.items}
        after = told.version
    for writer in open_ones:
        await writer.commit()
        await writer.close()
    while (told := await changes(database, after, 1)).items:
        shelf |= {item.sku: item.available for item in told.items}
        after = told.version
    async with database.reading() as connection:
        assert shelf == {item.sku: item.available for item in (await read_all(connection, "web")).items}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE node SET ship_enabled = false WHERE node_id = 'n3'",
        "INSERT INTO channel VALUES ('app', 1, true)",
        "INSERT INTO channel_node VALUES ('web', 'n1', false)",
        "INSERT INTO channel_allocation (channel, percent) VALUES ('web', 50)",
    ],
)
async def test_when_every_item_may_have_changed_it_says_so(database: Database, statement: str) -> None:
    await put(database, channels="channel\nweb\n")
    since = await version(database)
    async with database.transaction() as connection:
        await connection.execute(text(statement))
    told = await changes(database, since)
    assert (told.reload, told.items) == (True, ())
    assert not (await changes(database, told.version)).reload


async def test_an_allocation_of_one_item_changes_that_item(database: Database) -> None:
    await put(database, channels="channel\nweb\n")
    since = await version(database)
    await put(database, allocation="channel,sku,cap\nweb,s2,5\n")
    assert [(item.sku, item.available) for item in (await changes(database, since)).items] == [("s2", 5)]


async def test_a_version_of_another_cluster_reads_everything_again(database: Database) -> None:
    assert (await changes(database, 10**15)).reload
