"""The cost of every (node, state) of an order's grid, as one matrix.

The matrix is what ``Source.price`` says, computed for all states at once in 64-bit integers; where nodes pack in
cartons it is never more, and ``is_settled`` tells whether shipments cost what it says. Amounts too large for it are
refused, and the caller takes a method that counts in Python's own integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from shared.domain.capacity import UNLIMITED
from shared.domain.sourcing.cartonising import Cartons
from shared.domain.sourcing.freight import Tariff, Way, billable_g, volume_mm3
from shared.domain.sourcing.grid import INF, Choice, Ints, amounts
from shared.domain.sourcing.models import Policy, WantedLine
from shared.domain.sourcing.price_table import prices
from shared.domain.sourcing.solution import Parts
from shared.domain.sourcing.sources import Source

#: Times a plan is looked for while what it packs turns out to cost more than was thought.
PACKINGS = 60

#: Sums of amounts below this are exact in floats, in sixty-fourths.
EXACT = 2**46


@dataclass(frozen=True, slots=True)
class Atoms:
    """What one order's grid counts: ``steps[i]`` times ``chunk[i]`` units of ``lines[i]``."""

    lines: tuple[WantedLine, ...]
    chunk: tuple[int, ...]
    steps: tuple[int, ...]

    def parts(self, states: Sequence[int]) -> list[tuple[WantedLine, int]]:
        """Units of each line in these states together."""
        return self.parts_of(amounts(self.steps)[list(states)].sum(axis=0).tolist())

    def parts_of(self, taken: Sequence[int]) -> list[tuple[WantedLine, int]]:
        """Units of each line in so many steps of each."""
        units: dict[int, tuple[WantedLine, int]] = {}
        for line, chunk, count in zip(self.lines, self.chunk, taken, strict=True):
            if count:
                before = units.get(line.line_no, (line, 0))[1]
                units[line.line_no] = (line, before + count * chunk)
        return list(units.values())


