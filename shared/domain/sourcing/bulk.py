"""Orders too large for an exact method: a bounded search over sets of nodes, in floats until the answer.

Within a set of nodes every item goes to the node where one more unit is cheapest, as far as stock reaches.
The set grows by the node that helps most, then nodes are swapped, dropped and added while that helps and the
work allowance lasts. The answer is assigned again one item at a time, with every limit counted exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.domain.sourcing.freight import billable_g
from shared.domain.sourcing.models import Policy, WantedLine
from shared.domain.sourcing.solution import Parts, Solution
from shared.domain.sourcing.sources import Source

Floats = NDArray[np.float64]
#: (item, node) pairs the search may look at: some tenths of a second.
WORK = 30_000_000
#: Nodes worth combining; more than this are ranked by how much they can give first.
NODES = 24
#: Sets of nodes that are assigned and polished, when there are no more (item, node) pairs than ``SEED_SIZE``.
SEEDS = 8
SEED_SIZE = 1_500


@dataclass(frozen=True, slots=True)
class Item:
    """Units that may be taken together: all lines of a SKU, or one line when lines may not be split."""

    lines: tuple[WantedLine, ...]
    quantity: int


def items_of(lines: Sequence[WantedLine], policy: Policy) -> list[Item]:
    if not policy.allow_line_split:
        return [Item((line,), line.quantity) for line in lines]
    shared: dict[str, list[WantedLine]] = {}
    for line in lines:
        shared.setdefault(line.sku, []).append(line)
    return [Item(tuple(group), sum(line.quantity for line in group)) for group in shared.values()]


class _Field:
    """Items against nodes: what each node has of each item and what one more unit costs there."""

    def __init__(self, items: list[Item], sources: Sequence[Source], policy: Policy) -> None:
        self.items, self.sources, self.policy = items, sources, policy
        wanted = [item.quantity for item in items]
        held = [[source.holds(item.lines[0].sku) for source in sources] for item in items]
        self.wanted = np.array(wanted, dtype=np.float64)
        grams = [billable_g([(line, line.quantity) for line in item.lines], policy.dim_divisor) for item in items]
        self.grams = np.array(grams, dtype=np.float64) / self.wanted
        have = np.minimum(np.array(held, dtype=np.float64), self.wanted[:, None])
        if not policy.allow_line_split:
            have = np.where(have == self.wanted[:, None], have, 0.0)
        each = self._unit_costs()
        slope = np.array([min(way.tariff.least_per_gram() for way in source.ways) for source in sources])
        rank = each + self.grams[:, None] * slope
        self.order = np.argsort(np.where(have > 0, rank, np.inf), axis=1, kind="stable")
        self.have = np.take_along_axis(have, self.order, axis=1)
        self.each = np.take_along_axis(each, self.order, axis=1)
        self.capacity = np.array([source.capacity for source in sources], dtype=np.float64)

    def _unit_costs(self) -> Floats:
        items = [[source.unit_cost(item.lines[0].sku) for source in self.sources] for item in self.items]
        handling = np.array([source.node.handling_unit_minor for source in self.sources], dtype=np.float64)
        return np.array(items, dtype=np.float64) + handling

    def value(self, nodes: frozenset[int]) -> tuple[float, float]:
        """(units not filled, cost) of a set of nodes: less is better."""
        inside = np.zeros(len(self.sources))
        inside[list(nodes)] = 1.0
        reach = np.minimum(np.cumsum(self.have * inside[self.order], axis=1), self.wanted[:, None])
        taken = np.diff(reach, axis=1, prepend=0.0)
        at, size = self.order.ravel(), len(self.sources)
        units: Floats = np.bincount(at, taken.ravel(), size).astype(np.float64)
        grams: Floats = np.bincount(at, (taken * self.grams[:, None]).ravel(), size).astype(np.float64)
        short = float(self.wanted.sum() - np.minimum(units, self.capacity).sum())
        return short, float((taken * self.each).sum()) + self._shipments(units, grams)

    def _shipments(self, units: Floats, grams: Floats) -> float:
        cost = -float(self.policy.split_penalty_minor)
        for node in np.flatnonzero(units).tolist():
            source = self.sources[node]
            ways = (way.tariff.cost(int(grams[node]))[0] + way.each * units[node] for way in source.ways)
            cost += source.fixed + self.policy.split_penalty_minor + min(ways)
        return cost

    def assign(self, nodes: frozenset[int]) -> dict[int, Parts]:
        """Units of each line by node: scarce items first, no more than stock and capacity allow."""
        room = {node: self.sources[node].capacity for node in nodes}
        stock = {node: {sku: row.available for sku, row in self.sources[node].stock.items()} for node in nodes}
        given: dict[int, Parts] = {node: [] for node in sorted(nodes)}
        choices = [[node for node in row if node in nodes] for row in self.order.tolist()]
        for index in sorted(range(len(self.items)), key=lambda index: len(choices[index])):
            for line in self.items[index].lines:
                left = line.quantity
                for node in choices[index]:
                    take = min(left, stock[node].get(line.sku, 0), room[node])
                    if take <= 0 or (take < left and not self.policy.allow_line_split):
                        continue
                    given[node].append((line, take))
                    stock[node][line.sku] -= take
                    room[node] -= take
                    left -= take
        return {node: parts for node, parts in given.items() if parts}


def search(lines: Sequence[WantedLine], sources: Sequence[Source], policy: Policy) -> list[Solution]:
    """The best plans found for an order of any size, each from another set of nodes, best first."""
    kept = _most_useful(lines, sources)
    field = _Field(items_of(lines, policy), [sources[n] for n in kept], policy)
    seen: dict[frozenset[int], tuple[float, float]] = {}
    _climb(field, seen, policy.max_shipments, max(WORK // field.have.size, 8 * len(kept)))
    answers = [_priced(field, nodes) for nodes in _best_of(seen, SEEDS if field.have.size <= SEED_SIZE else 2)]
    return [
        one._replace(shipments=tuple((kept[n], parts) for n, parts in one.shipments), proven=False) for one in answers
    ]


def _most_useful(lines: Sequence[WantedLine], sources: Sequence[Source]) -> list[int]:
    """Indices of at most ``NODES`` sources, those that can give most units."""
    give = [-sum(min(line.quantity, source.holds(line.sku)) for line in lines) for source in sources]
    return sorted(sorted(range(len(sources)), key=lambda n: (give[n], n))[:NODES])


def _climb(field: _Field, seen: dict[frozenset[int], tuple[float, float]], limit: int, allowance: int) -> None:
    """Grow a set of nodes greedily, then improve it move by move, until nothing helps or the work is spent."""
    nodes: frozenset[int] = frozenset()
    best = field.value(nodes)
    growing = True
    while True:
        moves = _additions(nodes, field, limit) if growing else _moves(nodes, field, limit)
        for move in moves:
            if move and move not in seen and len(seen) < allowance:
                seen[move] = field.value(move)
        step = min((move for move in moves if move in seen), key=lambda move: (seen[move], sorted(move)), default=nodes)
        if step in seen and seen[step] < best:
            nodes, best = step, seen[step]
        elif growing:
            growing = False
        else:
            return


def _additions(nodes: frozenset[int], field: _Field, limit: int) -> list[frozenset[int]]:
    others = [node for node in range(len(field.sources)) if node not in nodes]
    return [nodes | {node} for node in others] if len(nodes) < limit else []


def _moves(nodes: frozenset[int], field: _Field, limit: int) -> list[frozenset[int]]:
    others = [node for node in range(len(field.sources)) if node not in nodes]
    drops = [nodes - {node} for node in sorted(nodes)]
    swaps = [drop | {node} for drop in drops for node in others]
    return drops + swaps + _additions(nodes, field, limit)


def _best_of(seen: dict[frozenset[int], tuple[float, float]], count: int) -> list[frozenset[int]]:
    """The best sets of nodes; of those with the same value, whose further nodes stay empty, only one."""
    ranked = sorted(seen, key=lambda nodes: (seen[nodes], len(nodes), sorted(nodes)))
    values: dict[tuple[float, float], frozenset[int]] = {}
    for nodes in ranked:
        values.setdefault(seen[nodes], nodes)
    return list(values.values())[:count]


def _priced(field: _Field, nodes: frozenset[int]) -> Solution:
    cost = units = 0
    shipments: list[tuple[int, Parts]] = []
    for node, parts in field.assign(nodes).items():
        priced = field.sources[node].price(parts, field.policy.dim_divisor)
        if priced is None:
            raise AssertionError("an assignment within capacity always has a way out")
        cost += priced.terms.total + (field.policy.split_penalty_minor if shipments else 0)
        units += sum(quantity for _, quantity in parts)
        shipments.append((node, parts))
    return Solution(tuple(shipments), units, cost)
