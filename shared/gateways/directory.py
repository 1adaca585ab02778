"""Which client speaks to which partner."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from shared.domain.partners import PartnerEndpoint, PartnerKind
from shared.errors import PartnerUnavailable
from shared.gateways.carriers.client import CarrierClient
from shared.gateways.channels.client import ChannelClient, SalesChannel
from shared.gateways.fulfillment.client import FulfillmentClient
from shared.gateways.guard import Limits
from shared.gateways.http import PartnerHttp
from shared.gateways.payments.client import PaymentClient
from shared.gateways.protocol import Carrier, FulfillmentPartner, PaymentProvider
from shared.gateways.signing import token_for


class Gateways:
    """One client per partner, made when it is first asked for and kept, with its pool and its breaker.

    Raises ``PartnerUnavailable`` for a partner that is not in the directory: it may be in the next one read.
    """

    def __init__(
        self, partners: Mapping[str, PartnerEndpoint], partner_key: str, *, limits: Limits | None = None
    ) -> None:
        self._partners = partners
        self._partner_key = partner_key
        self._limits = limits
        self._https: dict[str, PartnerHttp] = {}

    def payments(self, partner_id: str = "payments") -> PaymentProvider:
        return PaymentClient(self._http(partner_id, PartnerKind.PAYMENT))

    def carrier(self, partner_id: str) -> Carrier:
        return CarrierClient(self._http(partner_id, PartnerKind.CARRIER))

    def fulfillment(self, partner_id: str) -> FulfillmentPartner:
        return FulfillmentClient(self._http(partner_id, PartnerKind.FULFILLMENT))

    def channel(self, partner_id: str) -> SalesChannel:
        return ChannelClient(self._http(partner_id, PartnerKind.CHANNEL))

    async def update(self, partners: Mapping[str, PartnerEndpoint]) -> None:
        """Go by a newer directory; a partner that moved gets a new client."""
        moved = [name for name in self._https if partners.get(name) != self._partners.get(name)]
        self._partners = partners
        for name in moved:
            await self._https.pop(name).aclose()

    async def aclose(self) -> None:
        while self._https:
            await self._https.popitem()[1].aclose()

    async def __aenter__(self) -> Gateways:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _http(self, partner_id: str, kind: PartnerKind) -> PartnerHttp:
        partner = self._partners.get(partner_id)
        if partner is None or partner.kind is not kind:
            raise PartnerUnavailable(f"no {kind} partner {partner_id} is set up", retry_after=2, partner=partner_id)
        if partner_id not in self._https:
            token = token_for(self._partner_key, partner_id)
            self._https[partner_id] = PartnerHttp(partner_id, partner.base_url, token, self._limits)
        return self._https[partner_id]
