"""How long stock that rises and supply that changes take while thousands wait for the item, and how many they lock.

    python -m tests.benchmarks.bench_supply [--waiting 5000]

Starts a Postgres of its own with fsync on. No processes run: what is measured is one transaction each.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import psycopg

from shared import supply_client
from shared.client import Doms
from shared.database.engine import Database
from shared.database.migrate import upgrade
from shared.database.rises import book_arrival
from shared.database.stock import Move
from tests.support.long_queue import begin, coming, delivered, touched
from tests.support.stack import fresh_database, short_home
from tests.support.supply_desk import SOON, Desk
from workers.stack.postgres import EmbeddedPostgres, postgres_running


async def measure(database: Database, name: str, change: Awaitable[object]) -> None:
    began = time.perf_counter()
    took = 0.0

    async def timed() -> None:
        nonlocal took
        await change
        took = time.perf_counter() - began

    locked = await touched(database, timed())
    print(f"{name:<52}{1000 * took:>8.0f} ms{len(locked):>7,} orders locked", flush=True)


async def run(server: EmbeddedPostgres, waiting: int) -> None:
    with fresh_database(server, "bench") as url:
        database = Database(url)
        doms = cast(Doms, Desk(database))
        await begin(database, waiting)
        for n, name in enumerate(("a unit arrives, for the first time", "a unit arrives")):
            move = Move(node_id="n1", sku="s1", cause="receive", on_hand=1, reference=f"asn-{n}")
            await measure(database, name, book_arrival(database, [move], as_of=datetime.now(UTC)))
        many = waiting * 4 // 5
        expected = (("a unit", "PO-0", 1, 0), ("ten units", "PO-1", 10, 20), (f"{many:,} units", "PO-2", many, 40))
        for name, inbound_id, units, days in expected:
            told = supply_client.create_inbound(doms, coming(inbound_id, units, days), actor="bench")
            await measure(database, f"{name} will come", told)
            slipped = supply_client.slip(doms, inbound_id, SOON + timedelta(days=days + 7))
            await measure(database, f"{name} will come a week later", slipped)
            received = supply_client.receive(doms, delivered(inbound_id, 1), actor="bench")
            await measure(database, f"one of {name} is received", received)
        earlier = supply_client.create_inbound(doms, coming("PO-3", 1, 1), actor="bench")
        await measure(database, "a unit will come before all others", earlier)
        given_up = supply_client.cancel_inbound(doms, "PO-1")
        await measure(database, "nine units will not come", given_up)
        await database.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, default=5_000, help="orders that wait for the item")
    options = parser.parse_args()
    with short_home() as home, postgres_running(Path(home)) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE bench")
        upgrade(server.url("bench"))
        await run(server, options.waiting)


if __name__ == "__main__":
    asyncio.run(main())
