"""``solve`` under the limits of a stage: the same grids and the same cost, states that break a limit ruled out.

Exact wherever the grid is small enough; larger orders are planned without the limits, and from such plans whatever
breaks one is taken out, so that the answer keeps every limit and says how far it may be from the best.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from shared.domain.sourcing import bulk
from shared.domain.sourcing.bounds import lower_bound
from shared.domain.sourcing.confines import Confines
from shared.domain.sourcing.costs import PACKINGS, Atoms, Costs, Keys, is_settled
from shared.domain.sourcing.grid import INF, Choice, Ints, amounts, by_node, pairs_in
from shared.domain.sourcing.mending import mended
from shared.domain.sourcing.models import Policy, WantedLine
from shared.domain.sourcing.solution import Solution
from shared.domain.sourcing.sources import Source

#: (state, part) pairs times nodes a grid may have: some milliseconds.
GRID_WORK = 4_000_000
#: The same, times the nodes once more, below which runners-up that add a node are looked for.
RUNNER_UP_WORK = 400_000
CROWD = 16


def solve_confined(
    lines: Sequence[WantedLine], sources: Sequence[Source], policy: Policy, confines: Confines
) -> Solution:
    """The plan that fills the most units and costs the least, soft limits' prices included, within the confines."""
    found = [
        solution
        for rules in _variants(sources, policy, confines)
        for solution in _candidates(lines, sources, rules, confines)
    ]
    priced = [one._replace(cost=one.cost + _plan_price(one, confines)) for one in found]
    ranked = sorted(priced, key=lambda one: (-one.units, one.cost))
    best = ranked[0]
    others = [one.cost for one in ranked if one.units == best.units and one.nodes != best.nodes and best.shipments]
    best = best._replace(runner_up=min(others, default=None))
    return best if all(one.proven for one in found) else _bounded(best, lines, sources, policy)


def _plan_price(solution: Solution, confines: Confines) -> int:
    shipments = [parts for _, parts in solution.shipments]
    return sum(confines.plan_price(limit, shipments) for limit in confines.soft)


def _variants(sources: Sequence[Source], policy: Policy, confines: Confines) -> Iterator[Policy]:
    """The policies among whose best plans is the best one, when a plan as a whole pays for what it breaks."""
    limits = [soft.max_shipments for soft in confines.soft if soft.max_shipments is not None]
    most = min(policy.max_shipments, max(len(sources), 1))
    fewest = min([max(1, limit - confines.earlier) for limit in limits], default=most)
    splitting = {policy.allow_line_split}
    if any(soft.whole_lines for soft in confines.soft):
        splitting.add(False)
    for split in sorted(splitting):
        for shipments in range(min(fewest, most), most + 1):
            yield policy.model_copy(update={"max_shipments": shipments, "allow_line_split": split})


def _candidates(
    lines: Sequence[WantedLine], sources: Sequence[Source], policy: Policy, confines: Confines
) -> list[Solution]:
    """The best plan, and the best ones that use other nodes."""
    atoms = _atoms(lines, sources, policy, confines)
    if not atoms.steps:
        return [Solution()]
    small = pairs_in(atoms.steps) * min(len(sources), CROWD) <= GRID_WORK
    costs = Costs.of(atoms, sources, policy) if small else None
    for _ in range(PACKINGS):
        keys = costs.keys() if costs is not None else None
        confined = _confined(keys, atoms, sources, confines) if keys is not None else None
        if keys is None or confined is None:
            break
        choices = _exact(*confined, atoms, policy)
        if is_settled(choices, keys, atoms, sources, policy):
            return [_solution(choice, confined[0], atoms, policy) for choice in choices]
    return _mended(lines, sources, policy, confines)


def _atoms(lines: Sequence[WantedLine], sources: Sequence[Source], policy: Policy, confines: Confines) -> Atoms:
    """Single units of lines that may be split, whole lines of others, each line of a group that some node has whole."""
    rows: list[tuple[WantedLine, int, int]] = []
    for members in _groups(lines, confines):
        grouped = len(members) > 1 or (confines.together and members[0].group is not None)
        if grouped or not policy.allow_line_split:
            if any(_has_all(source, members) for source in sources):
                rows += [(line, line.quantity, 1) for line in members]
        elif held := sum(source.holds(members[0].sku) for source in sources):
            rows.append((members[0], 1, min(members[0].quantity, held)))
    return Atoms(tuple(row[0] for row in rows), tuple(row[1] for row in rows), tuple(row[2] for row in rows))


def _groups(lines: Sequence[WantedLine], confines: Confines) -> list[list[WantedLine]]:
    """Lines that stay together; a line of no group is alone."""
    groups: dict[tuple[bool, int], list[WantedLine]] = {}
    for line in lines:
        grouped = confines.together and line.group is not None
        groups.setdefault((grouped, line.group if grouped and line.group is not None else line.line_no), []).append(
            line
        )
    return list(groups.values())


def _has_all(source: Source, lines: Sequence[WantedLine]) -> bool:
    return all(sum(one.quantity for one in lines if one.sku == line.sku) <= source.holds(line.sku) for line in lines)


