"""Improves a plan that is not proven by moving units from one node to another while that saves money.

Every move is priced exactly, but for cartons, which are packed in the end. Moves are tried in a fixed order until none
helps or the allowance is spent, so the answer is never worse than what came in and always the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.domain.sourcing.costs import true_cost
from shared.domain.sourcing.freight import volume_mm3
from shared.domain.sourcing.models import Policy, WantedLine
from shared.domain.sourcing.solution import Parts, Solution
from shared.domain.sourcing.sources import Source

#: Shipments that may be priced: some tens of milliseconds.
ALLOWANCE = 6_000

#: Units of one line that change from one node to another.
Move = tuple[WantedLine, int]


class _Load:
    """What one node ships, and its price."""

    def __init__(self, source: Source, policy: Policy) -> None:
        self.source, self.policy = source, policy
        self.lines: dict[int, tuple[WantedLine, int]] = {}
        self.taken: dict[str, int] = {}
        self.weight = self.volume = self.units = self.items = 0
        self.cost = 0

    def with_(self, moves: Sequence[Move]) -> int | None:
        """Cost after adding these units, or taking away where negative; ``None`` when it cannot ship them."""
        units, weight, volume, items = self.units, self.weight, self.volume, self.items
        taken: dict[str, int] = {}
        for line, change in moves:
            taken[line.sku] = taken.get(line.sku, self.taken.get(line.sku, 0)) + change
            if taken[line.sku] > self.source.holds(line.sku):
                return None
            units += change
            weight += change * max(0, line.weight_g)
            volume += change * volume_mm3(line)
            items += change * self.source.unit_cost(line.sku)
        if not units:
            return 0
        grams = max(weight, -(-volume // self.policy.dim_divisor))
        freight = [way.tariff.cost(grams)[0] + units * way.each for way in self.source.ways if units <= way.capacity]
        if not freight:
            return None
        handling = self.source.fixed + units * self.source.node.handling_unit_minor
        return min(freight) + handling + items + self.policy.split_penalty_minor

    def add(self, moves: Sequence[Move]) -> None:
        cost = self.with_(moves)
        assert cost is not None, "moves are priced before they are made"
        self.cost = cost
        for line, change in moves:
            self.units += change
            self.weight += change * max(0, line.weight_g)
            self.volume += change * volume_mm3(line)
            self.items += change * self.source.unit_cost(line.sku)
            self.taken[line.sku] = self.taken.get(line.sku, 0) + change
            now = self.lines.get(line.line_no, (line, 0))[1] + change
            self.lines[line.line_no] = (line, now)
            if not now:
                del self.lines[line.line_no]

    def parts(self) -> Parts:
        return [self.lines[line_no] for line_no in sorted(self.lines)]


def polish(solution: Solution, sources: Sequence[Source], policy: Policy) -> Solution:
    loads = [_Load(source, policy) for source in sources]
    for index, parts in solution.shipments:
        loads[index].add(parts)
    allowance = ALLOWANCE
    found = True
    while found and allowance > 0:
        found = False
        for origin, target, moves in _moves(loads, policy):
            allowance -= 2
            if allowance <= 0:
                break
            found = _try(loads[origin], loads[target], moves) or found
    shipments = tuple((index, load.parts()) for index, load in enumerate(loads) if load.units)
    cost = sum(load.cost for load in loads) - (policy.split_penalty_minor if shipments else 0)
    if any(source.cartons is not None for source in sources):
        cost = true_cost(shipments, sources, policy)
        if cost >= solution.cost:
            return solution
    polished = solution._replace(shipments=shipments, cost=cost)
    return polished if polished.nodes == solution.nodes else polished._replace(runner_up=solution.cost)


def _moves(loads: list[_Load], policy: Policy) -> Iterator[tuple[int, int, Parts]]:
    """(from, to, what goes): all a node ships, each line of it, and one unit; the loads change meanwhile."""
    for origin, source in enumerate(loads):
        for target, other in enumerate(loads):
            # Loads change meanwhile; all of them are only counted where it matters, for there may be thousands.
            if not source.units:
                break
            if origin == target or (not other.units and _used(loads) >= policy.max_shipments):
                continue
            yield origin, target, source.parts()
            for line, quantity in source.parts():
                for size in (quantity, 1) if policy.allow_line_split and quantity > 1 else (quantity,):
                    if source.lines.get(line.line_no, (line, 0))[1] >= size:
                        yield origin, target, [(line, size)]


def _used(loads: list[_Load]) -> int:
    return sum(load.units > 0 for load in loads)


def _try(origin: _Load, target: _Load, moves: Parts) -> bool:
    back = [(line, -units) for line, units in moves]
    after, before = target.with_(moves), origin.with_(back)
    if after is None or before is None or before + after >= origin.cost + target.cost:
        return False
    origin.add(back)
    target.add(moves)
    return True
