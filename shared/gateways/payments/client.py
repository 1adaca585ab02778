"""The payment provider over HTTP. Requests are the protocol's own documents in JSON."""

from __future__ import annotations

from pydantic import BaseModel

from shared.domain.base import Instant, Minor, Model
from shared.errors import PartnerUnavailable
from shared.gateways.http import PartnerHttp
from shared.gateways.protocol import Authorize, Capture, PaymentResult, PaymentStatus, Refund, Void


class Operation(Model):
    """The provider's record of one operation."""

    id: str
    reference: str
    status: PaymentStatus
    amount_minor: Minor
    reason: str = ""
    expires_at: Instant | None = None

    def result(self) -> PaymentResult:
        return PaymentResult(
            status=self.status,
            provider_id=self.id,
            amount_minor=self.amount_minor,
            reason=self.reason,
            expires_at=self.expires_at,
        )


class PaymentClient:
    """A ``PaymentProvider`` behind HTTP."""

    def __init__(self, http: PartnerHttp) -> None:
        self._http = http

    async def authorize(self, request: Authorize) -> PaymentResult:
        return await self._amount("/v1/authorizations", request, request.reference, request.amount_minor)

    async def capture(self, request: Capture) -> PaymentResult:
        return await self._amount("/v1/captures", request, request.reference, request.amount_minor)

    async def refund(self, request: Refund) -> PaymentResult:
        return await self._amount("/v1/refunds", request, request.reference, request.amount_minor)

    async def void(self, request: Void) -> PaymentResult:
        return (await self._http.post("/v1/voids", request, Operation, reference=request.reference)).result()

    async def find(self, reference: str) -> PaymentResult | None:
        found = await self._http.find("/v1/operations", Operation, reference=reference)
        return found.result() if found else None

    async def _amount(self, path: str, request: BaseModel, reference: str, amount_minor: int) -> PaymentResult:
        done = await self._http.post(path, request, Operation, reference=reference)
        if done.status is PaymentStatus.SUCCEEDED and done.amount_minor != amount_minor:
            raise PartnerUnavailable(
                f"asked for {amount_minor} and answered for {done.amount_minor}",
                partner=self._http.partner_id,
                reference=reference,
            )
        return done.result()
