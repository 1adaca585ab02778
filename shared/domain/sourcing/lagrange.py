"""A lower bound by Lagrange relaxation: what every unit is worth, and what nodes could earn by shipping.

Each line gets a price that a node earns by filling a unit of it. Every node then takes what pays best, by itself:
a knapsack for each step of its freight, relaxed to fractions, which only lowers the bound. What the prices come
to, less what the best nodes earn, no plan can undercut. Prices follow the subgradient (Held, Wolfe and Crowder,
"Validation of subgradient optimization", Mathematical Programming 6, 1974), a fixed number of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.domain.sourcing.freight import Tariff, volume_mm3
from shared.domain.sourcing.models import Policy, WantedLine
from shared.domain.sourcing.sources import Source

Floats = NDArray[np.float64]
ROUNDS = 80
#: Larger orders have too many steps of freight for too little gain; (line, node, step) triples.
MOST_LINES, MOST_STEPS, MOST_WORK = 60, 48, 600_000
#: Rounds without a better bound after which steps are halved.
_PATIENCE = 6
#: Prices are kept to this part of a minor unit, so that what a processor rounds differently does not add up.
_GRAIN = 64
#: Grams that goods without weight are taken to have, and each step of freight more room for every unit.
_WEIGHTLESS = 1e-6


class _Freight(NamedTuple):
    """Steps of each node's freight, a row per node: what it costs to send as many grams as ``up_to``."""

    up_to: Floats
    price: Floats


class _Answer(NamedTuple):
    """The bound at some prices, and the units of each line that nodes then take."""

    bound: float
    taken: Floats


def raised_bound(
    lines: Sequence[WantedLine], sources: Sequence[Source], policy: Policy, *, above: int, cost: int
) -> int:
    """A bound on plans that ship every unit of these lines, at least ``above``; ``cost`` is the best plan known."""
    if len(lines) > MOST_LINES or above >= cost:
        return above
    freight = _freight(lines, sources, policy)
    if freight is None or freight.up_to.size * len(lines) > MOST_WORK:
        return above
    relaxed = _Relaxed(lines, sources, policy, freight)
    best, stale, pace = float(above), 0, 1.0
    prices = relaxed.first_prices(cost)
    for _ in range(ROUNDS):
        answer = relaxed.at(prices)
        best, stale = (answer.bound, 0) if answer.bound > best else (best, stale + 1)
        missing = relaxed.wanted - answer.taken
        length = float((missing * missing).sum())
        if best >= cost or length < 1e-9:
            break
        if stale >= _PATIENCE:
            pace, stale = pace / 2, 0
        step = pace * (1.02 * cost - answer.bound) / length
        prices = np.rint((prices + step * missing) * _GRAIN) / _GRAIN
    # Costs are whole; floats lose less than a part in a billion here, and a bound must not be too high.
    return min(cost, max(above, ceil(best - abs(best) * 1e-9 - 1e-6)))


