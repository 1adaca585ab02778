"""A worker, Temporal and Postgres are killed while the demo runs; each comes back, and nothing is lost or doubled."""

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
from workers.stack import down, status

ORDERS = 48
VICTIMS = ("worker-1", "temporal", "postgres")
#: Kill the first when a quarter of the orders is placed, and the others a quarter later each: then there is work of
#: every kind in flight.
QUARTER = ORDERS // 4

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


async def placed(settings: Settings, count: int) -> None:
    """Wait until so many orders are placed."""
    while True:
        state = status(settings)
        if state.addresses is not None:
            database = Database(state.addresses.database_url, pool_size=1)
            try:
                async with database.reading() as connection:
                    if (await connection.execute(text("SELECT count(*) FROM orders"))).scalar_one() >= count:
                        return
            except Exception:
                pass
            finally:
                await database.close()
        await asyncio.sleep(0.1)


async def kill(settings: Settings, victim: str) -> None:
    """Kill a component of the stack, and wait until it was started again and is ready."""
    killed = status(settings).components[victim].pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    while True:
        component = status(settings).components[victim]
        if component.pid != killed and component.ready:
            return
        await asyncio.sleep(0.1)


async def test_killed_servers_cost_nothing_but_time(stack_home: Path) -> None:
    settings = Settings(home=stack_home)
    async with demo(stack_home) as process:
        reading = asyncio.create_task(process.communicate())
        async with asyncio.timeout(240):
            for n, victim in enumerate(VICTIMS, start=1):
                await placed(settings, n * QUARTER)
                await kill(settings, victim)
            out, err = await reading
        assert process.returncode == 0, err.decode()[-4000:]
        await _judge(settings, json.loads(out.decode().splitlines()[-1]))


async def _judge(settings: Settings, summary: dict[str, Any]) -> None:
    assert summary["orders"] == ORDERS
    assert summary["stuck"] == summary["oversold"] == summary["refused"] == 0
    assert summary["delivered"] + summary["cancelled"] == ORDERS
    state = status(settings)
    assert {victim: state.components[victim].starts for victim in VICTIMS} == dict.fromkeys(VICTIMS, 2)
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
