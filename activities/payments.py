"""The payment provider, and the money facts: intended, sent, answered, booked."""

from __future__ import annotations

from typing import Any

from temporalio import activity

from shared.contracts import PaymentActivities
from shared.database import payments
from shared.database.engine import Database
from shared.database.payments import Operation
from shared.errors import PartnerRefused
from shared.gateways.directory import Gateways
from shared.gateways.protocol import (
    Authorize,
    Capture,
    PaymentProvider,
    PaymentResult,
    PaymentStatus,
    Refund,
    Void,
)
from shared.messages import PaymentOutcome, PaymentRequest


class Payments(PaymentActivities):
    """The payment activities over the database and the provider."""

    def __init__(self, database: Database, gateways: Gateways) -> None:
        self._database = database
        self._gateways = gateways

    @activity.defn(name="payments.authorize")
    async def authorize(self, request: PaymentRequest) -> PaymentOutcome:
        return await self._operate("authorize", request)

    @activity.defn(name="payments.capture")
    async def capture(self, request: PaymentRequest) -> PaymentOutcome:
        return await self._operate("capture", request)

    @activity.defn(name="payments.void")
    async def void(self, request: PaymentRequest) -> PaymentOutcome:
        return await self._operate("void", request)

    @activity.defn(name="payments.refund")
    async def refund(self, request: PaymentRequest) -> PaymentOutcome:
        return await self._operate("refund", request)

    async def _operate(self, kind: str, request: PaymentRequest) -> PaymentOutcome:
        async with self._database.transaction() as connection:
            operation = await payments.begin(connection, kind, request.order_id, request.reference)
        result = operation.result or await self._settle(operation)
        return PaymentOutcome(
            succeeded=result.status is PaymentStatus.SUCCEEDED,
            amount_minor=operation.amount_minor,
            reason=result.reason,
        )

    async def _settle(self, operation: Operation) -> PaymentResult:
        result = await _ask(self._gateways.payments(), operation)
        async with self._database.statement() as connection:
            await payments.book(connection, operation.reference, result)
        return result


async def _ask(provider: PaymentProvider, operation: Operation) -> PaymentResult:
    """The provider's answer. What an earlier attempt may have sent is looked up before it is sent again."""
    if operation.amount_minor == 0:
        return PaymentResult(status=PaymentStatus.SUCCEEDED, provider_id="", reason="nothing due")
    if not operation.fresh:
        known = await provider.find(operation.reference)
        if known is not None:
            return known
    try:
        return await _send(provider, operation)
    except PartnerRefused as error:
        return PaymentResult(status=PaymentStatus.DECLINED, provider_id="", reason=f"refused: {error}"[:200])


async def _send(provider: PaymentProvider, operation: Operation) -> PaymentResult:
    if operation.kind == "authorize":
        return await provider.authorize(
            Authorize(
                reference=operation.reference,
                order_id=operation.order_id,
                amount_minor=operation.amount_minor,
                currency=operation.currency,
                token=operation.token,
            )
        )
    authorization_id = operation.authorization_id or ""
    if operation.kind == "void":
        return await provider.void(Void(reference=operation.reference, authorization_id=authorization_id))
    taking: dict[str, Any] = {
        "reference": operation.reference,
        "authorization_id": authorization_id,
        "amount_minor": operation.amount_minor,
        "currency": operation.currency,
    }
    if operation.kind == "capture":
        return await provider.capture(Capture(**taking))
    return await provider.refund(Refund(**taking))
