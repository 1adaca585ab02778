"""What orders of a wave share: stock of an item at a node, and what a node can have ready by a day.

A node's days are those of ``shared.domain.sourcing.roads``: what is handed over on a day counts against that
day and every later one, so that a day passed over leaves more for those that follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple

from shared.domain.calendars import local_day, ready_by
from shared.domain.network import Node
from shared.domain.sourcing.models import PlannedShipment, Snapshot
from shared.domain.sourcing.roads import CAPACITY_DAYS
from shared.domain.waves.models import Wave


class StockLimit(NamedTuple):
    """Units of an item at a node."""

    node_id: str
    sku: str


class DayLimit(NamedTuple):
    """Units a node can have ready by its ``nth`` shipping day from now."""

    node_id: str
    nth: int


Limit = StockLimit | DayLimit
#: How much of each limit a plan takes.
Uses = dict[Limit, int]


class Limits:
    """The limits of a wave. Those that stand are never over them, whatever the snapshot says."""

    def __init__(self, wave: Wave) -> None:
        snapshot = wave.snapshot
        self.most: dict[Limit, int] = {StockLimit(row.node_id, row.sku): row.available for row in snapshot.stock}
        self._days = {node.node_id: days for node in snapshot.nodes if (days := _days(node, snapshot, wave))}
        self._zones = {node.node_id: node.place.time_zone for node in snapshot.nodes}
        loads = {load.node_id: load.units for load in snapshot.loads}
        for node in snapshot.nodes:
            for nth in range(len(self._days.get(node.node_id, ()))):
                daily = node.daily_units or 0
                room = max(0, daily - loads.get(node.node_id, 0)) + nth * daily
                self.most[DayLimit(node.node_id, nth)] = room
        standing: Counter[Limit] = Counter()
        for order in wave.orders:
            standing.update(self.uses(order.standing))
        for limit, units in standing.items():
            self.most[limit] = max(self.most.get(limit, 0), units)

    def nth_day(self, node_id: str, day: date) -> int | None:
        """Which of a node's shipping days this is; ``None`` when its days are not shared. A day past is the first."""
        days = self._days.get(node_id)
        if days is None:
            return None
        return sum(known < day for known in days[:-1])

    def days_of(self, node_id: str) -> int:
        """How many days of the node are told apart."""
        return len(self._days.get(node_id, ()))

    def local_day(self, shipment: PlannedShipment) -> date:
        return local_day(shipment.ship_by, self._zones.get(shipment.node_id, "UTC"))

    def uses(self, shipments: Iterable[PlannedShipment]) -> Uses:
        taken: Counter[Limit] = Counter()
        for shipment in shipments:
            units = sum(line.quantity for line in shipment.lines)
            taken.update(dict.fromkeys(self._by_day(shipment), units))
            for line in shipment.lines:
                taken[StockLimit(shipment.node_id, line.sku)] += line.quantity
        return dict(taken)

    def _by_day(self, shipment: PlannedShipment) -> Iterator[DayLimit]:
        nth = self.nth_day(shipment.node_id, self.local_day(shipment))
        if nth is not None:
            for later in range(nth, self.days_of(shipment.node_id)):
                yield DayLimit(shipment.node_id, later)


def _days(node: Node, snapshot: Snapshot, wave: Wave) -> tuple[date, ...]:
    """The node's next shipping days, where the wave could fill the first of them."""
    if node.daily_units is None or not node.ship_enabled:
        return ()
    load = next((load.units for load in snapshot.loads if load.node_id == node.node_id), 0)
    held: Counter[str] = Counter()
    for row in snapshot.stock:
        if row.node_id == node.node_id:
            held[row.sku] += row.available
    wanted: Counter[str] = Counter()
    for order in wave.orders:
        for line in order.order.lines:
            wanted[line.sku] += line.quantity
    if sum(min(units, wanted[sku]) for sku, units in held.items()) <= max(0, node.daily_units - load):
        return ()
    found = (ready_by(node, snapshot.as_of, later=later) for later in range(CAPACITY_DAYS))
    return tuple(local_day(instant, node.place.time_zone) for instant in found if instant is not None)
