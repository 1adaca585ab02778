"""How many three-line orders a second can be reserved, evenly spread and with one SKU in every order.

    python -m tests.benchmarks.bench_reservation [--seconds 4] [--growth]

Starts a Postgres of its own with fsync on. Every method writes the same facts: positions, reservations, moves.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import text

from shared.database.batcher import Batcher
from shared.database.engine import Database
from shared.database.migrate import upgrade
from shared.database.plans import committer
from shared.database.reservations import Claim, reserve_each
from tests.support.stack import fresh_database, short_home
from tests.support.stock import Line, draft, place, reserve, residuals, seed
from workers.stack.postgres import EmbeddedPostgres, postgres_running

NODES, SKUS, PLENTY = 20, 5_000, 10_000_000
#: The connections that methods without a batcher share: more of them are slower on a hot row.
CONNECTIONS = 16
CALLERS = 400

Reserve = Callable[[list[Claim]], Awaitable[object]]


@dataclass
class Figures:
    """One run: how many, and how long each took."""

    done: int
    seconds: float
    times: list[float]

    def line(self, name: str, lines: int = 3) -> str:
        times = sorted(self.times) or [0.0]
        p50, p99 = (1000 * times[int(len(times) * q)] for q in (0.5, 0.99))
        rate = self.done / self.seconds
        return f"{name:<52}{rate:>9,.0f}/s {rate * lines:>9,.0f} lines/s   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms"


class Orders:
    """Claims of ever new orders: three SKUs at one node, or the hot one and two others."""

    def __init__(self, *, hot: bool = False, skus: int = SKUS) -> None:
        self._hot, self._skus, self._random, self._numbers = hot, skus, random.Random(7), itertools.count(1)

    def next(self) -> list[Claim]:
        number = next(self._numbers)
        node = 1 if self._hot else self._random.randrange(NODES) + 1
        skus = self._random.sample(range(2, self._skus + 1), 3)
        if self._hot:
            skus[0] = 1
        return [
            Claim.model_construct(
                owner=f"o{number}/f1", line_no=n, order_id=f"o{number}", node_id=f"n{node}", sku=f"s{sku}", quantity=1
            )
            for n, sku in enumerate(skus, start=1)
        ]


async def drive(one: Reserve, orders: Orders, *, callers: int, seconds: float) -> Figures:
    """Let callers reserve one order after the other for a while."""
    times: list[float] = []
    began = time.perf_counter()

    async def caller() -> None:
        while time.perf_counter() - began < seconds:
            claims = orders.next()
            start = time.perf_counter()
            await one(claims)
            times.append(time.perf_counter() - start)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return Figures(len(times), time.perf_counter() - began, times)


# --- the methods ------------------------------------------------------------------------------------------


async def batcher(database: Database, orders: Orders, seconds: float) -> Figures:
    async def work(wishes: Sequence[list[Claim]]) -> list[bool]:
        async with database.transaction() as connection:
            return await reserve_each(connection, wishes)

    together: Batcher[list[Claim], bool] = Batcher(work, weigh=len, limit=600, at_once=2)

    async def one(claims: list[Claim]) -> None:
        assert await together.submit(claims)

    figures = await drive(one, orders, callers=CALLERS, seconds=seconds)
    await together.close()
    return figures


async def statement_per_order(database: Database, orders: Orders, seconds: float) -> Figures:
    async def one(claims: list[Claim]) -> None:
        async with database.transaction() as connection:
            assert await reserve(connection, claims)

    return await drive(one, orders, callers=CONNECTIONS, seconds=seconds)


@asynccontextmanager
async def connections(database: Database) -> AsyncIterator[asyncio.Queue[psycopg.AsyncConnection]]:
    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    free: asyncio.Queue[psycopg.AsyncConnection] = asyncio.Queue()
    opened = [await psycopg.AsyncConnection.connect(url) for _ in range(CONNECTIONS)]
    for connection in opened:
        free.put_nowait(connection)
    yield free
    for connection in opened:
        await connection.close()


async def lock_per_line(database: Database, orders: Orders, seconds: float) -> Figures:
    """What an ORM does: lock, look, write, line by line, in key order so that it does not deadlock."""
    async with connections(database) as free:

        async def one(claims: list[Claim]) -> None:
            connection = await free.get()
            async with connection.transaction():
                for claim in sorted(claims, key=lambda claim: (claim.node_id, claim.sku)):
                    await _lock_and_write(connection, claim)
            free.put_nowait(connection)

        return await drive(one, orders, callers=CONNECTIONS, seconds=seconds)


async def _lock_and_write(connection: psycopg.AsyncConnection, claim: Claim) -> None:
    key = (claim.node_id, claim.sku)
    found = await connection.execute(
        "SELECT on_hand - reserved - safety FROM stock_position WHERE node_id = %s AND sku = %s FOR UPDATE", key
    )
    row = await found.fetchone()
    assert row is not None
    assert row[0] >= claim.quantity
    await connection.execute(
        "UPDATE stock_position SET reserved = reserved + %s WHERE node_id = %s AND sku = %s", (claim.quantity, *key)
    )
    await connection.execute(
        "INSERT INTO reservation (owner, line_no, order_id, node_id, sku, quantity, open) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (claim.owner, claim.line_no, claim.order_id, *key, claim.quantity, claim.quantity),
    )
    await connection.execute(
        "INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, reference, actor) "
        "VALUES (%s, %s, 'reserve', 0, %s, %s, 'doms')",
        (*key, claim.quantity, claim.owner),
    )


_GENERATED = text("""
    WITH o AS (
        SELECT g, CASE WHEN :hot THEN 1 ELSE 1 + (hashint4(g) & 1048575) % :nodes END AS node
        FROM generate_series(CAST(:first AS int), CAST(:first AS int) + 199) g
    ), claim AS MATERIALIZED (
        SELECT 'o' || g || '/f1' AS owner, l AS line_no, 'o' || g AS order_id, 'n' || node AS node_id,
               's' || CASE WHEN :hot AND l = 1 THEN 1
                      ELSE 2 + (hashint4(g * 4 + l) & 1048575) % (:skus - 1) END AS sku, 1 AS quantity
        FROM o, generate_series(1, 3) l
    ), need AS (
        SELECT node_id, sku, sum(quantity) AS quantity FROM claim GROUP BY node_id, sku
    ), locked AS MATERIALIZED (
        SELECT p.node_id, p.sku, n.quantity FROM stock_position p JOIN need n USING (node_id, sku)
        ORDER BY p.node_id, p.sku FOR NO KEY UPDATE OF p
    ), moved AS (
        UPDATE stock_position p SET reserved = p.reserved + l.quantity
        FROM locked l WHERE p.node_id = l.node_id AND p.sku = l.sku
    ), claimed AS (
        INSERT INTO reservation (owner, line_no, order_id, node_id, sku, quantity, open)
        SELECT owner, line_no, order_id, node_id, sku, quantity, quantity FROM claim
    )
    INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, reference, actor)
    SELECT node_id, sku, 'reserve', 0, sum(quantity), owner, 'doms' FROM claim GROUP BY owner, node_id, sku
