"""What moving a shipment costs: zones by distance, weight breaks, parcels, service classes.

Weights are grams, prices integer minor units. Where there are cartons, a shipment is priced as it is packed
(``cartonising``). Elsewhere it is priced by its billable weight, the larger of actual and dimensional, and goes in as
few parcels as the tariff allows: full ones of the last break and one for what is left. Units are then not packed one
by one, so a unit heavier than the last break counts as parcels too; so does a package.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, Protocol

from shared.domain.cartons import Carton
from shared.domain.orders import ServiceLevel
from shared.domain.quotes import LaneQuote
from shared.domain.sourcing.models import ServiceRate, WantedLine

#: A service of a faster class may always stand in for a slower one.
SPEED = {ServiceLevel.STANDARD: 0, ServiceLevel.EXPEDITED: 1, ServiceLevel.OVERNIGHT: 2}


@dataclass(frozen=True, slots=True, eq=False)
class Tariff:
    """One service into one zone. ``price[i]`` buys a parcel of up to ``up_to[i]`` grams.

    Tariffs are made once for a network and looked up often: each is equal to itself only.

    Attributes:
        until: When each price ends that was quoted, and ``None`` for the card's own; empty where all are.
    """

    carrier: str
    service: str
    reach_km: int
    transit_days: int
    up_to: tuple[int, ...]
    price: tuple[int, ...]
    zone: int = 0
    until: tuple[datetime | None, ...] = ()

    def cost(self, grams: int) -> tuple[int, int]:
        """Price and number of parcels of a shipment."""
        last = self.up_to[-1]
        if grams <= last:
            return self.price[bisect_left(self.up_to, grams)], 1
        full, rest = divmod(grams - 1, last)
        return full * self.price[-1] + self.price[bisect_left(self.up_to, rest + 1)], full + 1

    def steps(self, grams: int) -> tuple[int, ...]:
        """The weights whose prices a shipment pays."""
        last = self.up_to[-1]
        full, rest = divmod(max(grams, 1) - 1, last)
        return tuple(sorted({self.up_to[bisect_left(self.up_to, rest + 1)], *((last,) if full else ())}))

    def quoted_until(self, grams: int) -> datetime | None:
        """When the first of the quotes ends that a shipment's price is made of; ``None`` when it is the card's."""
        if not self.until:
            return None
        ends = (self.until[self.up_to.index(step)] for step in self.steps(grams))
        return min((end for end in ends if end is not None), default=None)

    def least_per_gram(self) -> float:
        """The least a gram costs in any shipment: a lower bound on the price of each."""
        return min(price / up_to for up_to, price in zip(self.up_to, self.price, strict=True))


class Way(NamedTuple):
    """One way out of a node for this order: a tariff with its dates.

    Attributes:
        late_unit: Cost of lateness for each unit that goes this way.
        capacity: Units the node can have ready for this hand-over.
        capacity_unit: Price of the node's capacity for each unit handed over then.
    """

    tariff: Tariff
    ship_by: datetime
    deliver_by: datetime
    late_unit: int
    capacity: int
    capacity_unit: int = 0

    @property
    def each(self) -> int:
        """What each unit costs beside freight."""
        return self.late_unit + self.capacity_unit


class Packed(NamedTuple):
    """One package.

    Attributes:
        carton: ``None`` when a unit goes as it is.
        units: Units by place of their line in the order.
        weight_g: Goods and carton.
        dim_weight_g: What its volume counts as.
    """

    carton: Carton | None
    units: tuple[tuple[int, int], ...]
    weight_g: int
    dim_weight_g: int

    @property
    def billable_g(self) -> int:
        return max(self.weight_g, self.dim_weight_g)


class Carriage(NamedTuple):
    """What a tariff asks for a shipment, and what its cartons cost; ``packages`` is empty where there are none."""

    freight: int
    parcels: int
    packaging: int = 0
    packages: tuple[Packed, ...] = ()

    @property
    def cost(self) -> int:
        return self.freight + self.packaging

    def billed(self, grams: int) -> list[int]:
        """The weight each package pays for; ``grams`` is billed where nothing is packed."""
        return [package.billable_g for package in self.packages] or [grams]

    def quoted_until(self, tariff: Tariff, grams: int) -> datetime | None:
        """When the first of the quotes ends that its price is made of."""
        ends = (tariff.quoted_until(each) for each in self.billed(grams))
        return min((end for end in ends if end is not None), default=None)


class Load(Protocol):
    """What a carrier is to move, as tariffs price it."""

    def cost(self, tariff: Tariff) -> int:
        """What ``by`` costs."""

    def by(self, tariff: Tariff) -> Carriage:
        """The cheapest way to send it by this tariff."""

    def as_packed(self, carriage: Carriage, tariff: Tariff) -> Carriage:
        """What it costs by another tariff, packed as it was."""


class Weight(NamedTuple):
    """Goods that are priced by billable weight alone."""

    grams: int

    def cost(self, tariff: Tariff) -> int:
        return tariff.cost(self.grams)[0]

    def by(self, tariff: Tariff) -> Carriage:
        return Carriage(*tariff.cost(self.grams))

    def as_packed(self, _carriage: Carriage, tariff: Tariff) -> Carriage:
        return self.by(tariff)


class Quote(NamedTuple):
    """The cheapest way for one shipment."""

    way: Way
    carriage: Carriage


def compile_tariff(rate: ServiceRate, quotes: Mapping[int, LaneQuote] = MappingProxyType({})) -> Tariff:
    """The tariff of a card, with quotes by weight in the place of its prices."""
    breaks = sorted(rate.breaks, key=lambda step: (step.up_to_g, step.price_minor))
    prices: list[int] = []
    ends: list[datetime | None] = []
    days = rate.transit_days
    # A parcel may be declared heavier than it is when that is cheaper.
    for step in reversed(breaks):
        quote = quotes.get(step.up_to_g)
        price, end = (step.price_minor, None) if quote is None else (quote.price_minor, quote.expires_at)
        if prices and prices[-1] < price:
            price, end = prices[-1], ends[-1]
        prices.append(price)
        ends.append(end)
        days = days if quote is None else max(days, quote.transit_days)
    up_to = tuple(step.up_to_g for step in breaks)
    until = tuple(reversed(ends)) if any(ends) else ()
    price_of = tuple(reversed(prices))
    return Tariff(rate.carrier, rate.service, rate.max_distance_km, days, up_to, price_of, rate.zone, until)


def services_for(rates: Iterable[ServiceRate], level: ServiceLevel) -> list[list[Tariff]]:
    """The zones of every service at least as fast as asked, nearest zone first, services by name."""
    services: dict[tuple[str, str], list[Tariff]] = {}
    for rate in rates:
        if SPEED[rate.level] >= SPEED[level]:
            services.setdefault((rate.carrier, rate.service), []).append(compile_tariff(rate))
    return [sorted(services[name], key=_zone_order) for name in sorted(services)]


def _zone_order(zone: Tariff) -> tuple[int, int, tuple[int, ...], tuple[int, ...], int]:
    return zone.reach_km, zone.transit_days, zone.up_to, zone.price, zone.zone


def zone_at(zones: Sequence[Tariff], km: float, number: int = 0) -> Tariff | None:
    """The zone of the carrier's number, where it has one; else the first that reaches the distance."""
    numbered = (zone for zone in zones if zone.zone == number) if number else iter(())
    return next(numbered, None) or next((zone for zone in zones if km <= zone.reach_km), None)


def volume_mm3(line: WantedLine) -> int:
    return max(0, line.length_mm) * max(0, line.width_mm) * max(0, line.height_mm)


def billable_g(lines: Iterable[tuple[WantedLine, int]], dim_divisor: int) -> int:
    """The weight a carrier charges for so many units of each line."""
    actual = volume = 0
    for line, units in lines:
        actual += units * max(0, line.weight_g)
        volume += units * volume_mm3(line)
    return max(actual, -(-volume // dim_divisor))


def cheapest(ways: Iterable[Way], load: Load, units: int) -> Quote | None:
    """The way of least freight, cartons, lateness and capacity; on a tie the earliest, then the service's name."""
    best: Way | None = None
    least = 0
    for way in ways:
        if units > way.capacity:
            continue
        cost = load.cost(way.tariff) + units * way.each
        if best is None or cost < least or (cost == least and _turn(way) < _turn(best)):
            best, least = way, cost
    return None if best is None else Quote(best, load.by(best.tariff))


def _turn(way: Way) -> tuple[datetime, str, str]:
    return way.deliver_by, way.tariff.carrier, way.tariff.service
