"""The floor of every figure: a worker for workflows that do nothing. ``python -m tests.benchmarks.noop ADDRESS``."""

from __future__ import annotations

import asyncio
import signal
import sys

from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from shared.codec import data_converter
from tests.benchmarks.noop_workflow import EmptyOrderWorkflow, NoopWorkflow, noop

NOOP_QUEUE = "noop"


async def main(address: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = await Client.connect(address, data_converter=data_converter())
    async with Worker(
        client,
        task_queue=NOOP_QUEUE,
        workflows=[NoopWorkflow, EmptyOrderWorkflow],
        activities=[noop],
        max_cached_workflows=2000,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
    ):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
