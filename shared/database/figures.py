"""Figures over many orders: how far they are, what they cost, whether stock adds up."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.base import Model
from shared.domain.orders import UnitState

#: The units of an order by state, over its lines ``l``.
UNITS = ", ".join(f"CAST(sum(l.{state}) AS int) AS {state}" for state in UnitState)

_ORDERED = " + ".join(f"u.{state}" for state in UnitState)
#: ``shared.domain.orders.fulfillment_of`` over one row of ``UNITS`` called ``u``; a test holds the two together.
FULFILLMENT = f"""CASE
    WHEN u.cancelled = {_ORDERED} THEN 'cancelled'
    WHEN u.delivered + u.returned + u.cancelled = {_ORDERED} THEN 'delivered'
    WHEN u.delivered + u.returned > 0 THEN 'partially_delivered'
    WHEN u.shipped + u.cancelled = {_ORDERED} THEN 'shipped'
    WHEN u.shipped > 0 THEN 'partially_shipped'
    WHEN u.released > 0 THEN 'released'
    WHEN u.allocated > 0 AND u.unallocated + u.backordered > 0 THEN 'partially_allocated'
    WHEN u.allocated > 0 THEN 'allocated'
    WHEN u.backordered > 0 THEN 'backordered'
    ELSE 'unallocated' END"""
#: ``lifecycle_of`` likewise, with the order's row called ``o``.
LIFECYCLE = f"""CASE
    WHEN u.cancelled = {_ORDERED} THEN 'cancelled'
    WHEN o.closed_at IS NOT NULL THEN 'closed'
    WHEN o.lifecycle <> 'placed' THEN 'open'
    ELSE 'placed' END"""

_STAGES = text(f"""
    SELECT stage, count(*) AS orders FROM (
        SELECT CASE WHEN EXISTS (SELECT FROM hold h WHERE h.order_id = u.order_id AND h.released_at IS NULL)
                    THEN 'on_hold' ELSE {FULFILLMENT} END AS stage
        FROM (SELECT l.order_id, {UNITS} FROM order_line l GROUP BY l.order_id) u
    ) s GROUP BY stage
""")  # noqa: S608 - our own fragments
_FIGURES = text(f"""
    WITH wanted AS MATERIALIZED (
        SELECT o.order_id FROM orders o WHERE CAST(:every AS boolean) OR o.order_id = ANY(:order_ids)
    ), unit AS (
        SELECT l.order_id, {UNITS} FROM order_line l JOIN wanted USING (order_id) GROUP BY l.order_id
    ), staged AS (
        SELECT u.*, {FULFILLMENT} AS stage FROM unit u
    ), left_node AS (
        SELECT f.order_id, count(*) AS shipments, sum(f.planned_minor) AS planned_minor
        FROM fulfillment_order f JOIN wanted USING (order_id)
        WHERE EXISTS (SELECT FROM reservation r WHERE r.owner = f.fulfillment_order_id AND r.shipped > 0)
        GROUP BY f.order_id
    ), again AS (
        SELECT DISTINCT f.order_id FROM fulfillment_order f JOIN wanted USING (order_id)
        WHERE f.excludes_node AND f.reason NOT LIKE 'rerouted:%'
          AND EXISTS (SELECT FROM fulfillment_order g WHERE g.order_id = f.order_id AND g.n > f.n)
    ), waited AS (
        SELECT DISTINCT t.order_id FROM timeline t JOIN wanted USING (order_id)
        WHERE t.event IN ('sourced', 'backordered') AND CAST(t.detail ->> 'backordered' AS int) > 0
    ), label AS (
        SELECT sum(p.label_cost_minor) FILTER (WHERE p.label_status = 'completed') AS cost,
               count(*) FILTER (WHERE p.label_status = 'completed') AS bought,
               count(*) FILTER (WHERE p.label_status = 'voided') AS voided
        FROM package p JOIN wanted USING (order_id)
    ), refund AS (
        SELECT count(*) AS n, coalesce(sum(amount_minor), 0) AS amount FROM payment_operation p
        JOIN wanted USING (order_id) WHERE kind = 'refund' AND status = 'succeeded'
    )
    SELECT (SELECT count(*) FROM wanted) AS orders,
           (SELECT count(*) FROM staged WHERE stage = 'delivered') AS delivered,
           (SELECT count(*) FROM staged WHERE stage = 'cancelled') AS cancelled,
           (SELECT count(*) FROM left_node WHERE shipments > 1) AS split,
           (SELECT count(*) FROM waited) AS backordered,
           (SELECT count(*) FROM again) AS resourced,
           (SELECT n FROM refund) AS refunds,
           (SELECT amount FROM refund) AS refunded_minor,
           (SELECT count(*) FROM left_node) AS shipped,
           (SELECT coalesce(sum(shipments), 0) FROM left_node) AS shipments,
           (SELECT coalesce(sum(planned_minor), 0) FROM left_node) AS planned_minor,
           (SELECT coalesce(cost, 0) FROM label) AS label_minor,
           (SELECT bought FROM label) AS labels,
           (SELECT voided FROM label) AS labels_voided,
           (SELECT coalesce(sum({_ORDERED}), 0) FROM unit u) AS units,
           (SELECT coalesce(sum(delivered + returned), 0) FROM unit) AS units_delivered
""")  # noqa: S608 - our own fragments
_OVERSOLD = text("""
    SELECT count(*) FROM stock_position p
    LEFT JOIN (SELECT node_id, sku, sum(on_hand) AS on_hand, sum(reserved) AS reserved
               FROM stock_move GROUP BY node_id, sku) m USING (node_id, sku)
    WHERE p.reserved > p.on_hand OR p.on_hand <> coalesce(m.on_hand, 0) OR p.reserved <> coalesce(m.reserved, 0)
""")


class Figures(Model):
    """What became of a set of orders.

    Attributes:
        split: Orders with more than one shipped fulfillment order.
        backordered: Orders that waited for stock at some time.
        resourced: Orders with a fulfillment order that was rejected, not answered or shipped short, and sourced again.
        shipped: Orders of which something has left; ``shipments`` counts their shipped fulfillment orders.
        planned_minor: What the planner expected those shipments to cost.
        label_minor: What the labels bought and used did cost.
    """

    orders: int
    delivered: int
    cancelled: int
    split: int
    backordered: int
    resourced: int
    refunds: int
    refunded_minor: int
    shipped: int
    shipments: int
    planned_minor: int
    label_minor: int
    labels: int
    labels_voided: int
    units: int
    units_delivered: int

    @property
    def cost_per_order_minor(self) -> int:
        """The planned cost of an order that shipped, on average."""
        return self.planned_minor // self.shipped if self.shipped else 0


async def stage_counts(connection: AsyncConnection) -> dict[str, int]:
    """How many orders are at each stage, as the Temporal UI names them: held, or the fulfilment roll-up."""
    return {row.stage: row.orders for row in await connection.execute(_STAGES)}


async def summary_figures(connection: AsyncConnection, order_ids: Sequence[str] | None = None) -> Figures:
    """What became of these orders, or of all."""
    values = {"every": order_ids is None, "order_ids": list(order_ids or ())}
    row = (await connection.execute(_FIGURES, values)).one()
    return Figures.model_validate(dict(row._mapping))


async def oversold(connection: AsyncConnection) -> int:
    """Stock positions that promise more than there is, or do not equal the sum of their moves."""
    return int((await connection.execute(_OVERSOLD)).scalar_one())
