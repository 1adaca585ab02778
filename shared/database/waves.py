"""What a wave looks at: a channel's orders as far as no node was told of them, and the world without what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import channels, prices
from shared.database.snapshots import AGREEING, read_unpriced
from shared.domain.network import Place
from shared.domain.orders import Address, ServiceLevel
from shared.domain.recipients import recipient_of
from shared.domain.sourcing.models import NodeLoad, PlannedShipment, Policy, Snapshot, SourcingOrder, WantedLine
from shared.domain.sourcing.pooling import lay_down
from shared.domain.waves.models import Wave, WaveOrder, WaveRules

#: Orders that are being sourced this moment, or that stock which arrived is kept for, are left alone, and so are those
#: whose customers chose how to get them.
_ORDERS = text("""
    WITH planned AS (
        SELECT f.order_id, r.line_no, sum(r.open) AS units
        FROM fulfillment_order f JOIN reservation r ON r.owner = f.fulfillment_order_id
        WHERE f.request_status = 'unsubmitted' AND f.ended_at IS NULL AND r.open > 0
        GROUP BY f.order_id, r.line_no
    ), movable AS (
        SELECT l.order_id, l.line_no, l.sku, l.backordered + coalesce(p.units, 0) AS units, l.unit_price_minor,
               l.bundle_line_no
        FROM order_line l JOIN orders o USING (order_id) LEFT JOIN planned p USING (order_id, line_no)
        WHERE o.channel = :channel AND o.accepted AND o.closed_at IS NULL AND o.method = 'ship'
          AND l.backordered + coalesce(p.units, 0) > 0
    )
    SELECT o.order_id, o.customer_ref, o.ship_to, o.place, o.service, o.priority, o.tags, o.received_at,
           o.promised_at, p.sourcing,
           jsonb_agg(jsonb_build_object(
               'line_no', m.line_no, 'sku', m.sku, 'quantity', m.units, 'weight_g', i.weight_g,
               'own_container', i.own_container,
               'length_mm', i.length_mm, 'width_mm', i.width_mm, 'height_mm', i.height_mm,
               'unit_price_minor', m.unit_price_minor, 'group', m.bundle_line_no) ORDER BY m.line_no) AS lines,
           (SELECT array_agg(DISTINCT node_id) FROM fulfillment_order f
            WHERE f.order_id = o.order_id AND f.excludes_node) AS excluded
    FROM movable m JOIN orders o USING (order_id) JOIN item i USING (sku)
    JOIN policy_version p ON p.version = o.policy_version
    WHERE NOT EXISTS (SELECT FROM order_line l WHERE l.order_id = o.order_id AND l.unallocated > 0)
      AND NOT EXISTS (SELECT FROM cart_hold_line h WHERE h.cart_hold_id = o.cart_hold_id AND h.open > 0)
    GROUP BY o.order_id, p.sourcing
    ORDER BY o.priority, o.received_at, o.order_id
    LIMIT :limit
""")
_STANDING = text("""
    SELECT f.order_id, f.node_id, f.carrier, f.service, f.ship_by, f.deliver_by, f.cost,
           jsonb_agg(jsonb_build_object('line_no', r.line_no, 'sku', r.sku, 'quantity', r.open)
                     ORDER BY r.line_no) AS lines
    FROM fulfillment_order f JOIN reservation r ON r.owner = f.fulfillment_order_id
    WHERE f.order_id = ANY(:order_ids) AND f.request_status = 'unsubmitted' AND f.ended_at IS NULL AND r.open > 0
    GROUP BY f.fulfillment_order_id
    ORDER BY f.order_id, f.n
