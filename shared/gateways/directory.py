"""Which client speaks to which partner."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

from shared.domain.partners import PartnerEndpoint, PartnerKind
from shared.errors import PartnerUnavailable
from shared.gateways.carriers.client import CarrierClient
from shared.gateways.channels.client import ChannelClient, SalesChannel
from shared.gateways.connectors import connected
from shared.gateways.fulfillment.client import FulfillmentClient
from shared.gateways.guard import Limits
from shared.gateways.http import PartnerHttp
from shared.gateways.payments.client import PaymentClient
from shared.gateways.protocol import Carrier, FulfillmentPartner, PaymentProvider
from shared.gateways.signing import token_for

C = TypeVar("C")


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
        self._quoting: dict[str, PartnerHttp] = {}

    def payments(self, partner_id: str = "payments") -> PaymentProvider:
        return PaymentClient(self._http(partner_id, PartnerKind.PAYMENT))

    def carrier(self, partner_id: str) -> Carrier:
        return self._connected(self._http(partner_id, PartnerKind.CARRIER), CarrierClient)

    def quotes(self, partner_id: str) -> Carrier:
        """The carrier, to be asked for quotes: by a pool and a breaker of their own, as labels must be bought from a
        carrier that is slow to say what they cost.
        """
        return self._connected(self._http(partner_id, PartnerKind.CARRIER, of=self._quoting), CarrierClient)

    @property
    def quoting(self) -> Sequence[str]:
        """The carriers that are asked for quotes."""
        return sorted(name for name, partner in self._partners.items() if partner.quotes)

    def fulfillment(self, partner_id: str) -> FulfillmentPartner:
        return self._connected(self._http(partner_id, PartnerKind.FULFILLMENT), FulfillmentClient)

    def channel(self, partner_id: str) -> SalesChannel:
        return ChannelClient(self._http(partner_id, PartnerKind.CHANNEL))

    async def update(self, partners: Mapping[str, PartnerEndpoint]) -> None:
        """Go by a newer directory; a partner that moved gets a new client."""
        before, self._partners = self._partners, partners
        for clients in (self._https, self._quoting):
            for name in [name for name in clients if partners.get(name) != before.get(name)]:
                await clients.pop(name).aclose()

    async def aclose(self) -> None:
        for clients in (self._https, self._quoting):
            while clients:
                await clients.popitem()[1].aclose()

    async def __aenter__(self) -> Gateways:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _connected(self, http: PartnerHttp, own: Callable[[PartnerHttp], C]) -> C:
        return connected(self._partners[http.partner_id], http, own)

    def _http(self, partner_id: str, kind: PartnerKind, *, of: dict[str, PartnerHttp] | None = None) -> PartnerHttp:
        clients = self._https if of is None else of
        partner = self._partners.get(partner_id)
        if partner is None or partner.kind is not kind:
            raise PartnerUnavailable(f"no {kind} partner {partner_id} is set up", retry_after=2, partner=partner_id)
        if partner_id not in clients:
            token = token_for(self._partner_key, partner_id)
            clients[partner_id] = PartnerHttp(partner_id, partner.base_url, token, self._limits)
        return clients[partner_id]
