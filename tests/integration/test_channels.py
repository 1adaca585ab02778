"""What a channel may not sell its orders do not take: nodes it does not sell from, units kept for others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from shared.database import carts, snapshots
from shared.database.engine import Database
from shared.database.plans import committer
from shared.database.reservations import Claim, reserve_each
from shared.database.sourcing import Network, read_question
from shared.domain.pools import Pool, Pooled
from shared.loading import load
from tests.support.stock import draft, place, residuals, seed
from tests.support.tables import put

CHANNELS = "channel,rank,every_node\nweb,2,true\napp,1,false\n"
#: Numbered under the lock of their position; transactions were numbered before they waited for it.
MOVES = text("SELECT reference, reserved FROM stock_move WHERE sku = 's1' AND cause = 'reserve' ORDER BY move_id")
PLACE = '{"latitude": 40, "longitude": -83}'
ELIGIBILITY = "channel,node_id,sells\napp,n1,true\napp,n2,true\nweb,n3,false\n"


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    """Ten of each of four items at three nodes; ``app`` goes first and keeps 12 of s1."""
    database = Database(fresh_database_url)
    await seed(database, nodes=3, skus=4, on_hand=10)
    tables = {"channels": CHANNELS, "eligibility": ELIGIBILITY, "allocation": "channel,sku,pool\napp,s1,12\n"}
    await put(database, **tables)
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE node SET place = CAST(:place AS jsonb)"), {"place": PLACE})
    yield database
    await database.close()


async def seen(database: Database, channel: str | None) -> tuple[dict[str, tuple[int, int]], tuple[str, ...]]:
    """Of s1 what a channel's planner may take and must leave, by node; and where it does not sell."""
    async with database.reading() as connection:
        snapshot = await snapshots.read_snapshot(connection, ["s1"], datetime.now(UTC), channel=channel)
    rows = {row.node_id: (row.available, row.protected) for row in snapshot.stock}
    return rows, snapshot.ineligible.get(channel or "", ())


async def test_planners_see_what_their_channel_may_take_of_each_node_by_itself(database: Database) -> None:
    assert await seen(database, "web") == ({"n1": (8, 2), "n2": (8, 2), "n3": (10, 0)}, ("n3",))
    assert await seen(database, "app") == ({"n1": (10, 0), "n2": (10, 0), "n3": (10, 0)}, ("n3",))
    assert await seen(database, "other") == ({"n1": (8, 2), "n2": (8, 2), "n3": (10, 0)}, ())
    assert (await seen(database, None))[0] == {"n1": (10, 0), "n2": (10, 0), "n3": (10, 0)}


async def test_who_remembers_the_network_learns_of_a_new_pool(database: Database) -> None:
    await place(database, {"o": [(1, "s2", 3)]})
    remembered, request = Network(), draft("o", []).request
    ordered = request.model_copy(update={"order_id": "o", "known": 0})

    async def kept() -> list[tuple[str, int]]:
        async with database.reading() as connection:
            snapshot = (await read_question(connection, remembered, ordered, 0.0)).snapshot
        return [(pool.channel, pool.units) for item in snapshot.pooled for pool in item.pools]

    assert await kept() == []
    await load(database, {"allocation": b"channel,sku,pool\napp,s2,4\n"})
    assert await kept() == [("app", 4)]


async def reserved(database: Database) -> dict[str, int]:
    async with database.reading() as connection:
        assert await residuals(connection) == {}
        rows = await connection.execute(text("SELECT node_id, reserved FROM stock_position WHERE sku = 's1'"))
        return {row.node_id: row.reserved for row in rows}


def claim(order_id: str, quantity: int, node_id: str = "n1", **more: Any) -> Claim:
    return Claim(
        owner=f"{order_id}/f{node_id}",
        line_no=1,
        order_id=order_id,
        node_id=node_id,
        sku="s1",
        quantity=quantity,
        **more,
    )


def kept(units: int, *nodes: str) -> Pooled:
    """What the orders must leave: so many units at these nodes together."""
    return Pooled(sku="s1", channel="web", pools=(Pool(channel="app", units=units, nodes=frozenset(nodes)),))


@pytest.mark.parametrize(("first", "second", "fits"), [(8, 0, True), (9, 0, False), (4, 4, True), (4, 5, False)])
async def test_a_wish_leaves_what_is_kept_wherever_it_takes(
    database: Database, first: int, second: int, fits: bool
) -> None:
    await place(database, {"o": [(1, "s1", 9)]})
    wish = [claim("o", units, node) for node, units in (("n1", first), ("n2", second)) if units]
    async with database.transaction() as connection:
        assert await reserve_each(connection, [wish], pooled={0: [kept(12, "n1", "n2")]}) == [fits]


async def test_of_a_batch_each_leaves_what_it_must_and_no_more(database: Database) -> None:
    """Together they look as if all had to leave twelve; looked at one by one, only the second has to."""
    await place(database, {name: [(1, "s1", 9)] for name in "abcd"})
    wishes = [[claim("a", 8)], [claim("b", 1, "n2")], [claim("c", 9, "n2")], [claim("d", 2)]]
    async with database.transaction() as connection:
        won = await reserve_each(connection, wishes, pooled={1: [kept(12, "n1", "n2")]})
    assert won == [True, False, True, True]


