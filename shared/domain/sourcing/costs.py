"""The cost of every (node, state) of an order's grid, as one matrix.

The matrix is what ``Source.price`` says, computed for all states at once in 64-bit integers. Amounts too
large for that are refused, and the caller takes a method that counts in Python's own integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shared.domain.capacity import UNLIMITED
from shared.domain.kept import Same
from shared.domain.sourcing.freight import Tariff, Way, billable_g, volume_mm3
from shared.domain.sourcing.grid import INF, Ints, amounts
from shared.domain.sourcing.models import Policy, WantedLine
from shared.domain.sourcing.sources import Source

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


class _Network:
    """The sources as columns; nodes that share their ways are priced by them once.

    Attributes:
        held, goods: Units each source holds of each atom's SKU, and what one of them costs beside its handling.
        groups: For each source, the place of its ways in ``ways``.
    """

    def __init__(self, atoms: Atoms, sources: Sequence[Source]) -> None:
        skus = {line.sku: None for line in atoms.lines}
        held: dict[str, list[int]] = {sku: [0] * len(sources) for sku in skus}
        goods: dict[str, list[int]] = {sku: [0] * len(sources) for sku in skus}
        for n, source in enumerate(sources):
            for sku, row in source.stock.items():
                if sku in skus:
                    held[sku][n] = row.available
                    goods[sku][n] = row.unit_cost_minor + row.customs_minor + row.scarcity_minor + row.clearance_minor
        self.held, self.goods = held, goods
        self.fixed = [source.fixed for source in sources]
        self.each = [source.node.handling_unit_minor for source in sources]
        places: dict[Same[tuple[Way, ...]], int] = {}
        self.groups = [places.setdefault(Same(source.ways), len(places)) for source in sources]
        self.ways = [key.value for key in places]


def keys_of(atoms: Atoms, sources: Sequence[Source], policy: Policy) -> Keys | None:
    network = _Network(atoms, sources)
    reward, largest = _magnitudes(atoms, network, policy)
    if largest >= INF // 4:
        return None
    taken = amounts(atoms.steps) * np.array(atoms.chunk, dtype=np.int64)
    units = taken.sum(axis=1)
    grams = _billable(atoms, taken, policy)
    matrix = _freight(network.ways, grams, units)[network.groups]
    matrix += (np.array(network.fixed) + policy.split_penalty_minor)[:, None]
    matrix += (np.array(network.each) - reward)[:, None] * units
    if any(map(any, network.goods.values())):
        items = np.array([network.goods[line.sku] for line in atoms.lines], dtype=np.int64)
        matrix += items.T @ taken.T
    _forbid(matrix, atoms, taken, network)
    matrix[:, 0] = 0
    return Keys(matrix, reward, units)


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
    cost = _freight_of(network, _billable(atoms, carried, policy), units, node, state)
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


def _freight_of(network: _Network, grams: Ints, units: Ints, node: Ints, state: Ints) -> Ints:
    """Least freight, lateness and capacity of each row's state by the ways of its node."""
    index: dict[Tariff, int] = {}
    for ways in network.ways:
        for way in ways:
            index.setdefault(way.tariff, len(index))
    table = _prices(list(index), grams)
    group = np.array(network.groups, dtype=np.int64)[node]
    best = np.full(len(node), INF, dtype=np.int64)
    for turn in range(max(map(len, network.ways))):
        # Groups with fewer ways look at their last one again.
        nth = [ways[min(turn, len(ways) - 1)] for ways in network.ways]
        cost = table[np.array([index[way.tariff] for way in nth])[group], state]
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
    freight = [max(way.tariff.cost(grams)[0] + way.each * units for way in ways) for ways in network.ways]
    items = map(max, zip(*network.goods.values(), strict=True))
    shipments = zip(network.fixed, network.each, items, network.groups, strict=True)
    dearest: int = max(fixed + (each + goods) * units + freight[group] for fixed, each, goods, group in shipments)
    # The bound by masks may use a node twice, so that every atom can be a shipment of its own.
    turns = min(sum(atoms.steps), max(len(network.groups), len(atoms.steps)))
    return 1 + (dearest + policy.split_penalty_minor) * turns


def _freight(groups: Sequence[tuple[Way, ...]], grams: Ints, units: Ints) -> Ints:
    """Least freight, lateness and capacity of each state over each of these tuples of ways."""
    index: dict[Tariff, int] = {}
    for ways in groups:
        for way in ways:
            index.setdefault(way.tariff, len(index))
    table = _prices(list(index), grams)
    best = np.full((len(groups), len(grams)), INF, dtype=np.int64)
    for turn in range(max(map(len, groups))):
        rows = [n for n, ways in enumerate(groups) if len(ways) > turn]
        nth = [groups[n][turn] for n in rows]
        cost = table[[index[way.tariff] for way in nth]]
        if any(way.each for way in nth):
            cost += np.array([way.each for way in nth])[:, None] * units
        if any(way.capacity < UNLIMITED for way in nth):
            cost[units > np.array([way.capacity for way in nth])[:, None]] = INF
        best[rows] = np.minimum(best[rows], cost)
    return best


def _prices(tariffs: Sequence[Tariff], grams: Ints) -> Ints:
    """Price of every weight by every tariff; short tariffs repeat their last break."""
    width = max(len(tariff.up_to) for tariff in tariffs)
    up_to = np.array([tariff.up_to + tariff.up_to[-1:] * (width - len(tariff.up_to)) for tariff in tariffs])
    price = np.array([tariff.price + tariff.price[-1:] * (width - len(tariff.price)) for tariff in tariffs])
    if int(up_to[:, -1].min()) >= int(grams.max()):
        return _break_price(up_to, price, np.broadcast_to(grams, (len(tariffs), len(grams))))
    full, rest = np.divmod(grams - 1, up_to[:, -1:])
    prices: Ints = _break_price(up_to, price, rest + 1) + full * price[:, -1:]
    return prices


def _break_price(up_to: Ints, price: Ints, grams: Ints) -> Ints:
    found = np.zeros(grams.shape, dtype=np.int64)
    for column in range(up_to.shape[1] - 1):
        found += grams > up_to[:, column : column + 1]
    prices: Ints = np.take_along_axis(price, found, axis=1)
    return prices


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
