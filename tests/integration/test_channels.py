"""What a channel may not sell its orders do not take: nodes it does not sell from, units kept for others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from shared.database import carts, snapshots
from shared.database.engine import Database
from shared.database.plans import committer
from shared.database.reservations import Claim, reserve, reserve_each
from shared.database.sourcing import Network, read_question
from shared.loading import load
from tests.support.stock import draft, place, residuals, seed

CHANNELS = "channel,rank,every_node\nweb,2,true\napp,1,false\n"
PLACE = '{"latitude": 40, "longitude": -83}'
ELIGIBILITY = "channel,node_id,sells\napp,n1,true\napp,n2,true\nweb,n3,false\n"


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    """Ten of each of four items at three nodes; ``app`` goes first and keeps 12 of s1."""
    database = Database(fresh_database_url)
    await seed(database, nodes=3, skus=4, on_hand=10)
    tables = {"channels": CHANNELS, "eligibility": ELIGIBILITY, "allocation": "channel,sku,pool\napp,s1,12\n"}
    await load(database, {kind: content.encode() for kind, content in tables.items()})
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


async def test_planners_see_what_their_channel_may_take(database: Database) -> None:
    assert await seen(database, "web") == ({"n1": (0, 10), "n2": (8, 2), "n3": (10, 0)}, ("n3",))
    assert await seen(database, "app") == ({"n1": (10, 0), "n2": (10, 0), "n3": (10, 0)}, ("n3",))
    assert await seen(database, "other") == ({"n1": (0, 10), "n2": (8, 2), "n3": (10, 0)}, ())
    assert (await seen(database, None))[0] == {"n1": (10, 0), "n2": (10, 0), "n3": (10, 0)}


async def test_who_remembers_the_network_learns_of_a_new_pool(database: Database) -> None:
    await place(database, {"o": [(1, "s2", 3)]})
    remembered, request = Network(), draft("o", []).request
    ordered = request.model_copy(update={"order_id": "o", "known": 0})

    async def protected() -> dict[tuple[str, str], int]:
        async with database.reading() as connection:
            return (await read_question(connection, remembered, ordered, 0.0)).snapshot.protected

    assert await protected() == {}
    await load(database, {"allocation": b"channel,sku,pool\napp,s2,4\n"})
    assert await protected() == {("n1", "s2"): 4}


async def reserved(database: Database) -> dict[str, int]:
    async with database.reading() as connection:
        assert await residuals(connection) == {}
        rows = await connection.execute(text("SELECT node_id, reserved FROM stock_position WHERE sku = 's1'"))
        return {row.node_id: row.reserved for row in rows}


def claim(order_id: str, quantity: int, protected: int, **more: Any) -> Claim:
    return Claim(
        owner=f"{order_id}/f1",
        line_no=1,
        order_id=order_id,
        node_id="n1",
        sku="s1",
        quantity=quantity,
        protected=protected,
        **more,
    )


@pytest.mark.parametrize(("quantity", "fits"), [(4, True), (5, False)])
async def test_a_claim_leaves_what_is_protected(database: Database, quantity: int, fits: bool) -> None:
    await place(database, {"o": [(1, "s1", quantity)]})
    async with database.transaction() as connection:
        assert await reserve(connection, [claim("o", quantity, 6)]) is fits


async def test_of_a_batch_each_leaves_what_it_must_and_no_more(database: Database) -> None:
    """Together they look as if all had to leave six; looked at one by one, only the second has to."""
    await place(database, {name: [(1, "s1", 4)] for name in "abcd"})
    wishes = [[claim("a", 4, 0)], [claim("b", 1, 6)], [claim("c", 5, 0)], [claim("d", 1, 0)]]
    async with database.transaction() as connection:
        assert await reserve_each(connection, wishes) == [True, False, True, True]


async def test_a_carts_own_units_are_taken_although_nothing_else_may_be(database: Database) -> None:
    await place(database, {"o": [(1, "s1", 3)], "p": [(1, "s1", 4)]}, {"o": "web/c", "p": "web/c"})
    assert await hold(database, 3, protected=7)
    async with database.transaction() as connection:
        assert not await reserve(connection, [claim("p", 4, 10, cart_hold_id="web/c")])
    async with database.transaction() as connection:
        assert await reserve(connection, [claim("o", 3, 10, cart_hold_id="web/c")])


@pytest.mark.parametrize(("protected", "units"), [(5, 4), (7, 3), (12, 0)])
async def test_a_cart_holds_what_need_not_stay(database: Database, protected: int, units: int) -> None:
    assert await hold(database, 4, protected=protected, partial=True) == units


async def hold(database: Database, units: int, *, protected: int, partial: bool = False) -> int:
    held = await carts.hold_units(
        database,
        "web/c",
        {("n1", "s1"): units},
        channel="web",
        lines=(),
        content_hash="",
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        partial=partial,
        protected={("n1", "s1"): protected},
    )
    return sum(one.quantity for one in held or ())


async def test_two_channels_race_and_the_pool_is_left(database: Database, fresh_database_url: str) -> None:
    """64 clients, all for one item: those of the channel without a pool get what is common and not a unit more."""
    await place(database, {f"o{n}": [(1, "s1", 1)] for n in range(64)})
    protected = {channel: await protected_of(database, channel) for channel in ("web", "app")}
    wins: dict[str, list[str]] = {"web": [], "app": []}
    hands = [Database(fresh_database_url, pool_size=2) for _ in range(8)]
    plans = [committer(hand) for hand in hands]

    async def client(n: int) -> None:
        channel = "app" if n % 8 == 0 else "web"
        for node_id in ("n1", "n2"):
            wish = draft(f"o{n}", [(node_id, 1, "s1", 1)], step=f"source/{node_id}")
            if await plans[n % 8].submit(replace(wish, protected=protected[channel])) is not None:
                wins[channel].append(node_id)
                return

    await asyncio.gather(*(client(n) for n in range(64)))
    for plan in plans:
        await plan.close()
    for hand in hands:
        await hand.close()
    assert len(wins["app"]) == 8
    assert wins["web"].count("n1") == 0
    assert wins["web"].count("n2") == 8, "two of the ten are the pool's"
    assert await reserved(database) == {"n1": wins["app"].count("n1"), "n2": 8 + wins["app"].count("n2"), "n3": 0}


async def protected_of(database: Database, channel: str) -> dict[tuple[str, str], int]:
    async with database.reading() as connection:
        return (await snapshots.read_snapshot(connection, ["s1"], datetime.now(UTC), channel=channel)).protected
