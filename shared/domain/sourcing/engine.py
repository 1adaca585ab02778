"""The planner: one order, one snapshot, one policy, one decision with its reasons.

``plan`` is pure and total: it reads no clock and no other state, the order of nodes, rows and rates in the
snapshot does not matter, and the same input always gives the same answer to the byte. It fills as many units
as the rules allow, and among such plans takes the cheapest, its terms weighed as the policy says; ties go to the
lower ``node_id``.

A node makes at most one shipment of an order. With ``allow_line_split`` off, a line comes whole from one node
or is short whole.
"""

from __future__ import annotations

from collections import Counter

from shared.domain.sourcing.explain import candidates, shortages
from shared.domain.sourcing.models import Plan, PlannedLine, PlannedShipment, Policy, Snapshot, SourcingOrder
from shared.domain.sourcing.solution import Parts
from shared.domain.sourcing.solving import solve
from shared.domain.sourcing.sources import Priced, Source, survey
from shared.domain.sourcing.weighing import judge


def plan(order: SourcingOrder, snapshot: Snapshot, policy: Policy) -> Plan:
    """Decide which nodes ship which units of an order, by which service.

    Units that cannot be planned come back as shortages. The plan is proven cheapest when ``optimal`` is set;
    otherwise ``gap_minor`` bounds what a better one could save.
    """
    network = survey(order, snapshot, policy)
    judged = judge(network.sources, policy)
    solution = solve(order.lines, judged.sources, judged.policy)
    shipments = tuple(
        _shipment(network.sources[index], judged.price(index, network.sources[index], parts), parts, policy, turn)
        for turn, (index, parts) in enumerate(solution.shipments)
    )
    return Plan.model_construct(
        order_id=order.order_id,
        policy_version=policy.version,
        as_of=snapshot.as_of,
        shipments=shipments,
        shortages=shortages(order, network, shipments, policy),
        candidates=candidates(order, network, judged, shipments),
        runner_up_minor=None if solution.runner_up is None else judged.minor(solution.runner_up),
        optimal=solution.proven,
        gap_minor=-judged.minor(-solution.gap),
        weighed_minor=None if judged.unit is None else judged.minor(solution.cost),
        price_version=snapshot.price_version,
    )


def _shipment(source: Source, priced: Priced | None, parts: Parts, policy: Policy, turn: int) -> PlannedShipment:
    if priced is None:
        raise AssertionError("solvers only choose shipments that have a way out")
    quote = priced.quote
    penalty = policy.split_penalty_minor if turn else 0
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
