"""The cartons that nodes pack in."""

from __future__ import annotations

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.cartons import Carton

_CARTONS = TypeAdapter(tuple[Carton, ...])
_READ = text("""
    SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY node_id, name), '[]') FROM carton c WHERE in_use
""")


async def read_cartons(connection: AsyncConnection) -> tuple[Carton, ...]:
    """Those in use, of all nodes."""
    return _CARTONS.validate_python((await connection.execute(_READ)).scalar_one())
