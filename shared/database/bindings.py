"""Backordered units bound to dated supply, exactly: never more than comes, never more than waits.

Bindings change under locks: the orders that wait first, in the order of their ids, then inbound lines in key order.
Who gets what is decided by ``shared.domain.supply.bind``; a deferred trigger gives back what waits no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.backorders import lock_waiting, read_waiting, turn_of
from shared.domain.sourcing.timetable import Coming, Timetable
from shared.domain.supply import Bound, Demand, Supply, bind

_LOCK_LINES = text("""
    SELECT FROM inbound_line WHERE sku = ANY(:skus) AND open > 0 ORDER BY inbound_id, sku FOR NO KEY UPDATE
""")
_LIFT = text("""
    WITH lifted AS (
        DELETE FROM supply_binding WHERE sku = ANY(:skus)
        RETURNING order_id, line_no, inbound_id, sku, quantity
    ), free AS (
        UPDATE inbound_line SET bound = 0 WHERE sku = ANY(:skus) AND bound > 0
    )
    SELECT * FROM lifted
""")
#: Until it departs, a transfer's units are stock of its origin.
_COMING = text("""
    SELECT l.inbound_id, l.sku, l.open, l.bound, i.node_id, i.expected_at
    FROM inbound_line l JOIN inbound i USING (inbound_id)
    WHERE l.sku = ANY(:skus) AND l.open > 0 AND i.closed_at IS NULL
      AND (i.kind <> 'transfer' OR i.status = 'in_transit')
    ORDER BY l.inbound_id, l.sku
""")
_OF_ORDERS = text("""
    SELECT l.order_id, l.line_no, l.sku, o.priority, o.promised_at, o.received_at,
           (SELECT coalesce(jsonb_object_agg(inbound_id, quantity), '{}') FROM supply_binding b
            WHERE b.order_id = l.order_id AND b.line_no = l.line_no) AS bound,
           ARRAY(SELECT inbound_id FROM supply_binding b
                 WHERE b.order_id = l.order_id AND b.line_no = l.line_no ORDER BY inbound_id) AS bound_to,
           ARRAY(SELECT promised_at FROM supply_binding b
                 WHERE b.order_id = l.order_id AND b.line_no = l.line_no ORDER BY inbound_id) AS promised_with
    FROM unnest(CAST(:order_ids AS text[]), CAST(:line_nos AS int[])) AS a(order_id, line_no)
    JOIN order_line l USING (order_id, line_no) JOIN orders o USING (order_id)
    ORDER BY l.order_id, l.line_no
""")
_WRITE = text("""
    WITH wanted AS (
        SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb))
            AS w(order_id text, line_no int, inbound_id text, sku text, quantity bigint, promised_at timestamptz)
    ), before AS (
        SELECT b.* FROM supply_binding b
        JOIN unnest(CAST(:order_ids AS text[]), CAST(:line_nos AS int[])) AS a(order_id, line_no)
            USING (order_id, line_no)
    ), gone AS (
        DELETE FROM supply_binding b USING before x
        WHERE (b.order_id, b.line_no, b.inbound_id) = (x.order_id, x.line_no, x.inbound_id)
          AND (b.order_id, b.line_no, b.inbound_id) NOT IN (SELECT order_id, line_no, inbound_id FROM wanted)
    ), kept AS (
        INSERT INTO supply_binding AS b (order_id, line_no, inbound_id, sku, quantity, promised_at)
        SELECT order_id, line_no, inbound_id, sku, quantity, promised_at FROM wanted
        ON CONFLICT (order_id, line_no, inbound_id)
        DO UPDATE SET quantity = excluded.quantity, promised_at = excluded.promised_at
        WHERE (b.quantity, b.promised_at) <> (excluded.quantity, excluded.promised_at)
    ), change AS (
        SELECT inbound_id, sku, sum(units) AS units FROM (
            SELECT inbound_id, sku, quantity AS units FROM wanted
            UNION ALL SELECT inbound_id, sku, -quantity FROM before) u
        GROUP BY inbound_id, sku HAVING sum(units) <> 0
    )
    UPDATE inbound_line i SET bound = i.bound + c.units
    FROM change c WHERE i.inbound_id = c.inbound_id AND i.sku = c.sku
