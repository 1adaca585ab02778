"""How long a channel waits for what it may sell of 1,000 items, beside a bare SELECT of the same positions.

    python -m tests.benchmarks.bench_availability [--sizes 10000 100000 1000000] [--rounds 20]

Starts a Postgres of its own. Items are picked at random each time; with pools, three channels keep units of
every item, so that stock is looked at node by node.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.availability import read_availability, read_changes
from shared.database.engine import Database
from shared.database.migrate import upgrade
from shared.database.stock import Move, receive
from tests.support.stack import fresh_database, short_home
from tests.support.stock import seed
from workers.stack.postgres import postgres_running

NODES, ASKED = 20, 1_000

Read = Callable[[AsyncConnection, Sequence[str]], Awaitable[object]]

_POOLS = (
    "INSERT INTO channel SELECT c, 1, true FROM unnest(ARRAY['web', 'app', 'shop']) c",
    "INSERT INTO channel_allocation (channel, pool) SELECT channel, 5 FROM channel",
)
_BARE = text("SELECT node_id, sku, on_hand, reserved, safety FROM stock_position WHERE sku = ANY(:skus)")
_SUM = text("""
    SELECT sku, sum(greatest(on_hand - reserved - safety, 0)) FROM stock_position WHERE sku = ANY(:skus) GROUP BY sku
""")


async def bare(connection: AsyncConnection, skus: Sequence[str]) -> object:
    return (await connection.execute(_BARE, {"skus": list(skus)})).all()


async def summed(connection: AsyncConnection, skus: Sequence[str]) -> object:
    return (await connection.execute(_SUM, {"skus": list(skus)})).all()


async def ours(connection: AsyncConnection, skus: Sequence[str]) -> object:
    return await read_availability(connection, "web", skus)


async def measure(database: Database, reads: dict[str, Read], *, skus: int, rounds: int) -> None:
    """The methods in turn, so that what else the machine does falls on all of them."""
    lot, times = random.Random(3), {name: list[float]() for name in reads}
    async with database.reading() as connection:
        for _ in range(rounds):
            asked = [f"s{n}" for n in lot.sample(range(1, skus + 1), min(ASKED, skus))]
            for name, read in reads.items():
                began = time.perf_counter()
                await read(connection, asked)
                times[name].append(1000 * (time.perf_counter() - began))
    for name, taken in times.items():
        taken.sort()
        print(f"  {name:<36} p50 {taken[len(taken) // 2]:7.1f} ms   p95 {taken[int(len(taken) * 0.95)]:7.1f} ms")


async def feed(database: Database) -> None:
    """One change among all these positions."""
    async with database.reading() as connection:
        version = (await read_changes(connection, "web", 10**15)).version
        times = []
        for number in range(20):
            async with database.transaction() as writing:
                move = Move(node_id="n1", sku="s1", cause="receive", on_hand=1, reference=f"feed{number}")
                await receive(writing, [move])
            began = time.perf_counter()
            told = await read_changes(connection, "web", version)
            times.append(1000 * (time.perf_counter() - began))
            assert [item.sku for item in told.items] == ["s1"]
            version = told.version
    print(f"  {'feed: one item changed':<36} p50 {sorted(times)[10]:7.1f} ms")


async def run(url: str, positions: int, rounds: int) -> None:
    skus = positions // NODES
    database = Database(url)
    print(f"{positions:,} positions, {skus:,} items at {NODES} nodes; {min(ASKED, skus):,} items asked")
    await seed(database, nodes=NODES, skus=skus, on_hand=50)
    reads: dict[str, Read] = {"bare SELECT of the positions": bare, "bare sum by item": summed, "availability": ours}
    await measure(database, reads, skus=skus, rounds=rounds)
    async with database.transaction() as connection:
        for statement in _POOLS:
            await connection.execute(text(statement))
    await measure(database, {"availability, 3 pools of each item": ours}, skus=skus, rounds=rounds)
    await feed(database)
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    with short_home() as home, postgres_running(home, fsync=False) as server:
        for size in arguments.sizes:
            with fresh_database(server, "template1") as url:
                upgrade(url)
                asyncio.run(run(url, size, arguments.rounds))


if __name__ == "__main__":
    main()
