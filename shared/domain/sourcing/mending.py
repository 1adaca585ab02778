"""Takes out of a plan what breaks a limit, and puts back what fits whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shared.domain.sourcing.confines import Confines, value_of
from shared.domain.sourcing.models import Policy, WantedLine
from shared.domain.sourcing.solution import Parts, Solution
from shared.domain.sourcing.sources import Source


def mended(
    solution: Solution,
    groups: Sequence[Sequence[WantedLine]],
    sources: Sequence[Source],
    policy: Policy,
    confines: Confines,
) -> Solution:
    """A plan of the same nodes that keeps every hard limit; in the end, the one that ships nothing does.

    Its cost has the soft limits' prices in it but for those that a plan as a whole pays.
    """
    shipments = dict(solution.shipments)
    if confines.together:
        for group in groups:
            if group[0].group is not None:
                _keep_whole(group, shipments, sources, policy)
    shipments = {index: parts for index, parts in shipments.items() if confines.may_ship(parts)}
    while not confines.may_leave(shipments.values()):
        del shipments[min(shipments, key=lambda index: (value_of(shipments[index]), index))]
        shipments = {index: parts for index, parts in shipments.items() if confines.may_ship(parts)}
    return _priced(shipments, sources, policy, confines)


def _keep_whole(
    group: Sequence[WantedLine], shipments: dict[int, Parts], sources: Sequence[Source], policy: Policy
) -> None:
    """Leave a group where all of it is, or move it to the first node that can ship it with what it ships already."""
    members = {line.line_no for line in group}
    whole = [(line, line.quantity) for line in group]
    if any(sorted((one.line_no, n) for one, n in parts if one.line_no in members)
           == sorted((one.line_no, n) for one, n in whole) for parts in shipments.values()):  # fmt: skip
        return
    for index in list(shipments):
        shipments[index] = [(line, n) for line, n in shipments[index] if line.line_no not in members]
        if not shipments[index]:
            del shipments[index]
    used = sorted(shipments)
    free = [n for n in range(len(sources)) if n not in shipments] if len(used) < policy.max_shipments else []
    for index in used + free:
        parts = shipments.get(index, []) + whole
        if _fits(sources[index], parts, policy):
            shipments[index] = parts
            return


def _fits(source: Source, parts: Parts, policy: Policy) -> bool:
    taken = Counter[str]()
    for line, quantity in parts:
        taken[line.sku] += quantity
    enough = all(units <= source.holds(sku) for sku, units in taken.items())
    return enough and source.price(parts, policy.dim_divisor) is not None


def _priced(shipments: dict[int, Parts], sources: Sequence[Source], policy: Policy, confines: Confines) -> Solution:
    kept = tuple(sorted(shipments.items()))
    cost = units = 0
    for index, parts in kept:
        priced = sources[index].price(parts, policy.dim_divisor)
        if priced is None:
            raise AssertionError("less than a node can ship always has a way out")
        cost += priced.terms.total + policy.split_penalty_minor
        units += sum(quantity for _, quantity in parts)
    solution = Solution(kept, units, max(0, cost - policy.split_penalty_minor), proven=False)
    whole = sum(confines.plan_price(limit, [parts for _, parts in kept]) for limit in confines.soft)
    return solution._replace(cost=solution.cost + confines.broken(solution, sources) - whole)
