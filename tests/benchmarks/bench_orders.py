"""Orders a second and CPU an order, on the clean path, beside an empty workflow on the same servers in the same run.

Run ``python -m tests.benchmarks.bench_orders [--orders 300] [--in-flight 30] [--workers 1]``. It starts a stack of
its own under a temporary home, with fsync on, and stops it. Nothing here is asserted: machines differ, ratios last.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy

from shared.client import Doms
from shared.database import policies
from shared.domain.network import NodeType
from shared.domain.orders import OrderDocument
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing.models import Policy
from shared.messages import order_workflow_id
from shared.settings import Settings
from tests.benchmarks.noop import NOOP_QUEUE
from workers.connect import doms_client, joined
from workers.demo.cpu import cpu_seconds, per_order_ms
from workers.demo.load import load_world
from workers.demo.orders import make_orders
from workers.demo.world import StockRow, World, make_world
from workers.stack import running_stack

#: A world without trouble and without waiting, so that what is measured is ours.
_CLEAN = (
    "--pace.accept-after=0.05",
    "--pace.pack-after=0.1",
    "--pace.ship-after=0.05",
    "--pace.transit=0.3",
    "--rates.out-for-delivery=0",
)
#: Seconds between an empty order's messages, so that each wakes it by itself, as a partner's does.
_APART = 0.2
_PATIENT = ProcessPolicy(answer_within=timedelta(minutes=5))


class Measured:
    """One row of the table."""

    def __init__(self, name: str, seconds: float, waits: list[float], cpu: dict[str, float]) -> None:
        self.name = name
        self.count = len(waits)
        self.rate = self.count / seconds
        cuts = quantiles(waits, n=20, method="inclusive")
        self.p50, self.p95 = cuts[9] * 1000, cuts[18] * 1000
        self.cpu = cpu

    @property
    def process_ms(self) -> float:
        """Workers and Temporal: what the shape of the process costs."""
        return self.cpu.get("worker", 0.0) + self.cpu.get("temporal", 0.0)


def one_kind(world: World, kind: NodeType) -> World:
    """The world with all stock at one node of a kind, and plenty of it, so that no order splits or waits."""
    node = next(node for node in world.nodes if node.node_type is kind)
    return world.model_copy(
        update={
            "stock": tuple(
                StockRow(node_id=n.node_id, sku=item.sku, on_hand=1_000_000 if n.node_id == node.node_id else 0)
                for n in world.nodes
                for item in world.items
            ),
            "nodes": tuple(n.model_copy(update={"daily_units": None}) for n in world.nodes),
        }
    )


def clean(documents: list[OrderDocument], run: str) -> list[OrderDocument]:
    """The demo's orders, all of them payable and under ids of their own."""
    return [
        d.model_copy(
            update={
                "channel_order_id": f"{d.channel_order_id}-{run}",
                "payment": d.payment.model_copy(update={"token": "tok_ok"}),
            }
        )
        for d in documents
    ]


async def closed_loop(work: list[Callable[[], Awaitable[float]]], in_flight: int) -> tuple[float, list[float]]:
    """Run all of it with so many in flight; (seconds, what each returned)."""
    todo, waits = iter(work), []

    async def one() -> None:
        for job in todo:
            waits.append(await job())

    started = time.monotonic()
    await asyncio.gather(*(one() for _ in range(in_flight)))
    return time.monotonic() - started, waits


async def measure_orders(
    doms: Doms, settings: Settings, name: str, documents: list[OrderDocument], in_flight: int
) -> Measured:
    """Each order from the channel's call to delivered and closed; the wait measured is the verdict's."""

    def job(document: OrderDocument) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            begun = time.monotonic()
            verdict = await doms.submit(document)
            waited = time.monotonic() - begun
            await doms._temporal.get_workflow_handle(order_workflow_id(verdict.order_id)).result()
            return waited

        return run

    before = cpu_seconds(settings) | own_seconds()
    seconds, waits = await closed_loop([job(document) for document in documents], in_flight)
    return Measured(name, seconds, waits, per_order_ms(before, cpu_seconds(settings) | own_seconds(), len(waits)))


def own_seconds() -> dict[str, float]:
    """CPU of this process, which plays the channel."""
    times = psutil.Process().cpu_times()
    return {"client": times.user + times.system}


async def noop_job(temporal: Client) -> float:
    """A workflow that does nothing."""
    begun = time.monotonic()
    await temporal.execute_workflow("Noop", id=f"noop/{uuid.uuid4()}", task_queue=NOOP_QUEUE)
    return time.monotonic() - begun


