"""What sources say of their stock: files fetched, read, applied a chunk at a time, and figures that grow old."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from datetime import UTC, datetime

from temporalio import activity

from activities.beating import beating
from shared.contracts import FeedActivities
from shared.database import feed_freshness, feed_moves, feed_runs, feed_sightings, feed_staging, feeds, wakes
from shared.database.engine import Database, around_races
from shared.database.feed_freshness import NodeFreshness
from shared.domain.feeds import FeedSource, SftpDrop, buffer_of, freshness
from shared.errors import NotFound
from shared.feeds_client import take_in
from shared.gateways.feeds.sftp import Directory, Listed, SftpLogins, open_directory
from shared.messages.feeds import (
    FeedPollInput,
    FeedRun,
    FeedRunInput,
    FeedWatchInput,
    FeedWatchResult,
    FetchedFile,
    FetchedFiles,
)
from shared.wakes_client import Processes, tell_waiting

#: After so long an answer says how far it came, and the next call goes on.
_SLICE = 5.0
#: Files of one look; the rest is there at the next.
_FILES = 50


class Feeds(FeedActivities):
    """The feed activities over the database and the partners' directories."""

    def __init__(self, database: Database, processes: Processes, logins: SftpLogins) -> None:
        self._database, self._processes, self._logins = database, processes, logins

    @activity.defn(name="feeds.stage")
    async def stage(self, request: FeedRunInput) -> FeedRun:
        """Read the run's file into positions and refusals; all of it is one transaction."""
        async with beating():
            with tempfile.TemporaryFile() as file:
                async with self._database.transaction() as connection:
                    run = await feed_runs.lock_run(connection, request.run_id)
                    if run.status != "received":
                        return run
                    await feed_runs.claim_source(connection, run)
                    source = await feeds.read_source(connection, run.source_id)
                    await feed_runs.bring_back(connection, run.run_id, file)
                    return await feed_staging.stage(connection, run, source, file, datetime.now(UTC))

    @activity.defn(name="feeds.apply")
    async def apply(self, request: FeedRunInput) -> FeedRun:
        """Bring the next positions to their figures for some seconds; the run says how far it came."""
        async with beating():
            async with self._database.reading() as connection:
                run = await feeds.read_run(connection, request.run_id)
                source = await feeds.read_source(connection, run.source_id)
            buffer = buffer_of(source, freshness(source, run.as_of, datetime.now(UTC)))
            began = time.monotonic()
            while run.status == "staged" and run.done < run.staged and time.monotonic() - began < _SLICE:
                async for attempt in around_races():
                    with attempt:
                        async with self._database.transaction() as changing:
                            run = await feed_moves.apply_chunk(changing, run.run_id, source, buffer)
            return run

    @activity.defn(name="feeds.finish")
    async def finish(self, request: FeedRunInput) -> FeedRun:
        """End the run and wake the orders that wait for what it brought."""
        async with beating():
            async with self._database.transaction() as connection:
                run = await feed_runs.lock_run(connection, request.run_id)
                if run.status == "staged":
                    source = await feeds.read_source(connection, run.source_id)
                    run = await feed_runs.conclude(connection, run, source, datetime.now(UTC))
            return run.model_copy(update={"orders_woken": await self._wake_waiting(run.source_id)})

    async def _wake_waiting(self, source_id: str) -> int:
        async with self._database.reading() as connection:
            skus = await feed_runs.items_waited_for(connection, source_id)
        return await tell_waiting(self._database, self._processes, skus)

    @activity.defn(name="feeds.fetch")
    async def fetch(self, request: FeedPollInput) -> FetchedFiles:
        """Take in every whole file of the source's directory."""
        async with beating():
            source, drop = await self._source(request.source_id)
            async with open_directory(source.source_id, drop, self._logins) as directory:
                listing = await directory.listing()
                whole = await self._whole(source, drop, listing)
                files = [await self._take(source, directory, file) for file in whole[:_FILES]]
            return FetchedFiles(files=tuple(files), waiting=len(listing) - len(files))

    async def _whole(self, source: FeedSource, drop: SftpDrop, listing: list[Listed]) -> list[Listed]:
        async with self._database.transaction() as connection:
            settled = await feed_sightings.settled(connection, source.source_id, listing, drop.every / 2)
        return [file for file in listing if file.marked] if drop.done_marker else settled

    async def _take(self, source: FeedSource, directory: Directory, listed: Listed) -> FetchedFile:
        with tempfile.TemporaryFile() as file:
            await directory.fetch(listed.name, file, at_most=source.max_bytes)
            run = await take_in(self._database, source, file, name=listed.name, as_of=listed.modified, actor="sftp")
        return FetchedFile(
            source_id=source.source_id, name=listed.name, size=listed.size, modified=listed.modified, run=run
        )

    @activity.defn(name="feeds.put_away")
    async def put_away(self, fetched: FetchedFile) -> None:
        """Move a file whose run is over out of the partner's way."""
        source, drop = await self._source(fetched.source_id)
        listed = Listed(name=fetched.name, size=fetched.size, modified=fetched.modified, marked=False)
        async with beating(), open_directory(source.source_id, drop, self._logins) as directory:
            await directory.put_away(listed, fetched.run.run_id)

    async def _source(self, source_id: str) -> tuple[FeedSource, SftpDrop]:
        async with self._database.reading() as connection:
            source = await feeds.read_source(connection, source_id)
        if source.sftp is None:
            raise NotFound(f"{source_id} has no SFTP directory", source_id=source_id)
        return source, source.sftp

    @activity.defn(name="feeds.check_freshness")
    async def check_freshness(self, request: FeedWatchInput) -> FeedWatchResult:
        """Hold back stock whose figures are too old, and give it back when they are fresh again."""
        now = datetime.now(UTC)
        async with beating():
            async with self._database.reading() as connection:
                nodes = await feed_freshness.read_nodes(connection, now)
            due = [node for node in nodes if node.is_due(now)]
            changed = {node.node_id: await self._rebuffer(node, now) for node in due}
            sources = {node.source.source_id for node in due if changed[node.node_id]}
            woken = sum([await self._wake_waiting(source_id) for source_id in sorted(sources)])
        states = Counter(str(node.state(now)) for node in nodes)
        return FeedWatchResult(states=dict(states), rebuffered=sum(changed.values()), orders_woken=woken)

    async def _rebuffer(self, node: NodeFreshness, now: datetime) -> int:
        buffer, changed = node.buffer(now), 0
        while True:
            async with self._database.transaction() as connection:
                more = await feed_freshness.rebuffer(connection, node.node_id, buffer)
                if not more:
                    await feed_freshness.keep_state(connection, node, now)
                    return changed
                skus = await feed_runs.items_waited_for(connection, node.source.source_id)
                await wakes.ask_waiting(connection, skus)
            changed += more
