"""How full the days of nodes are: what planners and staff look at."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.base import Model
from shared.domain.capacity import NodeCapacity
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.models import DayLoad, NodeLoad
from shared.errors import NotFound

_LIMITED = text("""
    SELECT node_id FROM node WHERE daily_units IS NOT NULL
    UNION SELECT node_id FROM node_capacity WHERE day > current_date - 2
""")
#: Without a standing figure every unit has its day, or needs none. What should have left before today has none.
_LOADS = text("""
    SELECT n.node_id, coalesce(f.units, 0) AS units,
           CASE WHEN n.daily_units IS NULL THEN coalesce(f.units, 0) ELSE coalesce(u.reserved, 0) END AS dated
    FROM node n
    LEFT JOIN (
        SELECT node_id, sum(units) AS units FROM fulfillment_order
        WHERE ended_at IS NULL AND shipped_at IS NULL AND ready_at IS NULL GROUP BY node_id
    ) f USING (node_id)
    LEFT JOIN LATERAL (
        SELECT sum(reserved) AS reserved FROM capacity_use
        WHERE node_id = n.node_id AND service = ''
          AND day >= (now() AT TIME ZONE coalesce(n.place ->> 'time_zone', 'UTC'))::date
    ) u ON n.daily_units IS NOT NULL
    WHERE f.units > 0 OR n.node_id = ANY(:limited)
""")
#: What some fulfillment orders are of these loads.
_PARTS = text("""
    SELECT f.node_id, sum(f.units) AS units,
           CASE WHEN n.daily_units IS NULL THEN sum(f.units) ELSE coalesce(sum(c.reserved), 0) END AS dated
    FROM fulfillment_order f JOIN node n USING (node_id)
    LEFT JOIN LATERAL (
        SELECT sum(reserved) AS reserved FROM capacity_claim
        WHERE owner = f.fulfillment_order_id AND service = ''
          AND day >= (now() AT TIME ZONE coalesce(n.place ->> 'time_zone', 'UTC'))::date
    ) c ON n.daily_units IS NOT NULL
    WHERE f.fulfillment_order_id = ANY(:owners) GROUP BY f.node_id, n.daily_units
""")
_PARTS_OF_DAYS = text("""
    SELECT node_id, day, service, sum(reserved) AS reserved, count(*) AS reserved_orders FROM capacity_claim
    WHERE owner = ANY(:owners) AND reserved > 0 GROUP BY node_id, day, service
""")
_DAYS = text("""
    SELECT *, CASE WHEN units IS NOT NULL THEN greatest(units - reserved - consumed, 0) END AS free,
           CASE WHEN orders IS NOT NULL THEN greatest(orders - reserved_orders - consumed_orders, 0) END AS free_orders
    FROM (
        SELECT node_id, day, service, units, reserved, consumed, excess,
               orders, reserved_orders, consumed_orders, excess_orders
        FROM capacity_use WHERE node_id = ANY(:node_ids) AND day BETWEEN :since AND :until
        UNION ALL
        SELECT c.node_id, c.day, c.service, l.units, 0, 0, 0, l.orders, 0, 0, 0
        FROM node_capacity c CROSS JOIN LATERAL capacity_limit(c.node_id, c.day, c.service) l
        WHERE c.node_id = ANY(:node_ids) AND c.day BETWEEN :since AND :until
          AND NOT EXISTS (
              SELECT FROM capacity_use u WHERE (u.node_id, u.day, u.service) = (c.node_id, c.day, c.service))
    ) d
    ORDER BY node_id, day, service
""")
#: As they were recorded where something was taken of a day; what is past does not follow the data any more.
_LIMITS = text("""
    SELECT * FROM (
        SELECT node_id, day, service, units, orders FROM capacity_use
        UNION ALL
        SELECT node_id, day, service, units, orders FROM node_capacity c
        WHERE NOT EXISTS (
            SELECT FROM capacity_use u WHERE (u.node_id, u.day, u.service) = (c.node_id, c.day, c.service))
    ) d
    WHERE day >= CAST(:since AS date) AND num_nonnulls(units, orders) > 0
    ORDER BY node_id, day, service
""")
#: No plan reaches further than this many days.
_HORIZON = timedelta(days=450)
_STANDING = text("""
    SELECT node_id, daily_units FROM node WHERE :node_id = '' OR node_id = :node_id ORDER BY node_id
""")


class DayOfNode(Model):
    """The limits of a day, and what is taken of them.

    Attributes:
        service: Only what is of this service; empty for all together.
        units: The limit in units; ``None`` where there is none.
        reserved, consumed: Units still to leave, and those that have left.
        free: What a new order may take; ``None`` without a limit.
        excess: Units taken beyond the limit, from before it was lowered.
        orders: The limit in fulfillment orders; what follows it says the same of them.
    """

    day: date
    service: str
    units: int | None
    reserved: int
    consumed: int
    free: int | None
    excess: int
    orders: int | None
    reserved_orders: int
    consumed_orders: int
    free_orders: int | None
    excess_orders: int


class NodeDays(Model):
    """A node's standing capacity, units a day, and the days that differ from an empty one of it."""

    node_id: str
    daily_units: int | None
    days: tuple[DayOfNode, ...]


