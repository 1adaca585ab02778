"""How long it takes to move a wave's orders, beside bare updates of as many rows in as many transactions.

A Postgres of its own with fsync on. Every order stands at a store and is moved to a warehouse that has got its item
since, alone: as many groups as orders, one after the other, as an activity does it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg
from sqlalchemy import text

from shared.database import wave_groups, wave_runs
from shared.database.engine import Database
from shared.database.migrate import upgrade
from shared.database.wave_groups import Outcome
from tests.support.facts import Facts
from tests.support.stack import short_home
from tests.support.wave_groups import placed, planned
from workers.stack.postgres import postgres_running

_ITEMS = 12
#: Written for moving orders. A position is written once for each of its moves.
_TABLES = ("fulfillment_order", "reservation", "order_line", "orders", "decision", "timeline", "wake", "wave_group",
           "stock_move", "stock_move")  # fmt: skip
_BARE = text("UPDATE bare SET n = n + 1 WHERE id > :first AND id <= :last")


def moved(orders: int) -> str:
    """One row: orders, milliseconds for each, milliseconds of the floor, rows written for each."""
    return asyncio.run(_measured(orders))


async def _measured(orders: int) -> str:
    with short_home() as home, postgres_running(home) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE bench")
        upgrade(server.url("bench"))
        shop = await Facts.load(server.url("bench"))
        await _place(shop, orders)
        wave_id = await planned(shop)
        async with shop.database.reading() as connection:
            numbers = await wave_runs.open_groups(connection, wave_id)
        since = (await shop.rows("SELECT pg_current_xact_id()::text::bigint AS xid"))[0].xid
        seconds = await _carried_out(shop.database, wave_id, numbers)
        counted = " + ".join(f"(SELECT count(*) FROM {table} WHERE xmin::text::bigint >= {since})" for table in _TABLES)
        rows = (await shop.rows(f"SELECT {counted} AS n"))[0].n
        floor = await _bare(shop.database, len(numbers), rows // len(numbers))
        await shop.database.close()
    each, bare = (1000 * taken / len(numbers) for taken in (seconds, floor))
    return f"{len(numbers)} | {each:.1f} | {bare:.1f} | {rows / len(numbers):.1f}"


async def _place(shop: Facts, orders: int) -> None:
    for item in range(_ITEMS):
        await shop.stock(shop.sku(item), store_chicago=orders)
    for number in range(orders):
        await placed(shop, (shop.sku(number % _ITEMS), 1))
    for item in range(_ITEMS):
        await shop.stock(shop.sku(item), wh_columbus=orders)


async def _carried_out(database: Database, wave_id: str, numbers: Sequence[int]) -> float:
    began = time.perf_counter()
    for number in numbers:
        async with database.transaction() as connection:
            result = await wave_groups.carry_out(connection, wave_id, number, now=datetime.now(UTC))
        assert result.outcome is Outcome.MOVED, result.because
    return time.perf_counter() - began


async def _bare(database: Database, transactions: int, rows: int) -> float:
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE bare (id int PRIMARY KEY, n int NOT NULL)"))
        values = {"rows": transactions * rows}
        await connection.execute(text("INSERT INTO bare SELECT id, 0 FROM generate_series(1, :rows) AS id"), values)
    began = time.perf_counter()
    for number in range(transactions):
        async with database.transaction() as connection:
            await connection.execute(_BARE, {"first": number * rows, "last": (number + 1) * rows})
    return time.perf_counter() - began
