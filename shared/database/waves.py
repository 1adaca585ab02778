"""What a wave looks at: a channel's orders as far as no node was told of them, and the world without what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import prices
from shared.database.exclusions import excluded_since
from shared.database.quotes import read_quotes
from shared.database.snapshots import AGREEING, read_unpriced
from shared.database.stored_orders import lines_as_json, order_of
from shared.database.turns import IN_TURN
from shared.domain.network import Place
from shared.domain.orders import Address
from shared.domain.quotes import LaneQuote, area_of
from shared.domain.recipients import recipient_of
from shared.domain.sourcing.models import Policy
from shared.domain.sourcing.plans import PlannedShipment
from shared.domain.sourcing.pooling import lay_down
from shared.domain.waves.models import Wave, WaveOrder, WaveRules

#: What a wave may move. Where staff have chosen the node, only staff do; what shares a parcel already stays with it.
UNTOLD = """
    f.request_status = 'unsubmitted' AND f.ended_at IS NULL AND NOT f.staff_chose AND NOT EXISTS (
        SELECT FROM consolidation_member m
        WHERE m.fulfillment_order_id = f.fulfillment_order_id AND m.left_at IS NULL)
"""
#: Orders that are being sourced this moment, or that stock which arrived is kept for, are left alone, and so are those
#: whose customers chose how to get them. What a hold stands on shares no parcel.
_ORDERS = text(f"""
    WITH planned AS (
        SELECT f.order_id, r.line_no, sum(r.open) AS units
        FROM fulfillment_order f JOIN reservation r ON r.owner = f.fulfillment_order_id
        WHERE {UNTOLD} AND r.open > 0
        GROUP BY f.order_id, r.line_no
    ), movable AS (
        SELECT l.order_id, l.line_no, l.sku, l.backordered + coalesce(p.units, 0) AS units, l.unit_price_minor,
               l.bundle_line_no
        FROM order_line l JOIN orders o USING (order_id) LEFT JOIN planned p USING (order_id, line_no)
        WHERE o.channel = :channel AND o.accepted AND o.closed_at IS NULL AND o.method = 'ship'
          AND l.backordered + coalesce(p.units, 0) > 0
    )
    SELECT o.order_id, o.channel, o.customer_ref, o.ship_to, o.place, o.service, o.priority, o.tags, o.received_at,
           o.promised_at, o.currency, p.sourcing,
           coalesce((p.process ->> 'consolidate')::boolean, false) AND NOT EXISTS (
               SELECT FROM hold h WHERE h.order_id = o.order_id AND h.released_at IS NULL AND h.kind <> 'sourcing')
               AS may_share,
           {lines_as_json("m", "units")} AS lines,
           {excluded_since("CAST(:as_of AS timestamptz) - CAST(p.process ->> 'exclude_for' AS interval)")} AS excluded
    FROM movable m JOIN orders o USING (order_id) JOIN item i USING (sku)
    JOIN policy_version p ON p.version = o.policy_version
    WHERE NOT EXISTS (SELECT FROM order_line l WHERE l.order_id = o.order_id AND l.unallocated > 0)
      AND NOT EXISTS (SELECT FROM cart_hold_line h WHERE h.cart_hold_id = o.cart_hold_id AND h.open > 0)
    GROUP BY o.order_id, p.version
    ORDER BY {IN_TURN}
    LIMIT :limit
""")  # noqa: S608 - our own fragments
_STANDING = text(f"""
    SELECT f.fulfillment_order_id, f.order_id, f.n, f.node_id, f.carrier, f.service, f.release_at, f.ship_by,
           f.deliver_by, f.cost,
           jsonb_agg(jsonb_build_object('line_no', r.line_no, 'sku', r.sku, 'quantity', r.open)
                     ORDER BY r.line_no) AS lines
    FROM fulfillment_order f JOIN reservation r ON r.owner = f.fulfillment_order_id
    WHERE f.order_id = ANY(:order_ids) AND {UNTOLD} AND r.open > 0
    GROUP BY f.fulfillment_order_id
    ORDER BY f.order_id, f.n
""")  # noqa: S608 - our own fragment
#: Where a wave may change anything: whoever plans to be planned again for a while says so.
_DUE = text(f"""
    SELECT DISTINCT o.channel FROM fulfillment_order f JOIN orders o USING (order_id)
    WHERE {UNTOLD} AND f.release_at > :as_of ORDER BY o.channel
""")  # noqa: S608 - our own fragment


async def due(connection: AsyncConnection, as_of: datetime) -> tuple[str, ...]:
    """Channels with fulfillment orders that are kept from their nodes so that they can be planned again."""
    return tuple((await connection.execute(_DUE, {"as_of": as_of})).scalars())


async def read_wave(
    connection: AsyncConnection, channel: str, as_of: datetime, *, rules: WaveRules, limit: int
) -> Wave:
    """The channel's orders that may be planned again, those that go first, at most so many.

    Call it first in a transaction: everything is read as of one moment.
    """
    await connection.execute(AGREEING)
    rows = (await connection.execute(_ORDERS, {"channel": channel, "as_of": as_of, "limit": limit})).all()
    standing: dict[str, list[Any]] = {}
    for row in await connection.execute(_STANDING, {"order_ids": [row.order_id for row in rows]}):
        standing.setdefault(row.order_id, []).append(row)
    areas = {row.order_id: area_of(Place.model_validate(row.place), row.currency) for row in rows}
    quoted = await read_quotes(connection, set(areas.values()), as_of)
    owners = [each.fulfillment_order_id for stands in standing.values() for each in stands]
    skus = {line["sku"] for row in rows for line in row.lines}
    seen = await read_unpriced(connection, skus, as_of, channel=channel, without=owners)
    return Wave(
        orders=tuple(_order(row, standing.get(row.order_id, ()), quoted.get(areas[row.order_id], ())) for row in rows),
        snapshot=(await prices.read_for(connection, skus, as_of)).put_on(lay_down(seen)),
        rules=rules,
    )


def _order(row: Any, standing: Sequence[Any], quoted: tuple[LaneQuote, ...]) -> WaveOrder:
    return WaveOrder(
        order=order_of(row, excluded=tuple(sorted(row.excluded or ())), promised_at=row.promised_at),
        policy=Policy.model_validate(row.sourcing),
        standing=tuple(PlannedShipment.model_validate(dict(each._mapping)) for each in standing),
        numbers=tuple(each.n for each in standing),
        # What waits for supply is not late by finding a source now.
        promised_at=row.promised_at if standing else None,
        recipient=recipient_of(row.customer_ref, Address.model_validate(row.ship_to)) if row.may_share else "",
        release_at=max((each.release_at for each in standing if each.release_at is not None), default=None),
        quotes=quoted,
    )
