"""Pools by brute force: every way the single units of an item can be dealt out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from shared.domain.pools import Pool, Pooled


def held_by_hand(stock: Mapping[str, int], pools: Sequence[Pool]) -> tuple[int, ...]:
    """Every way of dealing units to pools, the one that gives the first pools most."""
    dealt = {tuple(0 for _ in pools)}
    for node, units in stock.items():
        takers = [n for n, pool in enumerate(pools) if node in pool.nodes]
        for _ in range(units):
            dealt |= {(*each[:n], each[n] + 1, *each[n + 1 :]) for each in dealt for n in takers}
            dealt = {each for each in dealt if all(u <= pool.units for u, pool in zip(each, pools, strict=True))}
    return max(dealt)


def can_take(stock: Mapping[str, int], item: Pooled, taken: Mapping[str, int]) -> bool:
    """Whether the other pools can hold afterwards what they held, and the channel took no more than it may."""
    if any(units > stock[node] for node, units in taken.items()):
        return False
    held = held_by_hand(stock, item.pools)
    own = sum(units for units, pool in zip(held, item.pools, strict=True) if pool.channel == item.channel)
    if not item.sells_common and sum(taken.values()) > own:
        return False
    others = [
        pool.model_copy(update={"units": units})
        for units, pool in zip(held, item.pools, strict=True)
        if pool.channel != item.channel
    ]
    left = {node: units - taken.get(node, 0) for node, units in stock.items()}
    return held_by_hand(left, others) == tuple(pool.units for pool in others)


def takings(stock: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Every way to take units by node."""
    for units in itertools.product(*(range(most + 1) for most in stock.values())):
        yield dict(zip(stock, units, strict=True))
