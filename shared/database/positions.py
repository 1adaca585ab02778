"""Where the units of items lie, and how they came to."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.base import Instant, Model
from shared.errors import NotFound

#: Every move is replayed; the latest are shown.
_HISTORY = text("""
    WITH replayed AS (
        SELECT m.*, sum(m.on_hand) OVER w AS on_hand_then, sum(m.reserved) OVER w AS reserved_then,
               sum(m.held) OVER w AS held_then, sum(m.quarantined) OVER w AS quarantined_then,
               row_number() OVER (PARTITION BY m.node_id ORDER BY m.move_id DESC) AS back
        FROM stock_position p JOIN stock_move m ON m.node_id = p.node_id AND m.sku = p.sku
        WHERE p.sku = :sku AND (:node_id = '' OR p.node_id = :node_id)
        WINDOW w AS (PARTITION BY m.node_id ORDER BY m.move_id)
    )
    SELECT p.node_id, p.on_hand, p.reserved, p.held, p.safety, p.count_buffer + p.feed_buffer AS buffer,
           p.quarantined, p.free AS available,
           (SELECT count(*) FROM replayed r WHERE r.node_id = p.node_id) AS replayed,
           (SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.move_id), '[]')
            FROM replayed r WHERE r.node_id = p.node_id AND r.back <= :moves) AS moves
    FROM stock_position p
    WHERE p.sku = :sku AND (:node_id = '' OR p.node_id = :node_id)
    ORDER BY p.node_id
""")
_POSITIONS = text("""
    SELECT p.sku, p.node_id, n.node_type, p.on_hand, p.reserved, p.held, p.safety,
           p.count_buffer + p.feed_buffer AS buffer, p.quarantined, p.free AS available
    FROM stock_position p JOIN node n USING (node_id)
    WHERE (:node_id = '' OR p.node_id = :node_id) AND (:node_type = '' OR n.node_type = :node_type)
      AND (p.node_id, p.sku) > (:after_node, :after_sku)
    ORDER BY p.node_id, p.sku LIMIT :limit
""")
_KNOWN = text("""
    SELECT EXISTS (SELECT FROM node WHERE node_id = :node_id) AS node,
           EXISTS (SELECT FROM item WHERE sku = :sku) AS item
""")


class Position(Model):
    """One item at one node.

    Attributes:
        held: Units of carts, which nobody else may take until their time is up.
        buffer: Units not sold because the record may be wrong.
        quarantined: Units that are there but not in ``on_hand``.
        available: What a new order may take.
    """

    node_id: str
    on_hand: int
    reserved: int
    held: int
    safety: int
    buffer: int
    quarantined: int
    available: int


class ListedPosition(Position):
    """A position among others."""

    sku: str
    node_type: str


class StockMove(Model):
    """One change of a position."""

    at: Instant
    node_id: str
    cause: str
    on_hand: int
    reserved: int
    held: int
    quarantined: int
    reference: str
    actor: str


class ReplayedMove(StockMove):
    """A move and what the position came to with it."""

    on_hand_then: int
    reserved_then: int
    held_then: int
    quarantined_then: int


class PositionHistory(Position):
    """A position and the moves that made it, the oldest first.

    Attributes:
        replayed: How many moves there are; ``moves`` holds the latest of them.
    """

    replayed: int
    moves: tuple[ReplayedMove, ...]

    @property
    def agrees(self) -> bool:
        """Whether the moves lead to what the position says today."""
        now = (self.on_hand, self.reserved, self.held, self.quarantined)
        if not self.moves:
            return not any(now)
        last = self.moves[-1]
        return now == (last.on_hand_then, last.reserved_then, last.held_then, last.quarantined_then)


async def list_positions(
    connection: AsyncConnection,
    *,
    node_id: str = "",
    node_type: str = "",
    after: tuple[str, str] = ("", ""),
    limit: int = 100,
) -> list[ListedPosition]:
    """Positions in the order of their node and SKU.

    Args:
        after: Node and SKU of the last position of the page before.
    """
    values = {"node_id": node_id, "node_type": node_type, "after_node": after[0], "after_sku": after[1], "limit": limit}
    rows = await connection.execute(_POSITIONS, values)
    return [ListedPosition.model_validate(dict(row._mapping)) for row in rows]


async def read_history(
    connection: AsyncConnection, sku: str, *, node_id: str = "", moves: int = 20
) -> tuple[PositionHistory, ...]:
    """The replayed history of an item's positions, or of the one at a node.

    Raises:
        NotFound: there is no such position.
    """
    values = {"sku": sku, "node_id": node_id, "moves": max(1, moves)}
    rows = (await connection.execute(_HISTORY, values)).all()
    if not rows:
        raise NotFound(f"there never was stock of {sku}" + (f" at {node_id}" if node_id else ""), sku=sku)
    return tuple(PositionHistory.model_validate(dict(row._mapping)) for row in rows)


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
