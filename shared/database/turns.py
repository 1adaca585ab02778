"""Whose turn it is: the orders that wait for an item, locked from the first in their order of service.

However many wait, as few are locked, read and planned as what has risen may serve.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

#: Units of an item whose first takers are waited for. Who comes after them gets something only if nobody else has the
#: order locked: an order is locked for as long as it is planned or changed.
_WAITED_FOR_FIRST = 100

#: Units that an order needs beside those that have arrived for it; one that needs none has had its turn.
_FIRST = """
    SELECT DISTINCT w.order_id FROM (
        SELECT l.order_id, l.sku, n.units AS needed, sum(n.units) OVER turns - n.units AS before
        FROM (
            SELECT order_id, sku, sum(backordered) AS units FROM order_line
            WHERE sku = ANY(:skus) AND backordered > 0 AND order_id <> ALL(:seen) GROUP BY order_id, sku
        ) l JOIN orders o USING (order_id)
        LEFT JOIN LATERAL (
            SELECT sum(c.open) AS units FROM cart_hold_line c
            WHERE c.cart_hold_id = o.cart_hold_id AND c.sku = l.sku AND c.open > 0
              AND c.expires_at > statement_timestamp()
        ) h ON o.cart_hold_id IS NOT NULL
        CROSS JOIN LATERAL (SELECT greatest(0, l.units - coalesce(h.units, 0)) AS units) n
        WHERE o.closed_at IS NULL
        WINDOW turns AS (
            PARTITION BY l.sku
            ORDER BY o.priority, coalesce(o.promised_at, 'infinity'), o.received_at, o.order_id COLLATE "C")
    ) w JOIN unnest(CAST(:skus AS text[]), CAST(:units AS bigint[])) AS r(sku, units) USING (sku)
    WHERE w.needed > 0 AND w.before < r.units
"""
_LOCK_FIRST = """
    WITH first AS MATERIALIZED ({first})
    SELECT FROM orders o
    WHERE o.order_id = ANY(:order_ids) OR o.closed_at IS NULL AND o.order_id IN (SELECT order_id FROM first)
    ORDER BY o.order_id FOR NO KEY UPDATE
"""
_LOCK_NEXT = """
    WITH next AS MATERIALIZED ({first} UNION SELECT unnest(CAST(:order_ids AS text[])))
    SELECT n.order_id, o.order_id IS NOT NULL AS locked FROM next n
    LEFT JOIN LATERAL (
        SELECT order_id FROM orders WHERE order_id = n.order_id AND closed_at IS NULL FOR NO KEY UPDATE SKIP LOCKED
    ) o ON true
"""
_lock_first, _lock_next = (text(statement.format(first=_FIRST)) for statement in (_LOCK_FIRST, _LOCK_NEXT))


class Next(NamedTuple):
    """The next in turn: those that are locked now, and those that others have locked."""

    locked: list[str]
    busy: list[str]


async def lock_first(connection: AsyncConnection, skus: Sequence[str], order_ids: Sequence[str]) -> None:
    """Lock the first who wait for each of these items, and these orders, before any stock is locked."""
    units = [_WAITED_FOR_FIRST] * len(skus)
    await connection.execute(
        _lock_first, {"skus": list(skus), "units": units, "seen": [], "order_ids": list(order_ids)}
    )


async def lock_next(
    connection: AsyncConnection, units: Mapping[str, int], seen: Collection[str], order_ids: Collection[str]
) -> Next:
    """Lock, without waiting for anybody, those whose turn it is to share so many units of each item.

    Args:
        seen: Orders that had their turn.
        order_ids: Orders whose turn it is anyway.
    """
    values = {"skus": list(units), "units": list(units.values()), "seen": list(seen), "order_ids": list(order_ids)}
    rows = (await connection.execute(_lock_next, values)).all()
    return Next([row.order_id for row in rows if row.locked], [row.order_id for row in rows if not row.locked])
