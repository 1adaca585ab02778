"""Which columns fill the order at the least cost: exact, or the best so far with a bound when the work is spent.

Each atom of the order gets a price. What the prices come to, less what the best columns earn by them, no plan
undercuts (Lagrange relaxation of the set partitioning program; prices follow the subgradient, see ``lagrange``). A
column that earns too little to be in any plan cheaper than the best known one is dropped for good, and what is left
is enumerated (R. Baldacci, N. Christofides and A. Mingozzi, "An exact algorithm for the vehicle routing problem based
on the set partitioning formulation", Mathematical Programming 115, 2008). Prices are kept to a part of a minor unit
that is a power of two, so that all sums are exact and the answer is the same on every processor.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from shared.domain.sourcing.columns import Columns
from shared.domain.sourcing.grid import Ints
from shared.domain.sourcing.joining import Cover, Pairs, Task

Floats = NDArray[np.float64]
#: Times prices are moved, and times without a better bound after which steps are halved.
ROUNDS, _PATIENCE = 120, 5
#: Partial plans that are looked at, one with many columns counted as several: some tenths of a second.
BRANCHES, _ROWS = 6_000, 1_024
#: The same for runners-up, which are looked for where there are few columns: some milliseconds.
BRANCHES_BESIDE, FEW = 300, 20_000
#: A runner-up may cost so many times as much.
_DEARER = 3
_GRAIN = 64


def cover(columns: Columns, task: Task, cost: int) -> Cover:
    """The cheapest plan, where it is cheaper than ``cost``.

    Plans of each number of shipments are bounded by themselves: a part of a shipment more costs little, a whole one
    much, and fractions of shipments are what makes such a bound weak.
    """
    found = Cover(cost, cost)
    pairs = Pairs(columns, task)
    pairs.offer(found)
    _offer_more(columns, task, found, BRANCHES)
    found.runner_up = _runner_up(columns, task, found, pairs)
    return found


def _offer_more(columns: Columns, task: Task, found: Cover, branches: int) -> None:
    """Offer the cheapest plan of three shipments or more; what is known not to be undercut is found's bound."""
    prices = _first_prices(columns, task, found.cost)
    for shipments in range(3, min(task.limit, int(task.steps.sum())) + 1):
        priced = _Priced(columns, task, shipments, found.cost, prices)
        priced.raise_bound()
        prices = priced.prices
        if priced.bound < found.cost:
            search = _Search(priced, task, shipments, found, branches)
            search.run()
            branches = max(search.left, 0)
            if not branches:
                found.bound = min(found.bound, priced.bound)
    found.bound = min(found.bound, found.cost)


def _runner_up(columns: Columns, task: Task, found: Cover, pairs: Pairs) -> int | None:
    """Cost of the cheapest plan without one of the nodes; where columns are many, of at most two shipments."""
    costs: list[int] = []
    for node, _ in found.columns or ():
        other = Cover(_DEARER * found.cost)
        pairs.offer(other, without=node)
        if len(columns) <= FEW:
            _offer_more(columns.kept(columns.node != node), task, other, BRANCHES_BESIDE)
        costs += [] if other.columns is None else [other.cost]
    return min(costs, default=None)


class _Priced:
    """Columns at prices, fewer and fewer of them, for plans of so many shipments.

    Attributes:
        bound: No such plan costs less, and none as much as the known one when they are equal.
    """

    def __init__(self, columns: Columns, task: Task, shipments: int, known: int, prices: Floats) -> None:
        self._task, self._shipments, self._known = task, shipments, known
        self.prices = np.rint(prices * _GRAIN) / _GRAIN
        self.bound = 0
        self._take(columns)

    def _take(self, columns: Columns) -> None:
        self.columns = columns
        self.taken = columns.taken.astype(np.float64)
        self.cost = columns.cost.astype(np.float64)
        self.starts = np.flatnonzero(np.diff(columns.node, prepend=-1))
        self.ends = np.append(self.starts[1:], len(columns))

    def raise_bound(self) -> None:
        prices, pace, stale = self.prices, 1.0, 0
        best = -np.inf
        for _ in range(ROUNDS):
            if len(self.starts) < self._shipments:
                self.bound = self._known
                return
            gain = self.taken @ prices - self.cost
            top = np.maximum.reduceat(gain, self.starts)
            nodes = np.argsort(-top, kind="stable")[: self._shipments]
            bound = float(prices @ self._task.steps) - float(top[nodes].sum()) - self._task.penalty
            best, stale = (bound, 0) if bound > best else (best, stale + 1)
            chosen = [int(self.starts[n] + gain[self.starts[n] : self.ends[n]].argmax()) for n in nodes.tolist()]
            missing = self._task.steps - self.taken[chosen].sum(axis=0)
            length = float(missing @ missing)
            if not stale:
                self.prices = prices
                self.bound = max(self.bound, min(ceil(bound), self._known))
                if self.bound >= self._known:
                    return
                self._drop(gain, top, float(top[nodes[-1]]), self._known - 1 - bound)
            if not length:
                return
            if stale >= _PATIENCE:
                pace, stale, prices = pace / 2, 0, self.prices
            step = pace * (self._known - bound) / length
            prices = np.rint((prices + step * missing) * _GRAIN) / _GRAIN

    def _drop(self, gain: Floats, top: Floats, last: float, short: float) -> None:
        """Leave out columns that earn too little for any plan cheaper than the known one.

        Beside a column the best others ship: its own node's best does not, or the last of the best gives way to it.
        """
        least = np.where(top >= last, top, last) - short
        keep = gain >= np.repeat(least, self.ends - self.starts)
        if keep.sum() < 0.8 * len(keep):
            self._take(self.columns.kept(keep))


