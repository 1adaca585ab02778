"""Tables put into a test's database as staff put them there."""

from __future__ import annotations

from shared.database.engine import Database
from shared.loading import load


async def put(database: Database, **tables: str) -> None:
    """Load tables, given as CSV by kind."""
    await load(database, {kind: content.encode() for kind, content in tables.items()})
