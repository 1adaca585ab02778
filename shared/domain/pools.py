"""Pools: units of an item kept for one channel alone, wherever they lie.

A pool is a standing level over all nodes its channel sells from, so what others must leave is a total, not a figure of
any one node: a unit of a pool may be taken where another can stand in for it. Pools are filled by rank, each as far as
stock allows beside those before it. Sets of filled pools are a polymatroid, so filling them greedily gives each the
most it can have (Edmonds 1970); a pool makes room for another along augmenting paths (Edmonds & Karp 1972). Nodes
that the same channels sell from count as one place, so the work does not grow with the network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from shared.domain.base import Model, Sku

#: The pools that may hold units of a place, by their number.
_Place = frozenset[int]


class Pool(Model):
    """A channel's claim on units of one item, at the nodes it sells from."""

    channel: str
    units: int
    nodes: frozenset[str]


class Pooled(Model):
    """What is kept of an item, as one channel meets it.

    Attributes:
        pools: Every channel's, its own among them, in the order of rank.
        sells_common: Whether it may take units that no pool holds.
    """

    sku: Sku
    channel: str
    pools: tuple[Pool, ...]
    sells_common: bool = True

    @property
    def binds(self) -> bool:
        """Whether the channel may not take all there is."""
        return not self.sells_common or any(pool.channel != self.channel for pool in self.pools)

    @property
    def nodes(self) -> frozenset[str]:
        """The nodes whose stock decides what it must leave."""
        return frozenset().union(*(pool.nodes for pool in self.pools))

    def kept_from(self, stock: Mapping[str, int]) -> tuple[Pool, ...]:
        """What the channel must leave when it takes of this stock, each as many units as the pool holds of it.

        Args:
            stock: Free units by node, of ``nodes`` and of all it takes from.
        """
        held = fill_pools(stock, self.pools)
        kept = tuple(pool for pool in held if pool.channel != self.channel)
        if self.sells_common:
            return kept
        nobody = Pool(
            channel="", units=sum(stock.values()) - sum(pool.units for pool in held), nodes=frozenset(stock)
        )  # fmt: skip
        return (*kept, nobody)

    def may_take(self, stock: Mapping[str, int], taken: Mapping[str, int]) -> bool:
        """Whether units may be taken by node: all are there, and what must be left is."""
        return all(units <= stock.get(node_id, 0) for node_id, units in taken.items()) and leaves(
            stock, self.kept_from(stock), taken
        )


def fill_pools(stock: Mapping[str, int], pools: Sequence[Pool]) -> tuple[Pool, ...]:
    """The pools with as many units as each holds, those that hold none left out.

    Args:
        stock: Free units by node.
        pools: In the order of rank.
    """
    filling = _Filling(stock, pools)
    held = [filling.fill(number, pool.units) for number, pool in enumerate(pools)]
    return tuple(pool.model_copy(update={"units": units}) for pool, units in zip(pools, held, strict=True) if units)


def leaves(stock: Mapping[str, int], kept: Sequence[Pool], taken: Mapping[str, int]) -> bool:
    """Whether all that is kept of this stock is still there once units are taken by node."""
    if not kept:
        return True
    filling = _Filling({node_id: units - taken.get(node_id, 0) for node_id, units in stock.items()}, kept)
    return all(filling.fill(number, pool.units) == pool.units for number, pool in enumerate(kept))


def takeable(stock: Mapping[str, int], kept: Sequence[Pool], nodes: Collection[str]) -> int:
    """The most units that may be taken at these nodes together, of stock that what is kept fits in."""
    everything = sum(stock.get(node_id, 0) for node_id in nodes)
    if not kept:
        return everything
    taker = Pool(channel="", units=everything, nodes=frozenset(nodes))
    filling = _Filling(stock, (*kept, taker))
    return [filling.fill(number, pool.units) for number, pool in enumerate((*kept, taker))][-1]


