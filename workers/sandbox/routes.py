"""The partners' HTTP interface: one path per partner, one table of operations.

``POST /{partner}/v1/{operation}`` asks for an effect under an ``Idempotency-Key``; the same key again gets the
first answer, with other content it gets 422. ``GET /{partner}/v1/{family}?reference=`` looks a key up.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.gateways.carriers.client import VoidLabel
from shared.gateways.channels.client import AvailabilityUpdate
from shared.gateways.fulfillment.mapping import PickPackTask, PurchaseOrder, ReturnNotice, ShippingOrder
from shared.gateways.http import UNKNOWN_REFERENCE
from shared.gateways.protocol import (
    Authorize,
    BuyLabel,
    CancelRequest,
    Capture,
    QuoteRequest,
    Refund,
    SendLabel,
    TransferAdvice,
    Void,
)
from workers.sandbox import carriers, channels, nodes, payments, shelves
from workers.sandbox.world import Call, Refused, World

D = TypeVar("D", bound=BaseModel)


class Operation(NamedTuple, Generic[D]):
    """How a document is read and what it does. A family is what one look-up path finds."""

    family: str
    document: type[D]
    apply: Callable[[World, Call, D], BaseModel]


OPERATIONS: dict[str, Operation[Any]] = {
    "authorizations": Operation("operations", Authorize, payments.authorize),
    "captures": Operation("operations", Capture, payments.capture),
    "refunds": Operation("operations", Refund, payments.refund),
    "voids": Operation("operations", Void, payments.void),
    "quotes": Operation("quotes", QuoteRequest, carriers.quote),
    "labels": Operation("labels", BuyLabel, carriers.buy),
    "labels/void": Operation("label-voids", VoidLabel, carriers.void),
    "tasks": Operation("tasks", PickPackTask, nodes.take_task),
    "tasks/cancel": Operation("cancellations", CancelRequest, nodes.cancel),
    "tasks/labels": Operation("task-labels", SendLabel, nodes.take_label),
    "shipping-orders": Operation("shipping-orders", ShippingOrder, nodes.take_shipping_order),
    "shipping-orders/cancel": Operation("cancellations", CancelRequest, nodes.cancel),
    "purchase-orders": Operation("purchase-orders", PurchaseOrder, nodes.take_purchase_order),
    "purchase-orders/cancel": Operation("cancellations", CancelRequest, nodes.cancel),
    "returns": Operation("returns", ReturnNotice, nodes.expect_return),
    "transfer-advices": Operation("transfer-advices", TransferAdvice, nodes.take_transfer_advice),
    "availability": Operation("availability", AvailabilityUpdate, channels.take),
}


def partner_routes(world: World) -> list[Route]:
    """The routes of every partner; which ids are partners is for DOMS to know."""
    desk = Desk(world)
    found = sorted({operation.family for operation in OPERATIONS.values()})
    return [
        Route("/{partner}/v1/stock", desk.tell_stock, methods=["GET"]),
        *(Route(f"/{{partner}}/v1/{family}", desk.look_up, methods=["GET"], name=family) for family in found),
        *(Route(f"/{{partner}}/v1/{path}", desk.perform, methods=["POST"], name=path) for path in OPERATIONS),
    ]


class Desk:
    """Takes requests in, logs them, and answers when what they did is durable."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def perform(self, request: Request) -> Response:
        partner, name = request.path_params["partner"], request.url.path.split("/v1/", 1)[1]
        body = await request.body()
        call = Call(
            partner=partner,
            reference=request.headers.get("idempotency-key", ""),
            body_hash=hashlib.sha256(body).hexdigest(),
        )
        status, answer = self._answer(request, call, lambda: self._once(OPERATIONS[name], call, name, body))
        await self._world.store.commit()
        return Response(answer, status, media_type="application/json")

    async def look_up(self, request: Request) -> Response:
        partner, family = request.path_params["partner"], request.url.path.split("/v1/", 1)[1]
        call = Call(partner=partner, reference=request.query_params.get("reference", ""))
        status, answer = self._answer(request, call, lambda: self._known(call, family))
        await self._world.store.commit()
        return Response(answer, status, media_type="application/json")

    async def tell_stock(self, request: Request) -> Response:
        call = Call(partner=request.path_params["partner"], reference=request.query_params.get("reference", ""))
        status, answer = self._answer(request, call, lambda: self._stock(call))
        await self._world.store.commit()
        return Response(answer, status, media_type="application/json")

    def _stock(self, call: Call) -> tuple[int, str]:
        report = shelves.report(self._world, call)
        if report is None:
            raise Refused(UNKNOWN_REFERENCE, 404)
        return 200, report.model_dump_json()

    def _answer(self, request: Request, call: Call, act: Callable[[], tuple[int, str]]) -> tuple[int, str]:
        self._log(request, call)
        try:
            self._check(request, call)
            return act()
        except Refused as refusal:
            return refusal.status, json.dumps({"code": refusal.code})
        except ValidationError as error:
            return 422, json.dumps({"code": "invalid_document", "faults": error.error_count()})

    def _check(self, request: Request, call: Call) -> None:
        token = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(token, f"Bearer {self._world.token(call.partner)}".encode()):
            raise Refused("unauthorized", 401)
        if not call.reference:
            raise Refused("missing_reference", 400)

    def _log(self, request: Request, call: Call) -> None:
        self._world.store.insert(
            "INSERT INTO request (partner, method, path, reference, at, body_hash) VALUES (?, ?, ?, ?, ?, ?)",
            call.partner,
            request.method,
            request.url.path,
            call.reference,
            time.time(),
            call.body_hash,
        )

    def _once(self, operation: Operation[Any], call: Call, name: str, body: bytes) -> tuple[int, str]:
        fingerprint = f"{name}:{call.body_hash}"
        seen = self._seen(call, operation.family)
        if seen is not None:
            if seen[0] != fingerprint:
                raise Refused("key_used_for_other_content")
            return 200, seen[1]
        with self._world.store.unit():
            answer = operation.apply(self._world, call, operation.document.model_validate_json(body))
            text = answer.model_dump_json()
            self._world.store.insert(
                "INSERT INTO answer VALUES (?, ?, ?, ?, ?)",
                call.partner,
                operation.family,
                call.reference,
                fingerprint,
                text,
            )
        return 201, text

    def _known(self, call: Call, family: str) -> tuple[int, str]:
        seen = self._seen(call, family)
        if seen is None:
            raise Refused(UNKNOWN_REFERENCE, 404)
        return 200, seen[1]

    def _seen(self, call: Call, family: str) -> tuple[str, str] | None:
        row = self._world.store.one(
            "SELECT fingerprint, body FROM answer WHERE partner = ? AND family = ? AND reference = ?",
            call.partner,
            family,
            call.reference,
        )
        return (row["fingerprint"], row["body"]) if row else None
