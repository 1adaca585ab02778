"""What a node can make ready on one of its days, and how the units of shipments are laid on the days.

A shipment takes the day on which it is handed over. What has no room there is made ready on the working days before,
the last of them first, so that the next days stay open for who comes later and is promised earlier.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from shared.domain.base import Identifier, Model
from shared.domain.calendars import local_day, ready_by, works_on
from shared.domain.network import Node
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.models import DayLoad
from shared.domain.sourcing.plans import Plan

#: Stands for a capacity without limit; more units than any order can hold.
UNLIMITED = 1 << 40
#: Stands for all services of a node together.
ALL = ""


Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class NodeCapacity(Model):
    """What a node can make ready on one day, in units, in orders, or in both.

    Attributes:
        day: A day of the node's own calendar.
        service: Only what is of this service; empty for all together.
        units: In place of the node's standing figure, which holds when this is ``None``; 0 is a closure.
        orders: Fulfillment orders; one that is made ready over several days counts on each of them.
    """

    node_id: Identifier
    day: date
    service: ServiceLevel | Literal[""] = ""
    units: Count | None = None
    orders: Count | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> NodeCapacity:
        if self.units is None and self.orders is None:
            raise ValueError("give units, orders or both")
        return self


class Day(NamedTuple):
    """A limit: of one node, day and service, or of all services together."""

    node_id: str
    day: date
    service: str


class Room(NamedTuple):
    """What is left of a limit: units, and orders that may have some of them."""

    units: int
    orders: int = UNLIMITED

    def less(self, units: int) -> Room:
        """What is left when an order has taken so many."""
        return Room(self.units - units, self.orders - 1)


class Work(NamedTuple):
    """What a planned shipment asks of its node.

    Attributes:
        n: Place of the shipment in its plan.
        days: On which it may be made ready; the one it is handed over on first, then backwards.
    """

    n: int
    node_id: str
    service: str
    units: int
    days: tuple[date, ...]

    @property
    def limits(self) -> list[Day]:
        """Every limit it may meet, whether there is one or not."""
        return [Day(self.node_id, day, service) for day in self.days for service in (ALL, self.service)]


class Days:
    """Room on the days of one node, for one service.

    Args:
        daily_units: The standing figure; ``None`` is no limit.
        days: What is set for single days, and taken of them.
        service: ``None`` looks away from what single services are limited to.
    """

    def __init__(self, daily_units: int | None, days: Iterable[DayLoad], service: ServiceLevel | None) -> None:
        self.standing = UNLIMITED if daily_units is None else daily_units
        self._together: dict[date, int] = {}
        self._of_service: dict[date, int] = {}
        for load in days:
            if load.service is None:
                self._together[load.day] = _room(load)
            elif load.service == service:
                self._of_service[load.day] = _room(load)

    def room(self, day: date) -> int:
        return min(self._together.get(day, self.standing), self._of_service.get(day, UNLIMITED))


def _room(load: DayLoad) -> int:
    return left(load.limit, load.used) if left(load.order_limit, load.used_orders) else 0


def left(limit: int | None, used: int) -> int:
    """What may still be taken of a limit; ``None`` is no limit."""
    return UNLIMITED if limit is None else max(0, limit - used)


def works_of(plan: Plan, nodes: Iterable[Node], limited: Collection[str], service: ServiceLevel) -> tuple[Work, ...]:
    """What a plan asks of the nodes whose days are limited."""
    if not limited:
        return ()
    by_id = {node.node_id: node for node in nodes if node.node_id in limited}
    return tuple(
        Work(
            n,
            shipment.node_id,
            service.value,
            sum(line.quantity for line in shipment.lines),
            working_days(by_id[shipment.node_id], plan.as_of, shipment.ship_by),
        )
        for n, shipment in enumerate(plan.shipments)
        if shipment.node_id in by_id
    )


def working_days(node: Node, as_of: datetime, ship_by: datetime) -> tuple[date, ...]:
    """The node's days for what is released at ``as_of`` and handed over at ``ship_by``, the last one first."""
    last = local_day(ship_by, node.place.time_zone)
    soonest = ready_by(node, as_of)
    first = last if soonest is None else min(last, local_day(soonest, node.place.time_zone))
    between = (last - timedelta(days=back) for back in range((last - first).days + 1))
    return tuple(day for day in between if day == last or works_on(node.calendar, day))


def lay(works: Sequence[Work], room: Mapping[Day, Room]) -> list[dict[Day, int]] | None:
    """Units by limit for each of these works, which is an order of each; ``None`` when not all of them have room.

    Args:
        room: What is left, where there is a limit.
    """
    now: dict[Day, Room] = {}
    found: list[dict[Day, int]] = []
    for work in works:
        taken: dict[Day, int] = {}
        units = work.units
        for day in work.days:
            limits = {
                limit: now.get(limit, room[limit])
                for limit in (Day(work.node_id, day, ALL), Day(work.node_id, day, work.service))
                if limit in room
            }
            fits = min([units, *(each.units if each.orders > 0 else 0 for each in limits.values())])
            if fits > 0:
                taken |= dict.fromkeys(limits, fits)
                now |= {limit: each.less(fits) for limit, each in limits.items()}
                units -= fits
        if units:
            return None
        found.append(taken)
    return found


def lay_each(wishes: Sequence[Sequence[Work]], room: MutableMapping[Day, Room]) -> list[list[dict[Day, int]] | None]:
    """Lay the works of several plans, each whole or not at all; the earlier goes first when not all fit.

    Args:
        room: What is left, where there is a limit; what is laid is taken from it.
    """
    laid: list[list[dict[Day, int]] | None] = []
    for works in wishes:
        found = lay(works, room)
        laid.append(found)
        for taken in found or ():
            for limit, units in taken.items():
                room[limit] = room[limit].less(units)
    return laid
