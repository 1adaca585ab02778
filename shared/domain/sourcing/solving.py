"""Which node ships what: picks the method by the order's size and says how far the answer is proven.

``solve`` fills as many units as it can, and among those plans takes the cheapest:

* exact over whole lines up to ``MASK_ATOMS`` lines, when lines may not be split or every line is one unit;
* exact over single units while the grid is small (``GRID_QUICK``): up to three lines of a few units;
* exact over all shipments there are (``columns``) while there are not too many: a dozen lines of a few units at fifty
  nodes, or eight at a thousand;
* otherwise the best of what these found, whole lines and chunks over the grid and the bounded search of ``bulk``,
  with the gap to a lower bound. The gap is zero when the bound proves the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from shared.domain.sourcing import bulk
from shared.domain.sourcing.bounds import lower_bound
from shared.domain.sourcing.columns import columns_of
from shared.domain.sourcing.costs import PACKINGS, Atoms, Costs, Keys, is_settled, true_cost
from shared.domain.sourcing.covering import cover
from shared.domain.sourcing.grid import INF, Choice, Ints, by_mask, by_node, pairs_in, with_another
from shared.domain.sourcing.joining import Task
from shared.domain.sourcing.lagrange import raised_bound
from shared.domain.sourcing.models import Policy, WantedLine
from shared.domain.sourcing.polish import polish
from shared.domain.sourcing.solution import Solution
from shared.domain.sourcing.sources import Source

#: (state, part) pairs times nodes a grid may have for the dynamic program by node: a few milliseconds, and some
#: tenths of a second where nothing else is exact.
GRID_QUICK, GRID_WORK = 200_000, 4_000_000
#: The same when the answer is promised to be exact: some tenths of a second.
MASK_WORK = 20_000_000
MASK_ATOMS = 12
#: A plan that fills more than a known one may cost so many times as much.
DEARER = 3
#: With more nodes than this, those that no plan needs are dropped first.
CROWD = 16
#: The runner-up that only adds nodes is looked for while that takes well under a millisecond.
RUNNER_UP_WORK = 40_000


def solve(lines: Sequence[WantedLine], sources: Sequence[Source], policy: Policy) -> Solution:
    useful = [line for line in lines if _held_of(line, sources)]
    atoms = _unit_atoms(useful, sources) if policy.allow_line_split else _whole_atoms(useful, sources)
    if not atoms.steps:
        return Solution()
    exact = _exact(atoms, sources, policy, GRID_QUICK)
    if exact is not None:
        return exact
    found = bulk.search(useful, sources, policy)
    covered = _covered(found[0], atoms, sources, policy)
    if covered is not None and covered.proven:
        return covered
    if (whole := _exact(atoms, sources, policy, GRID_WORK)) is not None:
        return whole
    if covered is not None:
        # What the columns came to is better than what is polished in longer time.
        found = [covered]
    elif policy.allow_line_split and (coarse := _exact(_chunk_atoms(useful, sources), sources, policy, GRID_WORK)):
        found.append(coarse)
    ranked = sorted((polish(one, sources, policy) for one in found), key=lambda one: (-one.units, one.cost))
    floor = covered.cost - covered.gap if covered is not None else 0
    return _bounded(_with_runner_up(ranked), useful, sources, policy, floor)


def _covered(known: Solution, atoms: Atoms, sources: Sequence[Source], policy: Policy) -> Solution | None:
    """The best plan of the columns, where there are not too many and one of them ships all there is.

    The known plan is one of them, and found again; one that ships more is looked for up to ``DEARER`` times its cost.
    """
    units = sum(chunk * step for chunk, step in zip(atoms.chunk, atoms.steps, strict=True))
    below = 1 + known.cost * (1 if known.units == units else DEARER)
    task = Task(np.array(atoms.steps, dtype=np.int64), policy.max_shipments, policy.split_penalty_minor)
    best: Solution | None = None
    for _ in range(PACKINGS):
        columns = columns_of(atoms, sources, policy)
        if columns is None:
            return None
        found = cover(columns, task, below)
        if found.columns is None:
            break
        shipments = tuple((node, atoms.parts_of(steps)) for node, steps in sorted(found.columns))
        cost = true_cost(shipments, sources, policy)
        if best is None or cost < best.cost:
            # Of cartons a runner-up is known by its bound only.
            runner_up = found.runner_up if all(source.cartons is None for source in sources) else None
            best = Solution(shipments, units, cost, runner_up)
        best = best._replace(proven=found.bound >= best.cost, gap=max(0, best.cost - found.bound))
        if cost == found.cost or best.proven:
            break
    return best


def _with_runner_up(ranked: list[Solution]) -> Solution:
    best = ranked[0]
    others = [one.cost for one in ranked if one.units == best.units and one.nodes != best.nodes]
    others += [best.runner_up] if best.runner_up is not None else []
    return best._replace(runner_up=min(others, default=None))


def _held_of(line: WantedLine, sources: Sequence[Source]) -> int:
    """Units that the sources together hold of a line, as far as it wants them."""
    held = 0
    for source in sources:
        held += source.holds(line.sku)
        if held >= line.quantity:
            return line.quantity
    return held


def _unit_atoms(lines: Sequence[WantedLine], sources: Sequence[Source]) -> Atoms:
    return Atoms(tuple(lines), (1,) * len(lines), tuple(_held_of(line, sources) for line in lines))


def _whole_atoms(lines: Sequence[WantedLine], sources: Sequence[Source]) -> Atoms:
    whole = [line for line in lines if any(source.holds(line.sku) >= line.quantity for source in sources)]
    return Atoms(tuple(whole), tuple(line.quantity for line in whole), (1,) * len(whole))


def _chunk_atoms(lines: Sequence[WantedLine], sources: Sequence[Source]) -> Atoms:
    """Lines whole where a node has all of them, else in the fewest pieces that nodes have."""
    chunks: list[tuple[WantedLine, int]] = []
    for line in lines:
        left = line.quantity
        for held in sorted((source.holds(line.sku) for source in sources), reverse=True):
            if piece := min(left, held):
                chunks.append((line, piece))
                left -= piece
    return Atoms(tuple(line for line, _ in chunks), tuple(piece for _, piece in chunks), (1,) * len(chunks))


def _exact(atoms: Atoms, sources: Sequence[Source], policy: Policy, work: int) -> Solution | None:
    """The optimum over these atoms, or ``None`` when they are too many."""
    masks = max(atoms.steps) == 1
    if masks and len(atoms.steps) > MASK_ATOMS:
        return None
    if not masks and pairs_in(atoms.steps) * min(len(sources), CROWD) > work:
        return None
    costs = Costs.of(atoms, sources, policy)
    if costs is None:
        return None
    found = Solution()
    for _ in range(PACKINGS):
        keys = costs.keys()
        program = _Program(keys, atoms.steps, policy.max_shipments)
        choice = program.best()
        if choice is None:
            return None
        found = _solution(choice, keys, atoms, policy)
        if is_settled([choice], keys, atoms, sources, policy):
            others = [other for other in program.others(choice) if keys.filled(other.key) == found.units]
            if is_settled(others, keys, atoms, sources, policy):
                runner_up = min((keys.cost(other.key) - policy.split_penalty_minor for other in others), default=None)
                return found._replace(runner_up=runner_up if found.shipments else None)
    return _as_packed(found, sources, policy)


def _solution(choice: Choice, keys: Keys, atoms: Atoms, policy: Policy) -> Solution:
    taken: dict[int, list[int]] = {}
    for node, state in choice.shipments:
        taken.setdefault(node, []).append(state)
    return Solution(
        shipments=tuple((node, atoms.parts(taken[node])) for node in sorted(taken)),
        units=keys.filled(choice.key),
        cost=keys.cost(choice.key) - policy.split_penalty_minor if taken else 0,
    )


def _as_packed(solution: Solution, sources: Sequence[Source], policy: Policy) -> Solution:
    """A solution whose cost is a bound, at its true cost."""
    cost = true_cost(solution.shipments, sources, policy)
    return solution._replace(cost=cost, proven=cost == solution.cost, gap=cost - solution.cost)


class _Program:
    """One order's matrix and the dynamic programs over it."""

    def __init__(self, keys: Keys, steps: tuple[int, ...], limit: int) -> None:
        self.keys, self.matrix = keys, keys.matrix
        self.steps = steps
        self.limit = limit
        self.masks = max(steps) == 1

    def best(self, without: int | None = None) -> Choice | None:
        if without is None:
            return self._best(self.matrix)
        kept = self.matrix[without].copy()
        self.matrix[without, 1:] = INF
        try:
            return self._best(self.matrix)
        finally:
            self.matrix[without] = kept

    def _best(self, matrix: Ints) -> Choice | None:
        if not self.masks:
            return self._by_node(matrix)
        choice = by_mask(matrix, len(self.steps), len(self.steps))
        if len(choice.shipments) > self.limit:
            choice = by_mask(matrix, len(self.steps), self.limit)
        # A node used twice is two shipments of one stock: only the program by node prices that rightly.
        return choice if len(choice.nodes) == len(choice.shipments) else self._by_node(matrix)

    def _by_node(self, matrix: Ints) -> Choice | None:
        rows = self._useful(matrix)
        if pairs_in(self.steps) * len(rows) > MASK_WORK:
            return None
        choice = by_node(matrix[rows], self.steps, sum(self.steps))
        if len(choice.shipments) > self.limit:
            choice = by_node(matrix[rows], self.steps, self.limit)
        return Choice(choice.key, tuple((int(rows[n]), state) for n, state in choice.shipments))

    def _useful(self, matrix: Ints) -> Ints:
        """Nodes among the cheapest for some state; a plan of k shipments needs the k cheapest of each."""
        shipments = min(self.limit, sum(self.steps))
        if len(matrix) <= max(CROWD, shipments):
            return np.arange(len(matrix))
        ranked = np.argsort(matrix[:, 1:], axis=0, kind="stable")[:shipments]
        return np.unique(ranked)

    def others(self, choice: Choice) -> Iterator[Choice]:
        """The best plans that leave a chosen node out, or use one more where such a one may be better."""
        chosen, best = sorted(choice.nodes), INF
        for node in chosen:
            other = self.best(without=node)
            if other is not None and other.shipments:
                best = min(best, other.key)
                yield other
        more = min(self.limit, sum(self.steps), len(self.matrix)) - len(chosen)
        if more > 0 and self._least_with_another(choice) < best:
            rows = self._cheapest_beside(chosen, more)
            if pairs_in(self.steps) * len(rows) <= RUNNER_UP_WORK:
                beside = with_another(self.matrix[chosen + rows], self.steps, self.limit, list(range(len(chosen))))
                nodes = chosen + rows
                yield Choice(beside.key, tuple((nodes[n], state) for n, state in beside.shipments))

    def _least_with_another(self, choice: Choice) -> int:
        """What no plan undercuts in which every chosen node ships and another does: each pays its least shipment."""
        each = (self.matrix[:, 1:] + self.keys.reward * self.keys.units[1:]).min(axis=1)
        chosen = list(choice.nodes)
        least = int(each[chosen].sum()) - self.keys.reward * self.keys.filled(choice.key)
        each[chosen] = INF
        return least + int(each.min())

    def _cheapest_beside(self, chosen: list[int], more: int) -> list[int]:
        """Of the nodes not chosen those that so many more shipments may need: the cheapest for some part of it all."""
        others = np.delete(np.arange(len(self.matrix)), chosen)
        if len(others) <= more:
            return list(others.tolist())
        cheapest = np.argpartition(self.matrix[others, 1:-1], more - 1, axis=0)[:more]
        return list(others[np.unique(cheapest)].tolist())


def _bounded(
    solution: Solution, lines: Sequence[WantedLine], sources: Sequence[Source], policy: Policy, floor: int
) -> Solution:
    """The solution with its gap; proven when that is zero and every unit wanted is shipped.

    Args:
        floor: What no plan of as many units is known to undercut.
    """
    bound = max(floor, lower_bound(lines, sources, policy, solution.units))
    full = solution.units == sum(line.quantity for line in lines)
    if full:
        bound = raised_bound(lines, sources, policy, above=bound, cost=solution.cost)
    gap = max(0, solution.cost - bound)
    return solution._replace(proven=full and gap == 0, gap=gap)
