"""The choice between plans: a linear program over the columns known so far, and the integer program at its end.

    min  Σ cost·z      z: columns chosen
    s.t. Σ z = 1       for every order, over the columns it is a member of
         Σ uses·z <= most   for every limit that columns known so far could overrun

HiGHS solves both on one thread with a fixed seed and stops after a number of branches, never after a time, so the
same columns always give the same choice. Never run it in a process that serves orders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import highspy
import numpy as np
from numpy.typing import NDArray

from shared.domain import highs
from shared.domain.waves.columns import Column
from shared.domain.waves.limits import Limit
from shared.domain.waves.mending import mended
from shared.domain.waves.rows import MILLI

Floats = NDArray[np.float64]
#: A fraction this close to a whole number is one.
WHOLE = 1e-6


class Relaxed(NamedTuple):
    """The linear program's optimum, in thousandths of a minor unit.

    Attributes:
        orders: What each order's row is worth.
        limits: Price of each limit, never negative.
        chosen: Share of each column.
        reduced: What choosing a column would cost beyond the optimum.
    """

    cost: float
    orders: Floats
    limits: dict[Limit, float]
    chosen: Floats
    reduced: Floats


class Master:
    """The restricted master program."""

    def __init__(self, orders: int, most: Mapping[Limit, int]) -> None:
        self.columns: list[Column] = []
        self._orders, self._most = orders, most
        self._known: set[tuple[object, ...]] = set()
        self._rows: dict[Limit, int] = {}
        self._using: dict[Limit, list[tuple[int, int]]] = {}
        #: The most that the orders could take of each limit together, by the columns known.
        self._peak: dict[Limit, dict[int, int]] = {}
        self._solver = highs.solver()
        one = np.ones(orders)
        self._solver.addRows(orders, one, one, 0, np.zeros(orders, dtype=np.int32), np.array([], dtype=np.int32), [])

    def add(self, columns: Iterable[Column]) -> int:
        """Add the columns that are new; returns how many."""
        new = [column for column in columns if self._is_new(column)]
        if not new:
            return 0
        first = len(self.columns)
        self.columns += new
        overrun = [limit for place, column in enumerate(new, start=first) for limit in self._use(place, column)]
        starts, index, value = [0], list[int](), list[float]()
        for column in new:
            entries = [(member, 1.0) for member in column.members]
            entries += [(self._rows[limit], float(n)) for limit, n in column.uses.items() if limit in self._rows]
            index += [row for row, _ in entries]
            value += [amount for _, amount in entries]
            starts.append(len(index))
        costs = np.array([column.cost / MILLI for column in new])
        zeros, ones = np.zeros(len(new)), np.full(len(new), highs.INFINITE)
        self._solver.addCols(
            len(new), costs, zeros, ones, len(index), np.array(starts[:-1], dtype=np.int32),
            np.array(index, dtype=np.int32), np.array(value),
        )  # fmt: skip
        self._add_rows([limit for limit in dict.fromkeys(overrun) if limit not in self._rows])
        return len(new)

    def _is_new(self, column: Column) -> bool:
        plan = tuple(
            (shipment.node_id, shipment.ship_by, shipment.carrier, shipment.service, shipment.lines)
            for shipments in column.shipments
            for shipment in shipments
        )
        key = (column.members, column.missing, plan)
        if key in self._known:
            return False
        self._known.add(key)
        return True

    def _use(self, place: int, column: Column) -> list[Limit]:
        """Count what the column takes; returns the limits that could be overrun now."""
        overrun = []
        for limit, units in column.uses.items():
            self._using.setdefault(limit, []).append((place, units))
            peak = self._peak.setdefault(limit, {})
            peak[column.members[0]] = max(peak.get(column.members[0], 0), units)
            if limit not in self._rows and sum(peak.values()) > self._most.get(limit, 0):
                overrun.append(limit)
        return overrun

    def _add_rows(self, limits: Sequence[Limit]) -> None:
        starts, index, value = [0], list[int](), list[float]()
        for limit in limits:
            self._rows[limit] = self._orders + len(self._rows)
            index += [place for place, _ in self._using[limit]]
            value += [float(units) for _, units in self._using[limit]]
            starts.append(len(index))
        if limits:
            upper = np.array([float(self._most.get(limit, 0)) for limit in limits])
            lower = np.full(len(limits), -highs.INFINITE)
            self._solver.addRows(
                len(limits), lower, upper, len(index), np.array(starts[:-1], dtype=np.int32),
                np.array(index, dtype=np.int32), np.array(value),
            )  # fmt: skip

    def relax(self) -> Relaxed:
        """Solve the linear program from where it was left.

        Raises:
            highs.Unsolved: the solver gave up.
        """
        highs.solve(self._solver)
        solution = self._solver.getSolution()
        duals = np.array(solution.row_dual) * MILLI
        limits = {limit: max(0.0, -float(duals[row])) for limit, row in self._rows.items()}
        cost = self._solver.getInfo().objective_function_value * MILLI
        reduced = np.array(solution.col_dual) * MILLI
        return Relaxed(cost, duals[: self._orders], limits, np.array(solution.col_value), reduced)

    def restrict(self, bounds: Mapping[int, tuple[float, float]]) -> None:
        """Fix columns: (least, most) of each."""
        for place, (least, most) in bounds.items():
            self._solver.changeColBounds(place, least, most)

    def feasible(self) -> bool:
        """Whether the linear program has an answer with the columns fixed as they are."""
        self._solver.run()
        return bool(self._solver.getModelStatus() == highspy.HighsModelStatus.kOptimal)

    def choose(self, among: Sequence[int], start: Sequence[int], branches: int, gap: float) -> list[int]:
        """The best choice found among these columns, one or more orders to each; never worse than ``start``."""
        program, options = self._program(among), {"mip_max_nodes": branches, "mip_rel_gap": gap}
        # Presolved it finds far better choices, but calls some impossible that are there: they are looked for without.
        found = self._found(program.passed(highs.solver(presolve="choose", **options), whole=True), among, start)
        if not self.allows(found):
            found = self._found(program.passed(highs.solver(**options), whole=True), among, start)
        whole = [chosen for chosen in (list(start), found) if self.allows(chosen)]
        return min(whole, key=lambda chosen: sum(self.columns[place].cost for place in chosen))

    @staticmethod
    def _found(model: Any, among: Sequence[int], start: Sequence[int]) -> list[int]:
        """What the integer program chooses of these columns, from a choice that is known; nothing if it fails."""
        place_of = {place: n for n, place in enumerate(among)}
        solution = highspy.HighsSolution()
        solution.col_value = [0.0] * len(among)
        for place in start:
            solution.col_value[place_of[place]] = 1.0
        model.setSolution(solution)
        model.run()
        shares = model.getSolution().col_value
        return [place for place, share in zip(among, shares, strict=True) if share > 0.5] if len(shares) else []

    def mend(self, chosen: Sequence[int]) -> list[int]:
        """As much of a choice as can be; the first columns are those of all orders as they stand."""
        return mended(self.columns, chosen, self._most)

    def allows(self, chosen: Sequence[int]) -> bool:
        """Whether each order has exactly one of these columns, none is missing, and no limit is overrun."""
        members = Counter(member for place in chosen for member in self.columns[place].members)
        taken: Counter[Limit] = Counter()
        for place in chosen:
            taken.update(self.columns[place].uses)
        once = len(members) == self._orders and set(members.values()) == {1}
        found = not any(self.columns[place].missing for place in chosen)
        return once and found and all(units <= self._most.get(limit, 0) for limit, units in taken.items())

    def _program(self, among: Sequence[int]) -> highs.Program:
        program = highs.Program()
        for _ in range(self._orders):
            program.row(1.0, 1.0)
        for limit in self._rows:
            program.row(-highs.INFINITE, float(self._most.get(limit, 0)))
        for place in among:
            column = self.columns[place]
            once = [(member, 1.0) for member in column.members]
            uses = [(self._rows[limit], float(units)) for limit, units in column.uses.items() if limit in self._rows]
            program.column(column.cost / MILLI, [*once, *uses], most=1.0)
        return program
