"""Delivery options for a cart: the planner asked once for each service level."""

from __future__ import annotations

from shared.domain.carts import CartSource, DeliveryOption
from shared.domain.network import Place
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.engine import plan
from shared.domain.sourcing.models import Plan, Policy, Snapshot, SourcingOrder, WantedLine


def options_for(
    ship_to: Place, lines: tuple[WantedLine, ...], snapshot: Snapshot, policy: Policy
) -> tuple[DeliveryOption, ...]:
    """What an order of these lines would be planned as, by each service level, slowest first."""
    return tuple(_option(service, ship_to, lines, snapshot, policy) for service in ServiceLevel)


def _option(
    service: ServiceLevel, ship_to: Place, lines: tuple[WantedLine, ...], snapshot: Snapshot, policy: Policy
) -> DeliveryOption:
    order = SourcingOrder(order_id="cart", channel="cart", ship_to=ship_to, service=service, lines=lines)
    found = plan(order, snapshot, policy)
    items = sum(shipment.cost.item_cost for shipment in found.shipments)
    return DeliveryOption(
        service=service,
        promised_at=found.promised_at,
        delivery_minor=sum(shipment.cost.paid for shipment in found.shipments) - items,
        item_minor=items,
        sources=_sources(found),
        shortages=found.shortages,
    )


def _sources(found: Plan) -> tuple[CartSource, ...]:
    return tuple(
        CartSource(
            node_id=shipment.node_id,
            carrier=shipment.carrier,
            service=shipment.service,
            units=sum(line.quantity for line in shipment.lines),
            deliver_by=shipment.deliver_by,
        )
        for shipment in found.shipments
    )
