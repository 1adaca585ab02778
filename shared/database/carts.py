"""Units held for carts: taken from what is free, kept for a while, given back or made an order's reservation.

A held unit has one fate. Rows of ``cart_hold_line`` change only in a statement that has locked their position first,
so a hold that is ordered, extended and overdue at the same time comes to one of them. Where an order takes its cart's
units is ``shared.database.reservations``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.engine import Database, around_races
from shared.database.rises import serve_at_once
from shared.domain.carts import CartHold, CartUnits, WantedUnits
from shared.domain.orders import Method, ServiceLevel
from shared.domain.pools import Pooled, place
from shared.errors import Conflict, NotFound

Key = tuple[str, str]
#: Method, the node where it ends at a store, and service.
Way = tuple[Method, str | None, ServiceLevel]
SHIPPED: Way = (Method.SHIP, None, ServiceLevel.STANDARD)

_WANTED, _UNITS = TypeAdapter(tuple[WantedUnits, ...]), TypeAdapter(tuple[CartUnits, ...])

#: Takes every claim or, partially, what fits of each, at most one claim a position. ``overdue`` says that too little
#: is free and other carts' time at these positions is up; then, if the caller wants to know it, nothing was taken.
#: Positions are set from their locked rows: an update checks its constraints on the row of its snapshot first.
_HOLD = text("""
    WITH claim AS (
        SELECT * FROM jsonb_to_recordset(CAST(:claims AS jsonb)) AS c(
            node_id text, sku text, quantity bigint)
    ), locked AS MATERIALIZED (
        SELECT p.node_id, p.sku, p.on_hand, p.reserved, p.held, c.quantity,
               least(c.quantity, p.free) AS taken
        FROM stock_position p JOIN claim c ON c.node_id = p.node_id AND c.sku = p.sku
        ORDER BY p.node_id, p.sku
        FOR NO KEY UPDATE OF p
    ), fit AS (
        SELECT coalesce(sum(taken), 0) AS taken, (SELECT sum(quantity) FROM claim) AS wanted FROM locked
    ), short AS (
        SELECT CAST(:look_for_overdue AS boolean) AND taken < wanted AND EXISTS (
            SELECT FROM cart_hold_line h JOIN claim c ON c.sku = h.sku AND c.node_id = h.node_id
            WHERE h.open > 0 AND h.expires_at <= statement_timestamp()) AS overdue
        FROM fit
    ), opened AS (
        INSERT INTO cart_hold (cart_hold_id, channel, content_hash, lines, method, pickup_node_id, service)
        SELECT :cart_hold_id, :channel, :content_hash, CAST(:lines AS jsonb), :method, :pickup_node_id, :service
        FROM fit, short
        WHERE NOT overdue AND CASE WHEN :partial THEN taken > 0 ELSE taken = wanted END
        ON CONFLICT DO NOTHING
        RETURNING cart_hold_id
    ), moved AS (
        UPDATE stock_position p SET on_hand = l.on_hand, reserved = l.reserved, held = l.held + l.taken
        FROM locked l CROSS JOIN opened
        WHERE l.taken > 0 AND p.node_id = l.node_id AND p.sku = l.sku
    ), kept AS (
        INSERT INTO cart_hold_line (cart_hold_id, node_id, sku, quantity, open, expires_at)
        SELECT cart_hold_id, node_id, sku, taken, taken, :expires_at FROM locked CROSS JOIN opened WHERE taken > 0
    ), noted AS (
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, held, reference, actor)
        SELECT node_id, sku, 'hold', 0, 0, taken, 'cart/' || cart_hold_id, :channel
        FROM locked CROSS JOIN opened WHERE taken > 0
    )
    SELECT s.overdue, EXISTS (SELECT FROM opened) AS opened,
           (SELECT coalesce(jsonb_agg(jsonb_build_object(
                'node_id', node_id, 'sku', sku, 'quantity', taken, 'open', taken) ORDER BY node_id, sku), '[]')
            FROM locked WHERE taken > 0) AS units
    FROM short s
