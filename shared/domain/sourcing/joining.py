"""Plans of one or two shipments, all of them: each state of the order meets the one that fills what it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from shared.domain.sourcing.columns import Columns
from shared.domain.sourcing.grid import Ints


class Task(NamedTuple):
    """What columns are to fill.

    Attributes:
        steps: Of each atom; all of them.
        limit: Most shipments.
        penalty: In every column's cost, and not paid for one of them.
    """

    steps: Ints
    limit: int
    penalty: int


@dataclass(slots=True)
class Cover:
    """The cheapest plan known.

    Attributes:
        cost: Minor units, split penalties included.
        bound: What no plan undercuts.
        columns: (node, steps of each atom) of each shipment; ``None`` when no plan was found that is cheaper than the
            one that was known before.
        runner_up: Cost of the cheapest plan of other nodes that came by; ``None`` when none did.
    """

    cost: int
    bound: int = 0
    columns: list[tuple[int, tuple[int, ...]]] | None = None
    runner_up: int | None = None

    def take(self, columns: Columns, rows: list[int], cost: int) -> None:
        """Take a plan of these columns when it is cheaper."""
        if cost < self.cost:
            self.cost = cost
            self.columns = [(int(columns.node[row]), tuple(columns.taken[row].tolist())) for row in rows]


class Pairs:
    """The columns by state, for each the cheapest one and the cheapest from another node."""

    def __init__(self, columns: Columns, task: Task) -> None:
        strides = np.cumprod(np.concatenate([[1], task.steps[:-1] + 1]))
        code = columns.taken @ strides
        order = np.lexsort((columns.node, columns.cost, code))
        self.columns, self._task = columns.kept(order), task
        states, self._best, state = np.unique(code[order], return_index=True, return_inverse=True)
        self._second = self._from_others(state)
        full = int(task.steps @ strides)
        self._alone = np.flatnonzero(states == full)
        place = np.minimum(np.searchsorted(states, full - states), max(0, len(states) - 1))
        self._ones = np.flatnonzero(states[place] == full - states)
        self._others = place[self._ones]

    def _from_others(self, state: Ints) -> Ints:
        """Of each state the cheapest row that is not from the node of its best one; -1 where there is none."""
        node = self.columns.node
        second = np.full(len(self._best), -1, dtype=np.int64)
        rows = np.flatnonzero(node != node[self._best][state])
        # The first of each state is written last.
        second[state[rows][::-1]] = rows[::-1]
        return second

    def offer(self, found: Cover, *, without: int = -1) -> None:
        """Offer the cheapest plan of at most two shipments; on a tie that of the lower states and nodes.

        Args:
            without: A node that is to ship nothing. The plan then found may not be the very cheapest.
        """
        best = np.where(self.columns.node[self._best] == without, self._second, self._best)
        for row in best[self._alone][best[self._alone] >= 0].tolist():
            found.take(self.columns, [row], int(self.columns.cost[row]) - self._task.penalty)
        for partner in (best, self._second) if self._task.limit > 1 else ():
            self._offer_pairs(best[self._ones], partner[self._others], found, without)

    def _offer_pairs(self, one: Ints, other: Ints, found: Cover, without: int) -> None:
        node, cost = self.columns.node, self.columns.cost
        fits = (one >= 0) & (other >= 0) & (node[one] != node[other]) & (node[other] != without)
        one, other = one[fits], other[fits]
        if len(one):
            at = int((cost[one] + cost[other]).argmin())
            rows = [int(one[at]), int(other[at])]
            found.take(self.columns, rows, int(cost[rows].sum()) - self._task.penalty)
