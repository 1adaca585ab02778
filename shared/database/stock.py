"""Stock: every change is an append-only move, and the position changes in the statement that adds it.

Lines of one SKU are summed first and rows are locked in key order, so no two changes deadlock. Nothing is
read, decided and written back: a reservation that does not fit takes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.base import Model


class Claim(Model):
    """Units of one order line wanted at one node, for ``owner``."""

    owner: str
    line_no: int
    order_id: str
    node_id: str
    sku: str
    quantity: int


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


_CLAIMS, _MOVES, _SETTLES = TypeAdapter(list[Claim]), TypeAdapter(list[Move]), TypeAdapter(list[Settle])

#: Answers in one row when every claim fits; else nothing was taken, and the rows, now locked, say what there is.
_RESERVE = text("""
    WITH claim AS (
        SELECT * FROM jsonb_to_recordset(CAST(:claims AS jsonb))
            AS c(owner text, line_no int, order_id text, node_id text, sku text, quantity int)
    ), need AS (
        SELECT node_id, sku, sum(quantity) AS quantity FROM claim GROUP BY node_id, sku
    ), locked AS MATERIALIZED (
        SELECT p.node_id, p.sku, n.quantity, p.free AS available
        FROM stock_position p JOIN need n ON n.node_id = p.node_id AND n.sku = p.sku
        ORDER BY p.node_id, p.sku
        FOR NO KEY UPDATE OF p
    ), verdict AS (
        SELECT count(*) = (SELECT count(*) FROM need) AND bool_and(available >= quantity) AS ok FROM locked
    ), moved AS (
        UPDATE stock_position p SET reserved = p.reserved + l.quantity
        FROM locked l CROSS JOIN verdict v
        WHERE v.ok AND p.node_id = l.node_id AND p.sku = l.sku
    ), claimed AS (
        INSERT INTO reservation (owner, line_no, order_id, node_id, sku, quantity, open)
        SELECT owner, line_no, order_id, node_id, sku, quantity, quantity FROM claim, verdict WHERE ok
    ), noted AS (
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, reference, actor)
        SELECT node_id, sku, 'reserve', 0, sum(quantity), owner, :actor
        FROM claim, verdict WHERE ok GROUP BY owner, node_id, sku
    )
    SELECT v.ok, l.node_id, l.sku, l.available FROM verdict v LEFT JOIN locked l ON NOT v.ok
""")

_MOVE = text("""
    WITH change AS (
        SELECT * FROM jsonb_to_recordset(CAST(:moves AS jsonb))
            AS c(node_id text, sku text, cause text, on_hand bigint, reserved bigint, held bigint, quarantined bigint,
                 reference text, actor text)
    ), locked AS MATERIALIZED (
        SELECT p.node_id, p.sku FROM stock_position p
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
    SET on_hand = p.on_hand + t.on_hand, reserved = p.reserved + t.reserved, held = p.held + t.held,
        quarantined = p.quarantined + t.quarantined
    FROM total t WHERE p.node_id = t.node_id AND p.sku = t.sku
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
    RETURNING r.owner, r.node_id, r.sku, s.shipped, s.released
""")

_ENSURE = text("""
    INSERT INTO stock_position (node_id, sku)
    SELECT node_id, sku FROM jsonb_to_recordset(CAST(:moves AS jsonb)) AS c(node_id text, sku text)
    ON CONFLICT DO NOTHING
""")


async def reserve(connection: AsyncConnection, claims: Sequence[Claim], *, actor: str = "doms") -> bool:
    """Reserve every claim or none of them. False when any does not fit; then nothing was taken.

    Raises:
        sqlalchemy.exc.IntegrityError: an owner's line is reserved already.
    """
    return (await reserve_each(connection, [claims], actor=actor))[0]


async def reserve_each(
    connection: AsyncConnection, wishes: Sequence[Sequence[Claim]], *, actor: str = "doms"
) -> list[bool]:
    """Reserve several wishes in one statement, each whole or not at all; the earlier goes first when not all fit.

    Call it once in a transaction: a second call would lock rows out of key order.

    Raises:
        sqlalchemy.exc.IntegrityError: an owner's line is reserved already; nothing was taken for anybody.
    """
    available = await _take(connection, [claim for wish in wishes for claim in wish], actor)
    if available is None:
        return [True] * len(wishes)
    verdicts = [_allot(wish, available) for wish in wishes]
    winners = [claim for wish, won in zip(wishes, verdicts, strict=True) if won for claim in wish]
    beaten = await _take(connection, winners, actor)
    assert beaten is None, "rows that are locked do not change"
    return verdicts


async def _take(connection: AsyncConnection, claims: list[Claim], actor: str) -> dict[tuple[str, str], int] | None:
    """Reserve all claims; when they do not fit, lock their positions and return what each has to give."""
    if not claims:
        return None
    values = {"claims": _CLAIMS.dump_json(claims).decode(), "actor": actor}
    rows = (await connection.execute(_RESERVE, values)).all()
    return None if rows[0].ok else {(row.node_id, row.sku): row.available for row in rows}


def _allot(wish: Sequence[Claim], available: dict[tuple[str, str], int]) -> bool:
    """Take a wish out of what is available if all of it fits."""
    need: dict[tuple[str, str], int] = {}
    for claim in wish:
        key = (claim.node_id, claim.sku)
        need[key] = need.get(key, 0) + claim.quantity
    if any(available.get(key, 0) < quantity for key, quantity in need.items()):
        return False
    for key, quantity in need.items():
        available[key] -= quantity
    return True


async def settle(
    connection: AsyncConnection, settles: Sequence[Settle], *, reference: str, actor: str = "doms"
) -> None:
    """End reservations: what ships leaves on hand and reserved, what is released leaves reserved only.

    Args:
        reference: Names the event that did it; the same event never moves stock twice. Events of one
            reservation come one at a time, under its order's lock.

    Raises:
        sqlalchemy.exc.IntegrityError: more is settled than is open.
    """
    if not settles:
        return
    values = {"settles": _SETTLES.dump_json(list(settles)).decode(), "reference": reference}
    rows = await connection.execute(_SETTLE, values)
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
