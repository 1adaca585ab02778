"""The cost of every (node, state) of an order's grid, as one matrix.

The matrix is what ``Source.price`` says, computed for all states at once in 64-bit integers; where nodes pack in
cartons it is never more, and ``is_settled`` tells whether shipments cost what it says. Amounts too large for it are
refused, and the caller takes a method that counts in Python's own integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shared.domain.capacity import UNLIMITED
from shared.domain.kept import Same
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
        groups: For each source, the place of its ways and cartons in ``ways`` and ``cartons``.
    """

    def __init__(self, atoms: Atoms, sources: Sequence[Source]) -> None:
        skus = {line.sku: None for line in atoms.lines}
        held: dict[str, list[int]] = {sku: [0] * len(sources) for sku in skus}
        goods: dict[str, list[int]] = {sku: [0] * len(sources) for sku in skus}
        for n, source in enumerate(sources):
            for sku, row in source.stock.items():
                if sku in skus:
                    held[sku][n] = row.available
                    goods[sku][n] = row.unit_minor
        self.held, self.goods = held, goods
        self.fixed = [source.fixed for source in sources]
        self.each = [source.node.handling_unit_minor for source in sources]
        places: dict[tuple[Same[tuple[Way, ...]], Cartons | None], int] = {}
        self.groups = [places.setdefault((Same(source.ways), source.cartons), len(places)) for source in sources]
        self.ways = [key.value for key, _ in places]
        self.cartons = [cartons for _, cartons in places]


def keys_of(atoms: Atoms, sources: Sequence[Source], policy: Policy) -> Keys | None:
    network = _Network(atoms, sources)
    reward, largest = _magnitudes(atoms, network, policy)
    if largest >= INF // 4:
        return None
    taken = amounts(atoms.steps) * np.array(atoms.chunk, dtype=np.int64)
    units = taken.sum(axis=1)
    grams = _billable(atoms, taken, policy)
    table = _Table(network, atoms, taken, grams)
    matrix = _freight(network, table, units)[network.groups]
    matrix += (np.array(network.fixed) + policy.split_penalty_minor)[:, None]
    matrix += (np.array(network.each) - reward)[:, None] * units
    if any(map(any, network.goods.values())):
        items = np.array([network.goods[line.sku] for line in atoms.lines], dtype=np.int64)
        matrix += items.T @ taken.T
    _forbid(matrix, atoms, taken, network)
    matrix[:, 0] = 0
    return Keys(matrix, reward, units)


def is_settled(choices: Sequence[Choice], keys: Keys, atoms: Atoms, sources: Sequence[Source], policy: Policy) -> bool:
    """Whether plans cost what their keys say: without cartons always, else when their packings are known.

    What is packed to know it is known to the next ``keys_of``.
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
    table = _Table(network, atoms, carried, _billable(atoms, carried, policy))
    cost = _freight_of(network, table, units, node, state)
    cost += (np.array(network.fixed, dtype=np.int64) + policy.split_penalty_minor)[node]
    cost += np.array(network.each, dtype=np.int64)[node] * units
    for column, (line, chunk) in enumerate(zip(atoms.lines, atoms.chunk, strict=True)):
        if any(goods := network.goods[line.sku]):
            cost += np.array(goods, dtype=np.int64)[node] * taken[:, column] * chunk
    return np.minimum(cost, INF, out=cost)


def _distinct(taken: Ints, steps: Sequence[int]) -> tuple[Ints, Ints]:
    """The states among these rows, and which of them each row is."""
    strides = np.cumprod([1, *(step + 1 for step in steps[:-1])], dtype=np.int64)
    _, first, state = np.unique(taken @ strides, return_index=True, return_inverse=True)
    return taken[first], state


def _freight_of(network: _Network, table: _Table, units: Ints, node: Ints, state: Ints) -> Ints:
    """Least freight, cartons, lateness and capacity of each row's state by the ways of its node."""
    group = np.array(network.groups, dtype=np.int64)[node]
    best = np.full(len(node), INF, dtype=np.int64)
    for turn in range(max(map(len, network.ways))):
        # Groups with fewer ways look at their last one again.
        nth = [ways[min(turn, len(ways) - 1)] for ways in network.ways]
        row = np.array([rows[min(turn, len(rows) - 1)] for rows in table.rows])
        cost = table.costs[row[group], state]
        if any(way.each for way in nth):
            cost += np.array([way.each for way in nth], dtype=np.int64)[group] * units
        if any(way.capacity < UNLIMITED for way in nth):
            cost[units > np.array([way.capacity for way in nth], dtype=np.int64)[group]] = INF
        np.minimum(best, cost, out=best)
    return best


