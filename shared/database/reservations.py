"""Reservations: units of positions claimed for the orders that will ship them, whole or not at all.

Lines of one SKU are summed first and rows are locked in key order, so no two changes deadlock. Nothing is
read, decided and written back: a reservation that does not fit takes nothing. How they end is in
``shared.database.stock``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import carts
from shared.database.carts import Key
from shared.domain.base import Model
from shared.domain.pools import Pooled


class Claim(Model):
    """Units of one order line wanted at one node, for ``owner``.

    Attributes:
        cart_hold_id: The cart the order was made of: what it holds there is taken first.
    """

    owner: str
    line_no: int
    order_id: str
    node_id: str
    sku: str
    quantity: int
    cart_hold_id: str | None = None


_CLAIMS = TypeAdapter(list[Claim])

#: What the claims' carts hold, read again once their positions are locked: it may have been given back meanwhile, and
#: then the units must be free.
_OWN = """SELECT h.cart_hold_id, h.node_id, h.sku, h.open FROM cart_hold_line h JOIN cart USING (cart_hold_id)
        WHERE h.open > 0 AND (SELECT count(*) FROM locked) > 0
        FOR NO KEY UPDATE OF h"""
_OWN_AT = """(SELECT jsonb_object_agg(o.cart_hold_id, o.open) FROM own o
         WHERE o.node_id = l.node_id AND o.sku = l.sku) AS own"""
_OVERDUE = """EXISTS (SELECT FROM cart_hold_line h WHERE h.sku = l.sku AND h.node_id = l.node_id AND h.open > 0
                AND h.expires_at <= statement_timestamp()) AS overdue"""

#: Positions are set from their locked rows: an update checks its constraints on the row of its snapshot first, and
#: would be refused for units that were given back since.
#: Answers in one row when every claim fits; else nothing was taken, and the rows, now locked, say what there is.
_RESERVE = text(f"""
    WITH claim AS (
        SELECT * FROM jsonb_to_recordset(CAST(:claims AS jsonb))
            AS c(owner text, line_no int, order_id text, node_id text, sku text, quantity int)
    ), need AS (
        SELECT node_id, sku, sum(quantity) AS quantity FROM claim GROUP BY node_id, sku
    ), locked AS MATERIALIZED (
        SELECT p.node_id, p.sku, p.on_hand, p.reserved, p.held, n.quantity, p.free AS available
        FROM stock_position p JOIN need n ON n.node_id = p.node_id AND n.sku = p.sku
        ORDER BY p.node_id, p.sku
        FOR NO KEY UPDATE OF p
    ), verdict AS (
        SELECT count(*) = (SELECT count(*) FROM need) AND bool_and(available >= quantity) AS ok FROM locked
    ), moved AS (
        UPDATE stock_position p SET on_hand = l.on_hand, reserved = l.reserved + l.quantity, held = l.held
        FROM locked l CROSS JOIN verdict v
        WHERE v.ok AND p.node_id = l.node_id AND p.sku = l.sku
    ), claimed AS (
        INSERT INTO reservation (owner, line_no, order_id, node_id, sku, quantity, open)
        SELECT owner, line_no, order_id, node_id, sku, quantity, quantity FROM claim, verdict WHERE ok
    ), noted AS (
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, reference, actor)
        SELECT node_id, sku, 'reserve', 0, sum(quantity), owner, :actor
        FROM claim, verdict WHERE ok GROUP BY owner, node_id, sku
    )
    SELECT v.ok, l.node_id, l.sku, l.available, NULL AS own, {_OVERDUE}
    FROM verdict v LEFT JOIN locked l ON NOT v.ok