def _first_prices(columns: Columns, task: Task, cost: int) -> Floats:
    """The known plan's cost, shared among the atoms by what a step of each costs in the column it is cheapest in."""
    taken = columns.taken.astype(np.float64)
    each = columns.cost / taken.sum(axis=1)
    least = np.array([each[taken[:, atom] > 0].min(initial=np.inf) for atom in range(taken.shape[1])])
    least = np.where(np.isfinite(least), least, 0.0)
    total = float(least @ task.steps)
    prices: Floats = least * (cost / total if total else 0.0)
    return prices


class _Search:
    """Plans of the columns that are left, depth first, the best earners first."""

    def __init__(self, priced: _Priced, task: Task, shipments: int, found: Cover, branches: int) -> None:
        self.task, self.shipments, self.found, self.prices = task, shipments, found, priced.prices
        columns = priced.columns
        gain = priced.taken @ priced.prices - priced.cost
        order = np.lexsort((columns.node, -gain))
        self.columns = Columns(columns.node[order], columns.taken[order], columns.cost[order])
        self.gain = gain[order]
        _, first = np.unique(self.columns.node, return_index=True)
        #: What so many further shipments can earn at most.
        self.most = np.concatenate([[0.0], np.cumsum(np.sort(self.gain[first])[::-1])])
        self.left = branches

    def run(self) -> None:
        if len(self.most) > self.shipments:
            self._fill(np.arange(len(self.columns)), self.task.steps, -self.task.penalty, [])

    def _fill(self, rows: Ints, missing: Ints, cost: int, chosen: list[int]) -> None:
        """Fill what is missing from these columns, beside the chosen ones."""
        self.left -= 1 + len(rows) // _ROWS
        turns = self.shipments - len(chosen)
        if self.left <= 0:
            return
        rows = self._useful(rows, missing, cost, turns)
        if not len(rows):
            return
        if turns == 1:
            self._finish(rows[(self.columns.taken[rows] == missing).all(axis=1)], cost, chosen)
            return
        takes = self.columns.taken[rows] > 0
        atom = int(np.where(missing > 0, takes.sum(axis=0), len(rows) + 1).argmin())
        with_it, without = rows[takes[:, atom]], rows[~takes[:, atom]]
        for turn, row in enumerate(with_it.tolist()):
            others = np.concatenate([with_it[turn + 1 :], without])
            others = others[self.columns.node[others] != self.columns.node[row]]
            left = missing - self.columns.taken[row]
            if self.left <= 0:
                return
            self._fill(others, left, cost + int(self.columns.cost[row]), [*chosen, row])

    def _useful(self, rows: Ints, missing: Ints, cost: int, turns: int) -> Ints:
        """Those of the columns that fit, and earn what a cheaper plan needs."""
        needed = cost + float(self.prices @ missing) - (self.found.cost - 1)
        rows = rows[self.gain[rows] >= needed - self.most[turns - 1]]
        fitting: Ints = rows[(self.columns.taken[rows] <= missing).all(axis=1)]
        return fitting

    def _finish(self, rows: Ints, cost: int, chosen: list[int]) -> None:
        if len(rows):
            last = int(rows[self.columns.cost[rows].argmin()])
            self.found.take(self.columns, [*chosen, last], cost + int(self.columns.cost[last]))
