"""What customers fetch at a store: ready on the counter, handed over."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_READY = text("""
    UPDATE fulfillment_order SET ready_at = coalesce(ready_at, now()) WHERE fulfillment_order_id = :reference
""")
_HANDED_OVER = text("""
    WITH done AS (
        UPDATE fulfillment_order SET delivered_at = now(), ended_at = now() WHERE fulfillment_order_id = :reference
    ), parcels AS (
        UPDATE package SET delivered_at = now(), tracking_status = 'delivered' WHERE fulfillment_order_id = :reference
    )
    UPDATE order_line l SET shipped = l.shipped - r.shipped, delivered = l.delivered + r.shipped
    FROM reservation r
    WHERE r.owner = :reference AND r.shipped > 0 AND l.order_id = r.order_id AND l.line_no = r.line_no
""")


async def ready(connection: AsyncConnection, reference: str) -> None:
    """The customer can fetch a fulfillment order from now on; said again, nothing changes."""
    await connection.execute(_READY, {"reference": reference})


async def hand_over(connection: AsyncConnection, reference: str) -> None:
    """The customer has what has just left the store: shipped and delivered at once."""
    await connection.execute(_HANDED_OVER, {"reference": reference})
