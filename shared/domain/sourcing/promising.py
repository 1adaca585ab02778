"""Delivery options for a cart: the planner asked once for each way the customer may have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from shared.domain.carts import CartSource, DeliveryOption
from shared.domain.network import Node, Place
from shared.domain.orders import Method, ServiceLevel
from shared.domain.sourcing.engine import plan
from shared.domain.sourcing.methods import nearest, pickup_stores, readiest
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder, WantedLine
from shared.domain.sourcing.plans import PlannedShipment


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
            method=method,
            pickup_node_id=store.node_id if store else None,
        )
        found = plan(order, self.snapshot, self.policy)
        items = sum(shipment.cost.item_cost for shipment in found.shipments)
        return DeliveryOption(
            method=method,
            service=None if method is Method.PICKUP else service,
            pickup_node_id=store.node_id if store else None,
            promised_at=found.promised_at,
            delivery_minor=sum(shipment.cost.paid for shipment in found.shipments) - items,
            item_minor=items,
            sources=tuple(map(_source, found.shipments)),
            shortages=found.shortages,
        )


def _source(shipment: PlannedShipment) -> CartSource:
    return CartSource(
        node_id=shipment.node_id,
        carrier=shipment.carrier,
        service=shipment.service,
        units=sum(line.quantity for line in shipment.lines),
        deliver_by=shipment.deliver_by,
        quoted_until=shipment.quoted_until,
        packages=shipment.packages,
    )