""")  # noqa: S608 - our own fragments

#: As ``_RESERVE`` for orders made of carts: the units a cart holds go from held to reserved in one move, never through
#: free, and what the plan does not use of them is given back.
_RESERVE_HELD = text(f"""
    WITH claim AS (
        SELECT * FROM jsonb_to_recordset(CAST(:claims AS jsonb)) AS c(
            owner text, line_no int, order_id text, node_id text, sku text, quantity int, cart_hold_id text)
    ), cart AS (
        SELECT DISTINCT cart_hold_id FROM claim WHERE cart_hold_id IS NOT NULL
    ), need AS (
        SELECT node_id, sku FROM claim
        UNION SELECT h.node_id, h.sku FROM cart_hold_line h JOIN cart USING (cart_hold_id) WHERE h.open > 0
    ), locked AS MATERIALIZED (
        SELECT p.node_id, p.sku, p.on_hand, p.reserved, p.held, p.free AS available
        FROM stock_position p JOIN need n ON n.node_id = p.node_id AND n.sku = p.sku
        ORDER BY p.node_id, p.sku
        FOR NO KEY UPDATE OF p
    ), own AS MATERIALIZED (
        {_OWN}
    ), part AS (
        SELECT c.*, least(
            c.quantity, greatest(coalesce(o.open, 0) - (sum(c.quantity) OVER before - c.quantity), 0)) AS own
        FROM claim c LEFT JOIN own o USING (cart_hold_id, node_id, sku)
        WINDOW before AS (PARTITION BY c.cart_hold_id, c.node_id, c.sku ORDER BY c.owner, c.line_no)
    ), wanted AS (
        SELECT node_id, sku, sum(quantity) AS quantity, sum(own) AS own
        FROM part GROUP BY node_id, sku
    ), verdict AS (
        SELECT bool_and(coalesce(w.quantity = w.own OR l.available >= w.quantity - w.own, false)) AS ok
        FROM wanted w LEFT JOIN locked l USING (node_id, sku)
    ), used AS (
        SELECT o.cart_hold_id, o.node_id, o.sku, o.open, coalesce(sum(p.own), 0) AS units
        FROM own o CROSS JOIN verdict v LEFT JOIN part p USING (cart_hold_id, node_id, sku)
        WHERE v.ok GROUP BY o.cart_hold_id, o.node_id, o.sku, o.open
    ), ended AS (
        UPDATE cart_hold_line h
        SET open = 0, ordered = h.ordered + u.units, given_back = h.given_back + u.open - u.units
        FROM used u WHERE h.cart_hold_id = u.cart_hold_id AND h.node_id = u.node_id AND h.sku = u.sku
    ), moved AS (
        UPDATE stock_position p
        SET on_hand = l.on_hand, reserved = l.reserved + t.reserved, held = l.held - t.held
        FROM (
            SELECT node_id, sku, coalesce(w.quantity, 0) AS reserved, coalesce(u.held, 0) AS held
            FROM wanted w
            FULL JOIN (SELECT node_id, sku, sum(open) AS held FROM used GROUP BY node_id, sku) u USING (node_id, sku)
        ) t JOIN locked l USING (node_id, sku) CROSS JOIN verdict v
        WHERE v.ok AND p.node_id = l.node_id AND p.sku = l.sku
    ), claimed AS (
        INSERT INTO reservation (owner, line_no, order_id, node_id, sku, quantity, open)
        SELECT owner, line_no, order_id, node_id, sku, quantity, quantity FROM claim, verdict WHERE ok
    ), noted AS (
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, held, reference, actor)
        SELECT node_id, sku, 'reserve', 0, sum(quantity), -sum(own), owner, :actor
        FROM part, verdict WHERE ok GROUP BY owner, node_id, sku
        UNION ALL
        SELECT node_id, sku, 'expire', 0, 0, units - open, 'cart/' || cart_hold_id, :actor FROM used WHERE units < open
    )
    SELECT v.ok, l.node_id, l.sku, l.available,
        {_OWN_AT}, {_OVERDUE}
    FROM verdict v LEFT JOIN locked l ON NOT v.ok
""")  # noqa: S608 - our own fragments

#: What there is to take, locked: of what carts hold for the orders, too, and of all that decides what must be left.
_LOOK = text(f"""
    WITH claim AS (
        SELECT * FROM jsonb_to_recordset(CAST(:claims AS jsonb)) AS c(node_id text, sku text, cart_hold_id text)
    ), cart AS (
        SELECT DISTINCT cart_hold_id FROM claim WHERE cart_hold_id IS NOT NULL
    ), need AS (
        SELECT node_id, sku FROM claim
        UNION SELECT h.node_id, h.sku FROM cart_hold_line h JOIN cart USING (cart_hold_id) WHERE h.open > 0
        UNION SELECT node_id, sku FROM unnest(CAST(:node_ids AS text[]), CAST(:skus AS text[])) AS k(node_id, sku)
    ), locked AS MATERIALIZED (
        SELECT p.node_id, p.sku, p.free AS available
        FROM stock_position p JOIN need n ON n.node_id = p.node_id AND n.sku = p.sku
        ORDER BY p.node_id, p.sku
        FOR NO KEY UPDATE OF p
    ), own AS MATERIALIZED (
        {_OWN}
    )
    SELECT l.node_id, l.sku, l.available,
        {_OWN_AT}, {_OVERDUE}
    FROM locked l
