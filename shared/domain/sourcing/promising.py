"""Delivery options for a cart: the planner asked once for each way the customer may have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from shared.domain.calendars import open_from
from shared.domain.carts import CartSource, DeliveryOption, Method
from shared.domain.network import Node, Place
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.engine import plan
from shared.domain.sourcing.methods import nearest, pickup_stores, readiest, seen_by
from shared.domain.sourcing.models import Plan, PlannedShipment, Policy, Snapshot, SourcingOrder, WantedLine


def options_for(
    channel: str,
    ship_to: Place,
    lines: tuple[WantedLine, ...],
    snapshot: Snapshot,
    policy: Policy,
    *,
    methods: Collection[Method] = (Method.SHIP,),
) -> tuple[DeliveryOption, ...]:
    """What a channel's order of these lines would be planned as, by each method and each of its ways.

    What is shipped to the customer is told by each service level, slowest first; what is picked up by each of a few
    stores.
    """
    asked = _Asked(channel, ship_to, lines, snapshot, policy)
    return tuple(option for method in Method if method in methods for option in asked.options(method))


@dataclass(frozen=True)
class _Asked:
    channel: str
    ship_to: Place
    lines: tuple[WantedLine, ...]
    snapshot: Snapshot
    policy: Policy

    def options(self, method: Method) -> Iterator[DeliveryOption]:
        if not method.ends_at_store:
            for service in ServiceLevel:
                yield self._option(method, service)
            return
        for store in self._stores(method):
            yield self._option(method, ServiceLevel.STANDARD, store)

    def _stores(self, method: Method) -> list[Node]:
        stores = pickup_stores(self.snapshot, self.channel)
        if method is Method.SHIP_TO_STORE:
            return nearest(stores, self.ship_to)
        wanted: Counter[str] = Counter()
        for line in self.lines:
            wanted[line.sku] += line.quantity
        return readiest(stores, self.ship_to, wanted, self.snapshot)

    def _option(self, method: Method, service: ServiceLevel, store: Node | None = None) -> DeliveryOption:
        order = SourcingOrder(
            order_id="cart",
            channel=self.channel,
            ship_to=store.place if store else self.ship_to,
            service=service,
            lines=self.lines,
        )
        found = plan(order, seen_by(method, self.snapshot, store), self.policy)
        items = sum(shipment.cost.item_cost for shipment in found.shipments)
        return DeliveryOption(
            method=method,
            service=None if method is Method.PICKUP else service,
            pickup_node_id=store.node_id if store else None,
            promised_at=_promised_at(found, method, store),
            delivery_minor=sum(shipment.cost.paid for shipment in found.shipments) - items,
            item_minor=items,
            sources=tuple(_source(shipment, _there_by(shipment, method)) for shipment in found.shipments),
            shortages=found.shortages,
        )


def _there_by(shipment: PlannedShipment, method: Method) -> datetime:
    """When the units are where the customer gets them; what is picked up does not travel."""
    return shipment.ship_by if method is Method.PICKUP else shipment.deliver_by


def _promised_at(found: Plan, method: Method, store: Node | None) -> datetime | None:
    there = max((_there_by(shipment, method) for shipment in found.shipments), default=None)
    if there is None or store is None or method is Method.PICKUP:
        return there
    return open_from(store, there)


def _source(shipment: PlannedShipment, there_by: datetime) -> CartSource:
    return CartSource(
        node_id=shipment.node_id,
        carrier=shipment.carrier,
        service=shipment.service,
        units=sum(line.quantity for line in shipment.lines),
        deliver_by=there_by,
    )
