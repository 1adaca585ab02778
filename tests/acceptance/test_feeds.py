"""Feeds through Temporal: fetched on a schedule, applied once whatever dies, and hidden when they grow old."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import Client

from shared.contracts import BATCH_QUEUE
from shared.database.engine import Database
from shared.domain.feeds import FeedSource
from shared.feeds_client import FeedDesk
from shared.gateways.directory import Gateways
from shared.messages.feeds import FeedRun, FeedWatchInput, FeedWatchResult, feed_workflow_id
from tests.support.histories import replay_everything
from tests.support.partners import PARTNER_KEY
from tests.support.sftp import SftpServer, sftp_server
from tests.support.stock import residuals, seed
from tests.support.system import namespace
from workers.main import batch_worker
from workers.stack.temporal import EmbeddedTemporal

ROWS = 50_000


@dataclass
class Shop:
    """The database, and the processes that keep its stock as sources tell it."""

    temporal: Client
    database: Database
    database_url: str
    desk: FeedDesk
    server: SftpServer

    async def define(self, **changes: Any) -> None:
        source = {
            "source_id": "acme",
            "node_id": "n1",
            "counts": "on_hand",
            "reading": {"format": "csv", "sku": "sku", "quantity": "qty"},
        }
        await self.desk.define(FeedSource.model_validate(source | changes), actor="test")

    async def hand_in(self, content: str, as_of: datetime) -> FeedRun:
        return await self.desk.hand_in("acme", io.BytesIO(content.encode()), name="f.csv", actor="test", as_of=as_of)

    async def applied(self, content: str, as_of: datetime) -> FeedRun:
        return await self.desk.outcome(await self.hand_in(content, as_of))

    async def watch(self) -> FeedWatchResult:
        result: FeedWatchResult = await self.temporal.execute_workflow(
            "FeedWatch", FeedWatchInput(), id="feed-watch", task_queue=BATCH_QUEUE, result_type=FeedWatchResult
        )
        return result

    async def value(self, statement: str) -> Any:
        async with self.database.reading() as connection:
            return (await connection.execute(text(statement))).scalar()

    async def until(self, met: Callable[[], Awaitable[object]], *, within: float = 60.0) -> None:
        async with asyncio.timeout(within):
            while not await met():
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        async with Gateways({}, PARTNER_KEY) as gateways:
            logins = {"acme": self.server.login}
            async with batch_worker(self.temporal, self.database, gateways, logins):
                yield


@pytest.fixture
async def shop(fresh_database_url: str, temporal_server: EmbeddedTemporal, tmp_path: Path) -> AsyncIterator[Shop]:
    """Two items at one node; every history is replayed afterwards, and the ledger adds up."""
    temporal = await namespace(temporal_server.address)
    database = Database(fresh_database_url)
    await seed(database, nodes=1, skus=2, on_hand=0)
    async with sftp_server(tmp_path) as server:
        yield Shop(temporal, database, fresh_database_url, FeedDesk(temporal, database), server)
    async with database.reading() as connection:
        assert await residuals(connection) == {}
    assert await replay_everything(temporal) > 0
    await database.close()


async def test_files_left_in_a_directory_become_stock(shop: Shop) -> None:
    async with shop.working():
        await shop.define(sftp=shop.server.drop())
        try:
            (shop.server.outbound / "stock.csv").write_text("sku,qty\ns1,12\ns2,5\ns9,1\n")

            async def is_put_away() -> bool:
                processed = shop.server.outbound / "processed"
                return processed.exists() and any(processed.iterdir())

            await shop.until(is_put_away)
        finally:
            await shop.define()
    assert await shop.value("SELECT sum(on_hand) FROM stock_position") == 17
    assert await shop.value("SELECT (status, rows, changed, refused)::text FROM feed_run") == "(applied,3,2,1)"
    schedules = [schedule.id async for schedule in await shop.temporal.list_schedules()]
    assert "feed-poll/acme" not in schedules, "a source without a directory is not looked for in one"


async def test_an_old_snapshot_brings_nothing_back_and_old_figures_are_hidden(shop: Shop) -> None:
    now = datetime.now(UTC)
    async with shop.working():
        await shop.define(stale_after=timedelta(hours=1), stale_percent=40, hide_after=timedelta(hours=2))
        first = await shop.applied("sku,qty\ns1,10\n", now - timedelta(minutes=90))
        assert (first.status, await shop.value("SELECT free FROM stock_position WHERE sku = 's1'")) == ("applied", 6)
        assert (await shop.watch()).states == {"stale": 1}
        refused = await shop.applied("sku,qty\ns1,99\n", now - timedelta(minutes=91))
        assert (refused.status, refused.code) == ("refused", "older_than_applied")
        async with shop.database.transaction() as connection:
            await connection.execute(text("UPDATE stock_source SET as_of = as_of - interval '1 hour'"))
        watched = await shop.watch()
        assert (watched.states, await shop.value("SELECT max(free) FROM stock_position")) == ({"hidden": 1}, 0)
        assert await shop.value("SELECT count(*) FROM exception_case WHERE kind = 'feed.stale'") == 1
        fresh = await shop.applied("sku,qty\ns1,8\n", now)
        assert (fresh.changed, await shop.value("SELECT free FROM stock_position WHERE sku = 's1'")) == (1, 8)
        assert (await shop.watch()).states == {"fresh": 1}
        open_cases = "SELECT count(*) FROM exception_case WHERE resolved_at IS NULL"
        assert await shop.value(open_cases) == 0, "a fresh file that is applied answers both"


async def _many_items(shop: Shop) -> str:
    """A file of as many items as take some chunks."""
    async with shop.database.transaction() as connection:
        await connection.execute(
            text("INSERT INTO item SELECT 'k' || n, '', 1, 1, 1, 1, 1, 1, 'USD' FROM generate_series(1, :rows) AS n"),
            {"rows": ROWS},
        )
    return "sku,qty\n" + "".join(f"k{n},{n % 7 + 1}\n" for n in range(1, ROWS + 1))


@asynccontextmanager
async def worker_process(shop: Shop) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker that can be killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "workers.cli", "worker",
        env={name: value for name, value in os.environ.items() if not name.startswith("DOMS_")} | {
            "DOMS_DATABASE_URL": shop.database_url,
            "DOMS_TEMPORAL_ADDRESS": shop.temporal.service_client.config.target_host,
            "DOMS_TEMPORAL_NAMESPACE": shop.temporal.namespace,
            "DOMS_PARTNER_KEY": PARTNER_KEY,
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.crash
async def test_a_worker_killed_half_way_through_a_file_costs_nothing_but_time(shop: Shop) -> None:
    content = await _many_items(shop)
    await shop.define()
    now = datetime.now(UTC)
    async with worker_process(shop) as first:
        run = await shop.hand_in(content, now)

        async def is_under_way() -> bool:
            return bool(await shop.value("SELECT done FROM feed_run"))

        await shop.until(is_under_way)
        first.send_signal(signal.SIGKILL)
        await first.wait()
    half = await shop.value("SELECT done FROM feed_run")
    assert 0 < half < ROWS
    async with shop.working():
        done = await shop.desk.outcome(run)
        handle = shop.temporal.get_workflow_handle(feed_workflow_id("acme", run.run_id))
        progress = await handle.query("progress", result_type=FeedRun)
        again = await shop.applied(content, now)
    assert (done.status, done.rows, done.changed, done.refused) == ("applied", ROWS, ROWS, 0)
    assert (progress.done, again.again, again.run_id) == (ROWS, True, run.run_id)
    assert await shop.value("SELECT sum(on_hand) FROM stock_position") == sum(n % 7 + 1 for n in range(1, ROWS + 1))
    assert await shop.value("SELECT count(*) FROM stock_move WHERE cause = 'feed'") == ROWS
    assert await shop.value("SELECT count(DISTINCT run_id) FROM feed_chunk") == 1
