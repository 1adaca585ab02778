"""What has a process in Temporal while it is open, and is over by the facts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection


class Lives(NamedTuple):
    """The statements about one table of them."""

    open: TextClause
    not_open: TextClause


ORDERS = Lives(
    open=text("""
        SELECT order_id FROM orders
        WHERE closed_at IS NULL AND received_at < :before AND order_id > :after ORDER BY order_id LIMIT :limit
    """),
    not_open=text("""
        SELECT a.id, o.order_id IS NOT NULL AS known
        FROM unnest(CAST(:ids AS text[])) AS a(id) LEFT JOIN orders o ON o.order_id = a.id
        WHERE o.order_id IS NULL OR o.closed_at < :before
    """),
)
RETURNS = Lives(
    open=text("""
        SELECT return_id FROM return_order
        WHERE closed_at IS NULL AND requested_at < :before AND return_id > :after ORDER BY return_id LIMIT :limit
    """),
    not_open=text("""
        SELECT a.id, r.return_id IS NOT NULL AS known
        FROM unnest(CAST(:ids AS text[])) AS a(id) LEFT JOIN return_order r ON r.return_id = a.id
        WHERE r.return_id IS NULL OR r.closed_at < :before
    """),
)


async def find_open(
    connection: AsyncConnection, lives: Lives, *, before: datetime, after: str = "", limit: int = 5000
) -> Sequence[str]:
    """Those that began before a moment and are not over, a page at a time."""
    values = {"before": before, "after": after, "limit": limit}
    return (await connection.execute(lives.open, values)).scalars().all()


async def not_open(
    connection: AsyncConnection, lives: Lives, ids: Sequence[str], *, before: datetime
) -> dict[str, bool]:
    """Which of these were over before a moment, or are not known at all; whether each is known."""
    rows = await connection.execute(lives.not_open, {"ids": list(ids), "before": before})
    return {row.id: row.known for row in rows}
