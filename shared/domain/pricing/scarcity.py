"""What may run short: the only stock and days a price can be above zero for, and so the only demand that counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta

from shared.domain.calendars import local_day, ready_by
from shared.domain.capacity import UNLIMITED, Days
from shared.domain.network import Node
from shared.domain.pricing.forecast import daily_rate
from shared.domain.sourcing.models import NodeLoad, Snapshot

#: Days ahead whose capacity is priced; further ones are not known well enough.
DAYS_AHEAD = 5


def days_until_supply(
    supply: Mapping[tuple[str, str], datetime], node_id: str, sku: str, as_of: datetime, horizon_days: int
) -> float:
    """Days that the node's stock of an item has to last, at most the horizon."""
    coming = supply.get((node_id, sku))
    days = horizon_days if coming is None else (coming - as_of) / timedelta(days=1)
    return min(max(days, 0.0), float(horizon_days))


def scarce_stock(
    snapshot: Snapshot,
    units: Mapping[str, Mapping[int, int]],
    supply: Mapping[tuple[str, str], datetime],
    *,
    history_days: int,
    horizon_days: int,
) -> dict[tuple[str, str], int]:
    """Units by (node, SKU) where all demand for the item together is more than the node has."""
    rates = {sku: daily_rate(by_age, history_days) for sku, by_age in units.items()}
    return {
        (row.node_id, row.sku): row.available
        for row in snapshot.stock
        if rates.get(row.sku, 0.0)
        * days_until_supply(supply, row.node_id, row.sku, snapshot.as_of, horizon_days)
        > row.available
    }  # fmt: skip


def busy_days(
    snapshot: Snapshot, units: Mapping[str, Mapping[int, int]], history_days: int
) -> dict[tuple[str, date], int]:
    """Room in units by (node, shipping day) where a day's demand together is more than a day of the node has left."""
    daily = sum(daily_rate(by_age, history_days) for by_age in units.values())
    loads = {load.node_id: load for load in snapshot.loads}
    room: dict[tuple[str, date], int] = {}
    for node in snapshot.nodes:
        if node.ship_enabled:
            of_node = dict(_room(node, loads.get(node.node_id) or NodeLoad(node_id=node.node_id), snapshot.as_of))
            # What comes over a weekend ships on one day.
            if any(left < daily * 3 for left in of_node.values()):
                room |= {(node.node_id, day): left for day, left in of_node.items()}
    return room


def _room(node: Node, load: NodeLoad, as_of: datetime) -> Iterator[tuple[date, int]]:
    """Units left on the node's next shipping days that are limited; what has no day of its own comes first."""
    days = Days(node.daily_units, load.days or (), None)
    undated = max(0, load.units - load.dated)
    for day in dict.fromkeys(shipping_days(node, as_of)):
        if day is None or (room := days.room(day)) == UNLIMITED:
            continue
        taken = min(undated, room)
        # Where loads are not told by day, those of later days count as none.
        undated = undated - taken if load.days is not None else 0
        yield day, room - taken


def shipping_days(node: Node, as_of: datetime) -> Iterator[date | None]:
    """For each of the next days, the day on which the node ships what comes then."""
    for later in range(DAYS_AHEAD):
        leaves = ready_by(node, as_of + timedelta(days=later))
        yield None if leaves is None else local_day(leaves, node.place.time_zone)
