"""A connector as a merchant's package would bring it: the carrier's references are not ours but upper-case."""

from __future__ import annotations

import asyncio

from shared.domain.quotes import CarrierQuote
from shared.gateways.carriers.client import CarrierClient
from shared.gateways.http import PartnerHttp
from shared.gateways.protocol import BuyLabel, Label, QuoteRequest


class Postal(CarrierClient):
    """Speaks the carrier's own references and tells ours."""

    async def buy_label(self, request: BuyLabel) -> Label:
        label = await super().buy_label(request.model_copy(update={"reference": request.reference.upper()}))
        return label.model_copy(update={"reference": request.reference})

    async def find_label(self, reference: str) -> Label | None:
        label = await super().find_label(reference.upper())
        return None if label is None else label.model_copy(update={"reference": reference})


def unmade(http: PartnerHttp) -> CarrierClient:
    raise RuntimeError(f"no contract with {http.partner_id}")


class Balky(CarrierClient):
    """Does not know every country."""

    async def quote(self, request: QuoteRequest, *, within: float) -> tuple[CarrierQuote, ...]:
        raise KeyError(request.country)


class Sleepy(CarrierClient):
    """Does not look at the clock."""

    async def quote(self, request: QuoteRequest, *, within: float) -> tuple[CarrierQuote, ...]:
        await asyncio.sleep(60)
        return await super().quote(request, within=within)


class Proud(CarrierClient):
    """Quotes in a name of its own."""

    async def quote(self, request: QuoteRequest, *, within: float) -> tuple[CarrierQuote, ...]:
        return tuple(
            quote.model_copy(update={"carrier": "postal-ag"}) for quote in await super().quote(request, within=within)
        )
