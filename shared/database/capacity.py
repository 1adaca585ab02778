"""Capacity of nodes by day: claimed with the stock of a fulfillment order, given back or used up with it.

Orders are locked first, then days in key order, then stock. A node or a day without a limit has no row here, and
nobody waits for one. Claims are made by ``shared.database.plans`` and end in ``shared.database.stock``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import wakes
from shared.domain.base import Model
from shared.domain.capacity import Day, Room, Work, lay_each, left

_OPEN = text("""
    INSERT INTO capacity_use (node_id, day, service, units, orders)
    SELECT d.node_id, d.day, d.service, l.units, l.orders
    FROM jsonb_to_recordset(CAST(:days AS jsonb)) AS d(node_id text, day date, service text)
    CROSS JOIN LATERAL capacity_limit(d.node_id, d.day, d.service) l
    WHERE l.units IS NOT NULL OR l.orders IS NOT NULL ORDER BY d.node_id, d.day, d.service
    ON CONFLICT DO NOTHING
""")
_LOCK = text("""
    SELECT u.node_id, u.day, u.service, l.units, l.orders, u.reserved + u.consumed AS used,
           u.reserved_orders + u.consumed_orders AS used_orders
    FROM capacity_use u
    JOIN jsonb_to_recordset(CAST(:days AS jsonb)) AS d(node_id text, day date, service text)
        USING (node_id, day, service)
    CROSS JOIN LATERAL capacity_limit(u.node_id, u.day, u.service) l
    ORDER BY u.node_id, u.day, u.service
    FOR NO KEY UPDATE OF u
""")
_LOCK_WITH_CLAIMED = text("""
    SELECT FROM capacity_use
    WHERE (node_id, day, service) IN (
        SELECT node_id, day, service FROM capacity_claim WHERE owner = ANY(:owners) AND reserved > 0
        UNION
        SELECT node_id, day, service
        FROM jsonb_to_recordset(CAST(:days AS jsonb)) AS d(node_id text, day date, service text))
    ORDER BY node_id, day, service
    FOR NO KEY UPDATE
""")
#: The days are locked; their limit is the one that was read then.
_CLAIM = text("""
    WITH claim AS (
        SELECT * FROM jsonb_to_recordset(CAST(:claims AS jsonb))
            AS c(owner text, node_id text, day date, service text, units int, day_limit int, order_limit int)
    ), noted AS (
        INSERT INTO capacity_claim (owner, node_id, day, service, units, reserved)
        SELECT owner, node_id, day, service, units, units FROM claim
    )
    UPDATE capacity_use u
    SET units = t.day_limit, reserved = u.reserved + t.units,
        excess = greatest(u.reserved + u.consumed - t.day_limit, 0),
        orders = t.order_limit, reserved_orders = u.reserved_orders + t.orders,
        excess_orders = greatest(u.reserved_orders + u.consumed_orders - t.order_limit, 0)
    FROM (SELECT node_id, day, service, max(day_limit) AS day_limit, sum(units) AS units,
                 max(order_limit) AS order_limit, count(*) AS orders
          FROM claim GROUP BY node_id, day, service) t
    WHERE (u.node_id, u.day, u.service) = (t.node_id, t.day, t.service)
""")
#: What is given back is taken from an owner's first days, as if it had wanted less: its last day was filled first.
_SETTLE = text("""
    WITH settle AS (
        SELECT * FROM jsonb_to_recordset(CAST(:settles AS jsonb)) AS s(owner text, shipped int, released int)
    ), locked AS MATERIALIZED (
        SELECT u.* FROM capacity_use u
        WHERE (u.node_id, u.day, u.service) IN (
            SELECT c.node_id, c.day, c.service FROM capacity_claim c JOIN settle USING (owner) WHERE c.reserved > 0)
        ORDER BY u.node_id, u.day, u.service
        FOR NO KEY UPDATE OF u
    ), part AS (
        SELECT c.owner, c.node_id, c.day, c.service, c.reserved, c.consumed, s.shipped, s.released,
               sum(c.reserved) OVER until - c.reserved AS first, sum(c.reserved) OVER until AS last
        FROM capacity_claim c JOIN settle s USING (owner) WHERE c.reserved > 0
        WINDOW until AS (PARTITION BY c.owner, c.service ORDER BY c.day)
    ), fate AS (
        SELECT *, reserved = freed + used AS over, consumed + used > 0 AS left_some
        FROM (
            SELECT *, greatest(least(last, released) - first, 0) AS freed,
                   greatest(least(last, released + shipped) - greatest(first, released), 0) AS used
            FROM part
        ) p
    ), ended AS (
        UPDATE capacity_claim c
        SET reserved = c.reserved - f.freed - f.used, consumed = c.consumed + f.used, released = c.released + f.freed
        FROM fate f WHERE (c.owner, c.day, c.service) = (f.owner, f.day, f.service)
    )
    UPDATE capacity_use u
    SET reserved = l.reserved - t.freed - t.used, consumed = l.consumed + t.used,
        excess = greatest(l.reserved + l.consumed - t.freed - l.units, 0),
        reserved_orders = l.reserved_orders - t.over, consumed_orders = l.consumed_orders + t.consumed,
        excess_orders = greatest(l.reserved_orders + l.consumed_orders - (t.over - t.consumed) - l.orders, 0)
    FROM (SELECT node_id, day, service, sum(freed) AS freed, sum(used) AS used,
                 count(*) FILTER (WHERE over) AS over, count(*) FILTER (WHERE over AND left_some) AS consumed
          FROM fate GROUP BY node_id, day, service) t
    JOIN locked l USING (node_id, day, service)
    WHERE (u.node_id, u.day, u.service) = (t.node_id, t.day, t.service)
    RETURNING u.node_id, u.service, t.freed