async def test_a_carts_own_units_are_taken_although_nothing_else_may_be(database: Database) -> None:
    await place(database, {"o": [(1, "s1", 3)], "p": [(1, "s1", 4)]}, {"o": "web/c", "p": "web/c"})
    assert await hold(database, 3, keeps=17)
    pooled = {0: [kept(17, "n1", "n2")]}
    async with database.transaction() as connection:
        assert await reserve_each(connection, [[claim("p", 4, cart_hold_id="web/c")]], pooled=pooled) == [False]
    async with database.transaction() as connection:
        assert await reserve_each(connection, [[claim("o", 3, cart_hold_id="web/c")]], pooled=pooled) == [True]


@pytest.mark.parametrize(("keeps", "units"), [(15, 4), (17, 3), (22, 0)])
async def test_a_cart_holds_what_need_not_stay(database: Database, keeps: int, units: int) -> None:
    assert await hold(database, 4, keeps=keeps, partial=True) == units


async def test_overdue_carts_keep_nobody_from_what_is_left_beside_a_pool(database: Database) -> None:
    assert await hold(database, 8, keeps=0, minutes=-1)
    assert await hold(database, 8, keeps=12, cart="web/next") == 8


async def hold(
    database: Database, units: int, *, keeps: int, partial: bool = False, cart: str = "web/c", minutes: int = 60
) -> int:
    held = await carts.hold_units(
        database,
        cart,
        {("n1", "s1"): units},
        channel="web",
        lines=(),
        content_hash="",
        expires_at=datetime.now(UTC) + timedelta(minutes=minutes),
        partial=partial,
        pooled=[kept(keeps, "n1", "n2")] if keeps else [],
    )
    return sum(one.quantity for one in held or ())


async def test_two_channels_race_and_the_pool_is_left(database: Database, fresh_database_url: str) -> None:
    """64 clients, all for one item at two nodes: those of the channel without a pool get the eight units that are
    common, wherever they take them, and not one more.
    """
    await place(database, {f"o{n}": [(1, "s1", 1)] for n in range(64)})
    pooled = {channel: await pooled_for(database, channel) for channel in ("web", "app")}
    wins: dict[str, list[str]] = {"web": [], "app": []}
    hands = [Database(fresh_database_url, pool_size=2) for _ in range(8)]
    plans = [committer(hand) for hand in hands]

    async def client(n: int) -> None:
        channel = "app" if n % 8 == 0 else "web"
        nodes = ("n1", "n2") if n % 2 else ("n2", "n1")
        for node_id in nodes:
            wish = draft(f"o{n}", [(node_id, 1, "s1", 1)], step=f"source/{node_id}")
            if await plans[n % 8].submit(replace(wish, pooled=pooled[channel])) is not None:
                wins[channel].append(node_id)
                return

    await asyncio.gather(*(client(n) for n in range(64) if n % 8))
    assert len(wins["web"]) == 8
    await asyncio.gather(*(client(n) for n in range(0, 64, 8)))
    for plan in plans:
        await plan.close()
    for hand in hands:
        await hand.close()
    assert len(wins["app"]) == 8, "its own pool's units are there for it"
    taken = Counter(wins["web"] + wins["app"])
    assert await reserved(database) == {"n1": taken["n1"], "n2": taken["n2"], "n3": 0}


async def test_channels_race_for_the_last_units_that_are_nobodys(database: Database, fresh_database_url: str) -> None:
    """Both channels at once: whenever one without a pool got a unit, the pool's twelve were still there."""
    await place(database, {f"o{n}": [(1, "s1", 1)] for n in range(40)})
    pooled = {channel: await pooled_for(database, channel) for channel in ("web", "app")}
    hands = [Database(fresh_database_url, pool_size=2) for _ in range(4)]
    plans = [committer(hand) for hand in hands]
    won: Counter[str] = Counter()

    async def client(n: int) -> None:
        channel, node_id = ("app" if n % 4 == 0 else "web"), ("n1", "n2")[n // 2 % 2]
        wish = draft(f"o{n}", [(node_id, 1, "s1", 1)])
        if await plans[n % 4].submit(replace(wish, pooled=pooled[channel])) is not None:
            won[channel] += 1

    await asyncio.gather(*(client(n) for n in range(40)))
    for plan in plans:
        await plan.close()
    for hand in hands:
        await hand.close()
    assert (await reserved(database))["n1"] == 10, "the pool's ten clients all ask there, and get what there is"
    assert won["web"] <= 8
    async with database.reading() as connection:
        moves = (await connection.execute(MOVES)).all()
    free = 20
    for move in moves:
        free -= move.reserved
        web = int(move.reference.split("/")[0][1:]) % 4 != 0
        assert not web or free >= 12, f"{move.reference} took what was the pool's"


async def pooled_for(database: Database, channel: str) -> tuple[Pooled, ...]:
    async with database.reading() as connection:
        return (await snapshots.read_snapshot(connection, ["s1"], datetime.now(UTC), channel=channel)).pooled
