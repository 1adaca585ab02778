"""How long a source's file takes to become stock, and how much memory, beside a plain COPY of the same file.

    python -m tests.benchmarks.bench_feed [--rows 1000000]

Starts a Postgres of its own with fsync on. The same file is loaded in several ways in one run: by COPY into a plain
table, which only writes it down; by COPY of what it comes to into tables like those of positions and moves, with the
same indexes, checks and references, which is what any loader that keeps a ledger must pay; as a first snapshot, when
every row opens a position; with another 1 % of its rows changed, three times, each compared with the file before; once
more with nothing to compare it with; and with the same content. The tables are vacuumed after the first snapshot, as
they are long before a source's next file. The time of a run is from the file on disk to its end, with what is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psycopg
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.feeds import Feeds
from shared.database import feeds
from shared.database.engine import Database
from shared.database.migrate import upgrade
from shared.domain.feeds import FeedSource
from shared.feeds_client import take_in
from shared.messages import Wake
from shared.messages.feeds import FeedRun, FeedRunInput
from tests.support.stack import short_home
from workers.stack.postgres import postgres_running

SOURCE = FeedSource.model_validate(
    {
        "source_id": "acme",
        "node_id": "n1",
        "reading": {"format": "csv", "partner_sku": "item", "quantity": "qty"},
        "counts": "available",
        "max_rows": 10_000_000,
    }
)


class NoProcesses:
    async def wake(self, workflow_id: str, wake: Wake) -> None:
        raise AssertionError("no order waits here")


def write(path: Path, rows: int, *, changed: int = 0) -> None:
    """A file of all items; so many of each hundred rows differ from the first file."""
    with path.open("w") as file:
        file.write("item,qty\n")
        for n in range(rows):
            file.write(f"ACME-{n:07}-XL,{n % 50 + 1 + (n % 100 < changed)}\n")


def prepare(url: str, rows: int) -> None:
    """A node that offers every item."""
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO partner VALUES ('p', 'fulfillment', 'http://127.0.0.1:1')")
        connection.execute("""
            INSERT INTO node (node_id, name, node_type, partner_id, place, calendar, handling_days)
            VALUES ('n1', 'n1', 'vendor', 'p', '{}', '{}', 1)
        """)
        connection.execute(
            "INSERT INTO item SELECT 'sku' || n, '', 1, 1, 1, 1, 1, 1, 'USD' FROM generate_series(0, %s - 1) AS n",
            [rows],
        )
        connection.execute(
            """
            INSERT INTO source_offer SELECT 'n1', 'sku' || n, 'ACME-' || lpad(n::text, 7, '0') || '-XL', 1, 1, 0
            FROM generate_series(0, %s - 1) AS n
            """,
            [rows],
        )
    vacuum(url)


def vacuum(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def copy(url: str, path: Path) -> None:
    """What there is to beat: the file, written down in a table and nothing more."""
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS plain")
        connection.execute("CREATE TABLE plain (item text, qty bigint)")
        copy_file(connection, path, "plain", ", HEADER")


def prepare_ledger(url: str, positions: Path, moves: Path) -> None:
    """Tables like those a feed changes, and in key order what the first file comes to in them."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE ledger_position (LIKE stock_position INCLUDING ALL)")
        connection.execute("""
            CREATE TRIGGER opened AFTER INSERT ON ledger_position REFERENCING NEW TABLE AS opened
            FOR EACH STATEMENT EXECUTE FUNCTION check_opened()
        """)
        connection.execute("CREATE TABLE ledger_move (LIKE stock_move INCLUDING ALL)")
        for path, cells in (
            (positions, "'n1', sku, units"),
            (moves, "'n1', sku, 'feed', units, 0, 'feed/0123456789abcdef', 'acme'"),
        ):
            statement = f"""
                COPY (SELECT {cells} FROM (SELECT sku, substr(sku, 4)::int % 50 + 1 AS units FROM item) AS i
                      ORDER BY sku) TO STDOUT (FORMAT csv)
            """
            with path.open("wb") as file, connection.cursor().copy(statement.encode()) as out_of:
                file.writelines(out_of)


