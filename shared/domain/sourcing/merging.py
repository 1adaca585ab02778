"""Plans of several stages as one: what they send from one node goes as one shipment where it can."""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder
from shared.domain.sourcing.once import shipment_of
from shared.domain.sourcing.plans import Plan, PlannedShipment
from shared.domain.sourcing.solution import Parts
from shared.domain.sourcing.sources import survey
from shared.domain.sourcing.weighing import judge


def together(
    order: SourcingOrder, snapshot: Snapshot, policy: Policy, plans: Sequence[Plan]
) -> tuple[PlannedShipment, ...]:
    """All shipments, in the order they were taken in, those of one node in the place of its first."""
    by_node: dict[str, list[PlannedShipment]] = {}
    for plan in plans:
        for shipment in plan.shipments:
            by_node.setdefault(shipment.node_id, []).append(shipment)
    if all(len(shipments) == 1 for shipments in by_node.values()):
        return tuple(shipment for shipments in by_node.values() for shipment in shipments)
    merged: list[PlannedShipment] = []
    for shipments in by_node.values():
        merged += [shipments[0]] if len(shipments) == 1 else _as_one(order, snapshot, policy, shipments)
    return tuple(merged)


def _as_one(
    order: SourcingOrder, snapshot: Snapshot, policy: Policy, shipments: list[PlannedShipment]
) -> list[PlannedShipment]:
    """One shipment of the node, priced anew; as they are, when the node cannot have all of it ready together."""
    free = policy.model_copy(update={"max_distance_km": None, "exclude_nodes": ()})
    network = survey(order, snapshot, free)
    index = next(n for n, source in enumerate(network.sources) if source.node.node_id == shipments[0].node_id)
    parts = _parts(order, shipments)
    priced = judge(network.sources, free).price(index, network.sources[index], parts)
    if priced is None:
        return shipments
    one = shipment_of(network.sources[index], priced, parts, policy, turn=0)
    penalty = shipments[0].cost.split_penalty
    return [one.model_copy(update={"cost": one.cost.model_copy(update={"split_penalty": penalty})})]


def _parts(order: SourcingOrder, shipments: Sequence[PlannedShipment]) -> Parts:
    lines = {line.line_no: line for line in order.lines}
    return [(lines[one.line_no], one.quantity) for shipment in shipments for one in shipment.lines]
