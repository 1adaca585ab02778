"""The checks of the reconciliation: what must hold over all facts, each as one statement.

One statement sees one snapshot, and every step moves the facts it touches in one transaction, so a check
never catches an order half way. What takes time by nature is only looked at once it has taken too long.

Each query gives one row per thing compared: ``reference``, ``order_id``, ``detail`` and whether it is ``broken``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

#: A partner's answer, or the fact an early message is about, comes within seconds; hours of outage are a case.
TOO_LONG = timedelta(minutes=15)


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        kind: The kind of case a break opens.
        late: The break says that something is late, not that facts contradict each other.
    """

    name: str
    query: str
    kind: str = ""
    late: bool = False

    @property
    def case_kind(self) -> str:
        return self.kind or f"recon.{self.name}"


_STOCK_MOVES = """
    SELECT p.node_id || '/' || p.sku AS reference, NULL AS order_id,
           jsonb_build_object('on_hand', p.on_hand, 'moved_on_hand', coalesce(m.on_hand, 0),
                              'reserved', p.reserved, 'moved_reserved', coalesce(m.reserved, 0),
                              'held', p.held, 'moved_held', coalesce(m.held, 0),
                              'quarantined', p.quarantined, 'moved_quarantined', coalesce(m.quarantined, 0)) AS detail,
           (p.on_hand, p.reserved, p.held, p.quarantined) IS DISTINCT FROM
           (coalesce(m.on_hand, 0), coalesce(m.reserved, 0), coalesce(m.held, 0), coalesce(m.quarantined, 0)) AS broken
    FROM stock_position p LEFT JOIN (
        SELECT node_id, sku, sum(on_hand) AS on_hand, sum(reserved) AS reserved, sum(held) AS held,
               sum(quarantined) AS quarantined
        FROM stock_move GROUP BY node_id, sku
    ) m USING (node_id, sku)
"""
_STOCK_RESERVED = """
    SELECT p.node_id || '/' || p.sku AS reference, NULL AS order_id,
           jsonb_build_object('reserved', p.reserved, 'open', coalesce(r.open, 0)) AS detail,
           p.reserved <> coalesce(r.open, 0) AS broken
    FROM stock_position p LEFT JOIN (
        SELECT node_id, sku, sum(open) AS open FROM reservation WHERE open > 0 GROUP BY node_id, sku
    ) r USING (node_id, sku)
"""
_STOCK_HELD = """
    SELECT p.node_id || '/' || p.sku AS reference, NULL AS order_id,
           jsonb_build_object('held', p.held, 'open', coalesce(h.open, 0)) AS detail,
           p.held <> coalesce(h.open, 0) AS broken
    FROM stock_position p LEFT JOIN (
        SELECT node_id, sku, sum(open) AS open FROM cart_hold_line WHERE open > 0 GROUP BY node_id, sku
    ) h USING (node_id, sku)
"""
_ENDED_RESERVATIONS = """
    SELECT r.owner || '/' || r.line_no AS reference, r.order_id,
           jsonb_build_object('node_id', r.node_id, 'sku', r.sku, 'open', r.open) AS detail,
           o.closed_at IS NOT NULL OR f.ended_at IS NOT NULL OR f.fulfillment_order_id IS NULL AS broken
    FROM reservation r JOIN orders o USING (order_id)
    LEFT JOIN fulfillment_order f ON f.fulfillment_order_id = r.owner
    WHERE r.open > 0
"""
_LINE_UNITS = """
    SELECT l.order_id || '/' || l.line_no AS reference, l.order_id,
           jsonb_build_object('at_nodes', l.allocated + l.released, 'reserved', coalesce(r.open, 0),
                              'left', l.shipped + l.delivered + l.returned,
                              'shipped', coalesce(r.shipped, 0)) AS detail,
           l.allocated + l.released <> coalesce(r.open, 0)
               OR l.shipped + l.delivered + l.returned <> coalesce(r.shipped, 0) AS broken
    FROM order_line l LEFT JOIN (
        SELECT order_id, line_no, sum(open) AS open, sum(shipped) AS shipped FROM reservation GROUP BY order_id, line_no
    ) r USING (order_id, line_no)
"""
_SUPPLY_BOUND = """
    SELECT l.inbound_id || '/' || l.sku AS reference, NULL AS order_id,
           jsonb_build_object('bound', l.bound, 'bindings', coalesce(b.units, 0)) AS detail,
           l.bound <> coalesce(b.units, 0) AS broken
    FROM inbound_line l LEFT JOIN (
        SELECT inbound_id, sku, sum(quantity) AS units FROM supply_binding GROUP BY inbound_id, sku
    ) b USING (inbound_id, sku)
"""
_BOUND_WAITS = """
    SELECT b.order_id || '/' || b.line_no AS reference, b.order_id,
           jsonb_build_object('bound', sum(b.quantity), 'backordered', l.backordered) AS detail,
           sum(b.quantity) > l.backordered AS broken
    FROM supply_binding b JOIN order_line l USING (order_id, line_no)
    GROUP BY b.order_id, b.line_no, l.backordered
"""
_INBOUND_MOVES = """
    SELECT l.inbound_id || '/' || l.sku AS reference, NULL AS order_id,
           jsonb_build_object('received', l.received, 'damaged', l.damaged, 'moved_on_hand', coalesce(m.on_hand, 0),
                              'moved_quarantined', coalesce(m.quarantined, 0), 'departed', d.units) AS detail,
           (l.received, l.damaged) IS DISTINCT FROM (coalesce(m.on_hand, 0), coalesce(m.quarantined, 0))
               OR i.departed_at IS NOT NULL AND coalesce(d.units, 0) <> l.quantity AS broken
    FROM inbound_line l JOIN inbound i USING (inbound_id)
    LEFT JOIN (
        SELECT r.inbound_id, m.sku, sum(m.on_hand) AS on_hand, sum(m.quarantined) AS quarantined
        FROM inbound_receipt r JOIN inbound i USING (inbound_id)
        JOIN stock_move m ON m.reference = r.inbound_id || '/' || r.reference AND m.node_id = i.node_id
            AND m.cause IN ('receive', 'transfer', 'quarantine')
        GROUP BY r.inbound_id, m.sku
    ) m USING (inbound_id, sku)
    LEFT JOIN LATERAL (
        SELECT -sum(on_hand) AS units FROM stock_move
        WHERE reference = i.inbound_id || '/departure' AND cause = 'transfer' AND node_id = i.origin_node_id
          AND sku = l.sku
    ) d ON true
"""
_PAYMENT_OPERATIONS = """
    SELECT p.order_id AS reference, p.order_id,
           jsonb_build_object('authorized', p.authorized_minor, 'captured', p.captured_minor, 'voided', p.voided_minor,
                              'refunded', p.refunded_minor, 'operations', to_jsonb(s)) AS detail,
           (p.authorized_minor, p.captured_minor, p.voided_minor, p.refunded_minor) IS DISTINCT FROM
           (coalesce(s.authorized, 0), coalesce(s.captured, 0), coalesce(s.voided, 0), coalesce(s.refunded, 0))
               AS broken
    FROM payment p LEFT JOIN (
        SELECT order_id, sum(amount_minor) FILTER (WHERE kind = 'authorize') AS authorized,
               sum(amount_minor) FILTER (WHERE kind = 'capture') AS captured,
               sum(amount_minor) FILTER (WHERE kind = 'void') AS voided,
               sum(amount_minor) FILTER (WHERE kind = 'refund') AS refunded
        FROM payment_operation WHERE status = 'succeeded' GROUP BY order_id
    ) s USING (order_id)
"""
#: What units are worth, to the cent as ``shared.database.payments`` makes them due.
_WORTH = """
    SELECT order_id, sum(total_minor * (shipped + delivered + returned) / quantity) AS left_minor,
           sum(total_minor * returned / quantity) AS returned_minor, sum(shipped + delivered + returned) AS units_left
    FROM order_line GROUP BY order_id
"""
_CAPTURED_WITHIN_SHIPPED = f"""
    SELECT o.order_id AS reference, o.order_id,
           jsonb_build_object('captured', p.captured_minor, 'left', w.left_minor,
                              'shipping', o.shipping_minor) AS detail,
           p.captured_minor > CASE WHEN w.units_left > 0 THEN w.left_minor + o.shipping_minor ELSE 0 END AS broken
    FROM payment p JOIN orders o USING (order_id) JOIN ({_WORTH}) w USING (order_id)
"""  # noqa: S608 - our own fragments
_REFUNDS = f"""
    SELECT p.order_id AS reference, p.order_id,
           jsonb_build_object('refunding', r.amount, 'captured', p.captured_minor,
                              'returned', w.returned_minor) AS detail,
           r.amount > p.captured_minor OR r.amount > w.returned_minor AS broken
    FROM payment p JOIN ({_WORTH}) w USING (order_id) JOIN (
        SELECT order_id, sum(amount_minor) AS amount FROM payment_operation
        WHERE kind = 'refund' AND status <> 'declined' GROUP BY order_id
    ) r USING (order_id)
"""  # noqa: S608 - our own fragments
_CLOSED_ORDER_MONEY = f"""
    SELECT o.order_id AS reference, o.order_id,
           jsonb_build_object('authorized', p.authorized_minor, 'captured', p.captured_minor,
                              'voided', p.voided_minor, 'left', w.left_minor) AS detail,
           p.captured_minor <> CASE WHEN w.units_left > 0 THEN w.left_minor + o.shipping_minor ELSE 0 END
               OR p.captured_minor + p.voided_minor <> p.authorized_minor AS broken
    FROM orders o JOIN payment p USING (order_id) JOIN ({_WORTH}) w USING (order_id)
    WHERE o.closed_at IS NOT NULL
"""  # noqa: S608 - our own fragments
_MESSAGES_UNANSWERED = """
    SELECT message_key AS reference, order_id,
           jsonb_build_object('partner_id', partner_id, 'attempts', attempts, 'since', intended_at) AS detail,
           intended_at < CAST(:overdue AS timestamptz) AS broken
    FROM message_out WHERE answered_at IS NULL
"""
_PAYMENTS_UNANSWERED = """
    SELECT reference, order_id,
           jsonb_build_object('kind', kind, 'amount', amount_minor, 'since', intended_at) AS detail,
           intended_at < CAST(:overdue AS timestamptz) AS broken
    FROM payment_operation WHERE status = 'intended'
"""
_MESSAGES_UNMATCHED = """
    SELECT partner_id || '/' || message_id AS reference, order_id,
           jsonb_build_object('type', type, 'about', reference, 'since', received_at) AS detail,
           received_at < CAST(:overdue AS timestamptz) AS broken
    FROM message_in WHERE applied_at IS NULL
"""
_OVERDUE_SHIPMENT = """
    SELECT fulfillment_order_id AS reference, order_id,
           jsonb_build_object('node_id', node_id, 'ship_by', ship_by, 'request_status', request_status) AS detail,
           ship_by < CAST(:now AS timestamptz) AS broken
    FROM fulfillment_order WHERE ended_at IS NULL AND shipped_at IS NULL AND ready_at IS NULL
"""
_OVERDUE_DELIVERY = """
    SELECT fulfillment_order_id AS reference, order_id,
           jsonb_build_object('carrier', carrier, 'deliver_by', deliver_by, 'shipped_at', shipped_at) AS detail,
           deliver_by < CAST(:now AS timestamptz) AS broken
    FROM fulfillment_order WHERE ended_at IS NULL AND shipped_at IS NOT NULL AND delivered_at IS NULL
"""
#: What was reserved and used up of a day is what its owners claimed.
_CAPACITY_CLAIMS = """
    SELECT u.node_id || '/' || u.day || CASE WHEN u.service = '' THEN '' ELSE '/' || u.service END AS reference,
           NULL AS order_id,
           jsonb_build_object('reserved', u.reserved, 'claimed', coalesce(c.reserved, 0),
                              'consumed', u.consumed, 'used', coalesce(c.consumed, 0),
                              'reserved_orders', u.reserved_orders, 'claimed_orders', coalesce(c.reserved_orders, 0),
                              'consumed_orders', u.consumed_orders, 'used_orders', coalesce(c.consumed_orders, 0)
           ) AS detail,
           (u.reserved, u.consumed, u.reserved_orders, u.consumed_orders) IS DISTINCT FROM
               (coalesce(c.reserved, 0), coalesce(c.consumed, 0),
                coalesce(c.reserved_orders, 0), coalesce(c.consumed_orders, 0)) AS broken
    FROM capacity_use u LEFT JOIN (
        SELECT node_id, day, service, sum(reserved) AS reserved, sum(consumed) AS consumed,
               count(*) FILTER (WHERE reserved > 0) AS reserved_orders,
               count(*) FILTER (WHERE reserved = 0 AND consumed > 0) AS consumed_orders
        FROM capacity_claim GROUP BY node_id, day, service
    ) c USING (node_id, day, service)
"""
#: Nobody keeps a day for units that are not going to be shipped any more.
_CAPACITY_OWNERS = """
    SELECT c.owner AS reference, f.order_id,
           jsonb_build_object('claimed', c.reserved, 'open', coalesce(r.open, 0)) AS detail,
           c.reserved > coalesce(r.open, 0) AS broken
    FROM (
        SELECT owner, max(reserved) AS reserved FROM (
            SELECT owner, service, sum(reserved) AS reserved FROM capacity_claim WHERE reserved > 0
            GROUP BY owner, service) s
        GROUP BY owner
    ) c LEFT JOIN fulfillment_order f ON f.fulfillment_order_id = c.owner
    LEFT JOIN LATERAL (SELECT sum(open) AS open FROM reservation WHERE owner = c.owner) r ON true
"""
_CAPACITY_EXCEEDED = """
    SELECT node_id || '/' || day || CASE WHEN service = '' THEN '' ELSE '/' || service END AS reference,
           NULL AS order_id,
           jsonb_build_object('limit', units, 'reserved', reserved, 'consumed', consumed, 'order_limit', orders,
                              'reserved_orders', reserved_orders, 'consumed_orders', consumed_orders) AS detail,
           (excess > 0 AND reserved > 0 OR excess_orders > 0 AND reserved_orders > 0)
               AND day > CAST(:now AS timestamptz)::date - 1 AS broken
    FROM capacity_use
"""

