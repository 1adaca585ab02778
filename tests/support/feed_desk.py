"""A source's files, run as a worker does."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.feeds import Feeds
from shared.database import feeds
from shared.database.engine import Database
from shared.database.stock import Move, move
from shared.domain.feeds import FeedSource
from shared.feeds_client import take_in
from shared.messages import Wake
from shared.messages.feeds import FeedRun, FeedRunInput, FeedWatchInput
from tests.support.stock import residuals, seed


class Woken:
    """Remembers whom it was asked to wake."""

    def __init__(self) -> None:
        self.workflows: list[str] = []

    async def wake(self, workflow_id: str, wake: Wake) -> None:
        self.workflows.append(workflow_id)


class Desk:
    """A source's files, run as a worker does."""

    def __init__(self, database: Database) -> None:
        self.database, self.woken = database, Woken()
        self.feeds = Feeds(database, self.woken, {})

    async def define(self, **changes: Any) -> FeedSource:
        settings: dict[str, Any] = {
            "source_id": "acme",
            "node_id": "n1",
            "reading": {"format": "csv", "sku": "sku", "quantity": "qty"},
            "counts": "on_hand",
        }
        source = FeedSource.model_validate(settings | changes)
        async with self.database.transaction() as connection:
            await feeds.define(connection, source, actor="test")
        return source

    async def take(self, source: FeedSource, content: str | bytes, as_of: datetime | None = None) -> FeedRun:
        data = content if isinstance(content, bytes) else content.encode()
        at = as_of or datetime.now(UTC)
        return await take_in(self.database, source, io.BytesIO(data), name="stock.csv", as_of=at, actor="test")

    async def run(self, source: FeedSource, content: str | bytes, as_of: datetime | None = None) -> FeedRun:
        return await self.go_on(await self.take(source, content, as_of))

    async def go_on(self, run: FeedRun) -> FeedRun:
        request, env = FeedRunInput(source_id=run.source_id, run_id=run.run_id), ActivityEnvironment()
        if run.over:
            return run
        run = await env.run(self.feeds.stage, request)
        while run.status == "staged" and run.done < run.staged:
            run = await env.run(self.feeds.apply, request)
        return run if run.status == "refused" else await env.run(self.feeds.finish, request)

    async def refused(self, run: FeedRun) -> list[tuple[int, str, str, str]]:
        parts = [part async for part in feeds.refusals(self.database, run.run_id)]
        return [(row.row, row.field, row.code, row.line) for part in parts for row in part]

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        async with self.database.reading() as connection:
            return list((await connection.execute(text(statement), values)).all())

    async def on_hand(self, node_id: str = "n1") -> dict[str, int]:
        rows = await self.rows("SELECT sku, on_hand FROM stock_position WHERE node_id = :n", n=node_id)
        return {row.sku: row.on_hand for row in rows}

    async def free(self, sku: str, node_id: str = "n1") -> int:
        rows = await self.rows("SELECT free FROM stock_position WHERE node_id = :n AND sku = :s", n=node_id, s=sku)
        return int(rows[0].free)

    async def cases(self, kind: str) -> list[str]:
        rows = await self.rows("SELECT reference FROM exception_case WHERE kind = :k AND resolved_at IS NULL", k=kind)
        return [row.reference for row in rows]

    async def move(self, sku: str, units: int, cause: str = "receive") -> None:
        change = Move(node_id="n1", sku=sku, cause=cause, on_hand=units, reference=f"{cause}/{datetime.now(UTC)}")
        async with self.database.transaction() as connection:
            await move(connection, [change])

    async def watch(self) -> None:
        await ActivityEnvironment().run(self.feeds.check_freshness, FeedWatchInput())


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Desk]:
    """The desk of a merchant with ten of each of three items at two nodes, since ten days."""
    database = Database(url)
    await seed(database, nodes=2, skus=3, on_hand=10, days_ago=10)
    yield Desk(database)
    async with database.reading() as connection:
        told = await residuals(connection)
    assert told.keys() <= {"lines_unlike_their_reservations"}, told
    await database.close()
