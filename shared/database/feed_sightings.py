"""How files in a partner's directory looked when they were last seen: one that has not changed since is whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.gateways.feeds.sftp import Listed

_SEEN = text("""
    SELECT name, bytes, modified, seen_at <= now() - CAST(:since AS interval) AS settled
    FROM feed_sighting WHERE source_id = :source_id
""")
#: The first sighting of a state is kept: what is seen again unchanged has been so since.
_NOTE = text("""
    WITH listed AS (
        SELECT * FROM jsonb_to_recordset(CAST(:listed AS jsonb)) AS l(name text, size bigint, modified timestamptz)
    ), gone AS (
        DELETE FROM feed_sighting s WHERE source_id = :source_id
        AND NOT EXISTS (SELECT FROM listed l WHERE l.name = s.name)
    )
    INSERT INTO feed_sighting AS s (source_id, name, bytes, modified)
    SELECT :source_id, name, size, modified FROM listed
    ON CONFLICT (source_id, name) DO UPDATE SET bytes = excluded.bytes, modified = excluded.modified, seen_at = now()
    WHERE (s.bytes, s.modified) <> (excluded.bytes, excluded.modified)
""")


async def settled(
    connection: AsyncConnection, source_id: str, listing: Sequence[Listed], since: timedelta
) -> list[Listed]:
    """The files that looked the same some time ago; what is listed now is remembered for the next time."""
    values = {"source_id": source_id, "since": since}
    before = {row.name: row for row in await connection.execute(_SEEN, values)}
    listed = json.dumps([file.model_dump(mode="json") for file in listing])
    await connection.execute(_NOTE, {"source_id": source_id, "listed": listed})
    return [
        file
        for file in listing
        if (seen := before.get(file.name)) is not None
        and seen.settled
        and (seen.bytes, seen.modified) == (file.size, file.modified)
    ]
