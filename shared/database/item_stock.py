"""Everything there is to know of one item's stock: where it lies, what is to come, who waits, what channels show."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.availability import read_availability
from shared.database.positions import Position, StockMove
from shared.domain.base import Instant, Model
from shared.errors import NotFound

#: What is released to a node is committed: the node was told of it, whatever it has answered. Found by what is open at
#: the nodes: an index of reservations by item would slow every reservation down.
_ITEM = text("""
    WITH committed AS (
        SELECT r.node_id, sum(r.open) AS units
        FROM fulfillment_order f JOIN reservation r ON r.owner = f.fulfillment_order_id
        WHERE f.ended_at IS NULL AND f.shipped_at IS NULL AND f.request_status <> 'unsubmitted'
          AND f.node_id IN (SELECT node_id FROM stock_position WHERE sku = :sku AND reserved > 0)
          AND r.sku = :sku AND r.open > 0
        GROUP BY r.node_id
    ), inbound AS MATERIALIZED (
        SELECT i.inbound_id, i.kind, i.node_id, i.origin_node_id, i.expected_at, i.status = 'in_transit' AS in_transit,
               i.reference, l.open, l.bound
        FROM inbound_line l JOIN inbound i USING (inbound_id)
        WHERE l.sku = :sku AND l.open > 0 AND i.closed_at IS NULL
    ), position AS (
        SELECT p.node_id, p.on_hand, p.reserved, coalesce(c.units, 0) AS committed, p.held, p.safety, p.count_buffer,
               p.feed_buffer, p.count_buffer + p.feed_buffer AS buffer, p.quarantined, p.free AS available,
               n.node_type = 'vendor' AS supplier, s.source_id, s.state AS source_state,
               CASE WHEN s.node_id IS NOT NULL THEN s.as_of ELSE
                   (SELECT at FROM stock_move m WHERE m.node_id = p.node_id AND m.sku = p.sku
                    ORDER BY move_id DESC LIMIT 1) END AS as_of
        FROM stock_position p JOIN node n USING (node_id) LEFT JOIN stock_source s USING (node_id)
        LEFT JOIN committed c USING (node_id)
        WHERE p.sku = :sku
    )
    SELECT i.sku, i.name, statement_timestamp() AS as_of,
           (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY node_id), '[]') FROM position p) AS positions,
           (SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY expected_at, inbound_id), '[]') FROM inbound c) AS coming,
           (SELECT coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.move_id DESC), '[]') FROM (
                SELECT s.* FROM stock_position p CROSS JOIN LATERAL (
                    SELECT * FROM stock_move s WHERE s.node_id = p.node_id AND s.sku = p.sku
                    ORDER BY move_id DESC LIMIT :moves) s
                WHERE p.sku = i.sku ORDER BY s.move_id DESC LIMIT :moves) m) AS moves,
           (SELECT coalesce(sum(backordered), 0) FROM order_line l
            WHERE l.sku = i.sku AND l.backordered > 0) AS backordered
    FROM item i WHERE i.sku = :sku
""")
#: The update a channel confirmed last for the item; how it was told is known for as long as updates are kept.
_CHANNELS = text("""
    SELECT c.channel, a.pool, a.cap, a.floor, a.buffer, a.percent, p.available AS published,
           p.sequence, told.answered_at AS told_at, coalesce(open.fault, '') AS fault,
           open.sequence IS NOT NULL AS waiting
    FROM channel c
    LEFT JOIN LATERAL (
        SELECT * FROM channel_allocation a WHERE a.channel = c.channel AND (a.sku = :sku OR a.sku IS NULL)
        ORDER BY a.sku IS NULL LIMIT 1) a ON true
    LEFT JOIN channel_published p ON p.channel = c.channel AND p.sku = :sku
    LEFT JOIN channel_push told ON told.channel = c.channel AND told.sequence = p.sequence
    LEFT JOIN channel_push open ON open.channel = c.channel AND open.answered_at IS NULL
        AND open.items @> jsonb_build_array(jsonb_build_object('sku', CAST(:sku AS text)))
    ORDER BY c.rank, c.channel
""")


class NodeStock(Position):
    """An item at one node.

    Attributes:
        committed: Of the reserved units, those of fulfillment orders that the node was told of.
        count_buffer, feed_buffer: What ``buffer`` is made of.
        supplier: Whether it is a supplier's figure of a supplier's stock.
        source_id: The feed that says what lies there; without one the ledger does.
        as_of: The moment of the feed's figures, or of the ledger's latest move; ``None`` when there was none.
    """

    committed: int
    count_buffer: int
    feed_buffer: int
    supplier: bool
    source_id: str | None
    source_state: str | None
    as_of: Instant | None


class ComingStock(Model):
    """Units of an item that are expected somewhere.

    Attributes:
        in_transit: Whether a transfer has left its origin; until then its units are stock there.
        open: Units still to come.
        bound: Of these, units promised to orders that wait.
    """

    inbound_id: str
    kind: str
    node_id: str
    origin_node_id: str | None
    expected_at: Instant
    in_transit: bool
    reference: str
    open: int
    bound: int


class Stages(Model):
    """An item's units everywhere, by how far they are.

    Attributes:
        available: What a new order may take, of all that is there.
        reserved: Units of orders; ``committed`` are among them, the node was told of these.
        in_transit: On the way from one node to another.
        expected: Still to come, those in transit included.
        backordered: Units orders wait for.
    """

    available: int
    reserved: int
    committed: int
    held: int
    quarantined: int
    in_transit: int
    expected: int
    backordered: int


class ChannelStock(Model):
    """What a channel may sell of an item, and what it was told.

    Attributes:
        pool, cap, floor, buffer, percent: Of the allocation that counts; ``None`` where there is none.
        published: What the channel has confirmed to know, by the update ``sequence``; ``None`` if it was never told.
        waiting: Whether an update of this item is not confirmed; ``fault`` says why when that was tried.
    """

    channel: str
    available: int
    pool: int | None
    cap: int | None
    floor: int | None
    buffer: int | None
    percent: int | None
    published: int | None
    sequence: int | None
    told_at: Instant | None
    waiting: bool
    fault: str


class ItemStock(Model):
    """One item's stock everywhere, its latest moves, and what channels show of it."""

    sku: str
    name: str
    as_of: Instant
    stages: Stages
    positions: tuple[NodeStock, ...]
    coming: tuple[ComingStock, ...]
    channels: tuple[ChannelStock, ...]
    moves: tuple[StockMove, ...]


async def read_item(connection: AsyncConnection, sku: str, *, moves: int = 10) -> ItemStock:
    """An item's stock, with its latest moves first.

    Raises:
        NotFound: there is no such item.
    """
    row = (await connection.execute(_ITEM, {"sku": sku, "moves": moves})).first()
    if row is None:
        raise NotFound(f"there is no item {sku}", sku=sku)
    channels = [dict(each._mapping) for each in await connection.execute(_CHANNELS, {"sku": sku})]
    for each in channels:
        shown = (await read_availability(connection, each["channel"], [sku])).items
        each["available"] = shown[0].available
    item = dict(row._mapping) | {"channels": channels}
    return ItemStock.model_validate(item | {"stages": _stages(item)})


def _stages(item: dict[str, Any]) -> dict[str, int]:
    def total(column: str, rows: str = "positions") -> int:
        return sum(each[column] for each in item[rows])

    return {
        **{stage: total(stage) for stage in ("available", "reserved", "committed", "held", "quarantined")},
        "in_transit": sum(each["open"] for each in item["coming"] if each["in_transit"]),
        "expected": total("open", "coming"),
        "backordered": item["backordered"],
    }
