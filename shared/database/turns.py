"""Whose turn it is: the orders that wait for an item, locked from the first in their order of service.

However many wait, as few are locked, read and planned as what has risen may serve.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.engine import LostRace

#: The order of service of ``orders o``; ``shared.domain.supply.Turn`` is the same.
IN_TURN = """o.batch, o.priority, coalesce(o.promised_at, 'infinity'), o.received_at, o.order_id COLLATE "C\""""
#: Units of an item whose first takers are waited for. Who comes after them gets something only if nobody else has the
#: order locked: an order is locked for as long as it is planned or changed.
_WAITED_FOR_FIRST = 100

#: Units of an item of ``order_line l`` that are kept for ``orders o``, looked for only where something is.
HELD = """CASE WHEN o.cart_hold_id IS NOT NULL THEN (
                SELECT sum(c.open) FROM cart_hold_line c
                WHERE c.cart_hold_id = o.cart_hold_id AND c.sku = l.sku AND c.open > 0
                  AND c.expires_at > statement_timestamp()) END"""
_WAITING = """
    SELECT order_id, sku, sum(backordered) AS units, sum(backordered) AS backordered FROM order_line
    WHERE sku = ANY(:skus) AND backordered > 0 AND order_id <> ALL(:seen) GROUP BY order_id, sku
"""
_BOUND = """
    SELECT b.order_id, b.sku, sum(b.quantity) AS units, sum(l.backordered) AS backordered
    FROM supply_binding b JOIN order_line l USING (order_id, line_no)
    WHERE b.inbound_id = :inbound_id AND b.sku = ANY(:skus) AND b.order_id <> ALL(:seen) GROUP BY b.order_id, b.sku
"""
#: Units that an order needs beside those that have arrived for it; one that needs none has had its turn.
_FIRST = f"""
    SELECT DISTINCT w.order_id FROM (
        SELECT l.order_id, l.sku, n.units AS needed, sum(n.units) OVER turns - n.units AS before
        FROM ({{wanting}}) l JOIN orders o USING (order_id)
        CROSS JOIN LATERAL (
            SELECT greatest(0, least(l.units, l.backordered - coalesce({HELD}, 0))) AS units
        ) n
        WHERE o.closed_at IS NULL
        WINDOW turns AS (PARTITION BY l.sku ORDER BY {IN_TURN})
    ) w JOIN unnest(CAST(:skus AS text[]), CAST(:units AS bigint[])) AS r(sku, units) USING (sku)
    WHERE w.needed > 0 AND w.before < r.units
"""  # noqa: S608 - our own fragments
_FIRST_WAITING, _FIRST_BOUND = _FIRST.format(wanting=_WAITING), _FIRST.format(wanting=_BOUND)
_LOCK = text("SELECT FROM orders WHERE order_id = ANY(:order_ids) ORDER BY order_id FOR NO KEY UPDATE")
_LOCK_FIRST = """
    WITH first AS MATERIALIZED ({first})
    SELECT FROM orders o
    WHERE o.order_id = ANY(:order_ids) OR o.closed_at IS NULL AND o.order_id IN (SELECT order_id FROM first)
    ORDER BY o.order_id FOR NO KEY UPDATE
"""
_LOCK_NEXT = """
    WITH next AS MATERIALIZED ({first})
    SELECT n.order_id, o.order_id IS NOT NULL AS locked FROM next n
    LEFT JOIN LATERAL (
        SELECT order_id FROM orders WHERE order_id = n.order_id AND closed_at IS NULL FOR NO KEY UPDATE SKIP LOCKED
    ) o ON true
"""
_lock_first = text(_LOCK_FIRST.format(first=_FIRST_WAITING))
_lock_first_and_bound = text(_LOCK_FIRST.format(first=f"{_FIRST_WAITING} UNION {_FIRST_BOUND}"))
_lock_next, _lock_next_bound = (text(_LOCK_NEXT.format(first=first)) for first in (_FIRST_WAITING, _FIRST_BOUND))
_LOCK_FREE = text("""
    SELECT order_id FROM orders WHERE order_id = ANY(:order_ids) FOR NO KEY UPDATE SKIP LOCKED
""")


class Overtaken(LostRace):
    """Others have locked orders that this transaction has to change, and it may wait for nobody any more.

    Attributes:
        order_ids: All it has to change: begun again behind those alone that were locked, it would find others locked.
    """

    def __init__(self, order_ids: Collection[str]) -> None:
        super().__init__(f"others are changing some of {', '.join(sorted(order_ids)[:10])}")
        self.order_ids = frozenset(order_ids)


class Next(NamedTuple):
    """The next in turn: those that are locked now, and those that others have locked."""

    locked: list[str]
    busy: list[str]


async def lock(connection: AsyncConnection, order_ids: Collection[str]) -> None:
    """Lock these orders, before any stock is locked."""
    if order_ids:
        await connection.execute(_LOCK, {"order_ids": list(order_ids)})


async def lock_free(connection: AsyncConnection, order_ids: Collection[str]) -> None:
    """Lock these orders without waiting for anybody.

    Raises:
        Overtaken: others have locked some.
    """
    locked = (await connection.execute(_LOCK_FREE, {"order_ids": list(order_ids)})).scalars()
    if set(order_ids).difference(locked):
        raise Overtaken(order_ids)


async def lock_first(
    connection: AsyncConnection, skus: Sequence[str], order_ids: Collection[str], *, inbound_id: str = ""
) -> None:
    """Lock the first who wait for each of these items, and these orders, before any stock is locked.

    Args:
        inbound_id: Of the units that are coming with it, the first who are bound to them are locked, too.
    """
    values = {
        "skus": list(skus),
        "units": [_WAITED_FOR_FIRST] * len(skus),
        "seen": [],
        "order_ids": list(order_ids),
    }
    if inbound_id:
        await connection.execute(_lock_first_and_bound, {**values, "inbound_id": inbound_id})
    else:
        await connection.execute(_lock_first, values)


async def lock_next(connection: AsyncConnection, units: Mapping[str, int], seen: Collection[str]) -> Next:
    """Lock, without waiting for anybody, those whose turn it is to share so many units of each item.

    Args:
        seen: Orders that had their turn.
    """
    values = {"skus": list(units), "units": list(units.values()), "seen": list(seen)}
    return _next((await connection.execute(_lock_next, values)).all())


async def lock_next_bound(
    connection: AsyncConnection, inbound_id: str, units: Mapping[str, int], seen: Collection[str]
) -> Next:
    """As ``lock_next``, of those who are bound to units of this inbound."""
    values = {"skus": list(units), "units": list(units.values()), "seen": list(seen), "inbound_id": inbound_id}
    return _next((await connection.execute(_lock_next_bound, values)).all())


def _next(rows: Sequence[Row[Any]]) -> Next:
    return Next([row.order_id for row in rows if row.locked], [row.order_id for row in rows if not row.locked])