""")
#: What an order is promised follows from where its units come from. Without any date the last one told stands.
#: Orders that began to wait since they were locked may be locked by others, who are not waited for, as stock is locked
#: by now: they are told to look for themselves.
_PROMISE = text("""
    WITH locked AS MATERIALIZED (
        SELECT order_id, promised_at FROM orders WHERE order_id = ANY(:order_ids) FOR NO KEY UPDATE SKIP LOCKED
    ), now_promised AS (
        SELECT o.order_id, o.promised_at AS before, greatest(
            (SELECT max(deliver_by) FROM fulfillment_order f
             WHERE f.order_id = o.order_id AND f.status NOT IN ('cancelled', 'replanned')),
            (SELECT max(promised_at) FROM supply_binding b WHERE b.order_id = o.order_id)) AS promised_at
        FROM locked o
    ), changed AS (
        UPDATE orders o SET promised_at = n.promised_at FROM now_promised n
        WHERE o.order_id = n.order_id AND n.promised_at IS DISTINCT FROM n.before AND n.promised_at IS NOT NULL
        RETURNING o.order_id, n.before, n.promised_at
    ), noted AS (
        INSERT INTO timeline (order_id, actor, event, detail)
        SELECT order_id, 'doms', 'promise changed',
               jsonb_build_object('from', before, 'to', promised_at, 'because', CAST(:because AS text))
        FROM changed ORDER BY order_id
    )
    SELECT order_id FROM changed
    UNION ALL
    SELECT order_id FROM unnest(CAST(:order_ids AS text[])) AS w(order_id)
    WHERE order_id NOT IN (SELECT order_id FROM locked)
    ORDER BY order_id
