"""Orders as channels sent them: kept once, whole, whatever is sent again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.deliveries import Delivery
from shared.database.turns import IN_TURN
from shared.domain.base import Model
from shared.domain.bundles import StockLine
from shared.domain.carts import cart_hold_id_of
from shared.domain.orders import OrderDocument, Verdict
from shared.domain.policy import ProcessPolicy
from shared.messages import OrderInput

_KEEP = text("""
    WITH kept AS (
        INSERT INTO orders (order_id, channel, channel_order_id, content_hash, currency, placed_at, customer_ref,
                            ship_to, place, service, priority, shipping_minor, total_minor, payment, policy_version,
                            cart_hold_id, tags, method, pickup_node_id)
        VALUES (:order_id, :channel, :channel_order_id, :content_hash, :currency, :placed_at, :customer_ref,
                CAST(:ship_to AS jsonb), CAST(:place AS jsonb), :service, :priority, :shipping_minor, :total_minor,
                CAST(:payment AS jsonb), :policy_version, :cart_hold_id, CAST(:tags AS text[]), :method,
                :pickup_node_id)
        ON CONFLICT DO NOTHING
        RETURNING order_id, received_at
    ), lines AS (
        INSERT INTO order_line (order_id, line_no, sku, quantity, unit_price_minor, total_minor, tax_minor,
                                unallocated, bundle_line_no)
        SELECT k.order_id, l.line_no, l.sku, l.quantity, l.unit_price_minor, l.total_minor, l.tax_minor,
               l.quantity, l.bundle_line_no
        FROM kept k, jsonb_to_recordset(CAST(:lines AS jsonb)) AS l(
            line_no int, sku text, quantity int, unit_price_minor bigint, total_minor bigint, tax_minor bigint,
            bundle_line_no int)
    ), bundles AS (
        INSERT INTO bundle_line (order_id, line_no, sku, quantity, unit_price_minor, total_minor)
        SELECT k.order_id, b.line_no, b.sku, b.quantity, b.unit_price_minor, b.total_minor
        FROM kept k, jsonb_to_recordset(CAST(:bundles AS jsonb)) AS b(
            line_no int, sku text, quantity int, unit_price_minor bigint, total_minor bigint)
    ), paid AS (
        INSERT INTO payment (order_id, currency) SELECT order_id, :currency FROM kept
    ), noted AS (
        INSERT INTO timeline (order_id, actor, event, detail)
        SELECT order_id, :channel, 'placed', CAST(:detail AS jsonb) FROM kept
    )
    SELECT received_at FROM kept
""")
_FIND = text("""
    SELECT content_hash, verdict, closed_at FROM orders WHERE order_id = :order_id
""")
_START = text("""
    SELECT o.order_id, o.channel, o.currency, o.total_minor, o.priority, o.received_at, p.process AS policy,
           (SELECT count(*) FROM order_line l WHERE l.order_id = o.order_id) AS lines,
           (SELECT sum(quantity) FROM order_line l WHERE l.order_id = o.order_id) AS units
    FROM orders o JOIN policy_version p ON p.version = o.policy_version WHERE o.order_id = :order_id
""")
_ACTIVE_POLICY = text("SELECT version, process FROM policy_version WHERE active")
_WAITING_FOR = text(f"""
    SELECT o.order_id FROM order_line l JOIN orders o USING (order_id)
    WHERE l.backordered > 0 AND l.sku = ANY(:skus) AND o.closed_at IS NULL
    GROUP BY o.order_id ORDER BY {IN_TURN} LIMIT :limit
