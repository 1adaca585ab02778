"""The network's dates of delivery, read once for each state the network is in: who serves a queue holds its locks."""

from __future__ import annotations

from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database.snapshots import read_snapshot
from shared.domain.sourcing.timetable import Timetable

#: The row's own transaction too: one that rolled back may have shown the same number over other facts.
_STATE = text("SELECT version, xmin::text AS written_by FROM network_version")

_read: WeakKeyDictionary[AsyncEngine, tuple[tuple[int, str], Timetable]] = WeakKeyDictionary()


async def read_timetable(connection: AsyncConnection) -> Timetable:
    """The network's dates of delivery, as of now."""
    row = (await connection.execute(_STATE)).one()
    state = (row.version, row.written_by)
    kept = _read.get(connection.engine)
    if kept is None or kept[0] != state:
        kept = _read[connection.engine] = state, Timetable(await read_snapshot(connection, (), datetime.now(UTC)))
    return kept[1]