""")


class Claim(Model):
    """Units of a limited day for one fulfillment order.

    Attributes:
        day_limit, order_limit: The day's limits, in units and in orders, as they were when the day was locked.
    """

    owner: str
    node_id: str
    day: date
    service: str
    units: int
    day_limit: int | None
    order_limit: int | None


class Settle(Model):
    """What becomes of units a fulfillment order has claimed days for."""

    owner: str
    shipped: int
    released: int


class _Key(Model):
    node_id: str
    day: date
    service: str


_KEYS, _CLAIMS, _SETTLES = TypeAdapter(list[_Key]), TypeAdapter(list[Claim]), TypeAdapter(list[Settle])


class Full(Exception):
    """A plan found the days full that it was made for."""


async def lock(connection: AsyncConnection, owners: Sequence[str], works: Sequence[Work]) -> None:
    """Lock the days that some give back and others want, before either; after orders and before stock are locked.

    Args:
        owners: Fulfillment orders that give their days back.
    """
    values = {"days": _days(sorted({limit for work in works for limit in work.limits}))}
    await connection.execute(_OPEN, values)
    await connection.execute(_LOCK_WITH_CLAIMED, values | {"owners": list(owners)})


async def lay_plans(
    connection: AsyncConnection, wishes: Sequence[Sequence[tuple[str, Work]]]
) -> list[list[Claim] | Full]:
    """Lock the days that plans want and see which plans fit, each whole or not at all, the earlier first.

    Call it once in a transaction, after orders and before stock are locked. Nothing is claimed yet.

    Args:
        wishes: The works of each plan, with the fulfillment orders they are for.
    """
    wanted = sorted({limit for works in wishes for _, work in works for limit in work.limits})
    if not wanted:
        return [[] for _ in wishes]
    limits = await _lock(connection, wanted)
    room = {day: Room(left(row.units, row.used), left(row.orders, row.used_orders)) for day, row in limits.items()}
    laid = lay_each([[work for _, work in works] for works in wishes], room)
    return [
        Full() if days is None else _claims([owner for owner, _ in works], days, limits)
        for works, days in zip(wishes, laid, strict=True)
    ]


async def _lock(connection: AsyncConnection, wanted: Sequence[Day]) -> dict[Day, Any]:
    values = {"days": _days(wanted)}
    await connection.execute(_OPEN, values)
    rows = await connection.execute(_LOCK, values)
    return {
        Day(row.node_id, row.day, row.service): row for row in rows if row.units is not None or row.orders is not None
    }


def _days(wanted: Sequence[Day]) -> str:
    keys = [_Key.model_construct(node_id=key.node_id, day=key.day, service=key.service) for key in wanted]
    return _KEYS.dump_json(keys).decode()


def _claims(owners: Sequence[str], laid: Sequence[Mapping[Day, int]], limits: Mapping[Day, Any]) -> list[Claim]:
    return [
        Claim.model_construct(
            owner=owner,
            node_id=day.node_id,
            day=day.day,
            service=day.service,
            units=units,
            day_limit=limits[day].units,
            order_limit=limits[day].orders,
        )
        for owner, taken in zip(owners, laid, strict=True)
        for day, units in taken.items()
    ]


async def claim(connection: AsyncConnection, claims: Sequence[Claim]) -> None:
    """Claim days that ``lay_plans`` found room on, in its transaction.

    Raises:
        sqlalchemy.exc.IntegrityError: a day would be taken beyond its limit, or its owner has claimed it already.
    """
    if claims:
        await connection.execute(_CLAIM, {"claims": _CLAIMS.dump_json(list(claims)).decode()})


async def settle(connection: AsyncConnection, settles: Sequence[Settle]) -> None:
    """Use up the days of what ships and give back those of what does not, under the order's lock, before its stock.

    Who waits for a day of these nodes is owed a look at what was given back.
    """
    if not settles:
        return
    freed = Counter[tuple[str, str]]()
    for row in await connection.execute(_SETTLE, {"settles": _SETTLES.dump_json(list(settles)).decode()}):
        freed[row.node_id, row.service] += int(row.freed)
    most = {node_id: max(freed[key] for key in freed if key[0] == node_id) for node_id, _ in +freed}
    if most:
        await wakes.ask_for_room(connection, list(most), units=sum(most.values()))
