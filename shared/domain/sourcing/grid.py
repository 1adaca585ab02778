"""Exact dynamic programs over what an order's shipments can carry.

A *state* is how much of each atom (a unit, a chunk or a whole line) is taken; the states of an order form a
grid. A shipment's cost may be any function of (node, state): ``keys[n, s]`` holds cost less a large reward
per unit, so that the least sum fills the most units and, among those plans, costs least.

``by_node`` gives each node at most one shipment and is exact on every grid. ``by_mask`` is for atoms that are
taken or left: it picks the best node of every subset first, so its time hardly grows with the nodes, but it
may use a node twice; such an answer is a lower bound and must be solved again by ``by_node``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
#: No plan. Half of it is still more than any key, and two of it do not overflow.
INF = 1 << 60
#: Grids of so many pairs take half a megabyte.
SMALL = 30_000


@dataclass(frozen=True, slots=True)
class Pairs:
    """Every (state, part of it) of a grid, states ascending; ``starts`` is where each state's parts begin."""

    part: Ints
    rest: Ints
    starts: Ints


def states_of(steps: tuple[int, ...]) -> int:
    return prod(step + 1 for step in steps)


def pairs_in(steps: tuple[int, ...]) -> int:
    return prod((step + 1) * (step + 2) // 2 for step in steps)


@lru_cache(maxsize=256)
def amounts(steps: tuple[int, ...]) -> Ints:
    """One row per state, one column per atom; the first atom runs fastest."""
    rows = np.indices(tuple(step + 1 for step in reversed(steps)), dtype=np.int64)
    return np.ascontiguousarray(rows.reshape(len(steps), -1)[::-1].T)


def pairs(steps: tuple[int, ...]) -> Pairs:
    """Grids are kept: orders of one shape come again and again. Large ones are few, for they hold megabytes."""
    return _small(steps) if pairs_in(steps) <= SMALL else _large(steps)


def _build(steps: tuple[int, ...]) -> Pairs:
    whole = part = np.zeros(1, dtype=np.int64)
    stride = 1
    for step in steps:
        # The new atom runs slowest, and every pair is repeated in place: the states stay in order.
        rows = [(stride * taken + np.repeat(whole, taken + 1)) for taken in range(step + 1)]
        of = [np.tile(np.arange(taken + 1) * stride, len(part)) for taken in range(step + 1)]
        part = np.concatenate([np.repeat(part, taken + 1) + of[taken] for taken in range(step + 1)])
        whole = np.concatenate(rows)
        stride *= step + 1
    return Pairs(part, whole - part, np.searchsorted(whole, np.arange(stride)))


_small = lru_cache(maxsize=256)(_build)
_large = lru_cache(maxsize=8)(_build)


@dataclass(frozen=True, slots=True)
class Choice:
    """Shipments as (row of ``keys``, state), and the sum of their keys."""

    key: int
    shipments: tuple[tuple[int, int], ...]

    @property
    def nodes(self) -> frozenset[int]:
        return frozenset(node for node, _ in self.shipments)


def by_node(keys: Ints, steps: tuple[int, ...], limit: int, finish: Ints | None = None) -> Choice:
    """The best plan with at most one shipment of each node and ``limit`` in all.

    Args:
        keys: One row per node; column 0, the empty shipment, is zero; ``INF`` where it is not possible.
        finish: What it costs to end in each state; ``INF`` where a plan may not end.
    """
    grid = pairs(steps)
    layers = [_nothing_yet(len(keys), steps, limit)]
    for row in keys:
        layers.append(_either(layers[-1], row, grid))
    ends = layers[-1][-1] if finish is None else np.minimum(layers[-1][-1] + finish, INF)
    state = int(ends.argmin())
    return Choice(int(ends[state]), tuple(_retrace(layers, keys, grid, state)))


def with_another(keys: Ints, steps: tuple[int, ...], limit: int, chosen: list[int]) -> Choice:
    """The best plan in which every chosen node ships and at least one more does; its key is ``INF`` when none can."""
    grid = pairs(steps)
    before = [_nothing_yet(len(keys), steps, limit)]
    busy = keys.copy()
    busy[:, 0] = INF
    for node in chosen:
        before.append(_ships(before[-1], busy[node], grid))
    others = [node for node in range(len(keys)) if node not in chosen]
    after = [np.full_like(before[-1], INF)]
    for node in others:
        after.append(np.minimum(after[-1], _ships(np.minimum(after[-1], before[-1]), busy[node], grid)))
    key = int(after[-1].min())
    if key > INF // 2:
        return Choice(INF, ())
    level, state = np.unravel_index(after[-1].argmin(), after[-1].shape)
    at = (int(level), int(state))
    found: list[tuple[int, int]] = []
    for turn in range(len(others) - 1, -1, -1):
        if after[turn][at] == after[turn + 1][at]:
            continue
        either = np.minimum(after[turn], before[-1])
        part, at = _last(either, busy[others[turn]], grid, after[turn + 1], at)
        found.append((others[turn], part))
        if before[-1][at] <= after[turn][at]:
            break
    for turn in range(len(chosen) - 1, -1, -1):
        part, at = _last(before[turn], busy[chosen[turn]], grid, before[turn + 1], at)
        found.append((chosen[turn], part))
    return Choice(key, tuple(found))


def _nothing_yet(nodes: int, steps: tuple[int, ...], limit: int) -> Ints:
    """One row per number of shipments allowed so far; a single one when the limit cannot bind."""
    levels = 1 if limit >= min(nodes, sum(steps)) else limit + 1
    start = np.full((levels, states_of(steps)), INF, dtype=np.int64)
    start[:, 0] = 0
    return start


def _ships(layer: Ints, row: Ints, grid: Pairs) -> Ints:
    """The layer after one more shipment, by this node."""
    counted = len(layer) > 1
    cost = row.take(grid.part)
    after = np.full_like(layer, INF)
    for level, before in enumerate(layer[:-1] if counted else layer):
        np.minimum.reduceat(before.take(grid.rest) + cost, grid.starts, out=after[level + counted])
    return np.minimum(after, INF, out=after)


def _either(layer: Ints, row: Ints, grid: Pairs) -> Ints:
    """The layer after a node that ships or does not."""
    return np.minimum(layer, _ships(layer, row, grid))


def _retrace(layers: list[Ints], keys: Ints, grid: Pairs, state: int) -> Iterator[tuple[int, int]]:
    at = (len(layers[-1]) - 1, state)
    for node in range(len(keys) - 1, -1, -1):
        if layers[node][at] == layers[node + 1][at]:
            continue
        part, at = _last(layers[node], keys[node], grid, layers[node + 1], at)
        yield node, part


def _last(before: Ints, row: Ints, grid: Pairs, after: Ints, at: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """What the last shipment takes that leads to a level and state, and the level and state without it."""
    level, state = at
    left = level - 1 if len(before) > 1 else level
    start = int(grid.starts[state])
    stop = int(grid.starts[state + 1]) if state + 1 < len(grid.starts) else len(grid.part)
    sums = before[left, grid.rest[start:stop]] + row[grid.part[start:stop]]
    found = start + int((sums == after[at]).argmax())
    return int(grid.part[found]), (left, int(grid.rest[found]))


def by_mask(keys: Ints, atoms: int, limit: int) -> Choice:
    """The best plan over subsets of ``atoms`` taken or left; a node may be used more than once."""
    best = keys.min(axis=0)
    levels = 1 if limit >= atoms else limit + 1
    filled = np.zeros((levels, 1 << atoms), dtype=np.int64)
    grid = pairs((1,) * max(atoms - 1, 0))
    for atom in range(atoms):
        half = 1 << atom
        _take_top(filled, best, grid, half)
    return Choice(int(filled[-1, -1]), tuple(_unmask(filled, best, keys, grid, atoms)))


def _take_top(filled: Ints, best: Ints, grid: Pairs, half: int) -> None:
    """Fill in the masks whose highest atom is ``half``: it is left, or goes with a part of the lower ones."""
    ends = int(grid.starts[half]) if half < len(grid.starts) else len(grid.part)
    part, rest = grid.part[:ends], grid.rest[:ends]
    counted = len(filled) > 1
    cost = best[half : 2 * half].take(part)
    for level, before in enumerate(filled[:-1] if counted else filled):
        taken = np.minimum.reduceat(before.take(rest) + cost, grid.starts[:half])
        after = filled[level + counted]
        np.minimum(after[:half], taken, out=after[half : 2 * half])


def _unmask(filled: Ints, best: Ints, keys: Ints, grid: Pairs, atoms: int) -> Iterator[tuple[int, int]]:
    mask, level = (1 << atoms) - 1, -1
    while mask:
        half = 1 << (mask.bit_length() - 1)
        low = mask - half
        goal = filled[level, mask]
        if filled[level, low] == goal:
            mask = low
            continue
        left = level - 1 if len(filled) > 1 else level
        start = int(grid.starts[low])
        stop = int(grid.starts[low + 1]) if low + 1 < len(grid.starts) else len(grid.part)
        sums = best[half + grid.part[start:stop]] + filled[left, grid.rest[start:stop]]
        found = start + int((sums == goal).argmax())
        state = half + int(grid.part[found])
        yield int(keys[:, state].argmin()), state
        mask, level = int(grid.rest[found]), left
