"""The small instance of Ma, "Order-optimal correlated rounding", M&SOM 25(4), 2023, after Jasin and Sinha, 2015.

Five fulfilment centres, the ten largest metropolitan areas, twenty items. Costs are dollars: 8.759 for each
shipment, 0.423 + 0.000541 per mile for each unit. Where no centre gives a unit it comes from a supplier for
twice the price of a shipment and twice the unit price from the furthest centre.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.domain.network import Place

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CENTRES = {
    "OAK4": (37.7448, -121.3985),
    "IND1": (39.9797, -86.3833),
    "AVP3": (41.2776, -75.4973),
    "CAE1": (33.9114, -81.0501),
    "DFW7": (32.9709, -97.3348),
}
METROS = {
    "New York": (40.6943, -73.9249, 18_680_025),
    "Los Angeles": (34.1141, -118.4068, 12_531_334),
    "Chicago": (41.8375, -87.6866, 8_586_888),
    "Miami": (25.7840, -80.2101, 6_076_316),
    "Dallas": (32.7935, -96.7667, 5_910_669),
    "Houston": (29.7860, -95.3885, 5_724_418),
    "Philadelphia": (40.0077, -75.1339, 5_540_199),
    "Atlanta": (33.7628, -84.4220, 5_151_496),
    "Washington": (38.9047, -77.0163, 5_066_973),
    "Boston": (42.3188, -71.0852, 4_465_966),
}
K, J, ITEMS, SIZES, PER_SIZE = len(CENTRES), len(METROS), 20, 5, 5
FIXED, UNIT, MILE, CARRIES, SAFETY = 8.759, 0.423, 0.000541, 0.75, 0.5
EARTH_KM, KM_PER_MILE = 6378.137, 1.61


def _miles() -> Floats:
    here = np.radians(np.array([place[:2] for place in CENTRES.values()]))[:, None]
    there = np.radians(np.array([place[:2] for place in METROS.values()]))[None, :]
    north, east = ((there - here) / 2).transpose(2, 0, 1)
    chord = np.sin(north) ** 2 + np.cos(here[..., 0]) * np.cos(there[..., 0]) * np.sin(east) ** 2
    miles: Floats = 2 * EARTH_KM * np.arcsin(np.sqrt(chord)) / KM_PER_MILE
    return miles


#: Miles from centre to metro, and dollars by node and metro; the last node is the supplier.
MILES = _miles()
_NEAR = UNIT + MILE * MILES
UNIT_COST: Floats = np.vstack([_NEAR, 2 * _NEAR.max(axis=0)])
FIXED_COST: Floats = np.array([FIXED] * K + [2 * FIXED])
CENTRE_PLACES = [Place(latitude=latitude, longitude=longitude) for latitude, longitude in CENTRES.values()]
METRO_PLACES = [Place(latitude=latitude, longitude=longitude) for latitude, longitude, _ in METROS.values()]


class Instance(NamedTuple):
    """One draw of order types, demand and stock.

    Attributes:
        types: Items of each type of order; the empty order is not among them.
        rate: Probability that an order of a type from a metro comes in one period; together less than one.
        nearest: The nearest centre that carries an item, by item and metro; ``K`` where none does.
        stock: Units by centre and item at the beginning.
        periods: At most one order comes in each.
    """

    types: tuple[tuple[int, ...], ...]
    rate: Floats
    nearest: Ints
    stock: Ints
    periods: int


class Arrival(NamedTuple):
    """One order of a sequence: its type, where it goes, the period it comes in."""

    kind: int
    metro: int
    period: int


def draw(seed: int, periods: int) -> Instance:
    rng = np.random.default_rng(seed)
    types = [tuple(rng.permutation(ITEMS)[:size].tolist()) for size in range(1, SIZES + 1) for _ in range(PER_SIZE)]
    size = rng.random(SIZES + 1)
    within = rng.random((SIZES, PER_SIZE))
    by_type = (size[1:, None] / size.sum() * within / within.sum(axis=1, keepdims=True)).ravel()
    people = np.array([place[2] for place in METROS.values()], dtype=np.float64)
    rate = by_type[:, None] * people / people.sum()
    carries = rng.random((K, ITEMS)) < CARRIES
    miles = np.where(carries[:, :, None], MILES[:, None, :], np.inf)
    nearest = np.where(np.isfinite(miles).any(axis=0), miles.argmin(axis=0), K)
    demand = np.zeros((K + 1, ITEMS))
    for kind, items in enumerate(types):
        for item in items:
            np.add.at(demand[:, item], nearest[item], rate[kind])
    mean = periods * demand[:K]
    stock = np.round(mean + SAFETY * np.sqrt(mean * (1 - demand[:K]))).astype(np.int64)
    return Instance(tuple(types), rate, nearest, stock, periods)


def arrivals(instance: Instance, *seed: int) -> list[Arrival]:
    """The orders of one sequence; periods without one are left out."""
    rng = np.random.default_rng(seed)
    odds = np.append(instance.rate.ravel(), 1 - instance.rate.sum())
    drawn = rng.choice(len(odds), size=instance.periods, p=odds / odds.sum())
    return [Arrival(*divmod(int(each), J), period) for period, each in enumerate(drawn) if each < instance.rate.size]


def misjudged(instance: Instance, sigma: float, *seed: int) -> Floats:
    """A forecast that is wrong: every rate times a lognormal factor, the total as it was."""
    wrong = instance.rate * np.random.default_rng(seed).lognormal(0.0, sigma, instance.rate.shape)
    scaled: Floats = wrong * (instance.rate.sum() / wrong.sum())
    return scaled