def _billable(atoms: Atoms, taken: Ints, policy: Policy) -> Ints:
    weight = taken @ np.array([max(0, line.weight_g) for line in atoms.lines], dtype=np.int64)
    volume = taken @ np.array([volume_mm3(line) for line in atoms.lines], dtype=np.int64)
    return np.maximum(np.maximum(weight, -(-volume // policy.dim_divisor)), 1)


def _reward(atoms: Atoms, network: _Network, policy: Policy, units: int, grams: int) -> int:
    """More than any plan of this order can cost."""
    freight = [
        max(_dearest(way.tariff, cartons, grams, units) + way.each * units for way in ways)
        for ways, cartons in zip(network.ways, network.cartons, strict=True)
    ]
    items = map(max, zip(*network.goods.values(), strict=True))
    shipments = zip(network.fixed, network.each, items, network.groups, strict=True)
    dearest: int = max(fixed + (each + goods) * units + freight[group] for fixed, each, goods, group in shipments)
    # The bound by masks may use a node twice, so that every atom can be a shipment of its own.
    turns = min(sum(atoms.steps), max(len(network.groups), len(atoms.steps)))
    return 1 + (dearest + policy.split_penalty_minor) * turns


def _dearest(tariff: Tariff, cartons: Cartons | None, grams: int, units: int) -> int:
    return tariff.cost(grams)[0] if cartons is None else cartons.dearest(tariff, grams, units)


class _Table:
    """What every state costs to carry and to pack, by tariff and cartons.

    Attributes:
        rows: For each group of the network, the row of each of its ways in ``costs``.
    """

    def __init__(self, network: _Network, atoms: Atoms, taken: Ints, grams: Ints) -> None:
        tariffs: dict[Cartons | None, dict[Tariff, int]] = {}
        first: dict[Cartons | None, int] = {}
        for ways, cartons in zip(network.ways, network.cartons, strict=True):
            known = tariffs.setdefault(cartons, {})
            for way in ways:
                known.setdefault(way.tariff, len(known))
        tables: list[Ints] = []
        for cartons, known in tariffs.items():
            first[cartons] = sum(len(table) for table in tables)
            tables.append(_prices(cartons, list(known), atoms, taken, grams))
        self.costs: Ints = np.concatenate(tables) if len(tables) > 1 else tables[0]
        self.rows = [
            [first[cartons] + tariffs[cartons][way.tariff] for way in ways]
            for ways, cartons in zip(network.ways, network.cartons, strict=True)
        ]


def _prices(cartons: Cartons | None, tariffs: Sequence[Tariff], atoms: Atoms, taken: Ints, grams: Ints) -> Ints:
    return prices(tariffs, grams) if cartons is None else cartons.least(tariffs, atoms.lines, taken)


def _freight(network: _Network, table: _Table, units: Ints) -> Ints:
    """Least freight, cartons, lateness and capacity of each state over the ways of each group."""
    groups = network.ways
    best = np.full((len(groups), len(units)), INF, dtype=np.int64)
    for turn in range(max(map(len, groups))):
        rows = [n for n, ways in enumerate(groups) if len(ways) > turn]
        nth = [groups[n][turn] for n in rows]
        cost = table.costs[[table.rows[n][turn] for n in rows]]
        if any(way.each for way in nth):
            cost += np.array([way.each for way in nth])[:, None] * units
        if any(way.capacity < UNLIMITED for way in nth):
            cost[units > np.array([way.capacity for way in nth])[:, None]] = INF
        best[rows] = np.minimum(best[rows], cost)
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
    np.minimum(matrix, INF, out=matrix)
