"""The documents that nodes understand, and how each is written from what we mean.

A warehouse or store gets a pick-and-pack task and waits for our labels. A third-party warehouse gets a
shipping order (EDI 940 in JSON). A vendor gets a purchase order (EDI 850 in JSON) with its own item numbers
and costs beside ours. None of them sees the order's other lines, its prices or the customer's email address.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from shared.domain.base import Instant, Model, unused
from shared.domain.network import NodeType
from shared.domain.orders import Address
from shared.gateways.protocol import (
    Consolidation,
    ExpectReturn,
    FulfillmentRequest,
    RequestedLine,
    SuggestedPackage,
)

#: How the units should be packed, where that is known.
_Packages = Annotated[tuple[SuggestedPackage, ...], Field(exclude_if=unused)]


class ShipTo(Model):
    """Where a parcel goes."""

    name: str
    address_1: str
    address_2: str = ""
    city: str
    region: str = ""
    postal_code: str = ""
    country: str
    phone: str = ""


class TaskLine(Model):
    """Units to pick."""

    line_no: int
    sku: str
    quantity: int
    unit_weight_g: int


class PickPackTask(Model):
    """Work for our own warehouse or store.

    Attributes:
        consolidation: The tasks that go into one parcel with it, as far as they fit.
    """

    reference: str
    node: str
    ship_by: Instant
    carrier: str
    service: str
    ship_to: ShipTo
    lines: tuple[TaskLine, ...]
    consolidation: Annotated[Consolidation | None, Field(exclude_if=unused)] = None
    packages: _Packages = ()


class ShippingOrderLine(Model):
    """Units of the depositor's goods to ship. ``item`` is the warehouse's number, ``depositor_item`` ours."""

    line_no: int
    item: str
    depositor_item: str
    quantity: int
    unit_weight_g: int


class ShippingOrder(Model):
    """An order to a third party that holds our stock."""

    reference: str  #: depositor's order number
    warehouse: str
    ship_by: Instant
    carrier: str
    service: str
    ship_to: ShipTo
    lines: tuple[ShippingOrderLine, ...]
    packages: _Packages = ()


class PurchaseOrderLine(Model):
    """Units to buy from a vendor. ``vendor_item`` is its number, ``buyer_item`` ours."""

    line_no: int
    vendor_item: str
    buyer_item: str
    quantity: int
    unit_cost_minor: int
    unit_weight_g: int


class PurchaseOrder(Model):
    """A drop-ship order to a vendor."""

    reference: str  #: purchase order number
    vendor: str
    ship_by: Instant
    carrier: str
    service: str
    ship_to: ShipTo
    lines: tuple[PurchaseOrderLine, ...]
    total_cost_minor: int
    packages: _Packages = ()


class ReturnNotice(Model):
    """Goods that will come back to a node (RMA)."""

    reference: str
    node: str
    lines: tuple[TaskLine, ...]


FulfillmentDocument = PickPackTask | ShippingOrder | PurchaseOrder


def path_for(node_type: NodeType) -> str:
    """Where a node of this type takes its document."""
    match node_type:
        case NodeType.WAREHOUSE | NodeType.STORE:
            return "/v1/tasks"
        case NodeType.LOGISTICS:
            return "/v1/shipping-orders"
        case NodeType.VENDOR:
            return "/v1/purchase-orders"


def document_for(request: FulfillmentRequest) -> FulfillmentDocument:
    """The document a node of the request's type understands."""
    match request.node_type:
        case NodeType.WAREHOUSE | NodeType.STORE:
            return task(request)
        case NodeType.LOGISTICS:
            return shipping_order(request)
        case NodeType.VENDOR:
            return purchase_order(request)


def task(request: FulfillmentRequest) -> PickPackTask:
    """A warehouse's or store's pick-and-pack task."""
    return PickPackTask(
        reference=request.reference,
        node=request.node_id,
        ship_by=request.ship_by,
        carrier=request.carrier,
        service=request.service,
        ship_to=_ship_to(request.ship_to),
        lines=_task_lines(request.lines),
        packages=request.packages,
        consolidation=request.consolidation,
    )


def shipping_order(request: FulfillmentRequest) -> ShippingOrder:
    """A third-party warehouse's shipping order."""
    return ShippingOrder(
        reference=request.reference,
        warehouse=request.node_id,
        ship_by=request.ship_by,
        carrier=request.carrier,
        service=request.service,
        ship_to=_ship_to(request.ship_to),
        lines=tuple(
            ShippingOrderLine(
                line_no=line.line_no,
                item=line.partner_sku,
                depositor_item=line.sku,
                quantity=line.quantity,
                unit_weight_g=line.weight_g,
            )
            for line in request.lines
        ),
        packages=request.packages,
    )


def purchase_order(request: FulfillmentRequest) -> PurchaseOrder:
    """A vendor's purchase order."""
    return PurchaseOrder(
        reference=request.reference,
        vendor=request.node_id,
        ship_by=request.ship_by,
        carrier=request.carrier,
        service=request.service,
        ship_to=_ship_to(request.ship_to),
        lines=tuple(
            PurchaseOrderLine(
                line_no=line.line_no,
                vendor_item=line.partner_sku,
                buyer_item=line.sku,
                quantity=line.quantity,
                unit_cost_minor=line.unit_cost_minor,
                unit_weight_g=line.weight_g,
            )
            for line in request.lines
        ),
        total_cost_minor=sum(line.quantity * line.unit_cost_minor for line in request.lines),
        packages=request.packages,
    )


def return_notice(expected: ExpectReturn) -> ReturnNotice:
    """What a receiving node is told of a return."""
    return ReturnNotice(reference=expected.reference, node=expected.node_id, lines=_task_lines(expected.lines))


def _ship_to(address: Address) -> ShipTo:
    return ShipTo(
        name=address.name,
        address_1=address.line1,
        address_2=address.line2,
        city=address.city,
        region=address.region,
        postal_code=address.postal_code,
        country=address.country,
        phone=address.phone,
    )


def _task_lines(lines: Iterable[RequestedLine]) -> tuple[TaskLine, ...]:
    return tuple(
        TaskLine(line_no=line.line_no, sku=line.sku, quantity=line.quantity, unit_weight_g=line.weight_g)
        for line in lines
    )