""")


@dataclass(frozen=True)
class Want:
    """Units of an order line that a plan leaves waiting, and when the customer would have them, by inbound."""

    order_id: str
    line_no: int
    units: int
    dates: Mapping[str, datetime]


async def read_coming(connection: AsyncConnection, skus: Sequence[str]) -> dict[str, list[Coming]]:
    """What is still to come of these items."""
    coming: dict[str, list[Coming]] = {}
    for row in await connection.execute(_COMING, {"skus": list(skus)}):
        coming.setdefault(row.sku, []).append(Coming(row.inbound_id, row.node_id, row.expected_at))
    return coming


# --- a plan that leaves units waiting ---------------------------------------------------------------------


async def bind_wants(connection: AsyncConnection, wants: Sequence[Want]) -> dict[str, datetime]:
    """Bind what plans leave waiting, in the transaction that makes them true; returns the promise of each order.

    The orders are locked. What other orders are bound to stays theirs.
    """
    if not wants:
        return {}
    by_line = {(want.order_id, want.line_no): want for want in wants}
    names = _names(by_line)
    rows = (await connection.execute(_OF_ORDERS, names)).all()
    skus = {"skus": sorted({row.sku for row in rows})}
    await connection.execute(_LOCK_LINES, skus)
    coming = (await connection.execute(_COMING, skus)).all()
    bindings: list[dict[str, Any]] = []
    for sku in skus["skus"]:
        mine = [row for row in rows if row.sku == sku]
        own: dict[str, int] = {}
        for row in mine:
            for name, units in row.bound.items():
                own[name] = own.get(name, 0) + units
        supplies = [Supply(c.inbound_id, c.open - c.bound + own.get(c.inbound_id, 0)) for c in coming if c.sku == sku]
        demands = [_demand(row, by_line[row.order_id, row.line_no]) for row in mine]
        held = {demand.turn: row.bound for demand, row in zip(demands, mine, strict=True)}
        bindings += _rows(sku, demands, bind(demands, supplies, held))
    await connection.execute(_WRITE, {**names, "rows": json.dumps(bindings, default=str)})
    promised: dict[str, datetime] = {}
    for binding in bindings:
        order_id, date = binding["order_id"], binding["promised_at"]
        promised[order_id] = max(promised.get(order_id, date), date)
    return promised


def _names(lines: Mapping[tuple[str, int], Any]) -> dict[str, Any]:
    return {"order_ids": [order_id for order_id, _ in lines], "line_nos": [line_no for _, line_no in lines]}


def _demand(row: Any, want: Want) -> Demand:
    """What it is bound to since the plan was made counts, too."""
    known = dict(zip(row.bound_to, row.promised_with, strict=True))
    return Demand(turn_of(row), want.units, known | dict(want.dates))


def _rows(sku: str, demands: Sequence[Demand], bound: Sequence[Bound]) -> list[dict[str, Any]]:
    return [
        {
            "order_id": demand.turn.order_id,
            "line_no": demand.turn.line_no,
            "inbound_id": inbound_id,
            "sku": sku,
            "quantity": units,
            "promised_at": demand.dates[inbound_id],
        }
        for demand, taken in zip(demands, bound, strict=True)
        for inbound_id, units in taken.items()
    ]


# --- supply that changes ----------------------------------------------------------------------------------

#: Units by order line and inbound, as they were bound before supply changed.
Lifted = dict[tuple[str, int], dict[str, int]]


async def lift(connection: AsyncConnection, skus: Sequence[str]) -> Lifted:
    """Lock what is to come of these items and lift every binding, to be bound again when supply has changed.

    The orders that wait are locked, and all stock the transaction locks.
    """
    values = {"skus": list(skus)}
    await connection.execute(_LOCK_LINES, values)
    lifted: Lifted = {}
    for row in await connection.execute(_LIFT, values):
        lifted.setdefault((row.order_id, row.line_no), {})[row.inbound_id] = row.quantity
    return lifted


async def rebind(
    connection: AsyncConnection, skus: Sequence[str], timetable: Timetable, *, as_of: datetime, because: str
) -> list[str]:
    """Bind who waits to what comes now; returns the orders whose promise changed. The transaction has no locks yet."""
    await lock_waiting(connection, skus)
    lifted = await lift(connection, skus)
    return await bind_again(connection, skus, lifted, timetable, as_of=as_of, because=because)


async def bind_again(
    connection: AsyncConnection,
    skus: Sequence[str],
    lifted: Lifted,
    timetable: Timetable,
    *,
    as_of: datetime,
    because: str,
) -> list[str]:
    """Bind who waits to what comes now, and promise anew; returns the orders whose promise changed.

    Args:
        lifted: What was bound; it stays, as far as it still comes.
        because: Why, for the timelines of the orders.
    """
    values = {"skus": list(skus)}
    coming = (await connection.execute(_COMING, values)).all()
    waiting = await read_waiting(connection, skus)
    bindings: list[dict[str, Any]] = []
    for sku in values["skus"]:
        of_sku = [row for row in coming if row.sku == sku]
        arriving = [Coming(row.inbound_id, row.node_id, row.expected_at) for row in of_sku]
        lines = [line for line in waiting if line.sku == sku]
        demands = [Demand(line.turn, line.units, line.dates(arriving, timetable, as_of)) for line in lines]
        held = {demand.turn: lifted.get((demand.turn.order_id, demand.turn.line_no), {}) for demand in demands}
        supplies = [Supply(row.inbound_id, row.open) for row in of_sku]
        bindings += _rows(sku, demands, bind(demands, supplies, held))
    names = _names({(line.turn.order_id, line.turn.line_no): line for line in waiting})
    await connection.execute(_WRITE, {**names, "rows": json.dumps(bindings, default=str)})
    touched = sorted({line.turn.order_id for line in waiting} | {order_id for order_id, _ in lifted})
    promised = await connection.execute(_PROMISE, {"order_ids": touched, "because": because})
    return list(promised.scalars())
