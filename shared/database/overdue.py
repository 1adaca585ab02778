"""What carts hold although their time is up: given back before somebody looks for it, to who waits first."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import text

from shared.database import carts
from shared.database.engine import Database, around_races
from shared.database.rises import line_up

_OVERDUE = text("""
    SELECT DISTINCT h.sku FROM cart_hold_line h
    WHERE h.open > 0 AND h.expires_at <= statement_timestamp()
      AND (h.sku = ANY(:skus)
           OR h.sku IN (SELECT component_sku FROM bundle_component WHERE bundle_sku = ANY(:skus)))
""")


async def pass_on(database: Database, skus: Collection[str]) -> set[str] | None:
    """Give overdue units of items, and of what bundles are made of, back.

    Returns:
        The waiting orders that got some; ``None`` when nothing was overdue, which one look at an index tells.
    """
    if not skus:
        return None
    async with database.reading() as connection:
        overdue = list((await connection.execute(_OVERDUE, {"skus": list(skus)})).scalars())
    if not overdue:
        return None
    served: set[str] = set()
    async for attempt in around_races():
        with attempt:
            async with database.transaction() as connection:
                queue = await line_up(connection, overdue)
                await carts.give_back_of(connection, overdue)
                served = await queue.serve(connection)
    return served