""")


async def generated_in_sql(database: Database, orders: Orders, seconds: float, *, hot: bool) -> Figures:
    """The floor: 200 orders a transaction, made up by the server itself; no client, no JSON, no callers."""
    times: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        async with database.transaction() as connection:
            values = {"first": 200 * len(times) + 1, "hot": hot, "nodes": NODES, "skus": SKUS}
            await connection.execute(_GENERATED, values)
        times.append(time.perf_counter() - start)
    return Figures(200 * len(times), time.perf_counter() - began, times)


async def bare_update(database: Database, orders: Orders, seconds: float) -> Figures:
    """One update of one row and its commit, and nothing else: no reservation, no move, no idempotency."""
    async with connections(database) as free:

        async def one(claims: list[Claim]) -> None:
            connection = await free.get()
            await connection.execute(
                "UPDATE stock_position SET reserved = reserved + 1 "
                "WHERE node_id = %s AND sku = %s AND on_hand - reserved >= 1",
                (claims[0].node_id, claims[0].sku),
            )
            await connection.commit()
            free.put_nowait(connection)

        return await drive(one, orders, callers=CONNECTIONS, seconds=seconds)


async def whole_plans(database: Database, orders: Orders, seconds: float) -> Figures:
    """The transaction the system runs: also fulfillment orders, lines, decision, timeline, verdict, step result."""
    together = committer(database)

    async def one(claims: list[Claim]) -> None:
        parts = [(claim.node_id, claim.line_no, claim.sku, claim.quantity) for claim in claims]
        assert await together.submit(draft(claims[0].order_id, parts)) is not None

    figures = await drive(one, orders, callers=CALLERS, seconds=seconds)
    await together.close()
    return figures


# --- the run ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def a_world(server: EmbeddedPostgres, *, orders: int, skus: int = SKUS) -> AsyncIterator[Database]:
    """A database of its own with stock and orders to reserve for."""
    with fresh_database(server, "bench") as url:
        database = Database(url, pool_size=CONNECTIONS)
        await seed(database, nodes=NODES, skus=skus, on_hand=PLENTY)
        made = Orders()
        for start in range(0, orders, 10_000):
            await place(database, {made.next()[0].order_id: () for _ in range(min(10_000, orders - start))})
        async with database.engine.connect() as connection:
            await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("CHECKPOINT"))
        yield database
        await database.close()


async def placed_with_lines(database: Database, orders: Orders, count: int) -> None:
    """Orders whose lines ask for exactly what ``orders`` will claim."""
    for _ in range(0, count, 5_000):
        page: dict[str, list[Line]] = {}
        for claims in (orders.next() for _ in range(5_000)):
            page[claims[0].order_id] = [(claim.line_no, claim.sku, claim.quantity) for claim in claims]
        await place(database, page)


async def measure(
    server: EmbeddedPostgres, name: str, method: Callable[..., Awaitable[Figures]], **options: float
) -> None:
    """Run one method evenly spread and hot, each on stock of its own, and check the books after it."""
    for hot in (False, True):
        seconds = options.get("seconds", 4.0)
        whole = method is whole_plans
        async with a_world(server, orders=0 if whole else 90_000) as database:
            if whole:
                await placed_with_lines(database, Orders(hot=hot), 25_000)
            extra = {"hot": hot} if method is generated_in_sql else {}
            figures = await method(database, Orders(hot=hot), seconds, **extra)
            async with database.reading() as connection:
                wrong = {} if method is bare_update else await residuals(connection)
            wrong.pop("lines_unlike_their_reservations", None)
            assert not wrong, wrong
        lines = 1 if method is bare_update else 3
        print(figures.line(f"{name}, {'one hot SKU' if hot else 'uniform'}", lines), flush=True)


async def growth(server: EmbeddedPostgres, seconds: float) -> None:
    """Reservation and availability reads as the number of positions grows."""
    for skus in (500, 5_000, 50_000):
        async with a_world(server, orders=90_000, skus=skus) as database:
            read = await availability(database, skus, seconds / 2)
            figures = await batcher(database, Orders(skus=skus), seconds)
        positions = f"{NODES * skus:,} positions"
        print(read.line(f"{positions}: availability of 3 SKUs"), flush=True)
        print(figures.line(f"{positions}: reservations"), flush=True)


_AVAILABLE = text("""
    SELECT sku, node_id, on_hand - reserved - safety FROM stock_position
    WHERE sku = ANY(:skus) AND on_hand - reserved - safety > 0
