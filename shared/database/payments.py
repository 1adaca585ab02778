"""An order's money: what is authorised, captured, voided and refunded, and each operation that did it.

Amounts due are worked out from where the units are, never passed in: a line whose units have left by halves
is due by halves, to the cent, and the last unit carries the rounding.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.steps import lock_order
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
#: What an earlier attempt wrote down stands: only a reference that is not known yet is given the amount due now.
_BEGIN = """
    WITH known AS (
        SELECT amount_minor, status, provider_id, reason FROM payment_operation WHERE reference = :reference
    ), fresh AS (
        INSERT INTO payment_operation (reference, order_id, kind, amount_minor)
        SELECT :reference, :order_id, :kind, greatest(coalesce(({due}), 0), 0) WHERE NOT EXISTS (SELECT FROM known)
        RETURNING amount_minor
    )
    SELECT p.currency, p.authorization_id, o.payment ->> 'token' AS token, known.status, known.provider_id,
           known.reason, coalesce(known.amount_minor, fresh.amount_minor) AS amount_minor,
           fresh.amount_minor IS NOT NULL AS fresh
    FROM payment p JOIN orders o USING (order_id) LEFT JOIN known ON true LEFT JOIN fresh ON true
    WHERE p.order_id = :order_id
"""
_BEGIN_OF = {kind: text(_BEGIN.format(due=due)) for kind, due in _DUE.items()}
_BOOK = text("""
    WITH answered AS (
        UPDATE payment_operation
        SET status = :status, provider_id = :provider_id, reason = :reason, answered_at = now()
        WHERE reference = :reference AND status = 'intended'
        RETURNING reference, order_id, kind, amount_minor, status, provider_id, reason
    ), done AS (
        SELECT * FROM answered WHERE status = 'succeeded'
    ), opened AS (
        UPDATE orders o SET lifecycle = 'open'
        FROM done d WHERE o.order_id = d.order_id AND d.kind = 'authorize' AND o.lifecycle = 'placed'
    ), booked AS (
        UPDATE payment p
        SET authorized_minor = p.authorized_minor + CASE d.kind WHEN 'authorize' THEN d.amount_minor ELSE 0 END,
            captured_minor = p.captured_minor + CASE d.kind WHEN 'capture' THEN d.amount_minor ELSE 0 END,
            voided_minor = p.voided_minor + CASE d.kind WHEN 'void' THEN d.amount_minor ELSE 0 END,
            refunded_minor = p.refunded_minor + CASE d.kind WHEN 'refund' THEN d.amount_minor ELSE 0 END,
            authorization_id = CASE d.kind WHEN 'authorize' THEN d.provider_id ELSE p.authorization_id END
        FROM done d WHERE p.order_id = d.order_id
    )
    INSERT INTO timeline (order_id, actor, event, detail)
    SELECT order_id, 'doms', kind || ' ' || status,
           jsonb_build_object('amount_minor', amount_minor, 'reason', reason, 'reference', reference)
    FROM answered
""")


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
    row = (
        await connection.execute(_BEGIN_OF[kind], {"order_id": order_id, "reference": reference, "kind": kind})
    ).one()
    result = None
    if row.status not in (None, "intended"):
        result = PaymentResult(
            status=PaymentStatus(row.status),
            provider_id=row.provider_id,
            amount_minor=row.amount_minor,
            reason=row.reason,
        )
    return Operation(
        reference=reference,
        order_id=order_id,
        kind=kind,
        amount_minor=row.amount_minor,
        currency=row.currency,
        token=row.token,
        authorization_id=row.authorization_id,
        fresh=row.fresh,
        result=result,
    )


async def book(connection: AsyncConnection, reference: str, result: PaymentResult) -> None:
    """Write down the provider's answer and what it did to the order's money; once, however often it is told.

    One statement: it needs no transaction around it.
    """
    values = {
        "reference": reference,
        "status": result.status,
        "provider_id": result.provider_id,
        "reason": result.reason,
    }
    await connection.execute(_BOOK, values)
