"""The published policies. What they choose is tried once: without stock the unit comes from the supplier.

A rounding draws a node for each item of an order so that every item goes to a node as often as the linear
program says, and differs in how often that splits the order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tests.benchmarks.jasin_sinha.instance import (
    FIXED_COST,
    ITEMS,
    MILES,
    UNIT_COST,
    Arrival,
    Floats,
    Instance,
    Ints,
    K,
)

#: Items by share that a node gets of each: one row per node, one column per item of the order.
Rounding = Callable[[Floats, np.random.Generator], Ints]
Choose = Callable[[int, int, Ints], Sequence[int]]
_TINY = 1e-7


def run(instance: Instance, orders: Sequence[Arrival], choose: Choose) -> tuple[float, int]:
    """(dollars, shipments) of a policy that names a node for each item of (type, metro) and sees the stock left."""
    stock = np.vstack([instance.stock, np.full(ITEMS, 1 << 30)])
    dollars, shipments = 0.0, 0
    for kind, metro, _ in orders:
        used: set[int] = set()
        for item, wish in zip(instance.types[kind], choose(kind, metro, stock), strict=True):
            node = wish if stock[wish, item] > 0 else K
            stock[node, item] -= 1
            dollars += UNIT_COST[node, metro]
            used.add(node)
        dollars += sum(FIXED_COST[node] for node in used)
        shipments += len(used)
    return float(dollars), shipments


def nearest(instance: Instance) -> Choose:
    """Every item from the nearest centre that carries it."""
    return lambda kind, metro, _: [int(instance.nearest[item, metro]) for item in instance.types[kind]]


def most_lines_then_nearest(instance: Instance) -> Choose:
    """The rule of order management systems: the node with most of what is left, the nearest of them, and so on."""

    def choose(kind: int, metro: int, stock: Ints) -> list[int]:
        wanted = dict.fromkeys(instance.types[kind], K)
        left = set(wanted)
        while left:
            gives = [sum(stock[node, item] > 0 for item in left) for node in range(K)]
            best = min(range(K), key=lambda node: (-gives[node], MILES[node, metro]))
            if not gives[best]:
                break
            for item in [item for item in left if stock[best, item] > 0]:
                wanted[item] = best
                left.remove(item)
        return list(wanted.values())

    return choose


def rounded(shares: dict[tuple[int, int], Floats], rounding: Rounding, rng: np.random.Generator) -> Choose:
    return lambda kind, metro, _: rounding(shares[kind, metro], rng).tolist()


def independent(share: Floats, rng: np.random.Generator) -> Ints:
    chosen: Ints = (rng.random(share.shape[1]) > share.cumsum(axis=0)[:-1]).sum(axis=0)
    return chosen


def dilated(share: Floats, rng: np.random.Generator) -> Ints:
    """Ma's: nodes open after exponential times, and an item sees a node's time stretched by its share of it."""
    with np.errstate(divide="ignore"):
        chosen: Ints = (rng.exponential(size=len(share))[:, None] / share).argmin(axis=0)
    return chosen


def jasin_sinha(share: Floats, rng: np.random.Generator) -> Ints:
    """Jasin and Sinha's: cut each node's shares into layers of equal height, and draw a layer for them together.

    A layer of m of the n items is drawn with m/n of its height; its items go to its node, and the others to
    nodes drawn from what is left of their own shares.
    """
    nodes, items = share.shape
    layers = np.zeros((items, nodes, items))
    rest = share.copy()
    for size in range(items, 0, -1):
        taken = rest > _TINY
        full = taken.sum(axis=1) == size
        height = np.where(taken, rest, np.inf).min(axis=1)
        layers[size - 1] = np.where(full[:, None] & taken, np.where(full, height, 0.0)[:, None], 0.0)
        rest = rest - layers[size - 1]
    heights = layers.max(axis=2)
    odds = heights * np.arange(1, items + 1)[:, None] / items
    drawn = int(rng.choice(odds.size, p=odds.ravel() / odds.sum()))
    size, node = divmod(drawn, nodes)
    left = np.where(layers > _TINY, layers - odds[:, :, None], 0.0).clip(0).sum(axis=0)
    chosen = np.full(items, node)
    for item in np.flatnonzero(layers[size, node] <= _TINY):
        chosen[item] = rng.choice(nodes, p=left[:, item] / left[:, item].sum())
    return chosen
