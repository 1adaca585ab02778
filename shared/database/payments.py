"""An order's money: what is authorised, captured, voided and refunded, and each operation that did it.

Amounts due are worked out from where the units are, never passed in: a line whose units have left by halves
is due by halves, to the cent, and the last unit carries the rounding.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.steps import lock_order, note
from shared.domain.base import Model
from shared.gateways.protocol import PaymentResult, PaymentStatus

#: Bigint division truncates, which for these non-negative values is the floor.
_DUE = {
    "authorize": """
        SELECT sum(l.total_minor * (l.quantity - l.cancelled) / l.quantity) + max(o.shipping_minor)
        FROM order_line l JOIN orders o USING (order_id) WHERE order_id = :order_id
    """,
    "capture": """
        SELECT sum(l.total_minor * (l.shipped + l.delivered + l.returned) / l.quantity) + max(o.shipping_minor)
               - (SELECT coalesce(sum(amount_minor), 0) FROM payment_operation
                  WHERE order_id = :order_id AND kind = 'capture' AND status <> 'declined')
        FROM order_line l JOIN orders o USING (order_id) WHERE order_id = :order_id
    """,
    "void": """
        SELECT authorized_minor - captured_minor - voided_minor FROM payment WHERE order_id = :order_id
    """,
    "refund": """
        SELECT least(sum(total_minor * returned / quantity),
                     (SELECT captured_minor FROM payment WHERE order_id = :order_id))
               - (SELECT coalesce(sum(amount_minor), 0) FROM payment_operation
                  WHERE order_id = :order_id AND kind = 'refund' AND status <> 'declined')
        FROM order_line WHERE order_id = :order_id
    """,
}
_KNOWN = text("""
    SELECT p.currency, p.authorization_id, o.payment ->> 'token' AS token,
           op.amount_minor, op.status, op.provider_id, op.reason
    FROM payment p JOIN orders o USING (order_id)
    LEFT JOIN payment_operation op ON op.reference = :reference
    WHERE p.order_id = :order_id
""")
_INTEND = text("""
    INSERT INTO payment_operation (reference, order_id, kind, amount_minor)
    VALUES (:reference, :order_id, :kind, :amount_minor)
""")
_ANSWERED = text("""
    UPDATE payment_operation
    SET status = :status, provider_id = :provider_id, reason = :reason, answered_at = now()
    WHERE reference = :reference AND status = 'intended'
    RETURNING order_id, kind, amount_minor
""")
_BOOK = {
    "authorize": """
        WITH opened AS (UPDATE orders SET lifecycle = 'open' WHERE order_id = :order_id AND lifecycle = 'placed')
        UPDATE payment SET authorized_minor = authorized_minor + :amount, authorization_id = :provider_id
        WHERE order_id = :order_id
    """,
    "capture": "UPDATE payment SET captured_minor = captured_minor + :amount WHERE order_id = :order_id",
    "void": "UPDATE payment SET voided_minor = voided_minor + :amount WHERE order_id = :order_id",
    "refund": "UPDATE payment SET refunded_minor = refunded_minor + :amount WHERE order_id = :order_id",
}


class Operation(Model):
    """A payment operation as it stands, with what the provider must be told.

    Attributes:
        fresh: Written down just now; otherwise an earlier attempt may have reached the provider.
    """

    reference: str
    order_id: str
    kind: str
    amount_minor: int
    currency: str
    token: str
    authorization_id: str | None
    fresh: bool
    result: PaymentResult | None = None


async def begin(connection: AsyncConnection, kind: str, order_id: str, reference: str) -> Operation:
    """Write the operation down with the amount that is due, or find it as it was written before."""
    await lock_order(connection, order_id)
    row = (await connection.execute(_KNOWN, {"order_id": order_id, "reference": reference})).one()
    fresh = row.amount_minor is None
    amount = row.amount_minor if not fresh else await _intend(connection, kind, order_id, reference)
    result = None
    if row.status not in (None, "intended"):
        result = PaymentResult(
            status=PaymentStatus(row.status), provider_id=row.provider_id, amount_minor=amount, reason=row.reason
        )
    return Operation(
        reference=reference,
        order_id=order_id,
        kind=kind,
        amount_minor=amount,
        currency=row.currency,
        token=row.token,
        authorization_id=row.authorization_id,
        fresh=fresh,
        result=result,
    )


async def _intend(connection: AsyncConnection, kind: str, order_id: str, reference: str) -> int:
    due = (await connection.execute(text(_DUE[kind]), {"order_id": order_id})).scalar_one()
    amount = max(int(due or 0), 0)
    values = {"reference": reference, "order_id": order_id, "kind": kind, "amount_minor": amount}
    await connection.execute(_INTEND, values)
    return amount


async def book(connection: AsyncConnection, reference: str, result: PaymentResult) -> None:
    """Write down the provider's answer and what it did to the order's money; once, however often it is told."""
    values = {
        "reference": reference,
        "status": result.status,
        "provider_id": result.provider_id,
        "reason": result.reason,
    }
    row = (await connection.execute(_ANSWERED, values)).first()
    if row is None:
        return
    if result.status is PaymentStatus.SUCCEEDED:
        booked = {"order_id": row.order_id, "amount": row.amount_minor}
        if row.kind == "authorize":
            booked["provider_id"] = result.provider_id
        await connection.execute(text(_BOOK[row.kind]), booked)
    await note(
        connection,
        row.order_id,
        f"{row.kind} {result.status}",
        amount_minor=row.amount_minor,
        reason=result.reason,
        reference=reference,
    )