def takeable_alone(stock: Mapping[str, int], kept: Sequence[Pool]) -> dict[str, int]:
    """The most units that may be taken at each node if none are taken elsewhere."""
    return {
        node_id: min(stock[node_id], most)
        for nodes in _places(stock, kept).values()
        for most in (takeable(stock, kept, nodes),)
        for node_id in nodes
    }


def place(stock: Mapping[str, int], kept: Sequence[Pool], wanted: Mapping[str, int]) -> dict[str, int]:
    """Where the kept units may lie so that as many as possible of the wanted ones can be taken: units by node.

    Of wanted units that must stay, those lie where fewest are wanted.
    """
    spare = {node_id: units - min(units, wanted.get(node_id, 0)) for node_id, units in stock.items()}
    filling = _Filling(spare, kept)
    held = [filling.fill(number, pool.units) for number, pool in enumerate(kept)]
    places = _places(stock, kept)
    for at, nodes in places.items():
        filling.free[at] += sum(stock[node_id] - spare[node_id] for node_id in nodes)
    for number, pool in enumerate(kept):
        filling.fill(number, pool.units - held[number])
    placed: dict[str, int] = {}
    for at, nodes in places.items():
        units = sum(given[at] for given in filling.given)
        scarcely_wanted = sorted(nodes, key=lambda node_id: (wanted.get(node_id, 0), node_id))
        for lying in (spare, {node_id: stock[node_id] - spare[node_id] for node_id in nodes}):
            for node_id in scarcely_wanted:
                stays = min(units, lying[node_id])
                placed[node_id] = placed.get(node_id, 0) + stays
                units -= stays
    return {node_id: units for node_id, units in placed.items() if units}


def _places(nodes: Iterable[str], pools: Sequence[Pool]) -> dict[_Place, list[str]]:
    """Nodes by the pools that may hold their units, in the order of their names."""
    places: dict[_Place, list[str]] = {}
    for node_id in sorted(nodes):
        reaching = frozenset(number for number, pool in enumerate(pools) if node_id in pool.nodes)
        places.setdefault(reaching, []).append(node_id)
    return places


class _Filling:
    """Units of places given to pools, none of which ever loses any to another.

    Attributes:
        free: Units that no pool holds, by place.
        given: Units each pool holds, by place.
    """

    def __init__(self, stock: Mapping[str, int], pools: Sequence[Pool]) -> None:
        self.free = {at: sum(stock[node_id] for node_id in nodes) for at, nodes in _places(stock, pools).items()}
        self.given = [Counter[_Place]() for _ in pools]

    def fill(self, number: int, units: int) -> int:
        """Give a pool up to so many units more, others moving for it where they can; returns how many it got."""
        got = 0
        while got < units and (path := self._path(number)):
            got += self._shift(path, units - got)
        return got

    def _path(self, number: int) -> list[tuple[int, _Place]]:
        """The shortest way to free units: the last pool takes them, each before it what the next one gives up."""
        reached: dict[int, list[tuple[int, _Place]]] = {number: []}
        looked_at: set[_Place] = set()
        turn = [number]
        for pool in turn:
            for at in self.free:
                if pool not in at or at in looked_at:
                    continue
                looked_at.add(at)
                path = [*reached[pool], (pool, at)]
                if self.free[at] > 0:
                    return path
                for other in sorted(at):
                    if other not in reached and self.given[other][at]:
                        reached[other] = path
                        turn.append(other)
        return []

    def _shift(self, path: list[tuple[int, _Place]], most: int) -> int:
        givers = [(giver, at) for (giver, _), (_, at) in zip(path[1:], path, strict=False)]
        units = min([most, self.free[path[-1][1]], *(self.given[giver][at] for giver, at in givers)])
        self.free[path[-1][1]] -= units
        for giver, at in givers:
            self.given[giver][at] -= units
        for taker, at in path:
            self.given[taker][at] += units
        return units
