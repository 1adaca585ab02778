"""Every shipment a plan could be made of, one column each: what it takes of the order, from which node, at what cost.

A node has as many columns as there are ways to take from what it holds, and most nodes hold some of an order's lines
only: they are far fewer than nodes times the states of the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from shared.domain.sourcing.costs import Atoms, shipment_costs
from shared.domain.sourcing.grid import INF, Ints, states_of
from shared.domain.sourcing.models import Policy, WantedLine
from shared.domain.sourcing.sources import Source

#: Columns times atoms: some tenths of a second, some hundred megabytes.
MOST = 8_000_000
#: The same where nodes pack in cartons, whose packings are bounded for every column.
MOST_PACKED = 400_000


@dataclass(frozen=True, slots=True)
class Columns:
    """Shipments by node.

    Attributes:
        node: The source of each, ascending.
        taken: Steps of each atom that it takes, a row per shipment.
        cost: With its split penalty.
    """

    node: Ints
    taken: Ints
    cost: Ints

    def __len__(self) -> int:
        return len(self.node)

    def kept(self, keep: NDArray[np.bool_] | Ints) -> Columns:
        return Columns(self.node[keep], self.taken[keep], self.cost[keep])


def columns_of(atoms: Atoms, sources: Sequence[Source], policy: Policy) -> Columns | None:
    """All shipments there are, or ``None`` when they are too many or too dear to be counted exactly."""
    held = _steps_held(atoms, sources)
    count = sum(prod(steps + 1 for steps in row) for row in held.tolist())
    most = MOST if all(source.cartons is None for source in sources) else MOST_PACKED
    if count * len(atoms.steps) > most or states_of(atoms.steps) >= INF:
        return None
    node, taken = _all_states(held)
    keep = taken.any(axis=1) & _in_stock(atoms, sources, node, taken)
    node, taken = node[keep], taken[keep]
    cost = shipment_costs(atoms, sources, policy, node, taken)
    return None if cost is None else Columns(node, taken, cost).kept(cost < INF)


def _all_states(held: Ints) -> tuple[Ints, Ints]:
    """For each node, a row for each number of steps of each atom that it could take."""
    node = np.arange(len(held), dtype=np.int64)
    taken: list[Ints] = []
    for most in held.T:
        ways = most[node] + 1
        before = np.cumsum(ways) - ways
        node, taken = np.repeat(node, ways), [np.repeat(steps, ways) for steps in taken]
        taken.append(np.arange(len(node)) - np.repeat(before, ways))
    return node, np.stack(taken, axis=1)


def _steps_held(atoms: Atoms, sources: Sequence[Source]) -> Ints:
    """Steps of each atom that each source could give if it gave nothing else of that item."""
    most = [[min(step, source.holds(line.sku) // chunk) for line, chunk, step in _rows(atoms)] for source in sources]
    return np.array(most, dtype=np.int64)


def _rows(atoms: Atoms) -> list[tuple[WantedLine, int, int]]:
    return list(zip(atoms.lines, atoms.chunk, atoms.steps, strict=True))


def _in_stock(atoms: Atoms, sources: Sequence[Source], node: Ints, taken: Ints) -> NDArray[np.bool_]:
    """Whether lines of one SKU together take no more than there is."""
    fits = np.ones(len(node), dtype=np.bool_)
    shared: dict[str, list[int]] = {}
    for column, line in enumerate(atoms.lines):
        shared.setdefault(line.sku, []).append(column)
    for sku, columns in shared.items():
        if len(columns) > 1:
            held = np.array([source.holds(sku) for source in sources], dtype=np.int64)
            chunks = np.array([atoms.chunk[column] for column in columns], dtype=np.int64)
            fits &= taken[:, columns] @ chunks <= held[node]
    return fits
