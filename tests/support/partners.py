"""The receiving end of partner messages, and documents to send to partners."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from socket import AF_INET, IPPROTO_TCP, SOCK_STREAM, socket
from typing import TypeVar

import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import TypeAdapter
from starlette.types import ASGIApp

from shared.domain.network import NodeType
from shared.domain.orders import Address
from shared.gateways.partner_messages import FulfillmentPacked, FulfillmentShipped, PartnerMessage
from shared.gateways.protocol import BuyLabel, FulfillmentRequest, RequestedLine
from shared.gateways.signing import secret_for, verify

PARTNER_KEY = "the partner key of the tests"
ADDRESS = Address(name="Jane Doe", line1="1 Main St", city="Reno", region="NV", postal_code="89501")

M = TypeVar("M", FulfillmentPacked, FulfillmentShipped)

_MESSAGE: TypeAdapter[PartnerMessage] = TypeAdapter(PartnerMessage)


class Inbox:
    """Takes partner messages as DOMS would, and lets a test wait for what it expects.

    Attributes:
        messages: What was taken, in order, repeats included.
        refusals: Statuses to answer the next messages with instead of taking them.
    """

    def __init__(self) -> None:
        self.url = ""
        self.messages: list[PartnerMessage] = []
        self.refusals: Iterator[int] = iter(())
        self._news = asyncio.Condition()

    async def until(self, met: Callable[[], bool], *, within: float = 60.0) -> None:
        """Wait for a condition on the messages; it is looked at whenever one arrives."""
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(met)

    async def packed(self, reference: str) -> FulfillmentPacked:
        return await self._first(FulfillmentPacked, reference)

    async def shipped(self, reference: str) -> FulfillmentShipped:
        return await self._first(FulfillmentShipped, reference)

    def types(self, reference: str) -> list[str]:
        return [message.type for message in self.messages if message.reference == reference]

    def statuses(self, tracking_no: str) -> list[str]:
        """The statuses of a parcel's scans in the order they came in."""
        return [m.status for m in self.messages if m.type == "tracking.updated" and m.reference == tracking_no]

    async def take(self, partner: str, request: Request) -> Response:
        body = await request.body()
        verify(secret_for(PARTNER_KEY, partner), request.headers, body)
        refusal = next(self.refusals, None)
        if refusal is not None:
            return Response(status_code=refusal)
        message = _MESSAGE.validate_json(body)
        assert message.message_id == request.headers["webhook-id"]
        async with self._news:
            self.messages.append(message)
            self._news.notify_all()
        return Response(status_code=202)

    async def _first(self, kind: type[M], reference: str) -> M:
        def found() -> Iterable[M]:
            return (m for m in self.messages if isinstance(m, kind) and m.reference == reference)

        await self.until(lambda: any(True for _ in found()))
        return next(iter(found()))


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """An application on a free port of this machine; its address."""
    bound = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP)
    bound.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=60))
    task = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def listening() -> AsyncIterator[Inbox]:
    """An inbox on a free port of this machine."""
    inbox = Inbox()
    app = FastAPI()
    app.add_api_route("/v1/partners/{partner}/messages", inbox.take, methods=["POST"])
    async with serving(app) as inbox.url:
        yield inbox


def request_for(
    reference: str,
    *,
    node_type: NodeType = NodeType.WAREHOUSE,
    node_id: str = "reno",
    quantities: Mapping[int, int] | None = None,
    weight_g: int = 500,
) -> FulfillmentRequest:
    """A request of one unit of one line, or of the units given by line number."""
    lines = tuple(
        RequestedLine(line_no=n, sku=f"SKU-{n}", partner_sku=f"P-{n}", quantity=quantity, weight_g=weight_g)
        for n, quantity in (quantities or {1: 1}).items()
    )
    return FulfillmentRequest(
        reference=reference,
        order_id=reference.rpartition("/")[0],
        node_id=node_id,
        node_type=node_type,
        ship_to=ADDRESS,
        carrier="parcelpost",
        service="ground",
        ship_by=datetime(2026, 3, 1, tzinfo=UTC),
        lines=lines,
    )


def label_for(reference: str, *, carrier: str = "parcelpost", weight_g: int = 500, country: str = "US") -> BuyLabel:
    """A label for a package."""
    return BuyLabel(
        reference=reference,
        carrier=carrier,
        service="ground",
        from_node="reno",
        ship_to=ADDRESS.model_copy(update={"country": country}),
        weight_g=weight_g,
    )


def units(message: FulfillmentPacked | FulfillmentShipped) -> dict[int, int]:
    """Units by line number in all packages."""
    count: Counter[int] = Counter()
    for package in message.packages:
        for line in package.lines:
            count[line.line_no] += line.quantity
    return dict(count)
