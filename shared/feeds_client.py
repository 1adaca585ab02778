"""What staff do with feeds: define a source, hand in a file and wait for what becomes of it."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from io import SEEK_END, BytesIO
from typing import BinaryIO

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from shared.contracts import BATCH_QUEUE
from shared.database import feed_runs, feeds
from shared.database.engine import Database
from shared.domain.feeds import FeedSource
from shared.messages.feeds import FeedPollInput, FeedRun, FeedRunInput, feed_workflow_id
from shared.schedules import drop_schedule, every, keep_schedule


class FeedDesk:
    """Feeds, for staff and their programs."""

    def __init__(self, temporal: Client, database: Database) -> None:
        self._temporal, self.database = temporal, database

    async def define(self, source: FeedSource, *, actor: str) -> None:
        """Keep a source, or change it, and look into its directory from now on, if it has one.

        Raises:
            InvalidInput: it names nodes that do not exist, or that another source speaks for.
            Conflict: one of its files is being applied.
        """
        async with self.database.transaction() as connection:
            await feeds.define(connection, source, actor=actor)
        await self._keep_schedule(source)

    async def hand_in(self, source_id: str, file: BinaryIO, *, name: str, actor: str, as_of: datetime) -> FeedRun:
        """Take in a file and begin its run; the same content again is answered with its first run.

        Args:
            as_of: The moment of the figures, for files that do not say it.

        Raises:
            NotFound: there is no such source.
        """
        async with self.database.reading() as connection:
            source = await feeds.read_source(connection, source_id)
        run = await take_in(self.database, source, file, name=name, as_of=as_of, actor=actor)
        if not run.over:
            await self._temporal.start_workflow(
                "FeedRun",
                FeedRunInput(source_id=source_id, run_id=run.run_id),
                id=feed_workflow_id(source_id, run.run_id),
                task_queue=BATCH_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=f"apply {name} of {source_id}"[:200],
            )
        return run

    async def outcome(self, run: FeedRun) -> FeedRun:
        """What became of a run, when it is over."""
        if run.over:
            return run
        workflow_id = feed_workflow_id(run.source_id, run.run_id)
        handle = self._temporal.get_workflow_handle(workflow_id, result_type=FeedRun)
        result: FeedRun = await handle.result()
        return result

    async def _keep_schedule(self, source: FeedSource) -> None:
        name = f"feed-poll/{source.source_id}"
        if source.sftp is None:
            await drop_schedule(self._temporal, name)
            return
        schedule = every(
            source.sftp.every,
            "FeedPoll",
            FeedPollInput(source_id=source.source_id),
            name=name,
            queue=BATCH_QUEUE,
            summary=f"take in what {source.source_id} has left in its directory",
        )
        await keep_schedule(self._temporal, name, schedule)


async def take_in(
    database: Database, source: FeedSource, file: BinaryIO, *, name: str, as_of: datetime, actor: str
) -> FeedRun:
    """Take a file in under the hash of its content; what is over the source's limit is named, and not kept."""
    size = file.seek(0, SEEK_END)
    file.seek(0)
    digest = sha256()
    for block in iter(lambda: file.read(feed_runs.CHUNK_BYTES), b""):
        digest.update(block)
    file.seek(0)
    async with database.transaction() as connection:
        return await feed_runs.take_in(
            connection, source, file if size <= source.max_bytes else BytesIO(), name=name,
            content_hash=digest.hexdigest(), size=size, as_of=as_of, actor=actor,
        )  # fmt: skip
