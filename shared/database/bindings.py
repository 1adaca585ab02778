"""Backordered units bound to dated supply, exactly: never more than comes, never more than waits.

Bindings change under locks: of the orders whose they are, by their ids, then of inbound lines in key order. Who gets
what is decided by ``shared.domain.supply.bind``; a deferred trigger gives back what waits no more. When supply
changes, ``shared.database.rebinding`` binds who waits anew.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.inbounds import lock_lines
from shared.database.waiting import turn_of
from shared.domain.sourcing.timetable import Coming
from shared.domain.supply import Bound, Date, Demand, Supply, bind

#: Until it departs, a transfer's units are stock of its origin.
_COMING = text("""
    SELECT l.inbound_id, l.sku, l.open, l.bound, i.node_id, i.expected_at
    FROM inbound_line l JOIN inbound i USING (inbound_id)
    WHERE l.sku = ANY(:skus) AND l.open > 0 AND i.closed_at IS NULL
      AND (i.kind <> 'transfer' OR i.status = 'in_transit')
    ORDER BY l.inbound_id, l.sku
""")
_OF_ORDERS = text("""
    SELECT l.order_id, l.line_no, l.sku, o.batch, o.priority, o.promised_at, o.received_at,
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
    UPDATE inbound_line i SET bound = c.units + (
        SELECT coalesce(sum(quantity), 0) FROM supply_binding b WHERE b.inbound_id = i.inbound_id AND b.sku = i.sku)
    FROM change c WHERE i.inbound_id = c.inbound_id AND i.sku = c.sku
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
    for row in await rows_coming(connection, skus):
        coming.setdefault(row.sku, []).append(Coming(row.inbound_id, row.node_id, row.expected_at))
    return coming


async def rows_coming(connection: AsyncConnection, skus: Sequence[str]) -> Sequence[Any]:
    """The lines of inbounds of which something is still to come, with the units that are bound."""
    return (await connection.execute(_COMING, {"skus": list(skus)})).all()


async def write(
    connection: AsyncConnection, lines: Collection[tuple[str, int]], bindings: Sequence[Mapping[str, Any]]
) -> None:
    """Bind these order lines to exactly this. Their orders are locked, and what is to come of their items."""
    values = {
        "order_ids": [order_id for order_id, _ in lines],
        "line_nos": [line_no for _, line_no in lines],
        "rows": json.dumps(list(bindings), default=str),
    }
    await connection.execute(_WRITE, values)


def rows_of(sku: str, demand: Demand, bound: Bound, date: Date) -> list[dict[str, Any]]:
    """What an order line is bound to, as ``write`` wants it."""
    return [
        {
            "order_id": demand.turn.order_id,
            "line_no": demand.turn.line_no,
            "inbound_id": inbound_id,
            "sku": sku,
            "quantity": units,
            "promised_at": date(demand, inbound_id),
        }
        for inbound_id, units in bound.items()
    ]


async def bind_wants(connection: AsyncConnection, wants: Sequence[Want]) -> dict[str, datetime]:
    """Bind what plans leave waiting, in the transaction that makes them true; returns the promise of each order.

    The orders are locked. What other orders are bound to stays theirs.
    """
    if not wants:
        return {}
    by_line = {(want.order_id, want.line_no): want for want in wants}
    values = {"order_ids": [order_id for order_id, _ in by_line], "line_nos": [line_no for _, line_no in by_line]}
    rows = (await connection.execute(_OF_ORDERS, values)).all()
    skus = sorted({row.sku for row in rows})
    await lock_lines(connection, skus)
    coming = await rows_coming(connection, skus)
    dates = {turn_of(row): _dates(row, by_line[row.order_id, row.line_no]) for row in rows}

    def date(demand: Demand, inbound_id: str) -> datetime | None:
        return dates[demand.turn].get(inbound_id)

    bindings: list[dict[str, Any]] = []
    for sku in skus:
        mine = [row for row in rows if row.sku == sku]
        own: dict[str, int] = {}
        for row in mine:
            for name, units in row.bound.items():
                own[name] = own.get(name, 0) + units
        supplies = [
            Supply(c.inbound_id, c.open - c.bound + own.get(c.inbound_id, 0), c.expected_at)
            for c in coming
            if c.sku == sku
        ]
        demands = [Demand(turn_of(row), by_line[row.order_id, row.line_no].units) for row in mine]
        held = {demand.turn: row.bound for demand, row in zip(demands, mine, strict=True)}
        for demand, bound in zip(demands, bind(demands, supplies, held, date), strict=True):
            bindings += rows_of(sku, demand, bound, date)
    await write(connection, by_line, bindings)
    promised: dict[str, datetime] = {}
    for binding in bindings:
        order_id, at = binding["order_id"], binding["promised_at"]
        promised[order_id] = max(promised.get(order_id, at), at)
    return promised


def _dates(row: Any, want: Want) -> dict[str, datetime]:
    """What it is bound to since the plan was made counts, too."""
    return dict(zip(row.bound_to, row.promised_with, strict=True)) | dict(want.dates)
