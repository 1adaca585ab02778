"""Who is to look again, written down in the transaction of what there is to look at and forgotten once it was told.

A process is told after the commit. What a crash keeps from being told is found here, and told by reconciliation. Rows
are only added and deleted, so that nobody waits for another's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.turns import IN_TURN
from shared.domain.base import Model
from shared.messages import Wake

_ASK = text("""
    INSERT INTO wake (order_id, kind) SELECT order_id, :kind FROM unnest(CAST(:order_ids AS text[])) AS o(order_id)
""")
_ASK_WAITING = text("""
    INSERT INTO wake (sku, kind)
    SELECT DISTINCT sku, 'stock_arrived' FROM order_line WHERE sku = ANY(:skus) AND backordered > 0
""")
#: Who waits although a node has what they want, or keeps it for them, waits for a day of that node. As many are asked,
#: in their order of service, as could share the room: the others would only find it taken.
_ASK_FOR_ROOM = text(f"""
    WITH waiting AS (
        SELECT o.order_id, sum(l.backordered) AS units
        FROM order_line l JOIN orders o USING (order_id)
        WHERE l.backordered > 0 AND o.closed_at IS NULL AND (
            EXISTS (SELECT FROM stock_position p
                    WHERE p.sku = l.sku AND p.node_id = ANY(:node_ids) AND p.free > 0)
            OR EXISTS (SELECT FROM cart_hold_line h
                       WHERE h.cart_hold_id = o.cart_hold_id AND h.sku = l.sku AND h.node_id = ANY(:node_ids)
                         AND h.open > 0))
        GROUP BY o.order_id
    )
    INSERT INTO wake (order_id, kind)
    SELECT order_id, 'stock_arrived' FROM (
        SELECT order_id, row_number() OVER turns AS turn, sum(units) OVER turns - units AS before
        FROM waiting JOIN orders o USING (order_id)
        WINDOW turns AS (ORDER BY {IN_TURN})
    ) w
    WHERE before < coalesce(CAST(:units AS bigint), before + 1) ORDER BY turn
""")  # noqa: S608 - our own fragment
_ASKED_HERE = text("""
    SELECT order_id FROM wake
    WHERE tx = pg_current_xact_id() AND kind = 'stock_arrived' AND order_id IS NOT NULL ORDER BY wake_id
""")
#: Who is told that there is more looks for stock; only who is told of a wave reads what it has planned again.
_OWED_TO = text("""
    SELECT wake_id FROM wake WHERE order_id = ANY(:order_ids) AND (kind = 'replanned') = (:kind = 'replanned')
""")
_OWED_FOR = text("SELECT wake_id FROM wake WHERE sku = ANY(:skus)")
#: What somebody else forgets at this moment is left to them: two who wait for each other's would wait for ever.
_FORGET = text("""
    DELETE FROM wake WHERE wake_id IN (
        SELECT wake_id FROM wake WHERE wake_id = ANY(:wake_ids) ORDER BY wake_id FOR UPDATE SKIP LOCKED)
""")
#: Orders that have not planned since: all that are told of stock wait for something. Two looks, for each has its index.
_WAITS = """(EXISTS (SELECT FROM order_line l WHERE l.order_id = w.order_id AND l.backordered > 0)
           OR EXISTS (SELECT FROM order_line l WHERE l.sku = w.sku AND l.backordered > 0))"""
_UNTOLD = text(f"""
    SELECT wake_id, order_id, sku, kind FROM wake w
    WHERE wake_id > :after AND at < now() - make_interval(secs => :older_than) AND (kind = 'replanned' OR {_WAITS})
    ORDER BY wake_id LIMIT :limit
""")  # noqa: S608 - our own fragment
_FORGET_MOOT = text(f"""
    DELETE FROM wake w
    WHERE at < now() - make_interval(secs => :older_than) AND kind <> 'replanned' AND NOT {_WAITS}
""")  # noqa: S608 - our own fragment


class AskedWake(Model):
    """A wake-up that is owed: to one order, or to all that wait for an item."""

    wake_id: int
    order_id: str | None
    sku: str | None
    wake: Wake


async def ask(connection: AsyncConnection, order_ids: Collection[str], *, wake: Wake) -> None:
    """Owe orders a wake-up, in the transaction of what they are to look at."""
    if order_ids:
        await connection.execute(_ASK, {"order_ids": sorted(order_ids), "kind": wake.kind})


async def ask_waiting(connection: AsyncConnection, skus: Collection[str]) -> None:
    """Owe every order that waits for one of these items a wake-up, for there is more of it."""
    if skus:
        await connection.execute(_ASK_WAITING, {"skus": sorted(skus)})


async def ask_for_room(connection: AsyncConnection, node_ids: Collection[str], *, units: int | None) -> None:
    """Owe orders a wake-up that wait for a day of these nodes, for there is more room on some.

    Args:
        units: How much more; ``None`` asks all of them.
    """
    await connection.execute(_ASK_FOR_ROOM, {"node_ids": sorted(node_ids), "units": units})


async def asked_here(connection: AsyncConnection) -> list[str]:
    """The orders that this transaction owes a look at stock, the first to be served first."""
    return list((await connection.execute(_ASKED_HERE)).scalars())


async def owed_to(connection: AsyncConnection, order_ids: Collection[str], *, wake: Wake) -> Sequence[int]:
    """The wake-ups that are owed to these orders and that this one stands for."""
    values = {"order_ids": list(order_ids), "kind": wake.kind}
    return (await connection.execute(_OWED_TO, values)).scalars().all()


async def owed_for(connection: AsyncConnection, skus: Collection[str]) -> Sequence[int]:
    """The wake-ups that are owed to all that wait for these items."""
    return (await connection.execute(_OWED_FOR, {"skus": list(skus)})).scalars().all()


async def forget(connection: AsyncConnection, wake_ids: Collection[int]) -> None:
    """They were told. One statement: it needs no transaction around it."""
    await connection.execute(_FORGET, {"wake_ids": list(wake_ids)})


async def untold(
    connection: AsyncConnection, *, older_than: float, after: int = 0, limit: int = 500
) -> list[AskedWake]:
    """Wake-ups that are owed for longer than ``older_than`` seconds to who still waits, a page at a time."""
    values = {"older_than": older_than, "after": after, "limit": limit}
    return [
        AskedWake(wake_id=row.wake_id, order_id=row.order_id, sku=row.sku, wake=Wake(kind=row.kind))
        for row in await connection.execute(_UNTOLD, values)
    ]


async def forget_moot(connection: AsyncConnection, *, older_than: float) -> None:
    """Forget what is owed to orders that have looked by themselves, or are over."""
    await connection.execute(_FORGET_MOOT, {"older_than": older_than})
