"""Criteria as a merchant's package would bring them, one that is sound and some that are not."""

from __future__ import annotations

from typing import Any

from shared.domain.geo import distance_km
from shared.domain.network import Node
from shared.domain.sourcing.models import SourcingOrder

#: What a tonne of CO2 costs, in minor units, and how many grams a parcel lorry emits per tonne and kilometre.
TONNE_MINOR, GRAMS_PER_TONNE_KM = 10_000_00, 105


def carbon(order: SourcingOrder, node: Node, sku: str) -> int:
    """What the emissions of carrying one unit cost, rounded down; a merchant's own figures."""
    weight_g = max(line.weight_g for line in order.lines if line.sku == sku)
    grams = weight_g * distance_km(node.place, order.ship_to) * GRAMS_PER_TONNE_KM / 1_000_000
    return int(grams * TONNE_MINOR / 1_000_000)


def broken(order: SourcingOrder, node: Node, sku: str) -> int:
    raise KeyError(node.node_id)


def fractional(order: SourcingOrder, node: Node, sku: str) -> Any:
    return 1.5


def negative(order: SourcingOrder, node: Node, sku: str) -> int:
    return -1
