"""The outside world of one test: the sandbox over real sockets, clients to it, and what it told us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.domain.network import NodeType
from shared.domain.partners import PartnerEndpoint, PartnerKind
from shared.gateways.directory import Gateways
from shared.gateways.guard import Limits
from shared.gateways.http import HttpClient
from shared.gateways.partner_messages import FulfillmentPacked
from shared.gateways.protocol import Authorize, CancelRequest, Capture, PaymentResult, Refund, SendLabel
from tests.support.partners import PARTNER_KEY, Inbox, label_for, listening
from workers.sandbox.app import running
from workers.sandbox.config import Behaviour, Pace, Rates, SandboxConfig
from workers.sandbox.control import Pending
from workers.sandbox.log import read_effects

FAST = Pace(accept_after=0.01, pack_after=0.01, ship_after=0.01, late_by=0.3, transit=0.05, return_after=0.01)
PARTNERS = {
    "payments": PartnerKind.PAYMENT,
    "parcelpost": PartnerKind.CARRIER,
    "swiftship": PartnerKind.CARRIER,
    "ours": PartnerKind.FULFILLMENT,
    "acme": PartnerKind.FULFILLMENT,
}
OURS = (NodeType.WAREHOUSE, NodeType.STORE)


class Outside:
    """The outside world of one test: the sandbox, clients to it, and what it told us."""

    def __init__(self, url: str, inbox: Inbox, database: Path, limits: Limits | None = None) -> None:
        self.inbox = inbox
        self.database = database
        self.url = url
        self.control = HttpClient(url, Limits())
        self.gateways = gateways_at(url, PARTNER_KEY, limits)

    async def post(self, path: str, body: str) -> int:
        return (await self.control.send("POST", path, body=body.encode())).status

    async def fault(self, partner: str, mode: str, extra: str = "") -> None:
        body = f'{{"partner": "{partner}", "mode": "{mode}"{extra}}}'
        assert await self.post("/control/faults", body) == 200

    async def behave(self, reference: str, behaviour: Behaviour) -> None:
        body = f'{{"reference": "{reference}", "behaviour": "{behaviour}"}}'
        assert await self.post("/control/behaviour", body) == 200

    async def pending(self) -> Pending:
        return Pending.model_validate_json((await self.control.send("GET", "/pending")).body)

    async def quiet(self) -> None:
        async with asyncio.timeout(60):
            while not (await self.pending()).quiet:
                await asyncio.sleep(0.02)

    def effects(self, effect: str = "") -> list[str]:
        """Business keys of an effect, in order, or the names of all effects."""
        found = read_effects(self.database, effect=effect)
        return [e.business_key if effect else e.effect for e in found]

    async def label_all(self, packed: FulfillmentPacked, partner: str = "ours") -> None:
        for package in packed.packages:
            request = label_for(f"{packed.reference}/p{package.package_no}", weight_g=package.weight_g)
            label = await self.gateways.carrier("parcelpost").buy_label(request)
            await self.gateways.fulfillment(partner).send_label(
                SendLabel(reference=packed.reference, node_id="reno", package_no=package.package_no, label=label)
            )

    async def aclose(self) -> None:
        await self.gateways.aclose()
        await self.control.aclose()


def gateways_at(url: str, key: str, limits: Limits | None = None) -> Gateways:
    partners = {
        partner_id: PartnerEndpoint(partner_id=partner_id, kind=kind, base_url=f"{url}/{partner_id}")
        for partner_id, kind in PARTNERS.items()
    }
    return Gateways(partners, key, limits=limits)


@asynccontextmanager
async def outside(
    tmp_path: Path, *, pace: Pace = FAST, rates: Rates | None = None, limits: Limits | None = None
) -> AsyncIterator[Outside]:
    database = tmp_path / "sandbox.sqlite"
    async with listening() as inbox:
        config = SandboxConfig(
            api_url=inbox.url, partner_key=PARTNER_KEY, database=database, pace=pace, rates=rates or Rates()
        )
        async with running(config) as url:
            world = Outside(url, inbox, database, limits)
            try:
                yield world
            finally:
                await world.aclose()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Outside]:
    async with outside(tmp_path) as world:
        yield world


def cancel(reference: str, node_type: NodeType = NodeType.WAREHOUSE) -> CancelRequest:
    return CancelRequest(reference=reference, node_id="reno", node_type=node_type)


def authorize(n: int = 1, *, token: str = "tok_visa", amount_minor: int = 1000) -> Authorize:
    reference = f"web/1/authorize/{n}"
    return Authorize(reference=reference, order_id="web/1", amount_minor=amount_minor, currency="USD", token=token)


def capture(authorized: PaymentResult, reference: str, amount_minor: int, currency: str = "USD") -> Capture:
    return Capture(
        reference=reference,
        authorization_id=authorized.provider_id,
        amount_minor=amount_minor,
        currency=currency,
    )


def refund(authorized: PaymentResult, reference: str, amount_minor: int) -> Refund:
    return Refund(
        reference=reference, authorization_id=authorized.provider_id, amount_minor=amount_minor, currency="USD"
    )
