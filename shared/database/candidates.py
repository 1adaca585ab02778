"""Which fulfillment orders might share a parcel, as the facts are now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.consolidation import Candidate, may_share
from shared.domain.fulfillment import PICKUP
from shared.domain.network import NodeType
from shared.domain.orders import Address, ServiceLevel
from shared.domain.recipients import recipient_of

#: What a hold keeps from its node; orders that wait for a person to find a source are released as far as they have one.
HELD = "EXISTS (SELECT FROM hold h WHERE h.order_id = f.order_id AND h.released_at IS NULL AND h.kind <> 'sourcing')"

#: Told is also whoever is to go with others whose node was told.
_CANDIDATES = f"""
    SELECT f.fulfillment_order_id, f.order_id, f.node_id, f.carrier, n.node_type, o.channel, o.customer_ref, o.ship_to,
           o.service AS level, {HELD} AS held,
           f.request_status <> 'unsubmitted' OR EXISTS (
               SELECT FROM consolidation_member own JOIN consolidation_member m USING (consolidation_id)
               JOIN fulfillment_order mate ON mate.fulfillment_order_id = m.fulfillment_order_id
               WHERE own.fulfillment_order_id = f.fulfillment_order_id AND own.left_at IS NULL AND m.left_at IS NULL
                 AND mate.ended_at IS NULL AND mate.request_status <> 'unsubmitted') AS told
    FROM fulfillment_order f JOIN orders o USING (order_id) JOIN node n USING (node_id)
    WHERE f.ended_at IS NULL AND f.shipped_at IS NULL AND %s
    ORDER BY f.order_id, f.n
"""  # noqa: S608 - our own fragments
_OF_ORDERS = text(_CANDIDATES % "f.order_id = ANY(:order_ids)")
_NAMED = text(_CANDIDATES % "f.fulfillment_order_id = ANY(:owners)")
#: What an order has planned, and what others of its customer have. What was taken apart once is left so. The index of
#: customers is only found by who says that there is one.
ALIKE = text(
    _CANDIDATES
    % """f.request_status = 'unsubmitted' AND o.closed_at IS NULL AND o.customer_ref <> ''
      AND (o.customer_ref, o.channel) = (
        SELECT customer_ref, channel FROM orders WHERE order_id = :order_id AND customer_ref <> '')
      AND NOT EXISTS (
        SELECT FROM consolidation_member m
        WHERE m.fulfillment_order_id = f.fulfillment_order_id AND m.left_at IS NOT NULL)"""
)


async def of_orders(connection: AsyncConnection, order_ids: Collection[str]) -> list[Candidate]:
    """What of these orders has not shipped."""
    return await _candidates(connection, _OF_ORDERS, order_ids=list(order_ids))


async def alike(connection: AsyncConnection, order_id: str) -> tuple[tuple[str, ...], ...]:
    """What an order has planned, with what others of its recipient have that it may share a parcel with."""
    return may_share(await _candidates(connection, ALIKE, order_id=order_id))


async def named(connection: AsyncConnection, owners: Sequence[str]) -> list[Candidate]:
    """Those of these fulfillment orders that have not shipped."""
    return await _candidates(connection, _NAMED, owners=list(owners))


async def _candidates(connection: AsyncConnection, query: Any, **values: Any) -> list[Candidate]:
    return [
        Candidate(
            fulfillment_order_id=row.fulfillment_order_id,
            order_id=row.order_id,
            channel=row.channel,
            recipient=recipient_of(row.customer_ref, Address.model_validate(row.ship_to)),
            level=ServiceLevel(row.level),
            node_id=row.node_id,
            told=row.told,
            held=row.held,
            our_label=NodeType(row.node_type).ships_on_our_label and row.carrier != PICKUP,
        )
        for row in await connection.execute(query, values)
    ]
