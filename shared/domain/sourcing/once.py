"""One plan by one set of rules, with its reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from shared.domain.cartons import PackedLine, PlannedPackage
from shared.domain.sourcing.confined import solve_confined
from shared.domain.sourcing.confines import Confines
from shared.domain.sourcing.explain import candidates, shortages
from shared.domain.sourcing.freight import Packed, Quote, Tariff, billable_g
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder, WantedLine
from shared.domain.sourcing.plans import Because, Plan, PlannedLine, PlannedShipment, Shortage
from shared.domain.sourcing.solution import Parts
from shared.domain.sourcing.solving import solve
from shared.domain.sourcing.sources import Priced, Source, survey
from shared.domain.sourcing.weighing import Judged, judge


class Planned(NamedTuple):
    """A plan, and what it pays for the soft limits it breaks, as the policy weighs it."""

    plan: Plan
    broken_minor: int = 0


def plan_once(order: SourcingOrder, snapshot: Snapshot, policy: Policy, confines: Confines) -> Planned:
    """Decide by this policy's own rules and these confines; its stages are not looked at."""
    network = survey(order, snapshot, policy)
    judged = judge(network.sources, policy)
    broken = 0
    if confines.bind:
        confines = replace(confines, scale=_scale(judged))
        solution = solve_confined(order.lines, judged.sources, judged.policy, confines)
        broken = judged.minor(confines.broken(solution, judged.sources))
    else:
        solution = solve(order.lines, judged.sources, judged.policy)
    shipments = tuple(
        shipment_of(network.sources[index], judged.price(index, network.sources[index], parts), parts, policy, turn)
        for turn, (index, parts) in enumerate(solution.shipments, start=confines.earlier)
    )
    plan = Plan.made(
        order_id=order.order_id,
        policy_version=policy.version,
        as_of=snapshot.as_of,
        shipments=shipments,
        shortages=_retold(shortages(order, network, shipments, policy), confines),
        candidates=candidates(order, network, judged, shipments),
        runner_up_minor=None if solution.runner_up is None else judged.minor(solution.runner_up),
        optimal=solution.proven,
        gap_minor=-judged.minor(-solution.gap),
        weighed_minor=None if judged.unit is None and not confines.soft else judged.minor(solution.cost),
        price_version=snapshot.price_version,
        stages=(),
        rest=None,
        replanned=None,
        criteria={},
    )
    return Planned(plan, broken)


def _scale(judged: Judged) -> int:
    return 100 if judged.unit is None else 10_000 // judged.unit


def _retold(found: tuple[Shortage, ...], confines: Confines) -> tuple[Shortage, ...]:
    """What nodes could have given in full is short because a limit forbids it."""
    if not confines.bind:
        return found
    ruled_out = {"because": Because.RULED_OUT}
    return tuple(one.model_copy(update=ruled_out) if one.because is Because.NO_CAPACITY else one for one in found)


def shipment_of(source: Source, priced: Priced | None, parts: Parts, policy: Policy, turn: int) -> PlannedShipment:
    """A shipment as it is told; only an order's first one, turn 0, pays no split penalty."""
    if priced is None:
        raise AssertionError("solvers only choose shipments that have a way out")
    quote = priced.quote
    penalty = policy.split_penalty_minor if turn else 0
    return PlannedShipment.made(
        node_id=source.node.node_id,
        carrier=quote.way.tariff.carrier,
        service=quote.way.tariff.service,
        lines=_planned(parts),
        parcels=quote.carriage.parcels,
        ship_by=quote.way.ship_by,
        deliver_by=quote.way.deliver_by,
        cost=priced.terms.model_copy(update={"split_penalty": penalty}) if penalty else priced.terms,
        quoted_until=quote.carriage.quoted_until(quote.way.tariff, billable_g(parts, policy.dim_divisor)),
        packages=packages_of(source, quote),
    )


def packages_of(source: Source, quote: Quote) -> tuple[PlannedPackage, ...]:
    """The packages of a shipment as they are told."""
    if source.cartons is None:
        return ()
    lines = source.cartons.packer.lines
    return tuple(_package(package, lines, quote.way.tariff) for package in quote.carriage.packages)


def _package(package: Packed, lines: Sequence[WantedLine], tariff: Tariff) -> PlannedPackage:
    box = package.carton or lines[package.units[0][0]]
    return PlannedPackage(
        carton=package.carton and package.carton.name,
        lines=tuple(PackedLine(line_no=lines[place].line_no, quantity=units) for place, units in package.units),
        length_mm=box.length_mm,
        width_mm=box.width_mm,
        height_mm=box.height_mm,
        weight_g=package.weight_g,
        dim_weight_g=package.dim_weight_g,
        billable_g=package.billable_g,
        price_minor=tariff.cost(package.billable_g)[0],
        cost_minor=package.carton.cost_minor if package.carton else 0,
    )


def _planned(parts: Parts) -> tuple[PlannedLine, ...]:
    units: Counter[int] = Counter()
    skus: dict[int, str] = {}
    for line, quantity in parts:
        units[line.line_no] += quantity
        skus[line.line_no] = line.sku
    return tuple(
        PlannedLine.made(line_no=line_no, sku=skus[line_no], quantity=units[line_no]) for line_no in sorted(units)
    )


def said_of_stage(plan: Plan, barred: Collection[str], floored: Collection[str]) -> Plan:
    """The plan with reasons that name the stage's own rules: the nodes it bars, the stock it leaves lying."""

    def of_node(because: Because | None, node_id: str) -> Because | None:
        return Because.NOT_IN_STAGE if because is Because.NOT_IN_POLICY and node_id in barred else because

    def of_sku(because: Because, sku: str) -> Because:
        if because is Because.NOT_IN_POLICY and barred:
            return Because.NOT_IN_STAGE
        lacking = because in (Because.NO_STOCK, Because.NOT_ENOUGH_STOCK)
        return Because.RULED_OUT if lacking and sku in floored else because

    return plan.model_copy(
        update={
            "candidates": tuple(
                one.model_copy(update={"because": of_node(one.because, one.node_id)}) for one in plan.candidates
            ),
            "shortages": tuple(
                one.model_copy(update={"because": of_sku(one.because, one.sku)}) for one in plan.shortages
            ),
        }
    )