""")


async def availability(database: Database, skus: int, seconds: float) -> Figures:
    chance = random.Random(7)

    async def one(_: list[Claim]) -> None:
        async with database.reading() as connection:
            wanted = [f"s{chance.randrange(skus) + 1}" for _ in range(3)]
            assert (await connection.execute(_AVAILABLE, {"skus": wanted})).all()

    return await drive(one, Orders(), callers=4, seconds=seconds)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each run")
    parser.add_argument("--growth", action="store_true", help="only the growth from 10 thousand to 1 million positions")
    options = parser.parse_args()
    with short_home() as home, postgres_running(Path(home)) as server:
        prepare(server)
        if not options.growth:
            await measure(server, "lock per line", lock_per_line, seconds=options.seconds)
            await measure(server, "one conditional statement per order", statement_per_order, seconds=options.seconds)
            await measure(server, "batcher", batcher, seconds=options.seconds)
            await measure(server, "group commit generated in SQL", generated_in_sql, seconds=options.seconds)
            await measure(server, "bare update of one row", bare_update, seconds=options.seconds)
            await measure(server, "batcher, whole plans", whole_plans, seconds=options.seconds)
        await growth(server, options.seconds)


def prepare(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bench")
    upgrade(server.url("bench"))


if __name__ == "__main__":
    asyncio.run(main())