class _Relaxed:
    def __init__(
        self, lines: Sequence[WantedLine], sources: Sequence[Source], policy: Policy, freight: _Freight
    ) -> None:
        self.freight, self.policy = freight, policy
        self.wanted = np.array([line.quantity for line in lines], dtype=np.float64)
        self.grams = _grams(lines, policy)
        self.fixed = np.array([source.fixed + policy.split_penalty_minor for source in sources], dtype=np.float64)
        each = [source.node.handling_unit_minor + min(way.each for way in source.ways) for source in sources]
        goods = [[source.unit_cost(line.sku) for line in lines] for source in sources]
        self.cost = np.array(goods, dtype=np.float64) + np.array(each, dtype=np.float64)[:, None]
        held = [[min(source.holds(line.sku), line.quantity) for line in lines] for source in sources]
        self.held = np.array(held, dtype=np.float64)

    def first_prices(self, cost: int) -> Floats:
        """Each unit's least cost, and its share by weight of what the plan costs beside."""
        least: Floats = np.where(self.held > 0, self.cost, np.inf).min(axis=0)
        rest = max(0.0, cost - float((least * self.wanted).sum()))
        share = self.grams / float((self.grams * self.wanted).sum())
        prices: Floats = np.rint((least + rest * share) * _GRAIN) / _GRAIN
        return prices

    def at(self, prices: Floats) -> _Answer:
        """The bound at these prices."""
        profit = prices - self.cost
        room = np.where(profit > 0, self.held, 0.0)
        order = np.argsort(-(profit / self.grams), axis=1, kind="stable")
        heavy = np.take_along_axis(room * self.grams, order, axis=1)
        earned = np.take_along_axis(room * profit, order, axis=1)
        before = np.cumsum(heavy, axis=1) - heavy
        # Of each line in its turn, the share that still fits below each step.
        fits = np.clip(self.freight.up_to[:, :, None] - before[:, None, :], 0.0, heavy[:, None, :])
        part = np.divide(fits, heavy[:, None, :], out=np.zeros_like(fits), where=heavy[:, None, :] > 0)
        net = (part * earned[:, None, :]).sum(axis=2) - self.freight.price
        step = net.argmax(axis=1)
        rows = np.arange(len(step))
        gain = net[rows, step] - self.fixed
        chosen = np.argsort(-gain, kind="stable")[: self.policy.max_shipments]
        chosen = chosen[gain[chosen] > 0]
        taken = np.zeros_like(self.held)
        shares = part[rows, step] * np.take_along_axis(room, order, axis=1)
        np.put_along_axis(taken, order, shares, axis=1)
        worth = float((prices * self.wanted).sum())
        bound = worth - float(gain[chosen].sum()) - self.policy.split_penalty_minor
        return _Answer(bound, taken[chosen].sum(axis=0))


def _grams(lines: Sequence[WantedLine], policy: Policy) -> Floats:
    """Of actual and dimensional weight the one that is more for the whole order; neither is above what is billed."""
    actual = np.array([max(0, line.weight_g) for line in lines], dtype=np.float64)
    volume = np.array([volume_mm3(line) for line in lines], dtype=np.float64) / policy.dim_divisor
    units = np.array([line.quantity for line in lines], dtype=np.float64)
    grams = actual if float((actual * units).sum()) >= float((volume * units).sum()) else volume
    # Weightless goods are still told apart by what they earn.
    return np.maximum(grams, _WEIGHTLESS)


def _least(tariff: Tariff, least: int, end: int, source: Source) -> int:
    """What more than ``least`` grams cost, up to ``end``: as one parcel, or in cartons in two packages or more."""
    together = tariff.cost(end)[0]
    if source.cartons is None:
        return together
    return min(together, max(2 * tariff.price[0], int(least * tariff.least_per_gram() * (1 - 1e-9))))


def _freight(lines: Sequence[WantedLine], sources: Sequence[Source], policy: Policy) -> _Freight | None:
    """Every node's steps up to the whole order's weight; ``None`` when there are too many."""
    units = np.array([line.quantity for line in lines], dtype=np.float64)
    most = ceil(float((_grams(lines, policy) * units).sum()) + 1)
    rows: list[list[tuple[int, int]]] = []
    for source in sources:
        ends: set[int] = set()
        for way in source.ways:
            last = way.tariff.up_to[-1]
            if most // last > MOST_STEPS:
                return None
            ends |= {full * last + end for full in range(most // last + 1) for end in way.tariff.up_to}
        steps = [*sorted(end for end in ends if end < most), max(most, 1)]
        below = [0, *steps[:-1]]
        rows.append(
            [
                (end, min(_least(way.tariff, least, end, source) for way in source.ways))
                for least, end in zip(below, steps, strict=True)
            ]
        )
    width = max(map(len, rows))
    if width > MOST_STEPS:
        return None
    padded = [row + row[-1:] * (width - len(row)) for row in rows]
    up_to = np.array([[end for end, _ in row] for row in padded], dtype=np.float64) + _WEIGHTLESS * float(units.sum())
    price = np.array([[cost for _, cost in row] for row in padded], dtype=np.float64)
    return _Freight(up_to, price)
