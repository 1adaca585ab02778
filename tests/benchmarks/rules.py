"""The rules other systems source by, priced by the planner's own costs: what a ranking gives away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from shared.domain.geo import distance_km
from shared.domain.network import NodeType
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder, WantedLine
from shared.domain.sourcing.plans import CostTerms
from shared.domain.sourcing.sources import Source

Case = tuple[SourcingOrder, Snapshot, Policy]
#: Units by (index of the source, line number).
Given = dict[tuple[int, int], int]
Rule = Callable[[Case, Sequence[Source]], Given]
_OWN_FIRST = (NodeType.WAREHOUSE, NodeType.LOGISTICS, NodeType.STORE, NodeType.VENDOR)


def cost_of(case: Case, sources: Sequence[Source], given: Given) -> int:
    """What a rule's answer costs by the planner's own prices, minor units."""
    terms = terms_of(case, sources, given)
    return sum(one.total for one in terms) + max(0, len(terms) - 1) * case[2].split_penalty_minor


def terms_of(case: Case, sources: Sequence[Source], given: Given) -> list[CostTerms]:
    """The cost of each shipment a rule makes, split penalties left out."""
    lines = {line.line_no: line for line in case[0].lines}
    found: list[CostTerms] = []
    for index in sorted({at for (at, _), units in given.items() if units}):
        parts = [(lines[line_no], units) for (at, line_no), units in given.items() if at == index and units]
        priced = sources[index].price(parts, case[2].dim_divisor)
        if priced is not None:
            found.append(priced.terms)
    return found


def walk(case: Case, sources: Sequence[Source], ranked: Sequence[int]) -> Given:
    """The first node that has everything, else line by line down the list."""
    lines = case[0].lines
    for index in ranked:
        if all(sources[index].holds(line.sku) >= line.quantity for line in lines):
            return {(index, line.line_no): line.quantity for line in lines}
    return {key: units for line in lines for key, units in _down(line, sources, ranked)}


def _down(line: WantedLine, sources: Sequence[Source], ranked: Sequence[int]) -> Iterator[tuple[tuple[int, int], int]]:
    left = line.quantity
    for index in ranked:
        if take := min(left, sources[index].holds(line.sku)):
            yield (index, line.line_no), take
            left -= take


def by_rank(case: Case, sources: Sequence[Source]) -> Given:
    """Own warehouses first, each kind by name; ship complete where possible, else walk."""
    ranked = sorted(range(len(sources)), key=lambda n: _OWN_FIRST.index(sources[n].node.node_type))
    return walk(case, sources, ranked)


def _nearest(case: Case, sources: Sequence[Source]) -> list[int]:
    return sorted(range(len(sources)), key=lambda n: distance_km(sources[n].node.place, case[0].ship_to))


def by_distance(case: Case, sources: Sequence[Source]) -> Given:
    """The nearest node that has everything, else walk."""
    return walk(case, sources, _nearest(case, sources))


def by_single(case: Case, sources: Sequence[Source]) -> Given:
    """The cheapest node that has everything, else the nearest walk."""
    whole = [
        {(index, line.line_no): line.quantity for line in case[0].lines}
        for index, source in enumerate(sources)
        if all(source.holds(line.sku) >= line.quantity for line in case[0].lines)
    ]
    return min(whole, key=lambda given: cost_of(case, sources, given), default=by_distance(case, sources))


def by_cover(case: Case, sources: Sequence[Source]) -> Given:
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


RULES: dict[str, Rule] = {
    "rank": by_rank,
    "nearest": by_distance,
    "single": by_single,
    "cover": by_cover,
}
