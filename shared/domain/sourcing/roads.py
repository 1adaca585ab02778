"""The ways from nodes to one destination: services, dates, days with room, and what a day's unit is worth.

A node whose next shipping day is full is not lost: its hand-over moves to the next working day with room, up to
``CAPACITY_DAYS`` of them, and what it can have ready grows with each. Where loads are not told by day, those of later
days count as none. A later day is never priced below an earlier one: prices choose between nodes, they never make a
customer wait.

Nodes with the same services and hand-overs share one tuple of ways, so that whoever prices ways does it once for all
of them. What depends on the network alone is kept from order to order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from shared.domain.calendars import days_late, deliver_by, local_day, ready_by
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


class Site(NamedTuple):
    """A node as orders meet it; those of one ``clock`` hand over at the same times when they have room."""

    node: Node
    spot: Spot
    clock: int


class Ways(NamedTuple):
    """Ways out of a node; ``capacity`` is what it can ship by the roomiest of them."""

    ways: tuple[Way, ...]
    capacity: int


class _Services(NamedTuple):
    """The zones of every service, and the distances at which any of them ends, ascending."""

    zones: list[list[Tariff]]
    ends: list[int]


@lru_cache(maxsize=16)
def sites_of(nodes: Same[tuple[Node, ...]]) -> tuple[Site, ...]:
    """A network's nodes by name."""
    clocks: dict[tuple[str, Calendar, int], int] = {}
    return tuple(
        Site(node, spot(node.place), clocks.setdefault(_clock(node), len(clocks)))
        for node in sorted(nodes.value, key=lambda node: node.node_id)
    )


def _clock(node: Node) -> tuple[str, Calendar, int]:
    return node.place.time_zone, node.calendar, node.handling_days


@lru_cache(maxsize=16)
def _services(rates: Same[tuple[ServiceRate, ...]], level: ServiceLevel) -> _Services:
    zones = services_for(rates.value, level)
    return _Services(zones, sorted({tariff.reach_km for service in zones for tariff in service}))


@lru_cache(maxsize=16)
def _charts(zones: Same[tuple[ZoneChart, ...]]) -> dict[tuple[str, str], dict[str, int]]:
    return {(chart.carrier, chart.origin): chart.zones for chart in zones.value}


class Roads:
    def __init__(self, order: SourcingOrder, snapshot: Snapshot, policy: Policy, lanes: Lanes) -> None:
        self._order, self._policy, self._lanes = order, policy, lanes
        self._as_of = snapshot.as_of
        self._to = spot(order.ship_to)
        self._services = _services(Same(snapshot.rates), order.service)
        self._charts = _charts(Same(snapshot.zones))
        self._quotes = Quotes(snapshot.quotes, snapshot.rates, order.ship_to, snapshot.as_of)
        self._loads = {load.node_id: load for load in snapshot.loads}
        prices = snapshot.day_prices if policy.weights.capacity else ()
        self._day_prices = {(price.node_id, price.day): price.unit_minor for price in prices}
        self._tariffs: dict[tuple[int, str, bool], list[Tariff]] = {}
        self._ready: dict[tuple[int, int], datetime | None] = {}
        self._open: dict[int, HandOvers] = {}
        self._ways: dict[tuple[Same[list[Tariff]], str, HandOvers], Ways] = {}
        self._delivery: dict[tuple[str, datetime, int], tuple[datetime, int] | None] = {}

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
        found = self._ways_by(node, tariffs, self._hand_overs(site, stock, wanted))
        return (found, stock) if found.ways else Because.NO_CAPACITY

    def _tariffs_from(self, node: Node, km: float) -> list[Tariff]:
        """Each service's tariff from the node to the customer: by the carrier's chart, or by distance."""
        home = node.place.country == self._order.ship_to.country
        key = (bisect_left(self._services.ends, km), node.place.postal_code[:3] if self._charts else "", home)
        found = self._tariffs.get(key)
        if found is None:
            tariffs = (self._tariff(node, zones, km, home=home) for zones in self._services.zones)
            found = self._tariffs[key] = [tariff for tariff in tariffs if tariff is not None]
        return found

    def _tariff(self, node: Node, zones: list[Tariff], km: float, *, home: bool) -> Tariff | None:
        chart = self._charts.get((zones[0].carrier, node.place.postal_code[:3])) if self._charts else None
        number = chart.get(self._order.ship_to.postal_code[:3], 0) if chart and home else 0
        return zone_at(zones, km, number)

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
        for handed_over, room in islice(self._days_with_room(site, load), CAPACITY_DAYS):
            ready += room
            if self._day_prices:
                day = local_day(handed_over, node.place.time_zone)
                price = max(price, self._day_prices.get((node.node_id, day), 0))
            yield handed_over, ready, price
            if ready >= units:
                return

    def _days_with_room(self, site: Site, load: NodeLoad) -> Iterator[tuple[datetime, int]]:
        """The node's next hand-overs, and the units that could be made ready for each beside those promised already."""
        node, told = site.node, load.days is not None
        days = Days(node.daily_units, load.days or (), self._order.service)
        undated = max(0, load.units - load.dated)
        for later in range(DAYS_AHEAD if told else CAPACITY_DAYS):
            handed_over = self._ready_by(site, later)
            if handed_over is None:
                return
            room = days.room(local_day(handed_over, node.place.time_zone)) if told else days.standing
            if room == UNLIMITED:
                yield handed_over, room
                return
            taken = min(undated, room)
            undated = undated - taken if told else 0
            if room > taken:
                yield handed_over, room - taken

    def _ready_by(self, site: Site, later: int) -> datetime | None:
        key = (site.clock, later)
        if key not in self._ready:
            self._ready[key] = ready_by(site.node, self._as_of, later=later)
        return self._ready[key]

    def _ways_by(self, node: Node, tariffs: list[Tariff], hand_overs: HandOvers) -> Ways:
        key = (Same(tariffs), node.place.time_zone, hand_overs)
        found = self._ways.get(key)
        if found is None:
            ways = tuple(way for hand_over in hand_overs for way in self._dated_ways(node, tariffs, *hand_over))
            found = self._ways[key] = Ways(ways, max((way.capacity for way in ways), default=0))
        return found

    def _dated_ways(
        self, node: Node, tariffs: list[Tariff], handed_over: datetime, room: int, price: int
    ) -> Iterator[Way]:
        for tariff in tariffs:
            key = (node.place.time_zone, handed_over, tariff.transit_days)
            if key not in self._delivery:
                self._delivery[key] = self._dated(node, handed_over, tariff.transit_days)
            if (dated := self._delivery[key]) is not None:
                yield Way(tariff, handed_over, dated[0], dated[1], room, price)

    def _dated(self, node: Node, handed_over: datetime, transit_days: int) -> tuple[datetime, int] | None:
        """When it is delivered, and what the wait for it costs per unit."""
        to = self._order.ship_to
        delivered = deliver_by(handed_over, node.place, to, transit_days)
        if delivered is None:
            return None
        needed = self._order.needed_by
        late = days_late(delivered, needed, to.time_zone) if needed is not None else 0
        cost = late * self._policy.late_day_minor
        if self._policy.wait_day_minor:
            cost += days_late(delivered, self._as_of, to.time_zone) * self._policy.wait_day_minor
        return delivered, cost
