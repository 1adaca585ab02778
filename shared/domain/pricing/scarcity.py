"""What may run short: the only stock and days a price can be above zero for, and so the only demand that counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta

from shared.domain.calendars import local_day, ready_by
from shared.domain.network import Node
from shared.domain.pricing.forecast import daily_rate
from shared.domain.sourcing.models import Snapshot

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
    """Room in units by (node, shipping day) where a day's demand together is more than the node ships on one."""
    daily = sum(daily_rate(by_age, history_days) for by_age in units.values())
    loads = {load.node_id: load.units for load in snapshot.loads}
    room: dict[tuple[str, date], int] = {}
    for node in snapshot.nodes:
        if node.ship_enabled and node.daily_units is not None and _may_fill(node, daily, loads.get(node.node_id, 0)):
            days = list(dict.fromkeys(shipping_days(node, snapshot.as_of)))
            room |= {(node.node_id, day): node.daily_units for day in days if day is not None}
            if days and days[0] is not None:
                room[node.node_id, days[0]] = max(0, node.daily_units - loads.get(node.node_id, 0))
    return room


def _may_fill(node: Node, daily: float, load: int) -> bool:
    # What comes over a weekend ships on one day.
    return daily * 3 + load > (node.daily_units or 0)


def shipping_days(node: Node, as_of: datetime) -> Iterator[date | None]:
    """For each of the next days, the day on which the node ships what comes then."""
    for later in range(DAYS_AHEAD):
        leaves = ready_by(node, as_of + timedelta(days=later))
        yield None if leaves is None else local_day(leaves, node.place.time_zone)