def copy_ledger(url: str, positions: Path, moves: Path) -> None:
    """What any loader must pay that opens positions and notes a move of each."""
    with psycopg.connect(url) as connection:
        copy_file(connection, positions, "ledger_position (node_id, sku, on_hand)")
        columns = "node_id, sku, cause, on_hand, reserved, reference, actor"
        copy_file(connection, moves, f"ledger_move ({columns})")


def copy_file(connection: psycopg.Connection, path: Path, table: str, header: str = "") -> None:
    statement = f"COPY {table} FROM STDIN (FORMAT csv{header})"
    with path.open("rb") as file, connection.cursor().copy(statement.encode()) as into:
        while block := file.read(1 << 18):
            into.write(block)


async def feed(database: Database, path: Path) -> FeedRun:
    """Take a file in and apply it, as a worker does."""
    worker, env = Feeds(database, NoProcesses(), {}), ActivityEnvironment()
    with path.open("rb") as file:
        run = await take_in(database, SOURCE, file, name=path.name, as_of=datetime.now(UTC), actor="bench")
    request = FeedRunInput(source_id=run.source_id, run_id=run.run_id)
    if run.over:
        return run
    run = await env.run(worker.stage, request)
    while run.status == "staged" and run.done < run.staged:
        run = await env.run(worker.apply, request)
    return await env.run(worker.finish, request)


async def timed(name: str, work: Callable[[], Awaitable[FeedRun]], plain: float, ledger: float) -> None:
    began = time.perf_counter()
    run = await work()
    seconds = time.perf_counter() - began
    ratios = f"{seconds / plain:>6.1f} x COPY  {seconds / ledger:>5.2f} x ledger"
    again = ", answered with the first run" if run.again else ""
    told = f"{run.status}, {run.changed} changed{again}; peak {peak():,.0f} MB"
    print(f"{name:<32}{seconds:>8.2f} s  {ratios}   {told}", flush=True)


def peak() -> float:
    """The most memory this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_ledger(url: str, home: Path) -> float:
    """Seconds of ``copy_ledger``."""
    positions, moves = home / "positions.csv", home / "moves.csv"
    prepare_ledger(url, positions, moves)
    began = time.perf_counter()
    copy_ledger(url, positions, moves)
    seconds = time.perf_counter() - began
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE ledger_position, ledger_move")
        connection.execute("CHECKPOINT")
    return seconds


async def main(rows: int) -> None:
    with short_home() as home, postgres_running(home) as server:
        url = server.url("postgres")
        upgrade(url)
        prepare(url, rows)
        files = [home / f"{n}.csv" for n in range(5)]
        for n, path in enumerate(files):
            write(path, rows, changed=n)
        first = files[0]
        times = []
        for _ in range(3):
            began = time.perf_counter()
            copy(url, first)
            times.append(time.perf_counter() - began)
        plain = sorted(times)[1]
        print(f"{rows:,} rows, {first.stat().st_size / 1e6:.0f} MB; peak before the first feed {peak():,.0f} MB")
        print(f"{'COPY into a plain table':<32}{plain:>8.2f} s  (of {', '.join(f'{each:.2f}' for each in times)})")
        ledger = measure_ledger(url, home)
        print(f"{'COPY into tables of a ledger':<32}{ledger:>8.2f} s  {ledger / plain:>6.1f} x COPY")
        database = Database(url, pool_size=2)
        async with database.transaction() as connection:
            await feeds.define(connection, SOURCE, actor="bench")
        await timed("first snapshot, all new", lambda: feed(database, first), plain, ledger)
        vacuum(url)
        for path in files[1:4]:
            await timed("1 % of its rows changed", partial(feed, database, path), plain, ledger)
        async with database.transaction() as connection:
            await connection.execute(text("DELETE FROM feed_chunk"))
        await timed("1 % changed, looked at whole", lambda: feed(database, files[4]), plain, ledger)
        await timed("the same content again", lambda: feed(database, files[4]), plain, ledger)
        await database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    asyncio.run(main(parser.parse_args().rows))
