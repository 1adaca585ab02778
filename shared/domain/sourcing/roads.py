"""The ways from nodes to one destination: services, dates, days with room, and what a day's unit is worth.

A node whose next shipping day is full is not lost: its hand-over moves to the next working day with room, up to
``CAPACITY_DAYS`` of them, and what it can have ready grows with each. Where loads are not told by day, those of later
days count as none. A later day is never priced below an earlier one: prices choose between nodes, they never make a
customer wait.

Nodes with the same services and hand-overs share one tuple of ways, so that whoever prices ways does it once for all
of them. What depends on the network and the day alone is kept from order to order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import islice
from math import inf
from typing import NamedTuple

from shared.domain.calendars import counts_as, delivered, handed_over, local_day
from shared.domain.capacity import UNLIMITED, Days
from shared.domain.geo import Spot, between_km, spot
from shared.domain.kept import Same
from shared.domain.network import Calendar, Node
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.freight import Tariff, Way, services_for, zone_at
from shared.domain.sourcing.lanes import Lanes
from shared.domain.sourcing.models import NodeLoad, Policy, ServiceRate, Snapshot, SourcingOrder, Stock, ZoneChart
from shared.domain.sourcing.plans import Because
from shared.domain.sourcing.quoting import Quotes

#: Shipping days with room over which a node's capacity is looked at.
CAPACITY_DAYS = 5
#: Shipping days, the next one included, among which room is looked for where loads are told by day.
DAYS_AHEAD = 20

#: (when it is handed over, units that can be ready, price of the day for each unit), by time.
HandOvers = tuple[tuple[datetime, int, int], ...]
_NO_LOAD = NodeLoad.made(node_id="", units=0, dated=0, days=None)


@dataclass(frozen=True, slots=True, eq=False)
class Clock:
    """Nodes that hand over at the same times when they have room, told by one of them."""

    node: Node


class Site(NamedTuple):
    """A node as orders meet it."""

    node: Node
    spot: Spot
    clock: Clock


class Ways(NamedTuple):
    """Ways out of a node; ``capacity`` is what it can ship by the roomiest of them."""

    ways: tuple[Way, ...]
    capacity: int


@dataclass(frozen=True, slots=True, eq=False)
class _Services:
    """The zones of every service, and the distances at which any of them ends, ascending."""

    zones: list[list[Tariff]]
    ends: list[int]


class _Dating(NamedTuple):
    """What a delivery's day costs: alike for all orders of one day and policy that go to one time zone.

    Attributes:
        needed, asked: Days of the customer's calendar; ``None`` where lateness, or the wait, has no price.
    """

    zone: str
    needed: date | None
    asked: date | None
    late_day_minor: int
    wait_day_minor: int

    def unit_minor(self, delivery: datetime) -> int:
        """Of one unit."""
        if self.needed is None and self.asked is None:
            return 0
        day = local_day(delivery, self.zone)
        late = 0 if self.needed is None else max(0, (day - self.needed).days)
        waited = 0 if self.asked is None else max(0, (day - self.asked).days)
        return late * self.late_day_minor + waited * self.wait_day_minor


@lru_cache(maxsize=16)
def sites_of(nodes: Same[tuple[Node, ...]]) -> tuple[Site, ...]:
    """A network's nodes by name."""
    clocks: dict[tuple[str, Calendar, int], Clock] = {}
    return tuple(
        Site(node, spot(node.place), clocks.setdefault(_hours(node), Clock(node)))
        for node in sorted(nodes.value, key=lambda node: node.node_id)
    )


def _hours(node: Node) -> tuple[str, Calendar, int]:
    return node.place.time_zone, node.calendar, node.handling_days


@lru_cache(maxsize=4096)
def _handed_over(clock: Clock, day: date, later: int) -> datetime | None:
    return handed_over(clock.node, day, later=later)


@lru_cache(maxsize=16)
def _services(rates: Same[tuple[ServiceRate, ...]], level: ServiceLevel) -> _Services:
    zones = services_for(rates.value, level)
    return _Services(zones, sorted({tariff.reach_km for service in zones for tariff in service}))


@lru_cache(maxsize=16)
def _charts(zones: Same[tuple[ZoneChart, ...]]) -> dict[tuple[str, str], dict[str, int]]:
    return {(chart.carrier, chart.origin): chart.zones for chart in zones.value}


@lru_cache(maxsize=4096)
def _tariffs_at(services: _Services, band: int, numbers: tuple[int, ...]) -> tuple[Tariff, ...]:
    """Each service's tariff within a band of distance, or in the zone of the carrier's number where it has one."""
    km = services.ends[band] if band < len(services.ends) else inf
    found = (zone_at(zones, km, number) for zones, number in zip(services.zones, numbers, strict=True))
    return tuple(tariff for tariff in found if tariff is not None)


@lru_cache(maxsize=4096)
def _ways_by(tariffs: tuple[Tariff, ...], from_zone: str, hand_overs: HandOvers, dating: _Dating) -> Ways:
    ways: list[Way] = []
    for leaves, room, price in hand_overs:
        for tariff in tariffs:
            delivery = delivered(leaves, from_zone, dating.zone, tariff.transit_days)
            if delivery is not None:
                ways.append(Way(tariff, leaves, delivery, dating.unit_minor(delivery), room, price))
    return Ways(tuple(ways), max((way.capacity for way in ways), default=0))


