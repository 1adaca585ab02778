"""The p-median problem: the ``count`` places from which serving every customer costs least, proven by HiGHS.

Formulation of Elloumi, "A tighter formulation of the p-median problem", Journal of Combinatorial Optimization
19 (2010): for each customer only the distinct costs matter, so that costs which come in steps, as freight does,
make a small program with a strong bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.domain import highs

Costs = NDArray[np.int64]
Distances = NDArray[np.float64]
#: Nodes of the search tree that may be looked at; a count of work, so that the answer is always the same.
MOST_NODES = 500


@dataclass(frozen=True, slots=True)
class Median:
    """Places chosen, ascending.

    Attributes:
        cost: What serving every customer from the cheapest of them costs.
        bound: No choice of so many places costs less; equal to ``cost`` when ``proven``.
    """

    places: tuple[int, ...]
    cost: int
    bound: int

    @property
    def proven(self) -> bool:
        return self.bound >= self.cost


def served(costs: Costs, places: Sequence[int]) -> int:
    """What serving every customer from the cheapest of these places costs."""
    return int(costs[list(places)].min(axis=0).sum())


def p_median(costs: Costs, distances: Distances, count: int, *, given: Sequence[int] = ()) -> Median:
    """The best ``count`` places beside those ``given``; of sets found that cost the same, the nearer.

    Args:
        costs: A row per place, a column per customer; not negative.
        distances: The same, of what decides between equal costs.
        count: At least 1, and no more than there are places that are not given.

    Raises:
        ValueError: there are fewer places.
    """
    if not 1 <= count <= len(costs) - len(set(given)):
        raise ValueError(f"cannot choose {count} of {len(costs) - len(set(given))} places")
    best = greedy(costs, count, given)
    bound = served(costs, best)
    if count > 1:
        found, bound = _Program(costs, count, given).solve(best)
        best = min(best, found, key=lambda places: served(costs, places))
    best = _nearer(costs, distances, best, given)
    cost = served(costs, best)
    return Median(tuple(sorted(set(best) - set(given))), cost, min(cost, bound))


def greedy(costs: Costs, count: int, given: Sequence[int]) -> tuple[int, ...]:
    """Place after place the one that saves most, then swaps; the optimum when it is one place."""
    chosen = sorted(set(given))
    for _ in range(count):
        chosen.append(int(_totals(costs, chosen).argmin()))
    return _swapped(costs, tuple(chosen), given)


def _swapped(costs: Costs, places: tuple[int, ...], given: Sequence[int]) -> tuple[int, ...]:
    """The places after exchanging one at a time while that saves (Teitz and Bart 1968)."""
    chosen, better = sorted(places), True
    while better:
        better = False
        for place in [one for one in chosen if one not in given]:
            others = [one for one in chosen if one != place]
            totals = _totals(costs, others)
            if int(totals.min()) < served(costs, chosen):
                chosen, better = sorted([*others, int(totals.argmin())]), True
    return tuple(chosen)


def _nearer(costs: Costs, distances: Distances, places: tuple[int, ...], given: Sequence[int]) -> tuple[int, ...]:
    """The places after exchanging one at a time for a nearer one while that costs no more."""
    chosen = sorted(places)
    cost, better = served(costs, chosen), True
    while better:
        better = False
        for place in [one for one in chosen if one not in given]:
            others = [one for one in chosen if one != place]
            for other in np.flatnonzero(_totals(costs, others) == cost).tolist():
                swapped = sorted([*others, other])
                if _distance(costs, distances, swapped) < _distance(costs, distances, chosen) - 1e-6:
                    chosen, better = swapped, True
    return tuple(chosen)


def _distance(costs: Costs, distances: Distances, places: Sequence[int]) -> float:
    """How far customers are from the place that serves each, the nearest of its cheapest."""
    rows = list(places)
    cheapest = costs[rows] == costs[rows].min(axis=0)
    return float(np.where(cheapest, distances[rows], np.inf).min(axis=0).sum())


def _totals(costs: Costs, others: Sequence[int]) -> Costs:
    """What serving every customer costs from each place together with the others; those themselves never."""
    reached = np.minimum(costs, costs[list(others)].min(axis=0)) if others else costs
    totals: Costs = reached.sum(axis=1)
    totals[list(others)] = np.iinfo(np.int64).max
    return totals


class _Program:
    def __init__(self, costs: Costs, count: int, given: Sequence[int]) -> None:
        self.costs, self.given = costs, frozenset(given)
        self.least = int(costs.min(axis=0).sum())
        self._program = highs.Program()
        for place in range(len(costs)):
            self._program.column(0.0, least=float(place in self.given), most=1.0)
        chosen = float(count + len(self.given))
        self._program.row(chosen, chosen, [(place, 1.0) for place in range(len(costs))])
        for customer in range(costs.shape[1]):
            self._serve(costs[:, customer])

    def _serve(self, column: Costs) -> None:
        """``z[r]`` is 1 when no chosen place serves the customer at its ``r`` cheapest costs."""
        levels, at = np.unique(column, return_inverse=True)
        before: list[tuple[int, float]] = []
        for level in range(len(levels) - 1):
            dearer = self._program.column(float(levels[level + 1] - levels[level]), most=1.0)
            places = [(place, 1.0) for place in np.flatnonzero(at == level).tolist()]
            least = 0.0 if before else 1.0
            self._program.row(least, highs.INFINITE, [*places, (dearer, 1.0), *before])
            before = [(dearer, -1.0)]
        if before:
            last = [(place, 1.0) for place in np.flatnonzero(at == len(levels) - 1).tolist()]
            self._program.row(0.0, highs.INFINITE, [*last, *before])

    def solve(self, start: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
        """(places, bound); the start when the search found nothing."""
        solver = highs.solver(mip_rel_gap=0.0, mip_abs_gap=0.5, mip_max_nodes=MOST_NODES)
        self._program.passed(solver, whole=True)
        solver.run()
        info = solver.getInfo()
        found: Any = solver.getSolution().col_value[: len(self.costs)]
        places = tuple(place for place, value in enumerate(found) if value > 0.5)
        if len(places) != len(start):
            places = start
        # The bound is a float; costs are whole, so that what is above it by less than one is proven.
        return places, self.least + int(np.ceil(info.mip_dual_bound - 1e-4))
