"""What orders of a wave share: stock of an item at a node, and what a node can have ready by a day.

A node's days are those of ``shared.domain.sourcing.roads``: what is handed over on a day counts against that
day and every later one, so that a day passed over leaves more for those that follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from itertools import islice
from typing import NamedTuple

from shared.domain.calendars import local_day, ready_by
from shared.domain.capacity import ALL, UNLIMITED, Days
from shared.domain.network import Node
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.models import NodeLoad
from shared.domain.sourcing.plans import PlannedShipment
from shared.domain.sourcing.roads import CAPACITY_DAYS, DAYS_AHEAD
from shared.domain.waves.models import Wave


class StockLimit(NamedTuple):
    """Units of an item at a node."""

    node_id: str
    sku: str


class DayLimit(NamedTuple):
    """Units a node can have ready by its ``nth`` day with room; of one service, or of ``ALL`` together."""

    node_id: str
    nth: int
    service: str = ALL


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
        self._services: dict[str, tuple[str, ...]] = {}
        self._zones = {node.node_id: node.place.time_zone for node in snapshot.nodes}
        loads = {load.node_id: load for load in snapshot.loads}
        most = _most_taken(wave)
        for node in snapshot.nodes:
            room = _Room(node, loads.get(node.node_id, NodeLoad(node_id=node.node_id)), snapshot.as_of)
            if node.ship_enabled and room.may_be_filled(most[node.node_id]):
                self._share(node.node_id, room)
        standing: Counter[Limit] = Counter()
        for order in wave.orders:
            standing.update(self.uses(order.standing, order.order.service))
        for limit, units in standing.items():
            self.most[limit] = max(self.most.get(limit, 0), units)

    def _share(self, node_id: str, room: _Room) -> None:
        self._days[node_id], self._services[node_id] = room.days, room.services
        for service in room.services:
            for nth, units in enumerate(room.until(service)):
                self.most[DayLimit(node_id, nth, service)] = units

    def days_of(self, node_id: str) -> tuple[SharedDay, ...]:
        """The node's days that are told apart; none when its days are not shared."""
        return self._days.get(node_id, ())

    def by_day(self, node_id: str) -> Iterator[list[DayLimit]]:
        """Limits of the node's days, the first day first; a list for each service that has any."""
        for service in self._services.get(node_id, ()):
            yield [DayLimit(node_id, nth, service) for nth in range(len(self._days[node_id]))]

    def uses(self, shipments: Iterable[PlannedShipment], service: ServiceLevel) -> Uses:
        taken: Counter[Limit] = Counter()
        for shipment in shipments:
            units = sum(line.quantity for line in shipment.lines)
            taken.update(dict.fromkeys(self._by_day(shipment, service), units))
            for line in shipment.lines:
                taken[StockLimit(shipment.node_id, line.sku)] += line.quantity
        return dict(taken)

    def _by_day(self, shipment: PlannedShipment, service: ServiceLevel) -> Iterator[DayLimit]:
        """What is handed over on a day counts until the last one; a day past, or passed over, is the next."""
        days = self.days_of(shipment.node_id)
        handed_over = local_day(shipment.ship_by, self._zones.get(shipment.node_id, "UTC"))
        first = sum(known.day < handed_over for known in days[:-1])
        for limited in self._services.get(shipment.node_id, ()):
            if limited in (ALL, service):
                yield from (DayLimit(shipment.node_id, nth, limited) for nth in range(first, len(days)))


class _Room:
    """What a node's next days have room for, if nothing of the wave stood."""

    def __init__(self, node: Node, load: NodeLoad, as_of: datetime) -> None:
        told = load.days is not None
        loads = load.days or ()
        of_services = [day for day in loads if day.service is not None]
        self.services = (ALL, *sorted({day.service.value for day in of_services if day.service is not None}))
        self._days = {ALL: Days(node.daily_units, loads, None)}
        self._days |= {service: Days(None, of_services, ServiceLevel(service)) for service in self.services[1:]}
        self._undated = max(0, load.units - load.dated)
        self._told = told
        ready = ((ready_by(node, as_of, later=later), later) for later in range(DAYS_AHEAD if told else CAPACITY_DAYS))
        found = (SharedDay(local_day(at, node.place.time_zone), later) for at, later in ready if at is not None)
        self.days = tuple(islice((each for each in found if self._days[ALL].room(each.day)), CAPACITY_DAYS))

    def may_be_filled(self, units: int) -> bool:
        """Whether so many units could be more than the first day has room for."""
        return bool(self.days) and any(next(self.until(service)) < units for service in self.services)

    def until(self, service: str) -> Iterator[int]:
        """Units that can be ready by each of the days. What has no day of its own yet comes before everything new."""
        ready, undated = 0, self._undated if service == ALL else 0
        for each in self.days:
            room = self._days[service].room(each.day)
            taken = min(undated, room)
            # Where loads are not told by day, those of later days count as none.
            undated = undated - taken if self._told else 0
            ready = min(UNLIMITED, ready + room - taken)
            yield ready


def _most_taken(wave: Wave) -> Counter[str]:
    """The most units that the wave could take of each node."""
    wanted: Counter[str] = Counter()
    for order in wave.orders:
        for line in order.order.lines:
            wanted[line.sku] += line.quantity
    most: Counter[str] = Counter()
    for row in wave.snapshot.stock:
        most[row.node_id] += min(row.available, wanted[row.sku])
    return most