""")  # noqa: S608 - our own fragments


async def reserve_each(
    connection: AsyncConnection,
    wishes: Sequence[Sequence[Claim]],
    *,
    pooled: Mapping[int, Sequence[Pooled]] = MappingProxyType({}),
    actor: str = "doms",
) -> list[bool]:
    """Reserve several wishes in one statement, each whole or not at all; the earlier goes first when not all fit.

    Call it once in a transaction: a second call would lock rows out of key order. Where something of an item is kept
    from a wish, all the positions that decide how much are locked first, in a statement more.

    Args:
        pooled: Items of which something is kept from a wish, by the wish's place.

    Raises:
        sqlalchemy.exc.IntegrityError: an owner's line is reserved already; nothing was taken for anybody.
    """
    claims = [claim for wish in wishes for claim in wish]
    kept = {n: _claimed(wishes[n], items) for n, items in pooled.items()}
    room = await (_look(connection, claims, kept.values()) if any(kept.values()) else _take(connection, claims, actor))
    if room is None:
        return [True] * len(wishes)
    if room.overdue:
        room.free |= await carts.give_back_at(connection, room.overdue, but={cart for cart, _ in room.own})
    verdicts = [_allot(wish, room, kept.get(n, ())) for n, wish in enumerate(wishes)]
    winners = [claim for wish, won in zip(wishes, verdicts, strict=True) if won for claim in wish]
    beaten = await _take(connection, winners, actor)
    assert beaten is None, "rows that are locked do not change"
    return verdicts


@dataclass
class _Room:
    """What locked positions have to give.

    Attributes:
        own: Units that carts hold for orders that want them now, by cart and position.
        overdue: Positions where a cart's time is up.
    """

    free: dict[Key, int]
    own: dict[tuple[str, Key], int]
    overdue: list[Key]


async def _take(connection: AsyncConnection, claims: list[Claim], actor: str) -> _Room | None:
    """Reserve all claims; when they do not fit, lock their positions and return what each has to give."""
    if not claims:
        return None
    statement = _RESERVE_HELD if any(claim.cart_hold_id for claim in claims) else _RESERVE
    values = {"claims": _CLAIMS.dump_json(claims).decode(), "actor": actor}
    rows = (await connection.execute(statement, values)).all()
    return None if rows[0].ok else _room(rows)


async def _look(connection: AsyncConnection, claims: list[Claim], kept: Iterable[Sequence[Pooled]]) -> _Room:
    """Lock the positions that are claimed and those that decide what must be left; returns what each has to give."""
    keys = {(node_id, item.sku) for items in kept for item in items for node_id in item.nodes}
    values = {
        "claims": _CLAIMS.dump_json(claims).decode(),
        "node_ids": [node_id for node_id, _ in keys],
        "skus": [sku for _, sku in keys],
    }
    return _room((await connection.execute(_LOOK, values)).all())


def _claimed(wish: Sequence[Claim], items: Sequence[Pooled]) -> tuple[Pooled, ...]:
    skus = {claim.sku for claim in wish}
    return tuple(item for item in items if item.sku in skus)


def _room(rows: Sequence[Any]) -> _Room:
    keyed = {(row.node_id, row.sku): row for row in rows if row.node_id is not None}
    return _Room(
        free={key: row.available for key, row in keyed.items()},
        own={(cart, key): units for key, row in keyed.items() for cart, units in (row.own or {}).items()},
        overdue=[key for key, row in keyed.items() if row.overdue],
    )


def _allot(wish: Sequence[Claim], room: _Room, kept: Sequence[Pooled]) -> bool:
    """Take a wish out of what there is if all of it fits: what its cart holds first, the rest of what is free."""
    need: dict[tuple[str, Key], int] = {}
    for claim in wish:
        place = (claim.cart_hold_id or "", (claim.node_id, claim.sku))
        need[place] = need.get(place, 0) + claim.quantity
    own = {place: min(quantity, room.own.get(place, 0)) for place, quantity in need.items()}
    rest: dict[Key, int] = {}
    for place, quantity in need.items():
        rest[place[1]] = rest.get(place[1], 0) + quantity - own[place]
    if any(room.free.get(key, 0) < quantity for key, quantity in rest.items() if quantity):
        return False
    if not all(_leaves(item, rest, room) for item in kept):
        return False
    for key, quantity in rest.items():
        room.free[key] = room.free.get(key, 0) - quantity
    for place, quantity in own.items():
        room.own[place] = room.own.get(place, 0) - quantity
    return True


def _leaves(item: Pooled, taken: Mapping[Key, int], room: _Room) -> bool:
    """Whether what is kept of an item is still there once units are taken."""
    by_node = {node_id: units for (node_id, sku), units in taken.items() if sku == item.sku}
    stock = {node_id: room.free.get((node_id, item.sku), 0) for node_id in item.nodes.union(by_node)}
    return item.may_take(stock, by_node)
