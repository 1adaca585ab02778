"""What orders of a wave share: stock of an item at a node, and what a node can have ready by a day.

A node's days are those of ``shared.domain.sourcing.roads``: what is handed over on a day counts against that
day and every later one, so that a day passed over leaves more for those that follow. They are counted in units and,
where they are limited so, in fulfillment orders, of which each takes at least one of a day until it is handed over.
Of several limits of a day the tightest one counts for what all of them are about: no more orders than units, no more of
a service than of all together. What still does not go together, because services that are limited differently want the
same days, is refused when it is moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from enum import StrEnum
from itertools import accumulate, islice
from typing import NamedTuple

from shared.domain.calendars import local_day, ready_by
from shared.domain.capacity import ALL, UNLIMITED, Days, left
from shared.domain.network import Node
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.models import DayLoad, NodeLoad
from shared.domain.sourcing.plans import PlannedShipment
from shared.domain.sourcing.roads import CAPACITY_DAYS, DAYS_AHEAD
from shared.domain.waves.models import Wave


class StockLimit(NamedTuple):
    """Units of an item at a node."""

    node_id: str
    sku: str


class Counted(StrEnum):
    """What a limit of a day counts: a parcel shared by several orders is one fulfillment order of each."""

    UNITS = "units"
    ORDERS = "orders"


class DayLimit(NamedTuple):
    """What a node can have ready by its ``nth`` day with room; of one service, or of ``ALL`` together."""

    node_id: str
    nth: int
    service: str = ALL
    counted: Counted = Counted.UNITS


class Series(NamedTuple):
    """What is limited on each day of a node."""

    service: str
    counted: Counted


class SharedDay(NamedTuple):
    """A day of a node on which the wave may hand over; so many working days ``later`` than the first."""

    day: date
    later: int


Limit = StockLimit | DayLimit
#: How much of each limit a plan takes.
Uses = dict[Limit, int]


class Limits:
    """The limits of a wave. Those that stand are never over them, whatever the snapshot says."""

    def __init__(self, wave: Wave) -> None:
        snapshot = wave.snapshot
        self.most: dict[Limit, int] = {StockLimit(row.node_id, row.sku): row.available for row in snapshot.stock}
        self._days: dict[str, tuple[SharedDay, ...]] = {}
        self._series: dict[str, tuple[Series, ...]] = {}
        self._zones = {node.node_id: node.place.time_zone for node in snapshot.nodes}
        loads = {load.node_id: load for load in snapshot.loads}
        most = _most_taken(wave)
        for node in snapshot.nodes:
            room = _Room(node, loads.get(node.node_id, NodeLoad(node_id=node.node_id)), snapshot.as_of)
            if node.ship_enabled and room.may_be_filled(*most[node.node_id]):
                self._share(node.node_id, room)
        standing: Counter[Limit] = Counter()
        for order in wave.orders:
            standing.update(self.uses(order.standing, order.order.service))
        for limit, units in standing.items():
            self.most[limit] = max(self.most.get(limit, 0), units)

    def _share(self, node_id: str, room: _Room) -> None:
        self._days[node_id], self._series[node_id] = room.days, room.series
        for series in room.series:
            for nth, most in enumerate(room.until(series)):
                self.most[DayLimit(node_id, nth, *series)] = most

    def days_of(self, node_id: str) -> tuple[SharedDay, ...]:
        """The node's days that are told apart; none when its days are not shared."""
        return self._days.get(node_id, ())

    def by_day(self, node_id: str) -> Iterator[list[DayLimit]]:
        """Limits of the node's days, the first day first; a list for all that is limited on each of them."""
        for series in self._series.get(node_id, ()):
            yield [DayLimit(node_id, nth, *series) for nth in range(len(self._days[node_id]))]

    def uses(self, shipments: Iterable[PlannedShipment], service: ServiceLevel) -> Uses:
        """What these fulfillment orders take."""
        taken: Counter[Limit] = Counter()
        for shipment in shipments:
            units = sum(line.quantity for line in shipment.lines)
            for limit in self._by_day(shipment, service):
                taken[limit] += units if limit.counted is Counted.UNITS else 1
            for line in shipment.lines:
                taken[StockLimit(shipment.node_id, line.sku)] += line.quantity
        return dict(taken)

    def _by_day(self, shipment: PlannedShipment, service: ServiceLevel) -> Iterator[DayLimit]:
        """What is handed over on a day counts until the last one; a day past, or passed over, is the next."""
        days = self.days_of(shipment.node_id)
        handed_over = local_day(shipment.ship_by, self._zones.get(shipment.node_id, "UTC"))
        first = sum(known.day < handed_over for known in days[:-1])
        for series in self._series.get(shipment.node_id, ()):
            if series.service in (ALL, service):
                yield from (DayLimit(shipment.node_id, nth, *series) for nth in range(first, len(days)))