@dataclass(frozen=True, slots=True)
class Keys:
    """``matrix[n, s]`` is the cost of the shipment with its split penalty, less ``reward`` for each unit."""

    matrix: Ints
    reward: int
    units: Ints

    def filled(self, key: int) -> int:
        """Units a sum of keys stands for: every plan costs less than one reward."""
        return -(key // self.reward) if key else 0

    def cost(self, key: int) -> int:
        return key + self.reward * self.filled(key)

    def cost_of(self, node: int, state: int) -> int:
        """Of one shipment, its split penalty included."""
        return int(self.matrix[node, state]) + self.reward * int(self.units[state])


class _Network:
    """The sources as columns; nodes that share their ways are priced by them once.

    Attributes:
        held, goods: Units each source holds of each atom's SKU, and what one of them costs beside its handling.
        groups: For each source, the place of its ways and cartons in the arrays of ways.
        each, capacity: Of each way of each group, in a row; groups with fewer ways repeat their last one.
        rows: Likewise the place of its tariff among ``tariffs``, those of one set of cartons after the other.
    """

    def __init__(self, atoms: Atoms, sources: Sequence[Source]) -> None:
        self.held: dict[str, list[int]] = {}
        self.goods: dict[str, list[int]] = {}
        for line in atoms.lines:
            rows = [source.stock.get(line.sku) for source in sources]
            self.held[line.sku] = [0 if row is None else row.available for row in rows]
            self.goods[line.sku] = [0 if row is None else row.unit_minor for row in rows]
        # Amounts too large for 64 bits stay as they are until they are refused.
        self.fixed = np.array([source.fixed for source in sources])
        self.handling = np.array([source.node.handling_unit_minor for source in sources])
        # The sources keep their ways alive, so that no two of them have the same id.
        keys = [(id(source.ways), source.cartons) for source in sources]
        first = dict(zip(reversed(keys), reversed(sources), strict=True))
        places = {key: place for place, key in enumerate(first)}
        self.groups = [places[key] for key in keys]
        self._add_ways(list(first.values()))

    def _add_ways(self, sources: Sequence[Source]) -> None:
        """The ways of one source of each group."""
        self.tariffs: dict[Cartons | None, dict[Tariff, int]] = {}
        for source in sources:
            known = self.tariffs.setdefault(source.cartons, {})
            for way in source.ways:
                known.setdefault(way.tariff, len(known))
        before = dict(zip(self.tariffs, accumulate(map(len, self.tariffs.values()), initial=0), strict=False))
        most = max(len(source.ways) for source in sources)
        ways: list[Way] = []
        rows: list[int] = []
        for source in sources:
            known, start = self.tariffs[source.cartons], before[source.cartons]
            padded = source.ways + source.ways[-1:] * (most - len(source.ways))
            ways += padded
            rows += [start + known[way.tariff] for way in padded]
        self.each = np.array([way.each for way in ways]).reshape(-1, most)
        self.capacity = np.array([way.capacity for way in ways]).reshape(-1, most)
        self.rows = np.array(rows).reshape(-1, most)


class Costs:
    """One order's states at all of its sources."""

    def __init__(self, atoms: Atoms, network: _Network, policy: Policy, reward: int) -> None:
        self._atoms, self._network, self._reward = atoms, network, reward
        self._taken = amounts(atoms.steps) * np.array(atoms.chunk, dtype=np.int64)
        self._units = self._taken.sum(axis=1)
        self._grams = _billable(atoms, self._taken, policy)
        beside = (network.handling - reward)[:, None] * self._units
        beside += (network.fixed + policy.split_penalty_minor)[:, None]
        if any(map(any, network.goods.values())):
            items = np.array([network.goods[line.sku] for line in atoms.lines], dtype=np.int64)
            beside += items.T @ self._taken.T
        _forbid(beside, atoms, self._taken, network)
        self._beside_freight = beside

    @classmethod
    def of(cls, atoms: Atoms, sources: Sequence[Source], policy: Policy) -> Costs | None:
        """``None`` when amounts are too large for the matrix."""
        network = _Network(atoms, sources)
        reward, largest = _magnitudes(atoms, network, policy)
        return None if largest >= INF // 4 else cls(atoms, network, policy, reward)

    def keys(self) -> Keys:
        """The matrix, by what is known now of how states are packed."""
        costs = _carried(self._network, self._atoms, self._taken, self._grams)
        matrix = _freight(self._network, costs, self._units)[self._network.groups]
        matrix += self._beside_freight
        np.minimum(matrix, INF, out=matrix)
        matrix[:, 0] = 0
        return Keys(matrix, self._reward, self._units)


def is_settled(choices: Sequence[Choice], keys: Keys, atoms: Atoms, sources: Sequence[Source], policy: Policy) -> bool:
    """Whether plans cost what their keys say: without cartons always, else when their packings are known.

    What is packed to know it is known to the next keys.
    """
    if all(source.cartons is None for source in sources):
        return True
    used = sorted({shipment for choice in choices for shipment in choice.shipments})
    costs = [true_cost([(node, atoms.parts([state]))], sources, policy) for node, state in used]
    said = [keys.cost_of(node, state) - policy.split_penalty_minor for node, state in used]
    return costs == said


def true_cost(shipments: Sequence[tuple[int, Parts]], sources: Sequence[Source], policy: Policy) -> int:
    """What shipments of different nodes cost as a plan, as they are packed."""
    priced = [sources[node].price(parts, policy.dim_divisor) for node, parts in shipments]
    cost = sum(one.terms.total for one in priced if one is not None)
    return cost + max(0, len(priced) - 1) * policy.split_penalty_minor


def _magnitudes(atoms: Atoms, network: _Network, policy: Policy) -> tuple[int, int]:
    """More than any plan of this order can cost, and the largest number that comes up when plans are compared."""
    everything = [(line, chunk * step) for line, chunk, step in zip(atoms.lines, atoms.chunk, atoms.steps, strict=True)]
    most = sum(quantity for _, quantity in everything)
    reward = _reward(atoms, network, policy, most, billable_g(everything, policy.dim_divisor))
    volume = sum(quantity * volume_mm3(line) for line, quantity in everything)
    return reward, max(reward * (most + 1), volume)


def shipment_costs(atoms: Atoms, sources: Sequence[Source], policy: Policy, node: Ints, taken: Ints) -> Ints | None:
    """The cost, with its split penalty, of each shipment of ``taken[i]`` steps of the atoms from source ``node[i]``.

    ``INF`` where no way out of the node has room; ``None`` when floats cannot compare such amounts exactly.
    """
    network = _Network(atoms, sources)
    if _magnitudes(atoms, network, policy)[1] >= EXACT:
        return None
    states, state = _distinct(taken, atoms.steps)
    carried = states * np.array(atoms.chunk, dtype=np.int64)
    units = carried.sum(axis=1)[state]
    costs = _carried(network, atoms, carried, _billable(atoms, carried, policy))
    cost = _freight_of(network, costs, units, np.array(network.groups, dtype=np.int64)[node], state)
    cost += (network.fixed + policy.split_penalty_minor)[node]
    cost += network.handling[node] * units
    for column, (line, chunk) in enumerate(zip(atoms.lines, atoms.chunk, strict=True)):
        if any(goods := network.goods[line.sku]):
            cost += np.array(goods, dtype=np.int64)[node] * taken[:, column] * chunk
    return np.minimum(cost, INF, out=cost)


def _distinct(taken: Ints, steps: Sequence[int]) -> tuple[Ints, Ints]:
    """The states among these rows, and which of them each row is."""
    strides = np.cumprod([1, *(step + 1 for step in steps[:-1])], dtype=np.int64)
    _, first, state = np.unique(taken @ strides, return_index=True, return_inverse=True)
    return taken[first], state


def _billable(atoms: Atoms, taken: Ints, policy: Policy) -> Ints:
    weight = taken @ np.array([max(0, line.weight_g) for line in atoms.lines], dtype=np.int64)
    volume = taken @ np.array([volume_mm3(line) for line in atoms.lines], dtype=np.int64)
    return np.maximum(np.maximum(weight, -(-volume // policy.dim_divisor)), 1)


def _reward(atoms: Atoms, network: _Network, policy: Policy, units: int, grams: int) -> int:
    """More than any plan of this order can cost."""
    freight = max(
        _dearest(tariff, cartons, grams, units) for cartons, known in network.tariffs.items() for tariff in known
    )
    items = map(max, zip(*network.goods.values(), strict=True))
    shipments = zip(network.fixed.tolist(), network.handling.tolist(), items, strict=True)
    dearest: int = max(fixed + (handling + goods) * units for fixed, handling, goods in shipments)
    # The bound by masks may use a node twice, so that every atom can be a shipment of its own.
    turns = min(sum(atoms.steps), max(len(network.groups), len(atoms.steps)))
    return 1 + (dearest + freight + int(network.each.max()) * units + policy.split_penalty_minor) * turns


def _dearest(tariff: Tariff, cartons: Cartons | None, grams: int, units: int) -> int:
    return tariff.cost(grams)[0] if cartons is None else cartons.dearest(tariff, grams, units)


def _carried(network: _Network, atoms: Atoms, taken: Ints, grams: Ints) -> Ints:
    """What every state costs to carry and to pack, in a column, by each of the network's tariffs, in a row."""
    tables = [
        prices(tuple(known), grams) if cartons is None else cartons.least(tuple(known), atoms.lines, taken)
        for cartons, known in network.tariffs.items()
    ]
    return np.concatenate(tables) if len(tables) > 1 else tables[0]


def _freight(network: _Network, costs: Ints, units: Ints) -> Ints:
    """Least freight, cartons, lateness and capacity of each state, in a column, over the ways of each group."""
    best = np.full((len(network.rows), len(units)), INF, dtype=np.int64)
    dear, limited = bool(network.each.any()), int(network.capacity.min()) < UNLIMITED
    for turn, rows in enumerate(network.rows.T):
        cost = costs[rows]
        if dear:
            cost += network.each[:, turn, None] * units
        if limited:
            cost[units > network.capacity[:, turn, None]] = INF
        np.minimum(best, cost, out=best)
    return best


def _freight_of(network: _Network, costs: Ints, units: Ints, group: Ints, state: Ints) -> Ints:
    """The same of one state of one group in each row."""
    best = np.full(len(group), INF, dtype=np.int64)
    dear, limited = bool(network.each.any()), int(network.capacity.min()) < UNLIMITED
    for turn, rows in enumerate(network.rows.T):
        cost = costs[rows[group], state]
        if dear:
            cost += network.each[group, turn] * units
        if limited:
            cost[units > network.capacity[group, turn]] = INF
        np.minimum(best, cost, out=best)
    return best


def _forbid(matrix: Ints, atoms: Atoms, taken: Ints, network: _Network) -> None:
    """Rule out what a node does not hold, lines of one SKU taken together."""
    columns: dict[str, list[int]] = {}
    for column, line in enumerate(atoms.lines):
        columns.setdefault(line.sku, []).append(column)
    for sku, shared in columns.items():
        wanted = taken[:, shared[0]] if len(shared) == 1 else taken[:, shared].sum(axis=1)
        held = np.array(network.held[sku], dtype=np.int64)
        if int(held.min()) < int(wanted[-1]):
            matrix[wanted > held[:, None]] = INF
