"""What channels are told of their availability: only what changed, in numbered updates, each kept until confirmed.

An update is written before it is sent and confirmed afterwards, so whoever takes over sends the very same one again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.availability import Available, read_availability, read_changes, read_page
from shared.domain.base import Instant, Model

#: Items in one update: some 60 KB of JSON.
_ITEMS_AT_ONCE = 1_000
#: How long confirmed updates are kept to be looked at.
_KEPT = "1 day"

_FOLLOWERS = text("SELECT channel FROM channel WHERE partner_id IS NOT NULL ORDER BY channel")
_PARTNER = text("SELECT partner_id FROM channel WHERE channel = :channel")
_BEGIN = text("INSERT INTO channel_feed (channel) VALUES (:channel) ON CONFLICT DO NOTHING")
#: Locked, so that of two that follow one channel the later waits and then sees what the first has written.
_FEED = text("SELECT version, sequence, all_after FROM channel_feed WHERE channel = :channel FOR NO KEY UPDATE")
_PENDING = text("""
    SELECT sequence, items, as_of, changed_at FROM channel_push WHERE channel = :channel AND answered_at IS NULL
""")
_NEWS = text("""
    SELECT a.sku, a.available, coalesce(a.coming, '[]') AS coming
    FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS a(sku text, available bigint, coming jsonb)
    LEFT JOIN channel_published p ON p.channel = :channel AND p.sku = a.sku
    WHERE p.available IS DISTINCT FROM a.available OR p.coming <> coalesce(a.coming, '[]') ORDER BY a.sku
""")
_OLDEST = text("""
    SELECT coalesce(min(at), statement_timestamp()) FROM stock_move
    WHERE tx >= CAST(:after AS xid8) AND tx < CAST(:until AS xid8)
""")
_INTEND = text("""
    INSERT INTO channel_push (channel, sequence, items, as_of, changed_at)
    VALUES (:channel, :sequence, CAST(:items AS jsonb), :as_of, :changed_at)
""")
_MOVE_ON = text("""
    UPDATE channel_feed SET version = :version, sequence = :sequence, all_after = :all_after,
           looked_at = statement_timestamp()
    WHERE channel = :channel
""")
_CONFIRM = text("""
    WITH confirmed AS (
        UPDATE channel_push SET answered_at = now(), fault = ''
        WHERE channel = :channel AND sequence = :sequence AND answered_at IS NULL RETURNING items
    )
    INSERT INTO channel_published (channel, sku, available, coming, sequence)
    SELECT :channel, a.sku, a.available, coalesce(a.coming, '[]'), :sequence
    FROM confirmed, jsonb_to_recordset(items) AS a(sku text, available bigint, coming jsonb) ORDER BY a.sku
    ON CONFLICT (channel, sku) DO UPDATE
    SET available = excluded.available, coming = excluded.coming, sequence = excluded.sequence
""")
_FORGET = text(f"""
    DELETE FROM channel_push WHERE channel = :channel AND answered_at < now() - interval '{_KEPT}'
""")  # noqa: S608 - our own constant
_FAIL = text("""
    UPDATE channel_push SET fault = :fault WHERE channel = :channel AND sequence = :sequence AND answered_at IS NULL
""")
_PUBLICATIONS = text("""
    SELECT c.channel, c.partner_id, coalesce(f.version, 0) AS version, coalesce(f.sequence, 0) AS sequence,
           f.looked_at, last.answered_at AS told_at, extract(epoch FROM last.answered_at - last.changed_at) AS lag,
           coalesce(open.fault, '') AS fault, open.sequence IS NOT NULL AS waiting,
           (SELECT count(*) FROM channel_published p WHERE p.channel = c.channel) AS items,
           (SELECT coalesce(sum(available), 0) FROM channel_published p WHERE p.channel = c.channel) AS units
    FROM channel c LEFT JOIN channel_feed f USING (channel)
    LEFT JOIN LATERAL (
        SELECT answered_at, changed_at FROM channel_push p
        WHERE p.channel = c.channel AND answered_at IS NOT NULL ORDER BY sequence DESC LIMIT 1) last ON true
    LEFT JOIN channel_push open ON open.channel = c.channel AND open.answered_at IS NULL
    WHERE c.partner_id IS NOT NULL ORDER BY c.channel
