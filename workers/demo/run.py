"""The demo: a toy merchant's day through the whole system, on servers it starts and stops itself."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from rich.console import Console

from shared.client import Doms
from shared.database import policies
from shared.database.engine import Database
from shared.database.figures import oversold, summary_figures
from shared.database.orders import active_policy
from shared.database.stock import Move
from shared.domain.orders import OrderDocument
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing.models import Policy
from shared.errors import Conflict
from shared.messages import CancelOrder
from shared.settings import Settings
from workers.connect import doms_client, joined
from workers.demo.cpu import OURS, cpu_seconds, per_order_ms
from workers.demo.job import Job, in_turn, patiently
from workers.demo.load import load_world
from workers.demo.orders import make_orders
from workers.demo.shelves import fill_shelves
from workers.demo.summary import Summary
from workers.demo.world import Restock, World, make_world, restocks
from workers.stack import StackAddresses, running_stack, status, up

#: A day of the real process passes in a fraction of a second: the durations are data, no step is left out.
HURRIED = ProcessPolicy(
    answer_within=timedelta(seconds=6),
    exclude_for=timedelta(seconds=60),
    backorder_patience=timedelta(seconds=25),
    backorder_retry=timedelta(seconds=5),
    payment_patience=timedelta(seconds=6),
    return_within=timedelta(seconds=60),
)
#: What the partners get up to. Rates of trouble far above a good day's, so that a short run shows every path.
TROUBLE = (
    "--pace.accept-after=0.3",
    "--pace.pack-after=0.5",
    "--pace.ship-after=0.3",
    "--pace.transit=1.5",
    "--pace.late-by=3",
    "--pace.return-after=0.5",
    "--rates.reject=0.05",
    "--rates.silent=0.02",
    "--rates.late=0.03",
    "--rates.short=0.04",
    "--rates.delivery-exception=0.02",
    "--rates.scan-duplicate=0.05",
    "--rates.scan-reorder=0.05",
    "--rates.out-for-delivery=0",
)
#: Every fiftieth customer thinks better of it right after ordering.
_SECOND_THOUGHTS = 50
_PLACERS = 12


async def demo(*, orders: int, seed: int, workers: int, keep: bool) -> Summary:
    """Run the main job. ``keep`` leaves the stack running."""
    console = Console(stderr=True)
    world = make_world(seed, depth=1 + orders // 1000)
    run = f"demo-{uuid.uuid4().hex[:6]}"
    async with stage(workers=workers, keep=keep, console=console) as (settings, addresses, doms):
        await fill_shelves(addresses.sandbox_url, await load_world(doms.database, world, addresses.sandbox_url, run))
        async with hurried(doms.database, run):
            job, before = Job(doms, console, orders), cpu_seconds(settings)
            async with job.shown():
                supply = _Supply(addresses.sandbox_url, world, orders)
                await _place_all(job, _renamed(run, world, orders, seed), supply)
                stuck = await job.until_over()
        return await summarise(job, settings, before, stuck)


@asynccontextmanager
async def stage(*, workers: int, keep: bool, console: Console) -> AsyncIterator[tuple[Settings, StackAddresses, Doms]]:
    """The stack and a client of it: the stack that is running, or one that is stopped afterwards."""
    settings = Settings()
    if status(settings).addresses is None:
        console.print(f"Starting Postgres, Temporal, partners, API and {workers} workers under {settings.home} ...")
    if keep:
        await asyncio.to_thread(up, settings, workers=workers, sandbox_options=TROUBLE)
    async with running_stack(settings, workers=workers, sandbox_options=TROUBLE) as addresses:
        console.print(f"Temporal Web UI: {addresses.temporal_ui_url}   API: {addresses.api_url}")
        settings = joined(settings)
        async with doms_client(settings, program="demo") as doms:
            yield settings, addresses, doms


@asynccontextmanager
async def hurried(database: Database, version: str) -> AsyncIterator[None]:
    """New orders are in a hurry for the length of the block."""
    async with database.reading() as connection:
        usual, _ = await active_policy(connection)
    async with database.transaction() as connection:
        await policies.begin(connection, Policy(version=version), HURRIED, "demo")
    try:
        yield
    finally:
        async for attempt in patiently():
            with attempt:
                async with database.transaction() as connection:
                    await policies.switch(connection, usual, "demo", rollback=True)


def _renamed(run: str, world: World, orders: int, seed: int) -> Iterator[OrderDocument]:
    """The day's orders under ids of this run, so that a second run places new ones."""
    start = datetime.now(UTC) - timedelta(minutes=5)
    for document in make_orders(world, orders, seed, start, mean_gap=timedelta(seconds=1)):
        yield document.model_copy(update={"channel_order_id": f"{document.channel_order_id}-{run[-6:]}"})


class _Supply:
    """Replenishment, which arrives once so many orders were placed."""

    def __init__(self, sandbox_url: str, world: World, orders: int) -> None:
        due = [(round(restock.after * orders), restock) for restock in restocks(world)]
        self._due = sorted(due, key=lambda pair: -pair[0])
        self._sandbox_url = sandbox_url

    async def come(self, doms: Doms, placed: int) -> None:
        """Put on the shelf, and tell of, what has arrived by now."""
        while self._due and placed >= self._due[-1][0]:
            move = _arrival(self._due.pop()[1])
            await fill_shelves(self._sandbox_url, [move])
            async for attempt in patiently():
                with attempt:
                    await doms.receive_stock([move])


async def _place_all(job: Job, documents: Iterator[OrderDocument], supply: _Supply) -> None:
    async def one() -> bool:
        document = next(documents, None)
        if document is None:
            return False
        order_id = await job.place(document)
        count = len(job.placed)
        if order_id and count % _SECOND_THOUGHTS == 0:
            await _think_better_of_it(job.doms, order_id)
        await supply.come(job.doms, count)
        return True

    await in_turn(one, _PLACERS)


async def _think_better_of_it(doms: Doms, order_id: str) -> None:
    try:
        async for attempt in patiently():
            with attempt:
                await doms.cancel(order_id, CancelOrder(actor="customer", reason="changed their mind"))
    except Conflict:
        return


def _arrival(supply: Restock) -> Move:
    return Move(
        node_id=supply.node_id,
        sku=supply.sku,
        cause="receive",
        on_hand=supply.quantity,
        reference=f"supply/{uuid.uuid4().hex[:12]}",
        actor="supplier",
    )


async def summarise(job: Job, settings: Settings, before: dict[str, float], stuck: int) -> Summary:
    """The figures of a job that is over."""
    cpu = per_order_ms(before, cpu_seconds(settings), len(job.placed))
    async with job.doms.database.reading() as connection:
        figures = await summary_figures(connection, job.placed)
        wrong = await oversold(connection)
    p50, p95 = job.verdict_ms()
    return Summary(
        orders=len(job.placed),
        delivered=figures.delivered,
        split=figures.split,
        backordered=figures.backordered,
        cancelled=figures.cancelled,
        resourced=figures.resourced,
        refused=sum(job.refused.values()),
        stuck=stuck,
        oversold=wrong,
        seconds=job.seconds,
        cpu_ms_per_order=round(sum(spent for kind, spent in cpu.items() if kind in OURS), 1),
        cpu_ms=cpu,
        cost_per_order_minor=figures.cost_per_order_minor,
        verdict_p50_ms=p50,
        verdict_p95_ms=p95,
    )
