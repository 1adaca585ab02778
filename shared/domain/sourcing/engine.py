"""The planner: one order, one snapshot, one policy, one decision with its reasons.

``plan`` is pure and total: it reads no clock and no other state, the order of nodes, rows and rates in the
snapshot does not matter, and the same input always gives the same answer to the byte. It fills as many units
as the rules allow, and among such plans takes the cheapest; ties go to the lower ``node_id``.

A node makes at most one shipment of an order. With ``allow_line_split`` off, a line comes whole from one node
or is short whole.
"""

from __future__ import annotations

from collections import Counter

from shared.domain.sourcing.explain import candidates, shortages
from shared.domain.sourcing.models import Plan, PlannedLine, PlannedShipment, Policy, Snapshot, SourcingOrder
from shared.domain.sourcing.solution import Parts
from shared.domain.sourcing.solving import solve
from shared.domain.sourcing.sources import Source, survey


def plan(order: SourcingOrder, snapshot: Snapshot, policy: Policy) -> Plan:
    """Decide which nodes ship which units of an order, by which service.

    Units that cannot be planned come back as shortages. The plan is proven cheapest when ``optimal`` is set;
    otherwise ``gap_minor`` bounds what a better one could save.
    """
    network = survey(order, snapshot, policy)
    solution = solve(order.lines, network.sources, policy)
    shipments = tuple(
        _shipment(network.sources[index], parts, policy, first=turn == 0)
        for turn, (index, parts) in enumerate(solution.shipments)
    )
    return Plan.model_construct(
        order_id=order.order_id,
        policy_version=policy.version,
        as_of=snapshot.as_of,
        shipments=shipments,
        shortages=shortages(order, network, shipments, policy),
        candidates=candidates(order, network, shipments, policy),
        runner_up_minor=solution.runner_up,
        optimal=solution.proven,
        gap_minor=solution.gap,
    )


def _shipment(source: Source, parts: Parts, policy: Policy, *, first: bool) -> PlannedShipment:
    priced = source.price(parts, policy.dim_divisor)
    if priced is None:
        raise AssertionError("solvers only choose shipments that have a way out")
    quote = priced.quote
    penalty = 0 if first else policy.split_penalty_minor
    return PlannedShipment.model_construct(
        node_id=source.node.node_id,
        carrier=quote.way.tariff.carrier,
        service=quote.way.tariff.service,
        lines=_planned(parts),
        parcels=quote.parcels,
        ship_by=quote.way.ship_by,
        deliver_by=quote.way.deliver_by,
        cost=priced.terms.model_copy(update={"split_penalty": penalty}) if penalty else priced.terms,
    )


def _planned(parts: Parts) -> tuple[PlannedLine, ...]:
    units: Counter[int] = Counter()
    skus: dict[int, str] = {}
    for line, quantity in parts:
        units[line.line_no] += quantity
        skus[line.line_no] = line.sku
    return tuple(
        PlannedLine.model_construct(line_no=line_no, sku=skus[line_no], quantity=units[line_no])
        for line_no in sorted(units)
    )
