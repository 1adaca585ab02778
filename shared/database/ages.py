"""How long stock has lain: since a node last shipped an item or, when it never did, since the first of it came."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.sourcing.models import IdleStock

_IDLE = text("""
    SELECT node_id, sku, days FROM (
        SELECT p.node_id, p.sku, floor(extract(epoch FROM :as_of - coalesce(s.at, c.at)) / 86400)::bigint AS days
        FROM stock_position p
        LEFT JOIN LATERAL (
            SELECT m.at FROM stock_move m WHERE m.node_id = p.node_id AND m.sku = p.sku AND m.cause = 'ship'
                AND m.at <= :as_of
            ORDER BY m.move_id DESC LIMIT 1
        ) s ON true
        LEFT JOIN LATERAL (
            SELECT m.at FROM stock_move m WHERE m.node_id = p.node_id AND m.sku = p.sku AND m.on_hand > 0
                AND m.at <= :as_of
            ORDER BY m.move_id LIMIT 1
        ) c ON s.at IS NULL
        WHERE p.sku = ANY(CAST(:skus AS text[]))
    ) lain WHERE days > 0 ORDER BY node_id, sku
""")


async def read_idle(connection: AsyncConnection, skus: Collection[str], as_of: datetime) -> tuple[IdleStock, ...]:
    """Positions of these items that have lain for a day or more by then, also where nothing is left to lie."""
    rows = await connection.execute(_IDLE, {"skus": sorted(skus), "as_of": as_of})
    return tuple(IdleStock.made(node_id=row.node_id, sku=row.sku, days=row.days) for row in rows)
