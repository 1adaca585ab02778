"""Fulfilment methods: the planner asked which nodes may give, where the units go, and how they get there.

Each method narrows what the planner sees and leaves the planner as it is, so that stock, capacity, calendars and the
policy count alike for all of them. A pick-up has no freight: the customer comes to the store, once it has the cart
ready by its own calendar.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.domain.carts import Method
from shared.domain.geo import distance_km
from shared.domain.network import Node, NodeType, Place
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.models import RateBreak, ServiceRate, Snapshot

#: A cart is told this many stores where it may be picked up.
STORES = 3

#: The customer carries it: as fast as any service, for nothing, whatever it weighs.
_HAND_OVER = ServiceRate(
    carrier="pickup",
    service="store",
    level=ServiceLevel.OVERNIGHT,
    max_distance_km=1,
    breaks=(RateBreak(up_to_g=10**9, price_minor=0),),
    transit_days=0,
)


def seen_by(method: Method, snapshot: Snapshot, store: Node | None = None) -> Snapshot:
    """The snapshot with what the method may use of it.

    Args:
        store: Where the customer picks up, for the methods that end at a store; it gives nothing to what is shipped
            to it.
    """
    if method is Method.SHIP:
        return snapshot
    if method is Method.DROPSHIP:
        return _only(snapshot, [node for node in snapshot.nodes if node.node_type is NodeType.VENDOR])
    assert store is not None, "a customer picks up somewhere"
    if method is Method.SHIP_TO_STORE:
        return _only(snapshot, [node for node in snapshot.nodes if node.node_id != store.node_id])
    at_store = _only(snapshot, [store.model_copy(update={"ship_enabled": True})])
    return at_store.model_copy(update={"rates": (_HAND_OVER,), "zones": ()})


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