CHECKS = (
    Check("stock_moves", _STOCK_MOVES),
    Check("stock_reserved", _STOCK_RESERVED),
    Check("stock_held", _STOCK_HELD),
    Check("ended_reservations", _ENDED_RESERVATIONS),
    Check("line_units", _LINE_UNITS),
    Check("supply_bound", _SUPPLY_BOUND),
    Check("bound_waits", _BOUND_WAITS),
    Check("inbound_moves", _INBOUND_MOVES),
    Check("capacity_claims", _CAPACITY_CLAIMS),
    Check("capacity_owners", _CAPACITY_OWNERS),
    Check("capacity_exceeded", _CAPACITY_EXCEEDED, kind="capacity_exceeded", late=True),
    Check("payment_operations", _PAYMENT_OPERATIONS),
    Check("captured_within_shipped", _CAPTURED_WITHIN_SHIPPED),
    Check("refunds", _REFUNDS),
    Check("closed_order_money", _CLOSED_ORDER_MONEY),
    Check("messages_unanswered", _MESSAGES_UNANSWERED),
    Check("payments_unanswered", _PAYMENTS_UNANSWERED),
    Check("messages_unmatched", _MESSAGES_UNMATCHED),
    Check("overdue_shipment", _OVERDUE_SHIPMENT, kind="overdue_shipment", late=True),
    Check("overdue_delivery", _OVERDUE_DELIVERY, kind="overdue_delivery", late=True),
)
