"""Tables of thousands of rows, written in one transaction: copied next to their table, then merged in one statement."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.copying import driver_of
from shared.database.counts import record, refuse_future
from shared.domain.base import Model
from shared.domain.counts import Count
from shared.errors import Fault, InvalidInput


class _Target(NamedTuple):
    table: str
    key: str


_TARGETS: Mapping[str, _Target] = {
    "partners": _Target("partner", "partner_id"),
    "nodes": _Target("node", "node_id"),
    "capacity": _Target("node_capacity", "node_id, day, service"),
    "items": _Target("item", "sku"),
    "cartons": _Target("carton", "node_id, name"),
    "bundles": _Target("bundle_component", "bundle_sku, component_sku"),
    "trade": _Target("item_trade", "sku"),
    "lanes": _Target("lane_rule", "node_id, country, region, carrier, service"),
    "customs": _Target("customs_rule", "country, hs_prefix"),
    "offers": _Target("source_offer", "node_id, sku"),
    "rates": _Target("service_rate", "carrier, service, max_distance_km"),
    "zones": _Target("carrier_zone", "carrier, origin, destination"),
    "channels": _Target("channel", "channel"),
    "eligibility": _Target("channel_node", "channel, node_id"),
    "allocation": _Target("channel_allocation", "channel, sku"),
    "thresholds": _Target("stock_threshold", "sku, node_id, channel"),
}
#: A million rows take minutes, which is more than a step may.
_PATIENCE = text("SET LOCAL statement_timeout = '10min'")

_ONCE = text("""
    INSERT INTO stock_load (reference, actor, rows, added, changed) VALUES (:reference, :actor, :rows, 0, 0)
    ON CONFLICT DO NOTHING RETURNING reference
""")
_COUNTS = text("""
    CREATE TEMP TABLE counted (row int, node_id text, sku text, on_hand bigint, safety bigint, opened boolean)
    ON COMMIT DROP
""")
#: Positions that are opened, and those that are not what was counted; locked in key order, as reservations do.
_OPEN = text("""
    WITH opened AS (
        INSERT INTO stock_position (node_id, sku, safety)
        SELECT node_id, sku, coalesce(safety, 0) FROM counted ORDER BY node_id, sku ON CONFLICT DO NOTHING
        RETURNING node_id, sku
    )
    UPDATE counted c SET opened = true FROM opened o WHERE c.node_id = o.node_id AND c.sku = o.sku
""")
_LOCK = text("""
    CREATE TEMP TABLE differing ON COMMIT DROP AS
    SELECT c.row, p.node_id, p.sku, c.on_hand, c.on_hand - p.on_hand AS moved, p.reserved + p.held AS claimed,
           coalesce(c.safety, p.safety) AS safety, c.opened
    FROM stock_position p JOIN counted c ON c.node_id = p.node_id AND c.sku = p.sku
    WHERE p.on_hand <> c.on_hand OR p.safety <> c.safety
    ORDER BY p.node_id, p.sku FOR NO KEY UPDATE OF p
""")
_TOO_FEW = text("SELECT row, on_hand, claimed FROM differing WHERE on_hand < claimed ORDER BY row LIMIT 1000")
_ADJUST = text("""
    WITH noted AS (
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, reference, actor)
        SELECT node_id, sku, CASE WHEN opened THEN 'receive' ELSE 'adjust' END, moved, 0, :reference, :actor
        FROM differing WHERE moved <> 0 ORDER BY node_id, sku
    ), adjusted AS (
        UPDATE stock_position p SET on_hand = p.on_hand + d.moved FROM differing d
        WHERE d.moved <> 0 AND p.node_id = d.node_id AND p.sku = d.sku
    )
    SELECT DISTINCT sku FROM differing WHERE moved > 0
""")
_SAFETY = text("""
    UPDATE stock_position p SET safety = d.safety FROM differing d
    WHERE p.node_id = d.node_id AND p.sku = d.sku AND p.safety <> d.safety
""")
_RESULT = text("""
    UPDATE stock_load SET added = :added, changed = (SELECT count(*) FROM differing WHERE opened IS NULL)
    WHERE reference = :reference RETURNING changed