async def read_limited(connection: AsyncConnection) -> frozenset[str]:
    """Nodes with a limit, on every day or on some."""
    return frozenset((await connection.execute(_LIMITED)).scalars())


async def read_limits(connection: AsyncConnection, since: date) -> tuple[NodeCapacity, ...]:
    """What holds, or held, on single days from ``since`` on, as far as it is known by day."""
    rows = await connection.execute(_LIMITS, {"since": since})
    return tuple(NodeCapacity.model_validate(dict(row._mapping)) for row in rows)


async def read_loads(connection: AsyncConnection, limited: Collection[str]) -> tuple[NodeLoad, ...]:
    """What each node has promised to ship, and of which part the day is known; of those ``limited`` always."""
    rows = await connection.execute(_LOADS, {"limited": list(limited)})
    return tuple(
        NodeLoad.model_construct(node_id=row.node_id, units=int(row.units), dated=int(row.dated)) for row in rows
    )


async def with_days(
    connection: AsyncConnection, loads: tuple[NodeLoad, ...], node_ids: Collection[str], as_of: datetime
) -> tuple[NodeLoad, ...]:
    """The same loads; those of these nodes with what is known of each day from ``as_of`` on, as it is this moment."""
    if not node_ids:
        return loads
    # Somewhere it is still yesterday.
    rows = await _read_days(connection, node_ids, since=as_of.date() - timedelta(days=1))
    found: dict[str, list[DayLoad]] = {node_id: [] for node_id in node_ids}
    for row in rows:
        load = DayLoad.model_construct(
            day=row.day,
            service=ServiceLevel(row.service) if row.service else None,
            limit=row.units,
            used=row.reserved + row.consumed,
            order_limit=row.orders,
            used_orders=row.reserved_orders + row.consumed_orders,
        )
        found[row.node_id].append(load)
    by_node = {load.node_id: load for load in loads}
    for node_id, days in found.items():
        told = by_node.get(node_id) or NodeLoad.model_construct(node_id=node_id)
        by_node[node_id] = told.model_copy(update={"days": tuple(days)})
    return tuple(by_node.values())


async def without(
    connection: AsyncConnection, loads: Sequence[NodeLoad], owners: Sequence[str]
) -> tuple[NodeLoad, ...]:
    """The same loads as if these fulfillment orders, which no node was told of, asked for nothing."""
    values = {"owners": list(owners)}
    parts = {row.node_id: row for row in await connection.execute(_PARTS, values)}
    rows = await connection.execute(_PARTS_OF_DAYS, values)
    taken = {(row.node_id, row.day, row.service): row for row in rows}
    return tuple(_less(load, parts[load.node_id], taken) if load.node_id in parts else load for load in loads)


def _less(load: NodeLoad, part: Any, taken: Mapping[tuple[str, date, str], Any]) -> NodeLoad:
    days = load.days
    if days is not None:
        days = tuple(_day_less(day, taken.get((load.node_id, day.day, day.service or ""))) for day in days)
    units, dated = load.units - int(part.units), load.dated - int(part.dated)
    return load.model_copy(update={"units": units, "dated": dated, "days": days})


def _day_less(day: DayLoad, taken: Any) -> DayLoad:
    if taken is None:
        return day
    used, used_orders = day.used - int(taken.reserved), day.used_orders - int(taken.reserved_orders)
    return day.model_copy(update={"used": used, "used_orders": used_orders})


async def read_node_days(connection: AsyncConnection, node_id: str, *, since: date, days: int) -> tuple[NodeDays, ...]:
    """What is set and taken of so many days, by node.

    Args:
        node_id: Only this one; empty for every node that has a limit.

    Raises:
        NotFound: there is no such node.
    """
    nodes = (await connection.execute(_STANDING, {"node_id": node_id})).all()
    if node_id and not nodes:
        raise NotFound(f"there is no node {node_id}", node_id=node_id)
    last = since + timedelta(days=days - 1)
    found: dict[str, list[DayOfNode]] = {}
    for row in await _read_days(connection, [node.node_id for node in nodes], since=since, until=last):
        found.setdefault(row.node_id, []).append(DayOfNode.model_validate(dict(row._mapping)))
    return tuple(
        NodeDays(node_id=node.node_id, daily_units=node.daily_units, days=tuple(found.get(node.node_id, ())))
        for node in nodes
        if node_id or node.daily_units is not None or node.node_id in found
    )


async def _read_days(
    connection: AsyncConnection, node_ids: Collection[str], *, since: date, until: date | None = None
) -> Any:
    values = {"node_ids": list(node_ids), "since": since, "until": until or since + _HORIZON}
    return await connection.execute(_DAYS, values)
