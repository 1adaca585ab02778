"""Where the units of one item lie, and who waits for more of it."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.base import Instant, Model
from shared.errors import NotFound

_ITEM = text("""
    SELECT i.sku, i.name,
           (SELECT coalesce(jsonb_agg(jsonb_build_object(
                'node_id', node_id, 'on_hand', on_hand, 'reserved', reserved, 'safety', safety,
                'available', greatest(on_hand - reserved - safety, 0)) ORDER BY node_id), '[]')
            FROM stock_position p WHERE p.sku = i.sku) AS positions,
           (SELECT coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.move_id DESC), '[]') FROM (
                SELECT * FROM stock_move s WHERE s.sku = i.sku ORDER BY move_id DESC LIMIT :moves) m) AS moves,
           (SELECT coalesce(sum(backordered), 0) FROM order_line l
            WHERE l.sku = i.sku AND l.backordered > 0) AS backordered
    FROM item i WHERE i.sku = :sku
""")
_KNOWN = text("""
    SELECT EXISTS (SELECT FROM node WHERE node_id = :node_id) AS node,
           EXISTS (SELECT FROM item WHERE sku = :sku) AS item
""")


class Position(Model):
    """One item at one node. ``available`` is what a new order may take."""

    node_id: str
    on_hand: int
    reserved: int
    safety: int
    available: int


class StockMove(Model):
    """One change of a position."""

    at: Instant
    node_id: str
    cause: str
    on_hand: int
    reserved: int
    reference: str
    actor: str


class ItemStock(Model):
    """One item's stock everywhere, its latest moves, and the units that orders wait for."""

    sku: str
    name: str
    positions: tuple[Position, ...]
    moves: tuple[StockMove, ...]
    backordered: int


async def read_item(connection: AsyncConnection, sku: str, *, moves: int = 10) -> ItemStock:
    """An item's stock, with its latest moves first.

    Raises:
        NotFound: there is no such item.
    """
    row = (await connection.execute(_ITEM, {"sku": sku, "moves": moves})).first()
    if row is None:
        raise NotFound(f"there is no item {sku}", sku=sku)
    return ItemStock.model_validate(dict(row._mapping))


async def must_exist(connection: AsyncConnection, node_id: str, sku: str) -> None:
    """Make sure that stock of the item may lie at the node.

    Raises:
        NotFound: there is no such node or item.
    """
    known = (await connection.execute(_KNOWN, {"node_id": node_id, "sku": sku})).one()
    if not known.node:
        raise NotFound(f"there is no node {node_id}", node_id=node_id)
    if not known.item:
        raise NotFound(f"there is no item {sku}", sku=sku)
