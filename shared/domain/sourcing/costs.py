"""The cost of every (node, state) of an order's grid, as one matrix.

The matrix is what ``Source.price`` says, computed for all states at once in 64-bit integers. Amounts too
large for that are refused, and the caller takes a method that counts in Python's own integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shared.domain.capacity import UNLIMITED
from shared.domain.sourcing.freight import Tariff, billable_g, volume_mm3
from shared.domain.sourcing.grid import INF, Ints, amounts
from shared.domain.sourcing.models import Policy, WantedLine
from shared.domain.sourcing.sources import Source


@dataclass(frozen=True, slots=True)
class Atoms:
    """What one order's grid counts: ``steps[i]`` times ``chunk[i]`` units of ``lines[i]``."""

    lines: tuple[WantedLine, ...]
    chunk: tuple[int, ...]
    steps: tuple[int, ...]

    def parts(self, states: Sequence[int]) -> list[tuple[WantedLine, int]]:
        """Units of each line in these states together."""
        units: dict[int, tuple[WantedLine, int]] = {}
        taken = amounts(self.steps)[list(states)].sum(axis=0).tolist()
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


def keys_of(atoms: Atoms, sources: Sequence[Source], policy: Policy) -> Keys | None:
    everything = [(line, chunk * step) for line, chunk, step in zip(atoms.lines, atoms.chunk, atoms.steps, strict=True)]
    most = sum(quantity for _, quantity in everything)
    reward = _reward(atoms, sources, policy, most, billable_g(everything, policy.dim_divisor))
    volume = sum(quantity * volume_mm3(line) for line, quantity in everything)
    if max(reward * (most + 1), volume) >= INF // 4:
        return None
    taken = amounts(atoms.steps) * np.array(atoms.chunk, dtype=np.int64)
    units = taken.sum(axis=1)
    grams = _billable(atoms, taken, policy)
    matrix = _freight(sources, grams, units)
    fixed = [source.fixed + policy.split_penalty_minor for source in sources]
    each = [source.node.handling_unit_minor - reward for source in sources]
    matrix += np.array(fixed)[:, None] + np.array(each)[:, None] * units
    items = [[source.unit_cost(line.sku) for line in atoms.lines] for source in sources]
    if any(map(any, items)):
        matrix += np.array(items, dtype=np.int64) @ taken.T
    _forbid(matrix, atoms, taken, sources)
    matrix[:, 0] = 0
    return Keys(matrix, reward, units)


def _billable(atoms: Atoms, taken: Ints, policy: Policy) -> Ints:
    weight = taken @ np.array([max(0, line.weight_g) for line in atoms.lines], dtype=np.int64)
    volume = taken @ np.array([volume_mm3(line) for line in atoms.lines], dtype=np.int64)
    return np.maximum(np.maximum(weight, -(-volume // policy.dim_divisor)), 1)


def _reward(atoms: Atoms, sources: Sequence[Source], policy: Policy, units: int, grams: int) -> int:
    """More than any plan of this order can cost."""
    dearest = 0
    for source in sources:
        ways = max(way.tariff.cost(grams)[0] + way.each * units for way in source.ways)
        items = max((source.unit_cost(line.sku) for line in atoms.lines), default=0)
        each = (source.node.handling_unit_minor + items) * units
        dearest = max(dearest, source.fixed + policy.split_penalty_minor + each + ways)
    # The bound by masks may use a node twice, so that every atom can be a shipment of its own.
    return 1 + dearest * min(sum(atoms.steps), max(len(sources), len(atoms.steps)))


def _freight(sources: Sequence[Source], grams: Ints, units: Ints) -> Ints:
    """Least freight, lateness and capacity of each source and state over the source's ways."""
    index: dict[Tariff, int] = {}
    for source in sources:
        for way in source.ways:
            index.setdefault(way.tariff, len(index))
    table = _prices(list(index), grams)
    best = np.full((len(sources), len(grams)), INF, dtype=np.int64)
    for turn in range(max(len(source.ways) for source in sources)):
        rows = [n for n, source in enumerate(sources) if len(source.ways) > turn]
        ways = [sources[n].ways[turn] for n in rows]
        cost = table[[index[way.tariff] for way in ways]]
        if any(way.each for way in ways):
            cost += np.array([way.each for way in ways])[:, None] * units
        if any(way.capacity < UNLIMITED for way in ways):
            cost[units > np.array([way.capacity for way in ways])[:, None]] = INF
        if len(rows) == len(sources):
            np.minimum(best, cost, out=best)
        else:
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


def _forbid(matrix: Ints, atoms: Atoms, taken: Ints, sources: Sequence[Source]) -> None:
    """Rule out what a node does not hold, lines of one SKU taken together."""
    columns: dict[str, list[int]] = {}
    for column, line in enumerate(atoms.lines):
        columns.setdefault(line.sku, []).append(column)
    for sku, shared in columns.items():
        wanted = taken[:, shared[0]] if len(shared) == 1 else taken[:, shared].sum(axis=1)
        most = int(wanted[-1])
        rows = [n for n, source in enumerate(sources) if source.holds(sku) < most]
        if rows:
            held = np.array([sources[n].holds(sku) for n in rows])[:, None]
            matrix[rows] = np.where(wanted > held, INF, matrix[rows])
    np.minimum(matrix, INF, out=matrix)