class Roads:
    def __init__(self, order: SourcingOrder, snapshot: Snapshot, policy: Policy, lanes: Lanes) -> None:
        self._order, self._policy, self._lanes = order, policy, lanes
        self._as_of = snapshot.as_of
        self._to = spot(order.ship_to)
        self._dating = self._dated()
        self._services = _services(Same(snapshot.rates), order.service)
        self._charts = _charts(Same(snapshot.zones))
        self._quotes = Quotes(snapshot.quotes, snapshot.rates, order.ship_to, snapshot.as_of)
        self._loads = {load.node_id: load for load in snapshot.loads}
        prices = snapshot.day_prices if policy.weights.capacity else ()
        self._day_prices = {(price.node_id, price.day): price.unit_minor for price in prices}
        self._uncharted = (0,) * len(self._services.zones)
        self._numbers: dict[str, tuple[int, ...]] = {}
        self._days: dict[Clock, date] = {}
        self._open: dict[Clock, HandOvers] = {}

    def lead_from(
        self, site: Site, stock: dict[str, Stock], wanted: dict[str, int]
    ) -> tuple[Ways, dict[str, Stock]] | Because:
        """The ways out of a node, and what of its stock may go by them; or why nothing can."""
        if not stock:
            return Because.NO_STOCK
        node = site.node
        km = between_km(site.spot, self._to)
        reach = self._policy.max_distance_km
        if reach is not None and km > reach and node.node_id not in self._order.only:
            return Because.TOO_FAR
        tariffs = self._quotes.on(node, self._tariffs_from(node, km))
        if not tariffs:
            return Because.NO_SERVICE
        tariffs, stock = self._lanes.by_service(node, tariffs, stock)
        if not tariffs:
            return Because.RESTRICTED_LANE
        found = _ways_by(tariffs, node.place.time_zone, self._hand_overs(site, stock, wanted), self._dating)
        return (found, stock) if found.ways else Because.NO_CAPACITY

    def _tariffs_from(self, node: Node, km: float) -> tuple[Tariff, ...]:
        """Each service's tariff from the node to the customer: by the carrier's chart, or by distance."""
        return _tariffs_at(self._services, bisect_left(self._services.ends, km), self._numbers_from(node))

    def _numbers_from(self, node: Node) -> tuple[int, ...]:
        """The carriers' numbers of the zone, service by service; 0 where distance decides."""
        to = self._order.ship_to
        if not self._charts or node.place.country != to.country:
            return self._uncharted
        area = node.place.postal_code[:3]
        found = self._numbers.get(area)
        if found is None:
            charts = (self._charts.get((zones[0].carrier, area), {}) for zones in self._services.zones)
            found = self._numbers[area] = tuple(chart.get(to.postal_code[:3], 0) for chart in charts)
        return found

    def _hand_overs(self, site: Site, stock: dict[str, Stock], wanted: dict[str, int]) -> HandOvers:
        """Days to hand over on; none later than the last of them is of use."""
        node = site.node
        load = self._loads.get(node.node_id, _NO_LOAD)
        if node.daily_units is None and load.days is None and not self._day_prices:
            found = self._open.get(site.clock)
            if found is None:
                found = self._open[site.clock] = tuple(self._priced_days(site, load, 1))
            return found
        units = sum(min(wanted[sku], row.available) for sku, row in stock.items())
        return tuple(self._priced_days(site, load, units))

    def _priced_days(self, site: Site, load: NodeLoad, units: int) -> Iterator[tuple[datetime, int, int]]:
        ready = price = 0
        node = site.node
        for leaves, room in islice(self._days_with_room(site, load), CAPACITY_DAYS):
            ready += room
            if self._day_prices:
                day = local_day(leaves, node.place.time_zone)
                price = max(price, self._day_prices.get((node.node_id, day), 0))
            yield leaves, ready, price
            if ready >= units:
                return

    def _days_with_room(self, site: Site, load: NodeLoad) -> Iterator[tuple[datetime, int]]:
        """The node's next hand-overs, and the units that could be made ready for each beside those promised already."""
        node, told = site.node, load.days is not None
        days = Days(node.daily_units, load.days or (), self._order.service)
        undated = max(0, load.units - load.dated)
        for later in range(DAYS_AHEAD if told else CAPACITY_DAYS):
            leaves = self._ready_by(site, later)
            if leaves is None:
                return
            room = days.room(local_day(leaves, node.place.time_zone)) if told else days.standing
            if room == UNLIMITED:
                yield leaves, room
                return
            taken = min(undated, room)
            undated = undated - taken if told else 0
            if room > taken:
                yield leaves, room - taken

    def _ready_by(self, site: Site, later: int) -> datetime | None:
        day = self._days.get(site.clock)
        if day is None:
            day = self._days[site.clock] = counts_as(site.node, self._as_of)
        return _handed_over(site.clock, day, later)

    def _dated(self) -> _Dating:
        zone, needed, wait = self._order.ship_to.time_zone, self._order.needed_by, self._policy.wait_day_minor
        return _Dating(
            zone,
            None if needed is None else local_day(needed, zone),
            local_day(self._as_of, zone) if wait else None,
            self._policy.late_day_minor,
            wait,
        )
