"""Whether reads and reservations stay as fast when there are a thousand times as many positions.

    python -m tests.benchmarks.bench_growth [--sizes 20000 100000 1000000] [--largest] [--rounds 40]

Starts a Postgres of its own with fsync on. Every position has the move that opened it and lies at one of 20 nodes;
items are picked at random each time, so that of large tables most are read from disk or its cache: cold. Availability
is also read again for the same items, when all of it lies in the server's own cache: warm. ``--largest`` adds 10
million positions: some 6 GB on disk, and minutes to write.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
from sqlalchemy import text

from shared.database.availability import read_availability, read_changes
from shared.database.engine import Database
from shared.database.item_stock import read_item
from shared.database.migrate import upgrade
from shared.database.reservations import Claim
from shared.database.stock import Move, receive
from tests.support.stack import fresh_database, short_home
from tests.support.stock import place, reserve, seed
from workers.stack.postgres import postgres_running

NODES, ASKED, LARGEST = 20, 1_000, 10_000_000

Step = Callable[[], Awaitable[None]]

#: Rows as feeds bring them, node by node: an item's positions lie as far apart as they can.
_GROW = (
    """
    INSERT INTO item (sku, weight_g, length_mm, width_mm, height_mm, price_minor, cost_minor, currency)
    SELECT 's' || s, 500, 200, 150, 100, 1000, 600, 'USD' FROM generate_series(2, {skus}) s
    """,
    """
    INSERT INTO stock_position (node_id, sku, on_hand)
    SELECT 'n' || n, 's' || s, 50 FROM generate_series(2, {skus}) s, generate_series(1, {nodes}) n ORDER BY n, s
    """,
    """
    INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, reference, actor)
    SELECT 'n' || n, 's' || s, 'receive', 50, 0, 'opening', 'bench'
    FROM generate_series(2, {skus}) s, generate_series(1, {nodes}) n ORDER BY n, s
    """,
)
_INDEXES = """
    SELECT indexname, indexdef FROM pg_indexes i
    WHERE schemaname = 'public' AND tablename IN ('item', 'stock_position', 'stock_move')
      AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conname = i.indexname)
"""
_SIZES = text("""
    SELECT t AS name, pg_table_size(CAST(t AS regclass)) AS heap, pg_indexes_size(CAST(t AS regclass)) AS indexes
    FROM unnest(ARRAY['stock_position', 'stock_move']) t
""")


async def grow(url: str, skus: int) -> None:
    """The tables as a retailer of this size has them. Keys are not looked up and indexes are built afterwards: the same
    tables in a tenth of the time."""
    database = Database(url)
    await seed(database, nodes=NODES, skus=1, on_hand=50)
    await database.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET maintenance_work_mem = '512MB'")
        indexes = connection.execute(_INDEXES).fetchall()
        for name, _ in indexes:
            connection.execute(f'DROP INDEX "{name}"'.encode())
        for statement in _GROW:
            connection.execute(statement.format(skus=skus, nodes=NODES).encode())
        for _, definition in indexes:
            connection.execute(definition.encode())
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


class Shop:
    """What is measured: each step picks its own items."""

    def __init__(self, database: Database, skus: int) -> None:
        self._database, self._skus, self._lot = database, skus, random.Random(5)
        self._numbers = itertools.count(1)
        self._asked: list[str] = []
        self._claims: list[Claim] = []
        self._version = 0

    def some(self, count: int) -> list[str]:
        return [f"s{n}" for n in self._lot.sample(range(1, self._skus + 1), min(count, self._skus))]

    async def availability(self) -> None:
        self._asked = self.some(ASKED)
        await self.availability_again()

    async def availability_again(self) -> None:
        async with self._database.reading() as connection:
            await read_availability(connection, "web", self._asked)

    async def order(self) -> None:
        """Who the next reservation is for; not measured."""
        order_id, node_id = f"o{next(self._numbers)}", f"n{self._lot.randrange(NODES) + 1}"
        lines = [(n, sku, 1) for n, sku in enumerate(self.some(3), start=1)]
        await place(self._database, {order_id: lines})
        self._claims = [
            Claim(owner=f"{order_id}/f1", line_no=n, order_id=order_id, node_id=node_id, sku=sku, quantity=quantity)
            for n, sku, quantity in lines
        ]

    async def reservation(self) -> None:
        async with self._database.transaction() as connection:
            assert await reserve(connection, self._claims)

    async def changes(self) -> None:
        async with self._database.reading() as connection:
            told = await read_changes(connection, "web", self._version)
        assert not self._version or told.items
        self._version = told.version

    async def arrival(self) -> None:
        """What the next read of changes finds; not measured."""
        sku, reference = self.some(1)[0], f"arrival{next(self._numbers)}"
        async with self._database.transaction() as connection:
            await receive(connection, [Move(node_id="n1", sku=sku, cause="receive", on_hand=1, reference=reference)])

    async def begin(self) -> None:
        async with self._database.reading() as connection:
            self._version = (await read_changes(connection, "web", 10**15)).version

    async def show(self) -> None:
        async with self._database.reading() as connection:
            await read_item(connection, self.some(1)[0])


async def measure(name: str, step: Step, rounds: int, before: Step | None = None) -> None:
    times = []
    for _ in range(rounds):
        if before is not None:
            await before()
        began = time.perf_counter()
        await step()
        times.append(1000 * (time.perf_counter() - began))
    times.sort()
    print(f"  {name:<42} p50 {times[rounds // 2]:7.1f} ms   p95 {times[int(rounds * 0.95)]:7.1f} ms", flush=True)


@asynccontextmanager
async def shop(url: str, positions: int) -> AsyncIterator[Shop]:
    began = time.perf_counter()
    await grow(url, positions // NODES)
    database = Database(url)
    async with database.reading() as connection:
        sizes = ", ".join(
            f"{row.name} {row.heap / 1e6:,.0f} MB + indexes {row.indexes / 1e6:,.0f} MB"
            for row in await connection.execute(_SIZES)
        )
    print(f"{positions:,} positions: {sizes}; written in {time.perf_counter() - began:.0f} s", flush=True)
    yield Shop(database, positions // NODES)
    await database.close()


async def run(url: str, positions: int, rounds: int) -> None:
    async with shop(url, positions) as world:
        await measure(f"availability of {ASKED:,} items, cold", world.availability, rounds)
        await measure("the same items again, warm", world.availability_again, rounds)
        await measure("reservation of three lines", world.reservation, 5 * rounds, before=world.order)
        await world.begin()
        await measure("changes, one item changed", world.changes, rounds, before=world.arrival)
        await measure("stock show", world.show, 5 * rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 100_000, 1_000_000], help="positions")
    parser.add_argument("--largest", action="store_true", help=f"and {LARGEST:,}")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    with short_home() as home, postgres_running(home) as server:
        for size in [*options.sizes, *([LARGEST] if options.largest else [])]:
            with fresh_database(server, "template1") as url:
                upgrade(url)
                asyncio.run(run(url, size, options.rounds))


if __name__ == "__main__":
    main()
