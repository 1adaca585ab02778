"""Everything at once: 64 clients do all that is done to stock while connections die, and the books still agree."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine.interfaces import DBAPIConnection

from shared.database.checks import CHECKS
from shared.database.engine import Database
from shared.database.plans import committer
from shared.database.reconciliation import run_check
from tests.support.killer import Killer
from tests.support.stock import Line, place, residuals, seed
from tests.support.storm import FLOORS, HANDFUL, SHARES, Storm

ATTEMPTS, CLIENTS = 30_000, 64
NODES, SKUS = 3, 12
_WON = text("SELECT order_id FROM orders JOIN step_result ON step_key = 'order/' || order_id || '/source/1'")


@pytest.mark.slow
async def test_all_that_is_done_to_stock_at_once_leaves_the_books_in_order(fresh_database_url: str) -> None:
    chance = random.Random(20261122)
    async with AsyncExitStack() as stack:
        hands = [Database(fresh_database_url, pool_size=20) for _ in range(3)]
        for hand in hands:
            event.listen(hand.engine.sync_engine, "connect", be_patient)
            stack.push_async_callback(hand.close)
        plans = [committer(hand) for hand in hands]
        for one in plans:
            stack.push_async_callback(one.close)
        await seed(hands[0], nodes=NODES, skus=SKUS, on_hand=700)
        orders: dict[str, list[Line]] = {}
        for n in range(ATTEMPTS + CLIENTS * HANDFUL):
            wanted = chance.sample(range(1, SKUS + 1), chance.choice((1, 1, 2)))
            orders[f"o{n}"] = [(i, f"s{sku}", chance.choice((1, 1, 2))) for i, sku in enumerate(wanted, start=1)]
        await place(hands[0], orders)
        storm = Storm(hands, plans, orders, chance, nodes=NODES, skus=SKUS)
        await storm.begin()
        async with Killer(fresh_database_url, every=150) as killer:

            async def client() -> None:
                while storm.outcomes.total() < ATTEMPTS:
                    await storm.attempt()
                    killer.count()

            async with asyncio.TaskGroup() as clients:  # one that fails ends the others
                for _ in range(CLIENTS):
                    clients.create_task(client())
        await tell(hands[0], storm, killer.killed)
        assert FLOORS.keys() == SHARES.keys()
        floors = {(kind, outcome): least for kind, of_kind in FLOORS.items() for outcome, least in of_kind.items()}
        assert {key: storm.outcomes[key] for key, least in floors.items() if storm.outcomes[key] < least} == {}
        assert killer.killed >= 20
        await check_books(hands[0], storm)


def be_patient(connection: DBAPIConnection, _: object) -> None:
    """All clients share one event loop here: who holds a lock may wait long for its turn there.

    A deadlock is still one after a second.
    """
    cursor = connection.cursor()
    cursor.execute("SET lock_timeout = '55s'")
    cursor.close()
    connection.commit()


async def check_books(database: Database, storm: Storm) -> None:
    """No check finds a break, nothing is oversold, and what was answered is what is on record."""
    for check in CHECKS:
        if not check.late:
            async with database.transaction() as connection:
                found = await run_check(connection, check, run_id="test", started_at=datetime.now(UTC))
            assert not found.breaks, check.name
    async with database.reading() as connection:
        assert await residuals(connection) == {}
        assert set((await connection.execute(_WON)).scalars()) == storm.won


async def tell(database: Database, storm: Storm, killed: int) -> None:
    async with database.reading() as connection:
        inside = await connection.execute(
            text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        )
    print(f"{storm.outcomes.total()} attempts, {killed} connections killed, {storm.unknown} answers lost and found,")
    print(f"{inside.scalar_one()} deadlocks retried inside, none surfaced")
    for (kind, outcome), times in sorted(storm.outcomes.items()):
        print(f"  {kind:10} {outcome:14} {times:6}")