async def empty_order_job(temporal: Client) -> float:
    """A workflow of an order's shape whose steps do nothing."""
    begun = time.monotonic()
    operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        "EmptyOrder",
        id=f"empty-order/{uuid.uuid4()}",
        task_queue=NOOP_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    await temporal.execute_update_with_start_workflow("submit", start_workflow_operation=operation)
    waited = time.monotonic() - begun
    handle = await operation.workflow_handle()
    for message in ("shipped", "delivered"):
        await asyncio.sleep(_APART)
        await handle.signal(message)
    await handle.result()
    return waited


async def measure_floor(
    doms: Doms, settings: Settings, name: str, job: Callable[[Client], Awaitable[float]], size: tuple[int, int]
) -> Measured:
    """A floor, on the same server, with a worker of its own. ``size`` is how many, and how many in flight."""
    count, in_flight = size

    async with noop_worker(settings) as worker:
        once = partial(job, doms._temporal)
        await closed_loop([once] * in_flight, in_flight)
        before = cpu_seconds(settings) | {"worker": sum(worker.cpu_times()[:2])} | own_seconds()
        seconds, waits = await closed_loop([once] * count, in_flight)
        after = cpu_seconds(settings) | {"worker": sum(worker.cpu_times()[:2])} | own_seconds()
    return Measured(name, seconds, waits, per_order_ms(before, after, len(waits)))


@asynccontextmanager
async def noop_worker(settings: Settings) -> AsyncIterator[psutil.Process]:
    command = [sys.executable, "-m", "tests.benchmarks.noop", settings.temporal_address]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


def table_of(rows: list[Measured], floor: Measured) -> Table:
    table = Table(title="CPU in ms an order; process = workers + Temporal")
    for column in ("path", "orders", "orders/s", "p50 ms", "p95 ms", "worker", "temporal", "process", "x empty"):
        table.add_column(column, justify="right")
    for column in ("client", "postgres", "api", "sandbox"):
        table.add_column(column, justify="right")
    for row in rows:
        others = [f"{row.cpu.get(kind, 0):.0f}" for kind in ("client", "postgres", "api", "sandbox")]
        own = [f"{row.cpu.get(kind, 0):.0f}" for kind in ("worker", "temporal")]
        ratio = f"{row.process_ms / floor.process_ms:.2f}"
        numbers = [str(row.count), f"{row.rate:.1f}", f"{row.p50:.0f}", f"{row.p95:.0f}"]
        table.add_row(row.name, *numbers, *own, f"{row.process_ms:.0f}", ratio, *others)
    return table


async def main(orders: int, in_flight: int, workers: int, kinds: list[NodeType], home: Path) -> None:
    settings = Settings(home=home)
    world = make_world(items=200)
    start = datetime.now(UTC) - timedelta(hours=1)
    async with running_stack(settings, workers=workers, sandbox_options=_CLEAN) as addresses:
        settings = joined(settings)
        async with doms_client(settings, program="benchmark") as doms:
            async with doms.database.transaction() as connection:
                await policies.begin(connection, Policy(version="bench/1"), _PATIENT, "benchmark")
            rows = []
            size = (orders, in_flight)
            floor = await measure_floor(doms, settings, "empty workflow", noop_job, size)
            rows.append(await measure_floor(doms, settings, "empty order", empty_order_job, size))
            for kind in kinds:
                await load_world(doms.database, one_kind(world, kind), addresses.sandbox_url, f"bench/{kind}")
                for name, count in (("warm-up", in_flight * 2), (kind.value, orders)):
                    documents = clean(list(make_orders(world, count, 1, start)), f"{kind.value}-{name}")
                    row = await measure_orders(doms, settings, name, documents, in_flight)
                rows.append(row)
            again = await measure_floor(doms, settings, "empty workflow again", noop_job, size)
    Console(width=160).print(table_of([floor, *rows, again], floor))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--in-flight", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", type=NodeType, default=["vendor", "3pl", "warehouse"])
    arguments = parser.parse_args()
    node_types = [NodeType(kind) for kind in arguments.kinds]
    directory = Path(tempfile.mkdtemp(prefix="doms-bench-"))
    directory.chmod(0o755)
    try:
        asyncio.run(main(arguments.orders, arguments.in_flight, arguments.workers, node_types, directory))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