""")
_ITEMS = TypeAdapter(tuple[Available, ...])


class Push(Model):
    """A numbered update that a channel has not confirmed yet.

    Attributes:
        changed_at: When the oldest change in it was made.
    """

    sequence: int
    items: tuple[Available, ...]
    as_of: Instant
    changed_at: Instant


class Publication(Model):
    """Where a channel stands with what it is told.

    Attributes:
        sequence: The number of its latest update.
        lag: Seconds from the oldest change in the latest confirmed update to its confirmation.
        waiting: Whether an update is not confirmed; ``fault`` says why when that was tried.
    """

    channel: str
    partner_id: str
    version: int
    sequence: int
    looked_at: Instant | None
    told_at: Instant | None
    lag: float | None
    fault: str
    waiting: bool
    items: int
    units: int


async def followers(connection: AsyncConnection) -> list[str]:
    """The channels that are told."""
    return list((await connection.execute(_FOLLOWERS)).scalars())


async def partner_of(connection: AsyncConnection, channel: str) -> str | None:
    """Who is told for a channel; ``None`` when nobody is, or there is no such channel."""
    return (await connection.execute(_PARTNER, {"channel": channel})).scalar_one_or_none()


async def next_push(connection: AsyncConnection, channel: str) -> tuple[Push | None, bool]:
    """The update a channel is to be told now, if any, and whether there may be more at once.

    One that is not confirmed comes again as it was. A channel that never was told, or that missed what holds for
    every item, is told everything, page by page.
    """
    named = {"channel": channel}
    await connection.execute(_BEGIN, named)
    feed = (await connection.execute(_FEED, named)).one()
    pending = (await connection.execute(_PENDING, named)).one_or_none()
    if pending is not None:
        return Push.model_validate(dict(pending._mapping)), True
    found = await (_all if feed.all_after is not None else _changed)(connection, channel, feed)
    news = (await connection.execute(_NEWS, named | {"items": _json(found.items)})).all()
    push = None
    if news:
        items = tuple(Available.model_validate(dict(row._mapping)) for row in news)
        push = Push(sequence=feed.sequence + 1, items=items, as_of=found.as_of, changed_at=found.changed_at)
        values = {"sequence": push.sequence, "items": _json(items), "as_of": push.as_of, "changed_at": push.changed_at}
        await connection.execute(_INTEND, named | values)
    position = {"version": found.version, "sequence": feed.sequence + bool(news), "all_after": found.all_after}
    await connection.execute(_MOVE_ON, named | position)
    return push, found.more


async def confirm(connection: AsyncConnection, channel: str, push: Push) -> None:
    """The channel has the update; confirmed again, nothing changes."""
    await connection.execute(_CONFIRM, {"channel": channel, "sequence": push.sequence})
    await connection.execute(_FORGET, {"channel": channel})


async def fail(connection: AsyncConnection, channel: str, push: Push, fault: str) -> None:
    """Note why the channel could not be told."""
    await connection.execute(_FAIL, {"channel": channel, "sequence": push.sequence, "fault": fault[:300]})


async def read_publications(connection: AsyncConnection) -> list[Publication]:
    """Where every channel that is told stands."""
    return [Publication.model_validate(dict(row._mapping)) for row in await connection.execute(_PUBLICATIONS)]


class _Found(Model):
    """What there is to tell, and where to go on."""

    items: tuple[Available, ...]
    as_of: Instant
    changed_at: Instant
    version: int
    all_after: str | None
    more: bool


async def _changed(connection: AsyncConnection, channel: str, feed: Any) -> _Found:
    changes = await read_changes(connection, channel, feed.version, _ITEMS_AT_ONCE)
    span = {"after": str(feed.version), "until": str(max(changes.version, feed.version))}
    oldest: datetime = (await connection.execute(_OLDEST, span)).scalar_one() if changes.items else changes.as_of
    return _Found(
        items=changes.items,
        as_of=changes.as_of,
        changed_at=oldest,
        version=changes.version,
        all_after="" if changes.reload else None,
        more=changes.more or changes.reload,
    )


async def _all(connection: AsyncConnection, channel: str, feed: Any) -> _Found:
    skus = await read_page(connection, feed.all_after or "", _ITEMS_AT_ONCE)
    now = await read_availability(connection, channel, skus)
    last = len(skus) < _ITEMS_AT_ONCE
    return _Found(
        items=now.items,
        as_of=now.as_of,
        changed_at=now.as_of,
        # What changes while the pages are read is told again afterwards: go on from where the first was read.
        version=feed.version if feed.all_after else now.version,
        all_after=None if last else skus[-1],
        more=True,
    )


def _json(items: Sequence[Available]) -> str:
    told = (item.model_dump(mode="json", include={"sku", "available", "coming"}) for item in items)
    return json.dumps([row if row["coming"] else {"sku": row["sku"], "available": row["available"]} for row in told])