""")

_GIVE_BACK = """
    WITH due AS (
        {keys}
    ), locked AS MATERIALIZED (
        SELECT p.node_id, p.sku, p.held FROM stock_position p JOIN due d ON d.node_id = p.node_id AND d.sku = p.sku
        ORDER BY p.node_id, p.sku
        FOR NO KEY UPDATE OF p
    ), over AS MATERIALIZED (
        SELECT h.cart_hold_id, h.node_id, h.sku, h.open
        FROM locked l JOIN cart_hold_line h ON h.node_id = l.node_id AND h.sku = l.sku
        WHERE h.open > 0 AND {which}
        FOR NO KEY UPDATE OF h
    ), ended AS (
        UPDATE cart_hold_line h SET open = 0, given_back = h.given_back + o.open
        FROM over o WHERE h.cart_hold_id = o.cart_hold_id AND h.node_id = o.node_id AND h.sku = o.sku
    ), noted AS (
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, held, reference, actor)
        SELECT node_id, sku, 'expire', 0, 0, -open, 'cart/' || cart_hold_id, :actor FROM over
    )
    UPDATE stock_position p SET held = l.held - t.units
    FROM (SELECT node_id, sku, sum(open) AS units FROM over GROUP BY node_id, sku) t JOIN locked l USING (node_id, sku)
    WHERE p.node_id = t.node_id AND p.sku = t.sku
    RETURNING p.node_id, p.sku, p.free, t.units
"""
_DUE = "SELECT DISTINCT h.node_id, h.sku FROM cart_hold_line h WHERE h.open > 0 AND {which}"
_OVERDUE = "h.expires_at <= statement_timestamp()"


def _give_back(which: str, keys: str = "") -> TextClause:
    return text(_GIVE_BACK.format(which=which, keys=keys or _DUE.format(which=which)))


_GIVE_BACK_CART = _give_back("h.cart_hold_id = :cart_hold_id")
_GIVE_BACK_OF = _give_back(f"{_OVERDUE} AND h.sku = ANY(:skus)")
#: Locks all of the positions, due or not: what the caller locks next of them is in order.
_GIVE_BACK_AT = _give_back(
    f"{_OVERDUE} AND h.cart_hold_id <> ALL(:but)",
    keys="SELECT node_id, sku FROM unnest(CAST(:node_ids AS text[]), CAST(:skus AS text[])) AS k(node_id, sku)",
)
_FREE = text("SELECT node_id, free FROM stock_position WHERE sku = :sku")
_FREE_AT = text("""
    SELECT p.node_id, p.sku, p.free FROM stock_position p
    JOIN unnest(CAST(:node_ids AS text[]), CAST(:skus AS text[])) AS k(node_id, sku) USING (node_id, sku)
""")
_OVERDUE_ITEMS = text("""
    SELECT DISTINCT sku FROM (
        SELECT sku FROM cart_hold_line WHERE open > 0 AND expires_at <= statement_timestamp()
        ORDER BY expires_at LIMIT :limit) oldest
""")

_EXTEND = text("""
    WITH locked AS MATERIALIZED (
        SELECT p.node_id, p.sku
        FROM stock_position p JOIN cart_hold_line h ON h.node_id = p.node_id AND h.sku = p.sku
        WHERE h.cart_hold_id = :cart_hold_id
        ORDER BY p.node_id, p.sku
        FOR NO KEY UPDATE OF p
    ), line AS MATERIALIZED (
        SELECT h.node_id, h.sku, h.open = h.quantity AND h.expires_at > statement_timestamp() AS stands
        FROM cart_hold_line h WHERE h.cart_hold_id = :cart_hold_id AND (SELECT count(*) FROM locked) > 0
        FOR NO KEY UPDATE OF h
    )
    UPDATE cart_hold_line h SET expires_at = greatest(h.expires_at, :expires_at)
    FROM line l
    WHERE (SELECT bool_and(stands) FROM line)
      AND h.cart_hold_id = :cart_hold_id AND h.node_id = l.node_id AND h.sku = l.sku
    RETURNING h.sku
