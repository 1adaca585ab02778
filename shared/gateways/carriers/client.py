"""A parcel carrier over HTTP. Requests are the protocol's own documents in JSON."""

from __future__ import annotations

from shared.domain.base import Model
from shared.domain.quotes import CarrierQuote
from shared.gateways.http import PartnerHttp
from shared.gateways.protocol import BuyLabel, Label, QuoteRequest, VoidOutcome


class VoidLabel(Model):
    """Ask for a label's money back."""

    label_id: str


class Voided(Model):
    """The carrier's answer to ``VoidLabel``."""

    reference: str
    outcome: VoidOutcome


class Quoted(Model):
    """The carrier's answer to ``QuoteRequest``: a quote each service that would take the parcel."""

    reference: str
    quotes: tuple[CarrierQuote, ...]


class CarrierClient:
    """A ``Carrier`` behind HTTP."""

    def __init__(self, http: PartnerHttp) -> None:
        self._http = http

    async def quote(self, request: QuoteRequest, *, within: float) -> tuple[CarrierQuote, ...]:
        return (await self._http.post("/v1/quotes", request, Quoted, reference=request.reference, within=within)).quotes

    async def buy_label(self, request: BuyLabel) -> Label:
        return await self._http.post("/v1/labels", request, Label, reference=request.reference)

    async def find_label(self, reference: str) -> Label | None:
        return await self._http.find("/v1/labels", Label, reference=reference)

    async def void_label(self, label_id: str) -> VoidOutcome:
        request = VoidLabel(label_id=label_id)
        return (await self._http.post("/v1/labels/void", request, Voided, reference=f"{label_id}/void")).outcome
