"""Whoever runs a node, over HTTP."""

from __future__ import annotations

from shared.domain.base import Instant, Model
from shared.domain.network import NodeType
from shared.gateways.fulfillment.mapping import document_for, path_for, return_notice
from shared.gateways.http import PartnerHttp
from shared.gateways.protocol import (
    CancelAnswer,
    CancelRequest,
    ExpectReturn,
    FulfillmentRequest,
    SendLabel,
    StockFigure,
    StockSnapshot,
    TransferAdvice,
)


class Receipt(Model):
    """A partner's word that it holds a document."""

    reference: str


class CancelReceipt(Receipt):
    """A partner's answer to a request to cancel."""

    accepted: bool
    reason: str = ""


class StockReport(Receipt):
    """A partner's word on what a node holds; the node is what it was asked for."""

    as_of: Instant
    figures: tuple[StockFigure, ...]


class FulfillmentClient:
    """A ``FulfillmentPartner`` behind HTTP."""

    def __init__(self, http: PartnerHttp) -> None:
        self._http = http

    async def request(self, request: FulfillmentRequest) -> None:
        path = path_for(request.node_type)
        await self._http.post(path, document_for(request), Receipt, reference=request.reference)

    async def find(self, reference: str, node_id: str, node_type: NodeType) -> bool:
        return await self._http.find(path_for(node_type), Receipt, reference=reference) is not None

    async def cancel(self, request: CancelRequest) -> CancelAnswer:
        path = path_for(request.node_type) + "/cancel"
        answer = await self._http.post(path, request, CancelReceipt, reference=f"{request.reference}/cancel")
        return CancelAnswer(accepted=answer.accepted, reason=answer.reason)

    async def send_label(self, request: SendLabel) -> None:
        key = f"{request.reference}/label/{request.package_no}"
        await self._http.post("/v1/tasks/labels", request, Receipt, reference=key)

    async def expect_return(self, request: ExpectReturn) -> None:
        await self._http.post("/v1/returns", return_notice(request), Receipt, reference=request.reference)

    async def find_return(self, reference: str) -> bool:
        return await self._http.find("/v1/returns", Receipt, reference=reference) is not None

    async def advise_transfer(self, request: TransferAdvice) -> None:
        await self._http.post("/v1/transfer-advices", request, Receipt, reference=request.reference)

    async def stock_snapshot(self, node_id: str) -> StockSnapshot | None:
        report = await self._http.find("/v1/stock", StockReport, reference=node_id)
        if report is None:
            return None
        return StockSnapshot(node_id=node_id, as_of=report.as_of, figures=report.figures)
