"""One worker process of the planning queue: solvers run here, and nowhere that orders are served."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.prices import Pricing
from activities.waves import Waves
from shared.client import Doms
from shared.contracts import PLANNING_QUEUE
from shared.database.engine import Database
from shared.settings import Settings
from workers.interceptors import Errors
from workers.main import activity_methods, until_stopped
from workflows.registry import PLANNING_WORKFLOWS


async def run_planning_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish what was begun and stop."""
    await until_stopped(settings, lambda temporal: planning(temporal, settings.database_url))


@asynccontextmanager
async def planning(temporal: Client, database_url: str) -> AsyncIterator[Database]:
    """A worker of the planning queue, for the length of the block. A solver has the process to itself."""
    database = Database(database_url, pool_size=2)
    worker = Worker(
        temporal,
        task_queue=PLANNING_QUEUE,
        workflows=PLANNING_WORKFLOWS,
        activities=[*activity_methods(Pricing(database)), *activity_methods(Waves(database, Doms(temporal, database)))],
        interceptors=[Errors()],
        max_concurrent_activities=1,
        graceful_shutdown_timeout=timedelta(seconds=20),
    )
    try:
        async with worker:
            yield database
    finally:
        await database.close()