""")  # noqa: S608 - our own fragment


_STOCK_LINES = TypeAdapter(list[StockLine])


class OrderStart(Model):
    """What an order's process is started with."""

    order_id: str
    channel: str
    lines: int
    units: int
    total_minor: int
    currency: str
    priority: int
    received_at: datetime
    policy: ProcessPolicy

    @classmethod
    def of(
        cls,
        order_id: str,
        document: OrderDocument,
        lines: Sequence[StockLine],
        received_at: datetime,
        policy: ProcessPolicy,
    ) -> OrderStart:
        return cls(
            order_id=order_id,
            channel=document.channel,
            lines=len(lines),
            units=sum(line.quantity for line in lines),
            total_minor=document.total_minor,
            currency=document.currency,
            priority=document.priority,
            received_at=received_at,
            policy=policy,
        )

    def input(self) -> OrderInput:
        return OrderInput(
            order_id=self.order_id,
            channel=self.channel,
            lines=self.lines,
            units=self.units,
            total_minor=self.total_minor,
            currency=self.currency,
            received_at=self.received_at,
            policy=self.policy,
        )

    def summary(self) -> str:
        """One line for lists of processes; no personal data."""
        return f"{self.lines} lines, {self.units} units, {self.total_minor} {self.currency} minor, {self.channel}"


class KnownOrder(Model):
    """What is on record of an order that was sent before."""

    content_hash: str
    verdict: Verdict | None
    closed: bool


async def keep_order(
    connection: AsyncConnection,
    order_id: str,
    document: OrderDocument,
    lines: Sequence[StockLine],
    *,
    delivery: Delivery,
    policy_version: str,
) -> datetime | None:
    """Write the order down. Returns when it was received, or ``None`` when the order is on record already.

    Args:
        lines: What the document's lines come to in stock, bundles as their components.
        delivery: How and where the customer gets it.
    """
    bundled = {line.bundle_line_no for line in lines}
    bundles = [
        {
            "line_no": line.line_no,
            "sku": line.sku,
            "quantity": line.quantity,
            "unit_price_minor": line.unit_price_minor,
            "total_minor": line.total_minor,
        }
        for line in document.lines
        if line.line_no in bundled
    ]
    values = {
        "order_id": order_id,
        "channel": document.channel,
        "channel_order_id": document.channel_order_id,
        "content_hash": document.content_hash(),
        "currency": document.currency,
        "placed_at": document.placed_at,
        "customer_ref": document.customer_ref,
        "ship_to": delivery.ship_to.model_dump_json(),
        "place": delivery.place.model_dump_json(),
        "service": delivery.service,
        "method": delivery.method,
        "pickup_node_id": delivery.pickup_node_id,
        "priority": document.priority,
        "shipping_minor": document.shipping_minor,
        "total_minor": document.total_minor,
        "payment": document.payment.model_dump_json(),
        "policy_version": policy_version,
        "cart_hold_id": cart_hold_id_of(document.channel, document.cart_id) if document.cart_id else None,
        "tags": list(document.tags),
        "lines": _STOCK_LINES.dump_json(list(lines)).decode(),
        "bundles": json.dumps(bundles),
        "detail": json.dumps(
            {"lines": len(document.lines), "units": document.units, "total_minor": document.total_minor}
        ),
    }
    received: datetime | None = (await connection.execute(_KEEP, values)).scalar_one_or_none()
    return received


async def find_order(connection: AsyncConnection, order_id: str) -> KnownOrder | None:
    row = (await connection.execute(_FIND, {"order_id": order_id})).first()
    if row is None:
        return None
    return KnownOrder(
        content_hash=row.content_hash,
        verdict=Verdict.model_validate(row.verdict) if row.verdict else None,
        closed=row.closed_at is not None,
    )


async def read_start(connection: AsyncConnection, order_id: str) -> OrderStart:
    """What the process of an order on record is started with."""
    row = (await connection.execute(_START, {"order_id": order_id})).one()
    return OrderStart.model_validate(dict(row._mapping))


async def active_policy(connection: AsyncConnection) -> tuple[str, ProcessPolicy]:
    """The version that new orders begin with, and its process part."""
    row = (await connection.execute(_ACTIVE_POLICY)).one()
    return row.version, ProcessPolicy.model_validate(row.process)


async def orders_waiting_for(connection: AsyncConnection, skus: Sequence[str], limit: int = 1000) -> list[str]:
    """Open orders with backordered units of these SKUs, in their order of service."""
    rows = await connection.execute(_WAITING_FOR, {"skus": list(skus), "limit": limit})
    return list(rows.scalars())