""")
_WHOLE = """
    SELECT c.cart_hold_id, c.channel, c.content_hash, c.held_at, c.lines AS wanted, max(l.expires_at) AS expires_at,
           max(l.expires_at) <= statement_timestamp() AS overdue,
           jsonb_agg(to_jsonb(l) ORDER BY l.node_id, l.sku) AS units
    FROM cart_hold c JOIN cart_hold_line l USING (cart_hold_id)
"""
_READ = text(f"{_WHOLE} WHERE c.cart_hold_id = :cart_hold_id GROUP BY c.cart_hold_id")
_OPEN = """
    WHERE c.cart_hold_id IN (SELECT cart_hold_id FROM cart_hold_line WHERE open > 0)
      AND (CAST(:channel AS text) = '' OR c.channel = :channel)
    GROUP BY c.cart_hold_id ORDER BY expires_at, c.cart_hold_id LIMIT :limit
"""
_LIST = text(f"{_WHOLE} {_OPEN}")


async def hold_units(
    database: Database,
    cart_hold_id: str,
    claims: Mapping[Key, int],
    *,
    channel: str,
    lines: Sequence[WantedUnits],
    content_hash: str,
    expires_at: datetime,
    way: Way = SHIPPED,
    partial: bool = False,
    pooled: Sequence[Pooled] = (),
) -> tuple[CartUnits, ...] | None:
    """Hold every claim or none, or partially what fits of each, in one statement: one round trip.

    Where something of the items is kept for other channels, all the positions that decide how much are locked first.

    Args:
        claims: Units by node and SKU.
        lines: What the cart holds, for the record.
        way: How the customer is to get it, which its order keeps to.
        pooled: Items of which something is kept for other channels.

    Returns:
        What is held now; ``None`` when nothing was taken: too little is free, or the cart is held already.
    """
    values = {
        "cart_hold_id": cart_hold_id,
        "channel": channel,
        "lines": _WANTED.dump_json(tuple(lines)).decode(),
        "content_hash": content_hash,
        "expires_at": expires_at,
        "method": way[0],
        "pickup_node_id": way[1],
        "service": way[2],
        "partial": partial,
    }
    pooled = [item for item in pooled if any(sku == item.sku for _, sku in claims)]
    async for attempt in around_races():
        with attempt:
            row = await _hold(database, values, claims, pooled)
    return _UNITS.validate_python(row.units) if row is not None and row.opened else None


async def _hold(database: Database, values: Mapping[str, Any], claims: Mapping[Key, int], pooled: list[Pooled]) -> Any:
    """Hold claims, at once when no pool and no overdue cart has a say in it; ``None`` when they do not fit."""
    if not pooled:
        async with database.statement() as connection:
            row = (await connection.execute(_HOLD, {**values, **_of(claims), "look_for_overdue": True})).one()
        if not row.overdue:
            return row
    async with database.transaction() as connection:
        await give_back_at(connection, {*claims, *((node_id, item.sku) for item in pooled for node_id in item.nodes)})
        fits = await _beside_pools(connection, claims, pooled) if pooled else dict(claims)
        if (fits != claims and not values["partial"]) or not fits:
            return None
        return (await connection.execute(_HOLD, {**values, **_of(fits), "look_for_overdue": False})).one()


def _of(claims: Mapping[Key, int]) -> dict[str, str]:
    rows = [{"node_id": node_id, "sku": sku, "quantity": units} for (node_id, sku), units in claims.items()]
    return {"claims": json.dumps(rows)}


async def _beside_pools(
    connection: AsyncConnection, claims: Mapping[Key, int], pooled: Sequence[Pooled]
) -> dict[Key, int]:
    """What may be taken of each claim; the positions, and all that decide what must be left, are locked."""
    fits = dict(claims)
    for item in pooled:
        rows = await connection.execute(_FREE, {"sku": item.sku})
        wanted = {node_id: units for (node_id, sku), units in claims.items() if sku == item.sku}
        stock = {row.node_id: row.free for row in rows if row.node_id in item.nodes or row.node_id in wanted}
        stays = place(stock, item.kept_from(stock), wanted)
        for node_id, units in wanted.items():
            fits[node_id, item.sku] = min(units, stock.get(node_id, 0) - stays.get(node_id, 0))
    return {key: units for key, units in fits.items() if units}


async def read_hold(connection: AsyncConnection, cart_hold_id: str) -> tuple[str, CartHold]:
    """What is on record of a cart's hold, with the hash of what was asked for.

    Raises:
        NotFound: nothing was ever held for the cart.
    """
    row = (await connection.execute(_READ, {"cart_hold_id": cart_hold_id})).first()
    if row is None:
        raise NotFound(f"nothing was held for cart {cart_hold_id}", cart_hold_id=cart_hold_id)
    return row.content_hash, _cart_hold(row)


async def list_holds(connection: AsyncConnection, *, channel: str = "", limit: int = 50) -> list[CartHold]:
    """The holds that still keep units, the one that ends first first.

    Args:
        channel: Only this channel's; all of them when empty.
    """
    rows = await connection.execute(_LIST, {"channel": channel, "limit": limit})
    return [_cart_hold(row) for row in rows]


def _cart_hold(row: Any) -> CartHold:
    return CartHold(
        cart_hold_id=row.cart_hold_id,
        channel=row.channel,
        held_at=row.held_at,
        expires_at=row.expires_at,
        overdue=row.overdue,
        wanted=_WANTED.validate_python(row.wanted),
        units=_UNITS.validate_python(row.units),
    )


async def extend(connection: AsyncConnection, cart_hold_id: str, expires_at: datetime) -> None:
    """Let a hold last until later; one that lasts longer already is left alone.

    Raises:
        Conflict: its time is up, or its units were ordered or given back.
    """
    values = {"cart_hold_id": cart_hold_id, "expires_at": expires_at}
    if (await connection.execute(_EXTEND, values)).first() is None:
        raise Conflict(f"the hold of cart {cart_hold_id} is over: hold it again under another id", cart=cart_hold_id)


async def release(connection: AsyncConnection, cart_hold_id: str, *, actor: str) -> list[str]:
    """Give a cart's units back; returns the SKUs of which there is more. A hold that is over changes nothing."""
    values = {"cart_hold_id": cart_hold_id, "actor": actor}
    return sorted({row.sku for row in await connection.execute(_GIVE_BACK_CART, values)})


