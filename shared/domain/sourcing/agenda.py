"""The days of nodes while orders are replayed: what each plan takes of them, as the database would reserve it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from shared.domain.calendars import local_day
from shared.domain.capacity import ALL, Day, NodeCapacity, Room, lay, left, works_of
from shared.domain.network import Node
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.models import DayLoad, NodeLoad
from shared.domain.sourcing.plans import Plan


class Agenda:
    """Limited nodes, and the units and orders that were promised of each of their days."""

    def __init__(self, nodes: Iterable[Node], limits: Iterable[NodeCapacity]) -> None:
        self._set = {Day(row.node_id, row.day, row.service): row for row in limits}
        having = {day.node_id for day in self._set}
        self._nodes = {node.node_id: node for node in nodes if node.daily_units is not None or node.node_id in having}
        self._units, self._orders = Counter[Day](), Counter[Day]()
        self._days: dict[str, set[Day]] = {node_id: set() for node_id in self._nodes}
        for day in self._set:
            if day.node_id in self._days:
                self._days[day.node_id].add(day)
        self._told: dict[str, tuple[DayLoad, ...]] = {}

    def promise(self, node_id: str, ship_by: datetime, units: int) -> None:
        """Units of an order that was planned before, on the day they are handed over."""
        if node := self._nodes.get(node_id):
            self._add(Day(node_id, local_day(ship_by, node.place.time_zone), ALL), units)

    def take(self, found: Plan, service: ServiceLevel) -> None:
        """Lay a plan on its days, as it is reserved when it is committed."""
        works = works_of(found, self._nodes.values(), self._nodes.keys(), service)
        room = {limit: self._room(limit) for work in works for limit in work.limits}
        for taken in lay(works, room) or ():
            for limit, units in taken.items():
                self._add(limit, units)

    def loads(self, units: Mapping[str, int]) -> Iterator[NodeLoad]:
        """What nodes have promised to ship; of limited ones by day.

        Args:
            units: Still to leave, by node.
        """
        for node_id in self._nodes:
            if node_id not in self._told:
                self._told[node_id] = tuple(map(self._load, self._days[node_id]))
            promised = units.get(node_id, 0)
            yield NodeLoad.model_construct(node_id=node_id, units=promised, dated=promised, days=self._told[node_id])
        for node_id in units.keys() - self._nodes.keys():
            yield NodeLoad.model_construct(node_id=node_id, units=units[node_id])

    def _add(self, limit: Day, units: int) -> None:
        self._units[limit] += units
        self._orders[limit] += 1
        self._days[limit.node_id].add(limit)
        self._told.pop(limit.node_id, None)

    def _limits(self, limit: Day) -> tuple[int | None, int | None]:
        """Units and orders."""
        told = self._set.get(limit)
        standing = self._nodes[limit.node_id].daily_units if limit.service == ALL else None
        if told is None:
            return standing, None
        return standing if told.units is None else told.units, told.orders

    def _room(self, limit: Day) -> Room:
        units, orders = self._limits(limit)
        return Room(left(units, self._units[limit]), left(orders, self._orders[limit]))

    def _load(self, limit: Day) -> DayLoad:
        units, orders = self._limits(limit)
        return DayLoad.model_construct(
            day=limit.day,
            service=ServiceLevel(limit.service) if limit.service else None,
            limit=units,
            used=self._units[limit],
            order_limit=orders,
            used_orders=self._orders[limit],
        )
