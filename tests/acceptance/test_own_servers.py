"""The same programs against a Postgres and a Temporal that are given by address."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from shared.settings import Settings
from tests.support.stack import short_home
from workers.stack import down, status
from workers.stack.postgres import postgres_running
from workers.stack.temporal import temporal_running


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_the_main_job_runs_on_servers_given_by_address(stack_home: Path) -> None:
    with (
        short_home() as elsewhere,
        postgres_running(elsewhere / "pg", fsync=False) as postgres,
        temporal_running(elsewhere / "temporal") as temporal,
    ):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOMS_")} | {
            "DOMS_HOME": str(stack_home),
            "DOMS_DATABASE_URL": postgres.url(),
            "DOMS_TEMPORAL_ADDRESS": temporal.address,
        }
        command = [sys.executable, "-m", "workers.cli", "demo", "--orders", "8", "--workers", "1", "--keep", "--json"]
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            out, err = await process.communicate()
            assert process.returncode == 0, err.decode()[-4000:]
            summary = json.loads(out.decode().splitlines()[-1])
            assert summary["orders"] == 8
            assert summary["stuck"] == summary["oversold"] == 0
            components = status(Settings(home=stack_home)).components
            assert {"postgres", "temporal"}.isdisjoint(components), "nothing embedded was started"
            assert "worker-1" in components
        finally:
            await asyncio.to_thread(down, Settings(home=stack_home))