async def give_back_at(
    connection: AsyncConnection, keys: Collection[Key], *, but: Collection[str] = ()
) -> dict[Key, int]:
    """Give overdue units at these positions back, to who waits first; returns what is free now where any were.

    Args:
        keys: Nodes and SKUs. Whoever has locked positions before has locked all of these.
        but: Carts whose units their own orders are about to take.
    """
    values: dict[str, Any] = {
        "node_ids": [node_id for node_id, _ in keys],
        "skus": [sku for _, sku in keys],
        "but": list(but),
        "actor": "doms",
    }
    free = {(row.node_id, row.sku): row.free for row in await connection.execute(_GIVE_BACK_AT, values)}
    if free and await serve_at_once(connection, {sku for _, sku in free}):
        at = {"node_ids": [node_id for node_id, _ in free], "skus": [sku for _, sku in free]}
        free = {(row.node_id, row.sku): row.free for row in await connection.execute(_FREE_AT, at)}
    return free


async def give_back_of(connection: AsyncConnection, skus: Collection[str]) -> None:
    """Give overdue units of these items back."""
    await connection.execute(_GIVE_BACK_OF, {"skus": list(skus), "actor": "doms"})


async def overdue_items(connection: AsyncConnection, *, limit: int = 500) -> list[str]:
    """Items of which units are overdue, of so many positions, those that are for longest."""
    return list((await connection.execute(_OVERDUE_ITEMS, {"limit": limit})).scalars())
