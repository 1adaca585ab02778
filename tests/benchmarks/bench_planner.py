"""How long the planner takes, beside an exact mixed-integer program, and how dear the simple rules are.

Run with ``python -m tests.benchmarks.bench_planner``. Times are CPU milliseconds of one thread, whole
``plan`` calls with survey, runner-up and explanation; the program's are building and solving. Gaps are the
sum of costs over the sum of the optima less one, over the orders that the optimum and every rule fill whole.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import highspy

from shared.domain.geo import distance_km
from shared.domain.network import NodeType
from shared.domain.sourcing import plan
from shared.domain.sourcing.freight import volume_mm3
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder, WantedLine
from shared.domain.sourcing.sources import Source, survey
from tests.support.sourcing import instance

T = TypeVar("T")
Case = tuple[SourcingOrder, Snapshot, Policy]
#: Units by (index of the source, line number).
Given = dict[tuple[int, int], int]
SHAPES = [(1, 11, 1), (2, 11, 2), (3, 11, 1), (3, 11, 3), (5, 11, 2), (8, 11, 1), (8, 11, 3), (12, 11, 1), (12, 11, 3)]
WIDE = [(3, 50, 2), (5, 50, 1), (8, 50, 1), (8, 200, 1), (12, 200, 1), (20, 11, 2), (40, 11, 2)]
LARGE = [(100, 11, 3), (1000, 11, 3), (10_000, 11, 3)]


def cost_of(case: Case, sources: tuple[Source, ...], given: Given) -> int:
    """What a rule's answer costs by the planner's own prices."""
    lines = {line.line_no: line for line in case[0].lines}
    total = shipments = 0
    for index, source in enumerate(sources):
        parts = [(lines[line_no], units) for (at, line_no), units in given.items() if at == index and units]
        priced = source.price(parts, case[2].dim_divisor) if parts else None
        if priced is not None:
            total += priced.terms.total
            shipments += 1
    return total + max(0, shipments - 1) * case[2].split_penalty_minor


def walk(case: Case, sources: tuple[Source, ...], ranked: list[int]) -> Given:
    """The first node that has everything, else line by line down the list."""
    lines = case[0].lines
    for index in ranked:
        if all(sources[index].holds(line.sku) >= line.quantity for line in lines):
            return {(index, line.line_no): line.quantity for line in lines}
    return {key: units for line in lines for key, units in _down(line, sources, ranked)}


def _down(line: WantedLine, sources: tuple[Source, ...], ranked: list[int]) -> Iterator[tuple[tuple[int, int], int]]:
    left = line.quantity
    for index in ranked:
        if take := min(left, sources[index].holds(line.sku)):
            yield (index, line.line_no), take
            left -= take


def by_rank(case: Case, sources: tuple[Source, ...]) -> Given:
    own = (NodeType.WAREHOUSE, NodeType.LOGISTICS, NodeType.STORE, NodeType.VENDOR)
    return walk(case, sources, sorted(range(len(sources)), key=lambda n: own.index(sources[n].node.node_type)))


def _nearest(case: Case, sources: tuple[Source, ...]) -> list[int]:
    return sorted(range(len(sources)), key=lambda n: distance_km(sources[n].node.place, case[0].ship_to))


def by_distance(case: Case, sources: tuple[Source, ...]) -> Given:
    return walk(case, sources, _nearest(case, sources))


def by_single(case: Case, sources: tuple[Source, ...]) -> Given:
    whole = [
        {(index, line.line_no): line.quantity for line in case[0].lines}
        for index, source in enumerate(sources)
        if all(source.holds(line.sku) >= line.quantity for line in case[0].lines)
    ]
    return min(whole, key=lambda given: cost_of(case, sources, given), default=by_distance(case, sources))


def by_cover(case: Case, sources: tuple[Source, ...]) -> Given:
    """Again and again the node that can give the most of what is left; the nearest on a tie."""
    left = {line.line_no: line.quantity for line in case[0].lines}
    given: Given = {}
    ranked = _nearest(case, sources)

    def gives(index: int) -> dict[int, int]:
        return {line.line_no: min(left[line.line_no], sources[index].holds(line.sku)) for line in case[0].lines}

    while ranked and any(left.values()):
        index = max(ranked, key=lambda n: sum(gives(n).values()))
        ranked.remove(index)
        for line_no, units in gives(index).items():
            given[index, line_no] = units
            left[line_no] -= units
    return given


RULES: dict[str, Callable[[Case, tuple[Source, ...]], Given]] = {
    "rank": by_rank,
    "nearest": by_distance,
    "single": by_single,
    "cover": by_cover,
}


class Program:
    """The same problem as a mixed-integer program, filling every unit that is held."""

    def __init__(self, case: Case) -> None:
        self.order, _, self.policy = case
        self.sources = survey(*case).sources
        solver: Any = highspy.Highs
        self.model = solver()
        self.model.silent()
        for option, value in (("time_limit", 20.0), ("mip_rel_gap", 0.0), ("mip_abs_gap", 0.5), ("threads", 1)):
            self.model.setOptionValue(option, value)
        self.cost: Any = -1.0 * self.policy.split_penalty_minor
        self.units: dict[int, list[Any]] = {line.line_no: [] for line in self.order.lines}

    def solve(self) -> tuple[int, bool]:
        """(cost, proven)."""
        opened = [self._node(source) for source in self.sources]
        self.model.addConstr(_sum(opened) <= self.policy.max_shipments)
        for line in self.order.lines:
            held = sum(source.holds(line.sku) for source in self.sources)
            if held:
                self.model.addConstr(_sum(self.units[line.line_no]) == min(line.quantity, held))
        self.model.minimize(self.cost)
        proven = self.model.getModelStatus() == highspy.HighsModelStatus.kOptimal
        return round(self.model.getObjectiveValue()), proven

    def _node(self, source: Source) -> Any:
        used = self.model.addBinary()
        self.cost = self.cost + (source.fixed + self.policy.split_penalty_minor) * used
        weight: Any = 0.0
        volume: Any = 0.0
        for line in self.order.lines:
            if held := min(line.quantity, source.holds(line.sku)):
                x = self.model.addIntegral(lb=0, ub=held)
                self.units[line.line_no].append(x)
                self.model.addConstr(x <= held * used)
                self.cost = self.cost + (source.node.handling_unit_minor + source.unit_cost(line.sku)) * x
                weight = weight + line.weight_g * x
                volume = volume + volume_mm3(line) / self.policy.dim_divisor * x
        carried = self._freight(source, used)
        self.model.addConstr(weight <= carried)
        self.model.addConstr(volume <= carried)
        return used

    def _freight(self, source: Source, used: Any) -> Any:
        """Grams the chosen parcels carry: one service, one last parcel, full ones before it."""
        carried: Any = 0.0
        services: Any = 0.0
        for way in source.ways:
            full = self.model.addIntegral(lb=0)
            last = [self.model.addBinary() for _ in way.tariff.up_to]
            self.model.addConstr(full <= 1000 * _sum(last))
            services = services + _sum(last)
            carried = carried + way.tariff.up_to[-1] * full
            self.cost = self.cost + way.tariff.price[-1] * full
            for each, up_to, price in zip(last, way.tariff.up_to, way.tariff.price, strict=True):
                carried = carried + up_to * each
                self.cost = self.cost + price * each
        self.model.addConstr(services == used)
        return carried


def _sum(terms: list[Any]) -> Any:
    return sum(terms[1:], terms[0] + 0.0)


def timed(run: Callable[..., T], *args: Any) -> tuple[T, float]:
    """The answer and its CPU milliseconds."""
    start = time.process_time()
    answer = run(*args)
    return answer, (time.process_time() - start) * 1000


def filled_whole(case: Case) -> bool:
    found = plan(*case)
    return not found.shortages and len(found.shipments) > 0


def row(shape: tuple[int, int, int], orders: int, solved: int) -> str:
    lines, nodes, most = shape
    cases = [instance(seed, lines=lines, nodes=nodes, most=most) for seed in range(orders)]
    for case in cases:
        plan(*case)
    times = [timed(plan, *case)[1] for case in cases]
    proven = sum(plan(*case).optimal for case in cases) / len(cases)
    cells = [f"{lines}×{nodes} q≤{most}", f"{statistics.median(times):.2f}", f"{max(times):.2f}", f"{proven:.0%}"]
    return " | ".join([*cells, *against_program([case for case in cases if filled_whole(case)][:solved])])


def against_program(cases: Sequence[Case]) -> list[str]:
    answers = [(case, *timed(lambda case: Program(case).solve(), case)) for case in cases]
    if not answers:
        return ["–"] * (3 + len(RULES))
    times = [spent for _, _, spent in answers]
    proven = [(case, cost) for case, (cost, known), _ in answers if known]
    exact = sum(cost for _, cost in proven)
    totals = [sum(plan(*case).total_minor for case, _ in proven)]
    for rule in RULES.values():
        seen = [(case, survey(*case).sources) for case, _ in proven]
        totals.append(sum(cost_of(case, sources, rule(case, sources)) for case, sources in seen))
    gaps = [f"{100 * (total / exact - 1):.2f} %" if exact else "–" for total in totals]
    return [f"{statistics.median(times):.0f}", f"{max(times):.0f}", *gaps]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=60, help="orders timed per shape")
    parser.add_argument("--solved", type=int, default=6, help="of which the integer program solves so many")
    options = parser.parse_args()
    heads = ["lines×nodes", "plan ms", "max", "proven", "MILP ms", "max", "plan gap", *RULES]
    print(" | ".join(heads), "|".join(["---"] * len(heads)), sep="\n")
    for shape in SHAPES + WIDE:
        print(row(shape, options.orders, options.solved), flush=True)
    for shape in LARGE:
        print(row(shape, 2, 0), flush=True)


if __name__ == "__main__":
    main()