""")


class Loaded(Model):
    """What became of the rows of one table.

    Attributes:
        again: Whether this content was loaded before; then nothing was changed.
        orders_woken: How many orders waited for what arrived.
    """

    kind: str
    rows: int
    added: int
    changed: int
    unchanged: int
    again: bool = False
    orders_woken: int = 0


async def known(connection: AsyncConnection, kind: str, names: Collection[str]) -> set[str]:
    """Which of these names of a kind exist."""
    target = _TARGETS[kind]
    statement = text(f"SELECT {target.key} FROM {target.table} WHERE {target.key} = ANY(:names)")  # noqa: S608
    return set((await connection.execute(statement, {"names": list(names)})).scalars())


async def save_table(connection: AsyncConnection, kind: str, models: Sequence[Model]) -> Loaded:
    """Write every row that is new or differs."""
    target, columns = _TARGETS[kind], tuple(type(models[0]).model_fields)
    await connection.execute(_PATIENCE)
    await connection.execute(
        text(f"CREATE TEMP TABLE loading_{kind} (LIKE {target.table} INCLUDING DEFAULTS) ON COMMIT DROP")
    )
    await _copy(connection, f"loading_{kind}", columns, (_cells(model) for model in models))
    row: Any = (await connection.execute(text(_merge(f"loading_{kind}", target, columns)))).one()
    unchanged = len(models) - row.added - row.changed
    return Loaded(kind=kind, rows=len(models), added=row.added, changed=row.changed, unchanged=unchanged)


def _merge(source: str, target: _Target, columns: Sequence[str]) -> str:
    values = [column for column in columns if column not in target.key.split(", ")]
    named, new = ", ".join(columns), ", ".join(f"excluded.{value}" for value in values)
    old = ", ".join(f"t.{value}" for value in values)
    changes = ", ".join(f"{value} = excluded.{value}" for value in values)
    return f"""
        WITH done AS (
            INSERT INTO {target.table} AS t ({named}) SELECT {named} FROM {source} ORDER BY {target.key}
            ON CONFLICT ({target.key}) DO UPDATE SET {changes} WHERE ROW({old}) IS DISTINCT FROM ROW({new})
            RETURNING t.xmax = 0 AS added
        )
        SELECT count(*) FILTER (WHERE added) AS added, count(*) FILTER (WHERE NOT added) AS changed FROM done
    """  # noqa: S608


def _cells(model: Model) -> list[Any]:
    values = model.model_dump(mode="json").values()
    return [json.dumps(value) if isinstance(value, dict | list) else value for value in values]


async def _copy(connection: AsyncConnection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    async with (await driver_of(connection)).cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for row in rows:
            await copy.write_row(row)
    await connection.execute(text(f"ANALYZE {table}"))


async def save_stock(
    connection: AsyncConnection, counts: Mapping[int, Model], *, reference: str, actor: str
) -> tuple[Loaded, list[str]]:
    """Bring positions to what was counted, in moves of the ledger; returns the SKUs of which there is more, too.

    Args:
        counts: Node, SKU, units on hand, reserved ones included, and safety, by row.
        reference: Names the count. One that was loaded before changes nothing, also when stock has moved since.

    Raises:
        InvalidInput: fewer were counted than are reserved; nothing may be kept of the transaction.
    """
    values = {"reference": reference, "actor": actor}
    total = len(counts)
    if (await connection.execute(_ONCE, values | {"rows": total})).first() is None:
        return Loaded(kind="stock", rows=total, added=0, changed=0, unchanged=total, again=True), []
    await connection.execute(_PATIENCE)
    await connection.execute(_COUNTS)
    cells = ((row, *_cells(count)) for row, count in counts.items())
    await _copy(connection, "counted", ("row", "node_id", "sku", "on_hand", "safety"), cells)
    added = (await connection.execute(_OPEN)).rowcount
    await connection.execute(_LOCK)
    if faults := [_too_few(row) for row in await connection.execute(_TOO_FEW)]:
        raise InvalidInput(faults)
    more = list((await connection.execute(_ADJUST, values)).scalars())
    await connection.execute(_SAFETY)
    changed = (await connection.execute(_RESULT, {"reference": reference, "added": added})).scalar_one()
    return Loaded(kind="stock", rows=total, added=added, changed=changed, unchanged=total - added - changed), more


def _too_few(row: Any) -> Fault:
    message = f"{row.claimed} are claimed by orders and carts, {row.on_hand} counted: reroute or cancel some first"
    return Fault(pointer=f"/{row.row}/on_hand", code="below_reserved", message=message)


async def save_counts(
    connection: AsyncConnection, counts: Mapping[int, Model], *, reference: str, actor: str
) -> tuple[Loaded, list[str]]:
    """Book cycle counts, by row; returns the SKUs of which there is more, too. Those that agreed count as added.

    Raises:
        InvalidInput: a count is of a moment to come.
    """
    by_row = {row: count for row, count in counts.items() if isinstance(count, Count)}
    refuse_future(by_row)
    await connection.execute(_PATIENCE)
    booked = await record(connection, list(by_row.values()), reference=reference, actor=actor)
    changed = sum(count.booked != 0 for count in booked)
    loaded = Loaded(
        kind="counts",
        rows=len(counts),
        added=len(booked) - changed,
        changed=changed,
        unchanged=len(counts) - len(booked),
        again=not booked,
    )
    return loaded, sorted({count.sku for count in booked if count.booked > 0})
