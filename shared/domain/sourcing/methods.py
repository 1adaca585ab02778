"""Fulfilment methods: the planner asked which nodes may give, where the units go, and how they get there.

Each method narrows what the planner sees and leaves the planner as it is, so that stock, capacity, calendars and the
policy count alike for all of them. A pick-up has no freight: the customer comes to the store, once it has the cart
ready by its own calendar.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from shared.domain.calendars import open_from
from shared.domain.fulfillment import PICKUP
from shared.domain.geo import distance_km
from shared.domain.network import Node, NodeType, Place
from shared.domain.orders import Method, ServiceLevel
from shared.domain.sourcing.models import RateBreak, ServiceRate, Snapshot, SourcingOrder
from shared.domain.sourcing.plans import Plan, PlannedShipment

#: A cart is told this many stores where it may be picked up.
STORES = 3

#: The customer carries it: as fast as any service, for nothing, whatever it weighs.
_HAND_OVER = ServiceRate(
    carrier=PICKUP,
    service="store",
    level=ServiceLevel.OVERNIGHT,
    max_distance_km=1,
    breaks=(RateBreak(up_to_g=10**9, price_minor=0),),
    transit_days=0,
)


def seen_by(method: Method, pickup_node_id: str | None, snapshot: Snapshot) -> Snapshot:
    """The snapshot with what the method may use of it.

    Args:
        pickup_node_id: Where the customer fetches it, for the methods that end at a store; the store gives nothing to
            what is shipped to it.
    """
    match method:
        case Method.SHIP:
            return snapshot
        case Method.DROPSHIP:
            return _only(snapshot, [node for node in snapshot.nodes if node.node_type is NodeType.VENDOR])
        case Method.SHIP_TO_STORE:
            return _only(snapshot, [node for node in snapshot.nodes if node.node_id != pickup_node_id])
        case Method.PICKUP:
            store = [node for node in snapshot.nodes if node.node_id == pickup_node_id]
            at_store = _only(snapshot, [node.model_copy(update={"ship_enabled": True}) for node in store])
            return at_store.model_copy(update={"rates": (_HAND_OVER,), "zones": ()})


def fetched(found: Plan, order: SourcingOrder, snapshot: Snapshot) -> Plan:
    """The plan with the moments from which the customer can fetch it, where the customer comes to a store."""
    if not order.method.ends_at_store:
        return found
    store = next((node for node in snapshot.nodes if node.node_id == order.pickup_node_id), None)

    def there_by(shipment: PlannedShipment) -> datetime:
        if order.method is Method.PICKUP:
            return shipment.ship_by
        return (store and open_from(store, shipment.deliver_by)) or shipment.deliver_by

    shipments = tuple(each.model_copy(update={"deliver_by": there_by(each)}) for each in found.shipments)
    return found.model_copy(update={"shipments": shipments})


def _only(snapshot: Snapshot, nodes: list[Node]) -> Snapshot:
    return snapshot.model_copy(update={"nodes": tuple(nodes)})


def pickup_stores(snapshot: Snapshot, channel: str) -> list[Node]:
    """Where a channel's customers may pick up."""
    ineligible = snapshot.ineligible.get(channel, ())
    return [node for node in snapshot.nodes if node.pickup_enabled and node.node_id not in ineligible]


def nearest(stores: list[Node], to: Place) -> list[Node]:
    """The nearest ``STORES`` of them."""
    return sorted(stores, key=lambda node: (distance_km(node.place, to), node.node_id))[:STORES]


def readiest(stores: list[Node], to: Place, wanted: Mapping[str, int], snapshot: Snapshot) -> list[Node]:
    """The ``STORES`` that hold most of what is wanted, the nearest first among equals.

    Args:
        wanted: Units by SKU.
    """
    held = dict.fromkeys((store.node_id for store in stores), 0)
    for row in snapshot.stock:
        if row.node_id in held:
            held[row.node_id] += min(row.available, wanted.get(row.sku, 0))
    return sorted(stores, key=lambda node: (-held[node.node_id], distance_km(node.place, to), node.node_id))[:STORES]
