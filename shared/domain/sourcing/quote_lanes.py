"""What carriers would have to be asked so that an order is planned by their quotes."""

from __future__ import annotations

from collections.abc import Iterable

from shared.domain.quotes import QuoteLane, destination_of
from shared.domain.sourcing.freight import Tariff, billable_g
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder
from shared.domain.sourcing.plans import Plan
from shared.domain.sourcing.solution import Parts
from shared.domain.sourcing.sources import Source, survey


def lanes_of(
    order: SourcingOrder, snapshot: Snapshot, policy: Policy, plan: Plan | None, carriers: Iterable[str]
) -> frozenset[QuoteLane]:
    """What carriers would have to quote for this order to be planned by quotes alone.

    Each node is asked about what it could ship by itself, and about what the plan has it ship.

    Args:
        carriers: Those that quote.
    """
    asked = set(carriers)
    if not asked or not destination_of(order.ship_to.country, order.ship_to.postal_code):
        return frozenset()
    planned = _planned(order, plan) if plan is not None else {}
    return frozenset(
        QuoteLane(
            carrier=tariff.carrier,
            node_id=source.node.node_id,
            country=order.ship_to.country,
            postal_code=order.ship_to.postal_code,
            weight_g=step,
        )
        for source in survey(order, snapshot, policy).sources
        for parts in (_alone(order, source), planned.get(source.node.node_id, []))
        for tariff in {way.tariff for way in source.ways}
        if tariff.carrier in asked and parts
        for step in _steps(source, parts, tariff, policy.dim_divisor)
    )


def _steps(source: Source, parts: Parts, tariff: Tariff, dim_divisor: int) -> set[int]:
    """The weights of the tariff's prices that a shipment of these units is made of, as it would be packed."""
    carriage = source.load(parts, dim_divisor).by(tariff)
    return {step for billed in carriage.billed(billable_g(parts, dim_divisor)) for step in tariff.steps(billed)}


def _alone(order: SourcingOrder, source: Source) -> Parts:
    left = {sku: row.available for sku, row in source.stock.items()}
    parts: Parts = []
    for line in order.lines:
        if units := min(line.quantity, left.get(line.sku, 0)):
            parts.append((line, units))
            left[line.sku] -= units
    return parts


def _planned(order: SourcingOrder, plan: Plan) -> dict[str, Parts]:
    lines = {line.line_no: line for line in order.lines}
    return {one.node_id: [(lines[part.line_no], part.quantity) for part in one.lines] for one in plan.shipments}
