"""Where nodes would stand best, by the orders that came: today's network beside k sites of least freight.

What is compared is freight: every order leaves, whole, the place that ships it cheapest by the services of the
slowest class there is. Stock, rent and hands are not known here. Distances are great-circle kilometres, money
is integer minor units, weights grams.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shared.domain.base import Model
from shared.domain.gravity import Floats, centres, kilometres, on_sphere
from shared.domain.median import Costs, p_median
from shared.domain.network import Place
from shared.domain.sourcing.freight import SPEED, Tariff, billable_g, services_for, zone_at
from shared.domain.sourcing.models import ServiceRate, SourcingOrder

#: Days from hand-over to delivery that count as fast.
FAST_DAYS = 2
#: More than any order's freight: leaving one unserved is worse than whatever serves it.
UNSERVED = 10**9


class Site(Model):
    """A place and the orders it would serve, as a share of all."""

    place: Place
    share: float


class Layout(Model):
    """One set of sites and what shipping every order from the best of them comes to.

    Attributes:
        freight_minor: Freight of all orders that are served.
        saved_minor: Less than today's network; negative when it costs more.
        mean_km: From site to customer, by order.
        fast: Share of orders with at most ``FAST_DAYS`` days in transit.
        unserved: Orders no service reaches from any site.
        gap_minor: No set of as many candidates saves more than this beside it; 0 when proven best.
    """

    sites: tuple[Site, ...]
    freight_minor: int
    saved_minor: int = 0
    mean_km: float
    fast: float
    unserved: int = 0
    gap_minor: int = 0


class Centre(Model):
    """A centre of gravity, in degrees; not a place that exists."""

    latitude: float
    longitude: float


class Gravity(Model):
    """So many centres of gravity, and the mean distance of an order to the nearest."""

    centres: tuple[Centre, ...]
    mean_km: float


class Locations(Model):
    """Today's network, and what others would save.

    Attributes:
        alone: The best 1, 2, … sites in place of today's.
        beside: The best 1, 2, … sites beside today's.
    """

    orders: int
    candidates: int
    today: Layout
    alone: tuple[Layout, ...]
    beside: tuple[Layout, ...]
    gravity: tuple[Gravity, ...]


@dataclass(frozen=True, slots=True)
class Demand:
    """Orders of one area: its middle in degrees, and how many orders have each billable weight."""

    latitude: float
    longitude: float
    grams: Counter[int]

    @property
    def orders(self) -> int:
        return self.grams.total()


def demand_of(orders: Iterable[SourcingOrder], dim_divisor: int) -> list[Demand]:
    """Orders summed by area, the first three characters of a postal code, areas by name."""
    areas: dict[tuple[str, str], list[SourcingOrder]] = {}
    for order in orders:
        areas.setdefault((order.ship_to.country, order.ship_to.postal_code[:3]), []).append(order)
    return [_area(areas[name], dim_divisor) for name in sorted(areas)]


def _area(orders: Sequence[SourcingOrder], dim_divisor: int) -> Demand:
    places = [order.ship_to for order in orders]
    grams = Counter(
        max(1, billable_g([(line, line.quantity) for line in order.lines], dim_divisor)) for order in orders
    )
    return Demand(
        sum(place.latitude for place in places) / len(places),
        sum(place.longitude for place in places) / len(places),
        grams,
    )


def thinned(places: Sequence[Place], demand: Sequence[Demand], limit: int) -> list[Place]:
    """At most ``limit`` places: half of them nearest to most demand, the others as far apart as can be."""
    if len(places) <= limit or not demand:
        return list(places)[:limit]
    points = on_sphere(_degrees_of(places))
    busiest = sorted(demand, key=lambda one: (-one.orders, one.latitude, one.longitude))[: limit // 2]
    chosen = list(dict.fromkeys(kilometres(on_sphere(_degrees(busiest)), points).argmin(axis=1).tolist()))
    reach = kilometres(points[chosen], points).min(axis=0)
    while len(chosen) < limit and reach.max() > 0:
        chosen.append(int(reach.argmax()))
        reach = np.minimum(reach, kilometres(points[chosen[-1:]], points)[0])
    return [places[index] for index in sorted(chosen)]


def locate_sites(
    demand: Sequence[Demand],
    today: Sequence[Place],
    candidates: Sequence[Place],
    rates: Sequence[ServiceRate],
    most: int,
) -> Locations:
    """The best 1 to ``most`` sites among the candidates, alone and beside today's, with centres of gravity.

    Args:
        demand: At least one area.
        today: Places that ship today, at least one.
    """
    field = _Field(demand, [*today, *candidates], rates)
    now = tuple(range(len(today)))
    counts = range(1, min(most, len(candidates)) + 1)
    base = field.layout(now, 0, 0)
    wanted = np.array([float(one.orders) for one in demand])
    spread = len({(one.latitude, one.longitude) for one in demand})
    return Locations(
        orders=int(wanted.sum()),
        candidates=len(candidates),
        today=base,
        alone=tuple(field.best(count, (), len(today), base.freight_minor) for count in counts),
        beside=tuple(field.best(count, now, 0, base.freight_minor) for count in counts),
        gravity=tuple(_gravity(_degrees(demand), wanted, count) for count in counts if count <= spread),
    )


def _gravity(degrees: Floats, wanted: Floats, count: int) -> Gravity:
    found, mean = centres(degrees, wanted, count)
    points = tuple(Centre(latitude=round(lat, 4), longitude=round(lon, 4)) for lat, lon in found.tolist())
    return Gravity(centres=points, mean_km=round(mean, 1))


def _degrees(demand: Sequence[Demand]) -> Floats:
    return np.array([(one.latitude, one.longitude) for one in demand])


def _degrees_of(places: Sequence[Place]) -> Floats:
    return np.array([(place.latitude, place.longitude) for place in places])


class _Field:
    """Every place against every area: kilometres, freight and days by the cheapest service."""

    def __init__(self, demand: Sequence[Demand], places: Sequence[Place], rates: Sequence[ServiceRate]) -> None:
        self.places = places
        self.orders = np.array([one.orders for one in demand], dtype=np.int64)
        self.km = kilometres(on_sphere(_degrees_of(places)), on_sphere(_degrees(demand)))
        slowest = min((rate.level for rate in rates), key=SPEED.__getitem__)
        services = services_for((rate for rate in rates if rate.level is slowest), slowest)
        # Freight changes only where a zone ends, so it is worked out once for each band between two ends.
        ends = np.array(sorted({zone.reach_km for zones in services for zone in zones}))
        bands = [[zone for zones in services if (zone := zone_at(zones, km))] for km in ends.tolist()]
        band = np.searchsorted(ends, self.km)
        prices = np.array([list(_freights(one, bands)) for one in demand], dtype=np.int64)
        fast = np.array([list(_fast(one, bands)) for one in demand], dtype=np.int64)
        area = np.arange(len(demand))
        self.freight: Costs = prices[area, band]
        self.fast: Costs = fast[area, band]
        self.weighed_km = self.km * self.orders
        self.reached = band < len(ends)

    def best(self, count: int, given: tuple[int, ...], without: int, today: int) -> Layout:
        """The best ``count`` sites beside those given, the first ``without`` places left out."""
        found = p_median(self.freight[without:], self.weighed_km[without:], count, given=given)
        chosen = [*given, *(place + without for place in found.places)]
        return self.layout(chosen, today, found.cost - found.bound)

    def layout(self, chosen: Sequence[int], today: int, gap: int) -> Layout:
        freights = self.freight[list(chosen)]
        who = np.where(freights == freights.min(axis=0), self.km[list(chosen)], np.inf).argmin(axis=0)
        rows = np.array(chosen)[who]
        area = np.arange(len(self.orders))
        reached = self.reached[rows, area]
        total = max(int(self.orders.sum()), 1)
        freight = int(self.freight[rows, area][reached].sum())
        shares = [round(int(self.orders[(who == index) & reached].sum()) / total, 4) for index in range(len(chosen))]
        return Layout(
            sites=tuple(
                Site(place=self.places[index], share=share) for index, share in zip(chosen, shares, strict=True)
            ),
            freight_minor=freight,
            saved_minor=today - freight if today else 0,
            mean_km=round(float((self.km[rows, area] * self.orders).sum()) / total, 1),
            fast=round(int(self.fast[rows, area].sum()) / total, 4),
            unserved=int(self.orders[~reached].sum()),
            gap_minor=gap,
        )


def _freights(one: Demand, bands: Sequence[Sequence[Tariff]]) -> Iterator[int]:
    """What all orders of an area cost from each band of distance, and from beyond the last."""
    for tariffs in bands:
        yield sum(count * min(tariff.cost(grams)[0] for tariff in tariffs) for grams, count in one.grams.items())
    yield UNSERVED * one.orders


def _fast(one: Demand, bands: Sequence[Sequence[Tariff]]) -> Iterator[int]:
    """Orders of an area that are fast from each band of distance."""
    for tariffs in bands:
        yield sum(
            count
            for grams, count in one.grams.items()
            if min((tariff.cost(grams)[0], tariff.transit_days) for tariff in tariffs)[1] <= FAST_DAYS
        )
    yield 0