class _Room:
    """What a node's next days have room for, if nothing of the wave stood."""

    def __init__(self, node: Node, load: NodeLoad, as_of: datetime) -> None:
        told = load.days is not None
        loads = load.days or ()
        of_services = [day for day in loads if day.service is not None]
        services = (ALL, *sorted({day.service.value for day in of_services if day.service is not None}))
        self._days = {ALL: Days(node.daily_units, loads, None)}
        self._days |= {service: Days(node.daily_units, loads, ServiceLevel(service)) for service in services[1:]}
        self._orders = _orders_left(loads)
        self.series = (
            *(Series(service, Counted.UNITS) for service in services),
            *(Series(service, Counted.ORDERS) for service in sorted(self._orders)),
        )
        self._undated = max(0, load.units - load.dated)
        self._told = told
        ready = ((ready_by(node, as_of, later=later), later) for later in range(DAYS_AHEAD if told else CAPACITY_DAYS))
        found = (SharedDay(local_day(at, node.place.time_zone), later) for at, later in ready if at is not None)
        self.days = tuple(islice((each for each in found if self._days[ALL].room(each.day)), CAPACITY_DAYS))

    def may_be_filled(self, units: int, orders: int) -> bool:
        """Whether so much could be more than the first day has room for."""
        wanted = {Counted.UNITS: units, Counted.ORDERS: orders}
        return bool(self.days) and any(next(self.until(series)) < wanted[series.counted] for series in self.series)

    def until(self, series: Series) -> Iterator[int]:
        """What can be ready by each of the days."""
        if series.counted is Counted.UNITS:
            return self._units_until(series.service)
        return accumulate((self._orders_on(each.day, series.service) for each in self.days), _added)

    def _orders_on(self, day: date, service: str) -> int:
        """Each of them takes a unit at least."""
        together, of_service = (self._orders.get(each, {}).get(day, UNLIMITED) for each in (ALL, service))
        return min(together, of_service, self._days[service].room(day))

    def _units_until(self, service: str) -> Iterator[int]:
        """Units, of which those that have no day of their own yet come before everything new."""
        ready, undated = 0, self._undated if service == ALL else 0
        for each in self.days:
            room = self._days[service].room(each.day)
            taken = min(undated, room)
            # Where loads are not told by day, those of later days count as none.
            undated = undated - taken if self._told else 0
            ready = _added(ready, room - taken)
            yield ready


def _added(ready: int, room: int) -> int:
    return min(UNLIMITED, ready + room)


def _orders_left(days: Iterable[DayLoad]) -> dict[str, dict[date, int]]:
    """Fulfillment orders that may still be given units, by service and day, where any day limits them."""
    found: dict[str, dict[date, int]] = {}
    for load in days:
        if load.order_limit is not None:
            more = left(load.order_limit, load.used_orders)
            found.setdefault(load.service.value if load.service else ALL, {})[load.day] = more
    return found


def _most_taken(wave: Wave) -> dict[str, tuple[int, int]]:
    """The most units, and the most orders of which some are, that the wave could give to each node."""
    wanted: Counter[str] = Counter()
    holders: dict[str, list[str]] = {}
    for row in wave.snapshot.stock:
        holders.setdefault(row.sku, []).append(row.node_id)
    orders: Counter[str] = Counter()
    for order in wave.orders:
        for line in order.order.lines:
            wanted[line.sku] += line.quantity
        orders.update({node_id for line in order.order.lines for node_id in holders.get(line.sku, ())})
    units: Counter[str] = Counter()
    for row in wave.snapshot.stock:
        units[row.node_id] += min(row.available, wanted[row.sku])
    return {node.node_id: (units[node.node_id], orders[node.node_id]) for node in wave.snapshot.nodes}
