"""How long a planned fulfillment order is kept from its node, so that it may still be planned again with others."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.domain.calendars import at, release_day
from shared.domain.network import Node

#: A timer fires a little late, and a node that is away is called again: it has to know before its cut-off.
MARGIN = timedelta(minutes=15)


def cutoff_of(node: Node, planned_at: datetime) -> datetime | None:
    """When the node is told too late of what was planned then to keep its hand-over; ``None`` when it never works."""
    day = release_day(node, planned_at)
    return None if day is None else at(day, node.calendar.cutoff, node.place.time_zone)


def last_call(node: Node, planned_at: datetime) -> datetime | None:
    """Until when the node may be kept waiting for what was planned then; ``None`` when it never works."""
    cutoff = cutoff_of(node, planned_at)
    return None if cutoff is None else cutoff - MARGIN


def release_at(node: Node, planned_at: datetime, release_after: timedelta) -> datetime | None:
    """When the node is told of what was planned then; ``None`` when it is told at once.

    Waiting never costs a working day: what was planned before the cut-off is told before it, so that the hand-over
    and the days reserved for it stay as they were planned.
    """
    last = last_call(node, planned_at)
    if not release_after or last is None:
        return None
    moment = min(planned_at + release_after, last)
    return moment if moment > planned_at else None
