"""The run of a file: it is taken in whole, read, applied in chunks, and over; each step can be repeated."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import BinaryIO

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.copying import driver_of
from shared.database.feeds import run_of
from shared.database.steps import open_case
from shared.domain.feeds import FeedSource, freshness, run_id_of
from shared.errors import NotFound, Unavailable
from shared.gateways.feeds.repeats import can_repeat
from shared.messages.feeds import FeedRun

CHUNK_BYTES = 1024 * 1024

_LOCK = text("SELECT last_run FROM feed_source WHERE source_id = :source_id FOR UPDATE")
_LOCK_RUN = text("SELECT * FROM feed_run WHERE run_id = :run_id FOR UPDATE")
#: What answers for content that was taken in before; a file that was refused may be tried again.
_SAME = text("""
    SELECT * FROM feed_run
    WHERE source_id = :source_id AND content_hash = :content_hash AND status <> 'refused'
      AND (run_id = :run_id OR run_id = :last_run)
    ORDER BY received_at DESC LIMIT 1
""")
#: A source that says the same again has been heard of: its figures are no older than that.
_HEARD = text("""
    UPDATE stock_source SET as_of = greatest(as_of, :as_of), received_at = now()
    WHERE source_id = :source_id AND as_of IS NOT NULL
""")
_FORGET = text("DELETE FROM feed_refusal WHERE run_id = :run_id")
_OPEN = text("""
    INSERT INTO feed_run (run_id, source_id, file_name, content_hash, bytes, actor, as_of)
    VALUES (:run_id, :source_id, :file_name, :content_hash, :bytes, :actor, :as_of)
    ON CONFLICT (run_id) DO UPDATE
    SET file_name = excluded.file_name, actor = excluded.actor, as_of = excluded.as_of, received_at = now(),
        finished_at = NULL, status = 'received', code = '', message = '', rows = 0, refused = 0, staged = 0
    RETURNING *
""")
_PUT = text("INSERT INTO feed_chunk (run_id, n, content) VALUES (:run_id, :n, :content)")
_GET = "SELECT content FROM feed_chunk WHERE run_id = %s AND n = %s"
_DROP = text("DELETE FROM feed_chunk WHERE run_id = :run_id")
#: What was applied before is not compared with any more.
_DROP_EARLIER = text("""
    DELETE FROM feed_chunk WHERE run_id IN (
        SELECT run_id FROM feed_run WHERE source_id = :source_id AND status = 'applied' AND run_id <> :run_id)
""")
_CLAIM = text("""
    UPDATE feed_source SET applying = :run_id
    WHERE source_id = :source_id AND (applying IS NULL OR applying = :run_id) RETURNING source_id
""")
_APPLYING = text("SELECT applying FROM feed_source WHERE source_id = :source_id")
_REFUSE = text("""
    WITH free AS (
        UPDATE feed_source SET applying = NULL WHERE source_id = :source_id AND applying = :run_id
    )
    UPDATE feed_run SET status = 'refused', code = :code, message = :message, finished_at = now(), as_of = :as_of,
                        control_no = :control_no
    WHERE run_id = :run_id RETURNING *
""")
_APPLIED = text("""
    WITH run AS (
        UPDATE feed_run SET status = 'applied', finished_at = now() WHERE run_id = :run_id RETURNING *
    ), source AS (
        UPDATE feed_source s
        SET applying = NULL, last_run = r.run_id, as_of = greatest(s.as_of, r.as_of),
            control_no = CASE WHEN s.as_of > r.as_of THEN s.control_no ELSE r.control_no END
        FROM run r WHERE s.source_id = r.source_id
    )
    SELECT * FROM run
""")
_REFRESH = text("""
    UPDATE stock_source n SET as_of = greatest(n.as_of, r.as_of), received_at = r.received_at, state = :state
    FROM feed_run r
    WHERE r.run_id = :run_id AND n.source_id = r.source_id AND n.node_id = ANY(r.node_ids)
""")
#: Positions the file spoke of that are no longer below what is claimed of them.
_RESOLVE = """
    UPDATE exception_case c SET resolved_at = now(), resolution = 'no longer so in feed run ' || :run_id
    WHERE c.resolved_at IS NULL AND c.kind = 'stock.below_claims' AND c.detail ->> 'source_id' = :source_id
      AND c.detail ->> 'run_id' <> :run_id
      AND EXISTS (SELECT FROM {stage} s WHERE c.reference = s.node_id || '/' || s.sku)
"""
_RESOLVE_REFUSED = text("""
    UPDATE exception_case SET resolved_at = now(), resolution = 'a later file was applied in feed run ' || :run_id
    WHERE resolved_at IS NULL AND kind = 'feed.refused' AND reference = :source_id
""")
_RESOLVE_STALE = text("""
    UPDATE exception_case SET resolved_at = now(), resolution = 'fresh again with feed run ' || :run_id
    WHERE resolved_at IS NULL AND kind = 'feed.stale' AND :state = 'fresh'
      AND reference IN (SELECT :source_id || '/' || unnest(node_ids) FROM feed_run WHERE run_id = :run_id)