def _confined(keys: Keys, atoms: Atoms, sources: Sequence[Source], confines: Confines) -> tuple[Keys, Ints] | None:
    """The keys with what limits rule out or make dearer, and what it costs to end in each state."""
    taken = amounts(atoms.steps) * np.array(atoms.chunk, dtype=np.int64)
    value = taken @ np.array([line.unit_price_minor for line in atoms.lines], dtype=np.int64)
    left = sum(line.value_minor for line in confines.lines) - value
    everything = (keys.units == confines.units) & confines.whole
    ships, remains = (keys.units > 0) & ~everything, (keys.units > 0) & (keys.units < confines.units)
    extra = np.zeros_like(keys.matrix)
    finish = np.zeros_like(value)
    for limit in confines.soft:
        price, least = confines.price(limit), limit.min_part_value_minor
        finish += price * (remains & (left < least))
        extra += price * (ships & (value < least))
        extra += price * np.array([[confines.far_by(limit, source)] for source in sources]) * (keys.units > 0)
        extra += price * _below(atoms, taken, sources, limit.floor_units - confines.floor_units)
    most = int(extra.max(axis=1).sum() + finish.max())
    if (keys.reward + most) * (int(keys.units.max()) + 1) >= INF // 4:
        return None
    matrix = np.where(keys.matrix >= INF, INF, keys.matrix + extra - most * keys.units)
    matrix[:, _torn(atoms, confines) | (ships & (value < confines.least_part_minor))] = INF
    finish[remains & (left < confines.least_part_minor)] = INF
    return Keys(matrix, keys.reward + most, keys.units), finish


def _below(atoms: Atoms, taken: Ints, sources: Sequence[Source], lower: int) -> Ints:
    """Units that each source and state take of what a floor this much higher would have left."""
    below = np.zeros((len(sources), len(taken)), dtype=np.int64)
    for sku in {line.sku for line in atoms.lines} if lower > 0 else set():
        units = taken[:, [line.sku == sku for line in atoms.lines]].sum(axis=1)
        free = np.array([[max(0, source.holds(sku) - lower)] for source in sources])
        below += np.maximum(0, units - free)
    return below


def _torn(atoms: Atoms, confines: Confines) -> np.typing.NDArray[np.bool_]:
    """States that take some lines of a group and not others."""
    counts = amounts(atoms.steps)
    torn = np.zeros(len(counts), dtype=bool)
    groups = {line.group for line in atoms.lines if confines.together and line.group is not None}
    for group in groups:
        columns = counts[:, [line.group == group for line in atoms.lines]]
        torn |= columns.min(axis=1) != columns.max(axis=1)
    return torn


def _exact(keys: Keys, finish: Ints, atoms: Atoms, policy: Policy) -> list[Choice]:
    best = _best(keys.matrix, finish, atoms, policy)
    found = [best]
    small = pairs_in(atoms.steps) * len(keys.matrix) ** 2 <= RUNNER_UP_WORK
    for node in range(len(keys.matrix)) if small else sorted(best.nodes):
        matrix = keys.matrix.copy()
        if node in best.nodes:
            matrix[node, 1:] = INF
            found.append(_best(matrix, finish, atoms, policy))
        else:
            # More than any plan is worth: whatever ships, this node does.
            worth = keys.reward * (int(keys.units.max()) + 1)
            matrix[node, 1:] = np.where(matrix[node, 1:] >= INF, INF, matrix[node, 1:] - worth)
            with_it = _best(matrix, finish, atoms, policy)
            if node in with_it.nodes:
                found.append(Choice(with_it.key + worth, with_it.shipments))
    return found


def _best(matrix: Ints, finish: Ints, atoms: Atoms, policy: Policy) -> Choice:
    """The best plan; it uses no node that is not among the cheapest for some state."""
    rows = np.arange(len(matrix))
    shipments = min(policy.max_shipments, sum(atoms.steps))
    if len(matrix) > max(CROWD, shipments):
        rows = np.unique(np.argsort(matrix[:, 1:], axis=0, kind="stable")[:shipments])
    choice = by_node(matrix[rows], atoms.steps, shipments, finish)
    return Choice(choice.key, tuple((int(rows[n]), state) for n, state in choice.shipments))


def _solution(choice: Choice, keys: Keys, atoms: Atoms, policy: Policy) -> Solution:
    return Solution(
        shipments=tuple((node, atoms.parts([state])) for node, state in sorted(choice.shipments)),
        units=keys.filled(choice.key),
        cost=keys.cost(choice.key) - policy.split_penalty_minor if choice.shipments else 0,
    )


def _mended(
    lines: Sequence[WantedLine], sources: Sequence[Source], policy: Policy, confines: Confines
) -> list[Solution]:
    """Plans made without the limits, and mended."""
    useful = [line for line in lines if any(source.holds(line.sku) for source in sources)]
    groups = _groups(lines, confines)
    return [mended(one, groups, sources, policy, confines) for one in bulk.search(useful, sources, policy)]


def _bounded(best: Solution, lines: Sequence[WantedLine], sources: Sequence[Source], policy: Policy) -> Solution:
    """The plan with its gap to what no plan can undercut; proven when that is zero and nothing is short."""
    useful = [line for line in lines if any(source.holds(line.sku) for source in sources)]
    gap = max(0, best.cost - lower_bound(useful, sources, policy, best.units)) if best.units else 0
    return best._replace(proven=gap == 0 and best.units == sum(line.quantity for line in lines), gap=gap)
