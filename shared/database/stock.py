"""Stock: every change is an append-only move, and the position changes in the statement that adds it.

Moves of one position are summed first and rows are locked in key order, so no two changes deadlock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import capacity
from shared.domain.base import Model


class Move(Model):
    """A change of one position. The same (reference, cause, node, SKU) is applied once."""

    node_id: str
    sku: str
    cause: str
    on_hand: int = 0
    reserved: int = 0
    held: int = 0
    quarantined: int = 0
    reference: str
    actor: str = "doms"


class Settle(Model):
    """What becomes of reserved units of one line: some ship, some are given back."""

    owner: str
    line_no: int
    shipped: int = 0
    released: int = 0


_MOVES, _SETTLES = TypeAdapter(list[Move]), TypeAdapter(list[Settle])

#: Positions are set from their locked rows: an update checks its constraints on the row of its snapshot first.
_MOVE = text("""
    WITH change AS (
        SELECT * FROM jsonb_to_recordset(CAST(:moves AS jsonb))
            AS c(node_id text, sku text, cause text, on_hand bigint, reserved bigint, held bigint, quarantined bigint,
                 reference text, actor text)
    ), locked AS MATERIALIZED (
        SELECT p.node_id, p.sku, p.on_hand, p.reserved, p.held, p.quarantined FROM stock_position p
        WHERE (p.node_id, p.sku) IN (SELECT node_id, sku FROM change)
        ORDER BY p.node_id, p.sku
        FOR NO KEY UPDATE OF p
    ), added AS (
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, held, quarantined, reference, actor)
        SELECT c.node_id, c.sku, c.cause, c.on_hand, c.reserved, c.held, c.quarantined, c.reference, c.actor
        FROM change c JOIN locked l ON l.node_id = c.node_id AND l.sku = c.sku
        ON CONFLICT ON CONSTRAINT once DO NOTHING
        RETURNING node_id, sku, on_hand, reserved, held, quarantined
    ), total AS (
        SELECT node_id, sku, sum(on_hand) AS on_hand, sum(reserved) AS reserved, sum(held) AS held,
               sum(quarantined) AS quarantined
        FROM added GROUP BY node_id, sku
    )
    UPDATE stock_position p
    SET on_hand = l.on_hand + t.on_hand, reserved = l.reserved + t.reserved, held = l.held + t.held,
        quarantined = l.quarantined + t.quarantined
    FROM total t JOIN locked l USING (node_id, sku) WHERE p.node_id = t.node_id AND p.sku = t.sku
""")

_SETTLE = text("""
    WITH settle AS (
        SELECT * FROM jsonb_to_recordset(CAST(:settles AS jsonb))
            AS s(owner text, line_no int, shipped int, released int)
    )
    UPDATE reservation r
    SET open = r.open - s.shipped - s.released, shipped = r.shipped + s.shipped, released = r.released + s.released
    FROM settle s
    WHERE r.owner = s.owner AND r.line_no = s.line_no
      AND NOT EXISTS (SELECT FROM stock_move m WHERE m.reference = :reference AND m.cause IN ('ship', 'release'))
    RETURNING r.owner, r.node_id, r.sku, s.shipped, s.released,
              EXISTS (SELECT FROM capacity_claim c WHERE c.owner = r.owner AND c.reserved > 0) AS dated
""")

_LOCK = text("""
    SELECT FROM stock_position
    WHERE (node_id, sku) IN (
        SELECT * FROM unnest(CAST(:node_ids AS text[]), CAST(:skus AS text[])))
    ORDER BY node_id, sku FOR NO KEY UPDATE
""")
_ENSURE = text("""
    INSERT INTO stock_position (node_id, sku)
    SELECT DISTINCT node_id, sku FROM jsonb_to_recordset(CAST(:moves AS jsonb)) AS c(node_id text, sku text)
    ORDER BY node_id, sku
    ON CONFLICT DO NOTHING
""")


async def lock(connection: AsyncConnection, positions: Collection[tuple[str, str]]) -> None:
    """Lock positions that several statements change, by node and SKU, before the first of them."""
    values = {"node_ids": [node_id for node_id, _ in positions], "skus": [sku for _, sku in positions]}
    await connection.execute(_LOCK, values)


async def settle(
    connection: AsyncConnection, settles: Sequence[Settle], *, reference: str, actor: str = "doms"
) -> None:
    """End reservations: what ships leaves on hand and reserved, what is released leaves reserved only.

    Days claimed for the units are used up or given back with them.

    Args:
        reference: Names the event that did it; the same event never moves stock twice. Events of one
            reservation come one at a time, under its order's lock.

    Raises:
        sqlalchemy.exc.IntegrityError: more is settled than is open.
    """
    if not settles:
        return
    values = {"settles": _SETTLES.dump_json(list(settles)).decode(), "reference": reference}
    rows = (await connection.execute(_SETTLE, values)).all()
    await capacity.settle(connection, _days_of(rows))
    shipped: dict[tuple[str, str], int] = {}
    released: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.node_id, row.sku)
        shipped[key] = shipped.get(key, 0) + row.shipped
        released[key] = released.get(key, 0) + row.released
    moves = [
        Move(node_id=n, sku=s, cause="ship", on_hand=-q, reserved=-q, reference=reference, actor=actor)
        for (n, s), q in shipped.items()
        if q
    ]
    moves += [
        Move(node_id=n, sku=s, cause="release", reserved=-q, reference=reference, actor=actor)
        for (n, s), q in released.items()
        if q
    ]
    await move(connection, moves)


def _days_of(rows: Sequence[Any]) -> list[capacity.Settle]:
    """What becomes of the days that owners have claimed."""
    shipped, released = Counter[str](), Counter[str]()
    for row in rows:
        shipped[row.owner] += row.shipped
        released[row.owner] += row.released
    owners = {row.owner for row in rows if row.dated}
    return [capacity.Settle(owner=owner, shipped=shipped[owner], released=released[owner]) for owner in sorted(owners)]


async def move(connection: AsyncConnection, moves: Sequence[Move]) -> None:
    """Apply moves to positions that exist; a move already applied changes nothing.

    Raises:
        sqlalchemy.exc.IntegrityError: a position would fall below what is reserved of it, or below zero.
    """
    if moves:
        await connection.execute(_MOVE, {"moves": _MOVES.dump_json(list(moves)).decode()})


async def receive(connection: AsyncConnection, moves: Sequence[Move]) -> None:
    """Apply moves, opening positions that do not exist yet."""
    if moves:
        values = {"moves": _MOVES.dump_json(list(moves)).decode()}
        await connection.execute(_ENSURE, values)
        await connection.execute(_MOVE, values)