""")
#: As if the wave's orders held nothing; where a node is short of what it must keep, that comes first.
_STOCK = text("""
    SELECT p.node_id, p.sku, greatest(b.free, 0) AS free,
           greatest(b.free + coalesce(w.units, 0), 0) - greatest(b.free, 0) AS own,
           coalesce(s.cost_minor, i.cost_minor) AS unit_cost_minor
    FROM stock_position p JOIN item i USING (sku) LEFT JOIN source_offer s USING (node_id, sku)
    CROSS JOIN LATERAL (
        SELECT p.on_hand - p.reserved - p.held - p.safety - p.count_buffer - p.feed_buffer AS free
    ) b
    LEFT JOIN (
        SELECT r.node_id, r.sku, sum(r.open) AS units
        FROM reservation r JOIN fulfillment_order f ON f.fulfillment_order_id = r.owner
        WHERE r.order_id = ANY(:order_ids) AND f.request_status = 'unsubmitted' AND f.ended_at IS NULL
        GROUP BY r.node_id, r.sku
    ) w USING (node_id, sku)
    WHERE p.sku = ANY(:skus) AND b.free + coalesce(w.units, 0) > 0
""")
_LOADS = text("""
    SELECT node_id, sum(units) AS units FROM fulfillment_order
    WHERE ended_at IS NULL AND shipped_at IS NULL
      AND NOT (request_status = 'unsubmitted' AND order_id = ANY(:order_ids))
    GROUP BY node_id
""")


async def read_wave(
    connection: AsyncConnection, channel: str, as_of: datetime, *, rules: WaveRules, limit: int
) -> Wave:
    """The channel's orders that may be planned again, those that go first, at most so many.

    Call it first in a transaction: everything is read as of one moment.
    """
    await connection.execute(AGREEING)
    rows = (await connection.execute(_ORDERS, {"channel": channel, "limit": limit})).all()
    order_ids = [row.order_id for row in rows]
    standing: dict[str, list[PlannedShipment]] = {}
    for row in await connection.execute(_STANDING, {"order_ids": order_ids}):
        values = {name: value for name, value in row._mapping.items() if name != "order_id"}
        standing.setdefault(row.order_id, []).append(PlannedShipment.model_validate(values))
    return Wave(
        orders=tuple(_order(row, channel, tuple(standing.get(row.order_id, ()))) for row in rows),
        snapshot=await _snapshot(connection, channel, rows, as_of),
        rules=rules,
    )


def _order(row: Any, channel: str, standing: tuple[PlannedShipment, ...]) -> WaveOrder:
    return WaveOrder(
        order=SourcingOrder(
            order_id=row.order_id,
            channel=channel,
            ship_to=Place.model_validate(row.place),
            service=ServiceLevel(row.service),
            lines=tuple(WantedLine.model_validate(line) for line in row.lines),
            excluded=tuple(sorted(row.excluded or ())),
            priority=row.priority,
            tags=tuple(row.tags),
            received_at=row.received_at,
            promised_at=row.promised_at,
        ),
        policy=Policy.model_validate(row.sourcing),
        standing=standing,
        # What waits for supply is not late by finding a source now.
        promised_at=row.promised_at if standing else None,
        recipient=recipient_of(row.customer_ref, Address.model_validate(row.ship_to)),
    )


async def _snapshot(connection: AsyncConnection, channel: str, rows: Sequence[Any], as_of: datetime) -> Snapshot:
    order_ids = [row.order_id for row in rows]
    skus = sorted({line["sku"] for row in rows for line in row.lines})
    seen = await read_unpriced(connection, skus, as_of, channel=channel)
    selling = await channels.read_selling(connection)
    positions = (await connection.execute(_STOCK, {"order_ids": order_ids, "skus": skus})).all()
    loads = await connection.execute(_LOADS, {"order_ids": order_ids})
    stock, pooled = await channels.stock_for(connection, selling, channel, positions)
    snapshot = seen.model_copy(
        update={"stock": stock, "pooled": pooled, "loads": tuple(NodeLoad(**row._mapping) for row in loads)}
    )
    return (await prices.read_for(connection, set(skus), as_of)).put_on(lay_down(snapshot))
