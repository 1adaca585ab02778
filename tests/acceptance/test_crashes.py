"""A worker, Temporal or Postgres is killed while the demo runs; it comes back, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from shared.database.engine import Database
from shared.settings import Settings
from tests.support.referee import disagreements
from workers.connect import sandbox_database
from workers.stack import StackState, down, status

ORDERS = 40
#: Kill when a quarter of the orders is placed: then there is work of every kind in flight.
KILL_AT = ORDERS // 4

pytestmark = [pytest.mark.crash, pytest.mark.timeout(400)]


@contextlib.asynccontextmanager
async def demo(home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """``doms demo`` in a process of its own; its stack stays for the questions afterwards and is stopped then."""
    command = [sys.executable, "-m", "workers.cli", "demo", "--orders", str(ORDERS), "--keep", "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOMS_")}
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment | {"DOMS_HOME": str(home)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await asyncio.to_thread(down, Settings(home=home))


async def placed(settings: Settings, count: int) -> StackState:
    """Wait until so many orders are placed; the stack as it is then."""
    while True:
        state = status(settings)
        if state.addresses is not None:
            database = Database(state.addresses.database_url, pool_size=1)
            try:
                async with database.reading() as connection:
                    if (await connection.execute(text("SELECT count(*) FROM orders"))).scalar_one() >= count:
                        return state
            except Exception:
                pass
            finally:
                await database.close()
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("victim", ["worker-1", "temporal", "postgres"])
async def test_a_killed_server_costs_nothing_but_time(victim: str, stack_home: Path) -> None:
    settings = Settings(home=stack_home)
    async with demo(stack_home) as process:
        reading = asyncio.create_task(process.communicate())
        async with asyncio.timeout(120):
            state = await placed(settings, KILL_AT)
        killed = state.components[victim].pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        async with asyncio.timeout(240):
            out, err = await reading
        assert process.returncode == 0, err.decode()[-4000:]
        summary = json.loads(out.decode().splitlines()[-1])
        await _judge(settings, summary, victim)


async def _judge(settings: Settings, summary: dict[str, Any], victim: str) -> None:
    assert summary["orders"] == ORDERS
    assert summary["stuck"] == summary["oversold"] == summary["refused"] == 0
    assert summary["delivered"] + summary["cancelled"] == ORDERS
    state = status(settings)
    assert state.components[victim].starts == 2, "it was started again, once"
    assert state.addresses is not None
    database = Database(state.addresses.database_url, pool_size=2)
    try:
        async with database.reading() as connection:
            orders = list((await connection.execute(text("SELECT order_id FROM orders"))).scalars())
        assert len(orders) == ORDERS
        assert (
            await disagreements(database, sandbox_database(settings.model_copy(update={"home": settings.home})), orders)
            == []
        )
    finally:
        await database.close()
