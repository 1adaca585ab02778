"""The deterministic linear program: orders as expected, flowing to nodes, within what there is.

    min  Σ fixed·y + Σ cost·x      x: orders of a flow whose item an option carries, y: shipments of the option
    s.t. Σ_options x = orders      for every flow and item
         x <= y                    an option that carries any item makes a shipment
         Σ uses·x <= limit         for every limit: stock of a node, capacity of a day

The dual of a limit is its price: what one unit more of it would save. Relaxing shipments to fractions makes the
optimum a lower bound on what any rule can expect to pay (Jasin and Sinha, Operations Research 63(6), 2015).

HiGHS solves it, on one thread, so the same input gives the same answer: a small program by the simplex method,
from the last basis when it is solved again for another demand, a large one by an interior point and crossover,
which is several times faster then. Never build one in a process that serves orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.domain import highs

Floats = NDArray[np.float64]
#: Columns from which on a program is large.
LARGE = 20_000


class Carry(NamedTuple):
    """One item of a flow carried by one option.

    Attributes:
        cost: For the item of one order.
        uses: (limit, amount) it takes for one order.
    """

    cost: float
    uses: tuple[tuple[int, float], ...] = ()


class Option(NamedTuple):
    """One node for one flow; ``items[i]`` is ``None`` where it cannot carry item ``i``."""

    fixed: float
    items: tuple[Carry | None, ...]


class Flow(NamedTuple):
    """Orders alike in what they want and where it goes. For every item at least one option must be without limit."""

    options: tuple[Option, ...]


class Answer(NamedTuple):
    """The optimum.

    Attributes:
        cost: Of all flows together.
        prices: By limit, never negative.
        carried: Orders by (flow, option, item), those above zero.
    """

    cost: float
    prices: Floats
    carried: dict[tuple[int, int, int], float]


class Program:
    """A linear program over fixed flows, for any demand and any limits."""

    def __init__(self, flows: Sequence[Flow], limits: int) -> None:
        self._limits = limits
        self._columns: list[tuple[int, int, int]] = []
        self._flow_of_row: list[int] = []
        program = highs.Program()
        for _ in range(limits):
            program.row(0.0, 0.0)
        for f, flow in enumerate(flows):
            wanted = [program.row(0.0, 0.0) for _ in range(max(len(option.items) for option in flow.options))]
            self._flow_of_row += [f] * len(wanted)
            for o, option in enumerate(flow.options):
                carries = [(i, carry) for i, carry in enumerate(option.items) if carry is not None]
                links = [program.row(0.0, 0.0) for _ in carries]
                self._flow_of_row += [-1] * len(links)
                program.column(option.fixed, [(link, -1.0) for link in links])
                self._columns.append((f, o, -1))
                for link, (i, carry) in zip(links, carries, strict=True):
                    program.column(carry.cost, [*carry.uses, (wanted[i], 1.0), (link, 1.0)])
                    self._columns.append((f, o, i))
        method = "ipm" if len(self._columns) >= LARGE else "simplex"
        self._solver = program.passed(highs.solver(solver=method, presolve="choose"))

    def solve(self, orders: Sequence[float] | Floats, limits: Sequence[float] | Floats) -> Answer:
        """The least cost of so many orders of each flow.

        Raises:
            highs.Unsolved: the solver gave up.
        """
        flows = np.array(self._flow_of_row, dtype=np.int64)
        demand = np.where(flows >= 0, np.append(np.asarray(orders, dtype=np.float64), 0.0)[flows], 0.0)
        upper = np.concatenate([np.maximum(np.asarray(limits, dtype=np.float64), 0.0), demand])
        lower = np.concatenate([np.full(self._limits, -np.inf), np.where(flows >= 0, demand, -np.inf)])
        self._solver.changeRowsBounds(len(upper), np.arange(len(upper), dtype=np.int32), lower, upper)
        highs.solve(self._solver)
        solution = self._solver.getSolution()
        carried = {
            key: value
            for key, value in zip(self._columns, solution.col_value, strict=True)
            if key[2] >= 0 and value > 0
        }
        prices = np.maximum(-np.array(solution.row_dual[: self._limits]), 0.0)
        return Answer(self._solver.getInfo().objective_function_value, prices, carried)
