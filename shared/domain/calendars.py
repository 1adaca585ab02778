"""Working-day arithmetic: when a node hands over and when a carrier delivers.

Days are counted on the local calendar of the place that works, and only the answer becomes an instant, so
a clock change never moves a date. Nothing here reads a clock: every function takes ``as_of``. A calendar
that never works has no answer, which is ``None``.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from shared.domain.network import Calendar, Node, Place

#: Carriers move on weekdays unless a calendar says otherwise; the cut-off does not apply to them.
CARRIER = Calendar()
#: Carriers collect in the evening, or at the cut-off of a node that works later than that.
COLLECTION = time(18, 0)
#: The customer has it by this local time of the delivery day.
DELIVERED = time(20, 0)
#: A place without a working day in this many days does not work.
HORIZON_DAYS = 400

_DAY = timedelta(days=1)


def works_on(calendar: Calendar, day: date) -> bool:
    return day.isoweekday() in calendar.working_days and day not in calendar.closures


@lru_cache(maxsize=4096)
def working_day(calendar: Calendar, day: date, later: int = 0) -> date | None:
    """The first working day on or after ``day``, and ``later`` working days after that."""
    for _ in range(later + 1):
        for _ in range(HORIZON_DAYS):
            if works_on(calendar, day):
                break
            day += _DAY
        else:
            return None
        day += _DAY
    return day - _DAY


@lru_cache(maxsize=4096)
def at(day: date, clock: time, time_zone: str) -> datetime:
    """The instant of a local wall-clock time; the earlier one when the clock shows it twice."""
    return datetime.combine(day, clock, ZoneInfo(time_zone)).astimezone(UTC)


def local_day(instant: datetime, time_zone: str) -> date:
    if instant.tzinfo is None:
        raise ValueError("instants must be aware")
    return instant.astimezone(ZoneInfo(time_zone)).date()


def counts_as(node: Node, as_of: datetime) -> date:
    """The day an order released at ``as_of`` counts as: the cut-off itself is already too late."""
    day = local_day(as_of, node.place.time_zone)
    return day + _DAY if as_of >= at(day, node.calendar.cutoff, node.place.time_zone) else day


def release_day(node: Node, as_of: datetime) -> date | None:
    """The working day it counts as."""
    return working_day(node.calendar, counts_as(node, as_of))


def ready_by(node: Node, as_of: datetime, *, later: int = 0) -> datetime | None:
    """When an order released at ``as_of`` is handed to the carrier, aware UTC.

    Args:
        later: Further working days, for a node whose next shipping days are full.
    """
    return handed_over(node, counts_as(node, as_of), later=later)


def handed_over(node: Node, day: date, *, later: int = 0) -> datetime | None:
    """The same for an order that counts as this day's."""
    released = working_day(node.calendar, day)
    if released is None:
        return None
    leaves = working_day(node.calendar, released, node.handling_days + later)
    return None if leaves is None else at(leaves, max(node.calendar.cutoff, COLLECTION), node.place.time_zone)


def deliver_by(
    handed_over: datetime, origin: Place, destination: Place, transit_days: int, carrier: Calendar = CARRIER
) -> datetime | None:
    """When a parcel handed over at ``handed_over`` has reached the customer, aware UTC."""
    return delivered(handed_over, origin.time_zone, destination.time_zone, transit_days, carrier)


def delivered(
    handed_over: datetime, from_zone: str, to_zone: str, transit_days: int, carrier: Calendar = CARRIER
) -> datetime | None:
    """The same for any two places of these time zones.

    Transit is counted in the carrier's working days from the first one on or after the local day of the
    hand-over. The answer is never before the hand-over, whatever lies between the two time zones.
    """
    day = working_day(carrier, local_day(handed_over, from_zone), transit_days)
    if day is None:
        return None
    arrives = at(day, DELIVERED, to_zone)
    return arrives if arrives >= handed_over else at(day + _DAY, DELIVERED, to_zone)


def open_from(node: Node, there: datetime) -> datetime | None:
    """When a customer can fetch what a carrier has brought: then, or at that local time of the node's next day."""
    arrived = there.astimezone(ZoneInfo(node.place.time_zone))
    day = working_day(node.calendar, arrived.date())
    return None if day is None else at(day, arrived.time(), node.place.time_zone)


def days_late(delivered: datetime, needed_by: datetime, time_zone: str) -> int:
    """Calendar days the delivery passes the day it was needed, as the customer's calendar counts them."""
    return max(0, (local_day(delivered, time_zone) - local_day(needed_by, time_zone)).days)
