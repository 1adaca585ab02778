"""Nodes that are open while a test runs, at whatever time of the day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from shared.domain.network import Node
from shared.domain.releasing import cutoff_of
from workers.demo.world import World

_A_WHILE, _LATER = timedelta(hours=1), timedelta(hours=3)


def open_for_a_while(world: World) -> World:
    """The same merchant; a node whose cut-off is within the hour has it three hours later.

    Shortly before it a release window is cut short, and what was planned for today is planned for another day.
    """
    now = datetime.now(UTC)
    return world.model_copy(update={"nodes": tuple(_open(node, now) for node in world.nodes)})


def _open(node: Node, now: datetime) -> Node:
    cutoff = cutoff_of(node, now)
    if cutoff is None or cutoff - now > _A_WHILE:
        return node
    local = cutoff.astimezone(ZoneInfo(node.place.time_zone))
    calendar = node.calendar.model_copy(update={"cutoff": (local + _LATER).time()})
    return node.model_copy(update={"calendar": calendar})