""")
#: Backordered items of which there is some now at a node of the source, free or kept for who waits.
_WAITING = text("""
    SELECT DISTINCT l.sku FROM order_line l JOIN stock_position p ON p.sku = l.sku
    WHERE l.backordered > 0 AND p.free + p.held > 0
      AND p.node_id IN (SELECT node_id FROM stock_source WHERE source_id = :source_id)
""")


def stage_table(run_id: str) -> str:
    """The table of a run's positions in key order. Run ids are hexadecimal digits of our own making."""
    assert run_id.isalnum(), "a name of a table is never somebody else's text"
    return f"feed_stage_{run_id}"


async def take_in(
    connection: AsyncConnection,
    source: FeedSource,
    file: BinaryIO,
    *,
    name: str,
    content_hash: str,
    size: int,
    as_of: datetime | None,
    actor: str,
) -> FeedRun:
    """Write a file down in the database, where every worker finds it, and open its run.

    The same content was taken in before: its run is the answer, marked ``again`` when it is over.

    Args:
        as_of: When the file was written, for figures that do not say of which moment they are.
    """
    run_id = run_id_of(source, content_hash, as_of)
    values = {"run_id": run_id, "source_id": source.source_id, "content_hash": content_hash}
    last_run = (await connection.execute(_LOCK, values)).scalar_one()
    repeats = last_run if not source.is_dated and source.kind == "snapshot" else run_id
    known = (await connection.execute(_SAME, values | {"last_run": repeats})).first()
    if known is not None:
        run = run_of(known)
        if run.over and not source.is_dated and as_of is not None:
            await connection.execute(_HEARD, values | {"as_of": as_of})
        return run.model_copy(update={"again": run.over})
    await connection.execute(_FORGET, values)
    opened = {"file_name": name[:500], "bytes": size, "actor": actor, "as_of": as_of}
    run = run_of((await connection.execute(_OPEN, values | opened)).one())
    if size > source.max_bytes:
        message = f"has {size} bytes, the source's files have at most {source.max_bytes}"
        return await refuse(connection, run, "too_large", message)
    await connection.execute(_DROP, values)
    for n, content in enumerate(_chunks(file)):
        await connection.execute(_PUT, {"run_id": run_id, "n": n, "content": content})
    return run


def _chunks(file: BinaryIO) -> Iterable[bytes]:
    return iter(lambda: file.read(CHUNK_BYTES), b"")


async def bring_back(connection: AsyncConnection, run_id: str, file: BinaryIO) -> None:
    """Write a run's file where it can be read."""
    n = 0
    # As text every byte would come as two.
    async with (await driver_of(connection)).cursor(binary=True) as cursor:
        while (row := await (await cursor.execute(_GET, (run_id, n))).fetchone()) is not None:
            file.write(row[0])
            n += 1
    file.seek(0)


async def lock_run(connection: AsyncConnection, run_id: str) -> FeedRun:
    """A run, held for this transaction.

    Raises:
        NotFound: there is no such run.
    """
    row = (await connection.execute(_LOCK_RUN, {"run_id": run_id})).first()
    if row is None:
        raise NotFound(f"there is no run {run_id}", run_id=run_id)
    return run_of(row)


async def claim_source(connection: AsyncConnection, run: FeedRun) -> None:
    """Make this the one run that changes the source's stock.

    Raises:
        Unavailable: another one is not over yet.
    """
    values = {"run_id": run.run_id, "source_id": run.source_id}
    if (await connection.execute(_CLAIM, values)).first() is None:
        other = (await connection.execute(_APPLYING, values)).scalar_one()
        raise Unavailable(f"run {other} of {run.source_id} is being applied; this one goes on when it is over")


async def refuse(connection: AsyncConnection, run: FeedRun, code: str, message: str) -> FeedRun:
    """Refuse a file as a whole and tell people; nothing of it was applied."""
    values = run.model_dump(include={"run_id", "source_id", "as_of", "control_no"})
    row = (await connection.execute(_REFUSE, values | {"code": code, "message": message})).one()
    await connection.execute(_DROP, values)
    detail = {"run_id": run.run_id, "file_name": run.file_name, "code": code, "message": message}
    await open_case(connection, "feed.refused", run.source_id, None, **detail)
    return run_of(row)


async def conclude(connection: AsyncConnection, run: FeedRun, source: FeedSource, now: datetime) -> FeedRun:
    """End a run that was applied: its source is as fresh as its figures, and cases it answers are resolved."""
    stage = stage_table(run.run_id)
    state = freshness(source, run.as_of, now)
    values = {"run_id": run.run_id, "source_id": run.source_id, "state": state}
    applied = run_of((await connection.execute(_APPLIED, values)).one())
    await connection.execute(_REFRESH, values)
    await connection.execute(text(_RESOLVE.format(stage=stage)), values)
    await connection.execute(_RESOLVE_STALE, values)
    await connection.execute(_RESOLVE_REFUSED, values)
    await connection.execute(text(f"DROP TABLE {stage}"))
    await connection.execute(_DROP_EARLIER, values)
    if not can_repeat(source):
        await connection.execute(_DROP, values)
    return applied


async def items_waited_for(connection: AsyncConnection, source_id: str) -> list[str]:
    """Items that orders wait for and of which the source's nodes have some to give."""
    return list((await connection.execute(_WAITING, {"source_id": source_id})).scalars())
