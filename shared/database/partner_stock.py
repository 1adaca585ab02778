"""Partners' figures of stock compared with the ledger, and what does not agree and is not explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rises, wakes
from shared.database.stock import Move, receive
from shared.domain.base import Model
from shared.domain.partner_stock import Compared, Finding, judge
from shared.gateways.protocol import StockSnapshot

KIND = "recon.partner_stock"

_ROWS = TypeAdapter(list[dict[str, Any]])

_NODES = text("SELECT node_id, partner_id FROM node ORDER BY node_id")
#: Runs that overlap take a node one after the other.
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('partner-stock/' || :node_id, 0))")
_EARLIER = text("SELECT sku, as_of, theirs FROM stock_comparison WHERE node_id = :node_id")
#: ``left`` and ``come``: what was booked after the moment, or is still expected, and may have happened before it.
_COMPARE = text("""
    WITH told AS MATERIALIZED (
        SELECT t.sku, t.as_of, t.theirs, coalesce(p.on_hand, 0) AS on_hand
        FROM jsonb_to_recordset(CAST(:told AS jsonb)) AS t(sku text, as_of timestamptz, theirs bigint)
        JOIN item USING (sku) LEFT JOIN stock_position p ON p.node_id = :node_id AND p.sku = t.sku
    ), recent AS MATERIALIZED (
        SELECT m.sku, m.at, m.cause, m.on_hand,
               (SELECT min(CAST(i.body ->> 'at' AS timestamptz)) FROM message_in i
                WHERE m.cause = 'ship' AND i.type = 'fulfillment.shipped' AND i.reference = m.reference) AS left_at
        FROM stock_move m
        WHERE m.node_id = :node_id AND m.on_hand <> 0 AND m.at > (SELECT min(as_of) FROM told)
    ), booked AS (
        SELECT t.sku, t.as_of, sum(m.on_hand) AS since,
               -sum(m.on_hand) FILTER (WHERE m.left_at <= t.as_of) AS shipped,
               -sum(m.on_hand) FILTER (WHERE m.on_hand < 0 AND m.cause IN ('transfer', 'write_off', 'quarantine'))
                   AS "left",
               sum(m.on_hand) FILTER (
                   WHERE m.on_hand > 0 AND m.cause IN ('receive', 'restock', 'transfer', 'quarantine')) AS come,
               bool_or(m.cause IN ('adjust', 'count', 'feed')) AS corrected
        FROM told t JOIN recent m ON m.sku = t.sku AND m.at > t.as_of
        GROUP BY t.sku, t.as_of
    ), leaving AS (
        SELECT r.sku, sum(r.open) AS units
        FROM fulfillment_order f JOIN reservation r ON r.owner = f.fulfillment_order_id
        WHERE f.node_id = :node_id AND f.ended_at IS NULL AND f.request_status <> 'unsubmitted' AND r.open > 0
        GROUP BY r.sku
    ), coming AS (
        SELECT sku, sum(units) AS units FROM (
            SELECT l.sku, l.quantity - l.restocked AS units
            FROM return_order r JOIN return_line l USING (return_id)
            WHERE r.node_id = :node_id AND r.status IN ('approved', 'received')
            UNION ALL
            SELECT l.sku, l.open FROM inbound i JOIN inbound_line l USING (inbound_id)
            WHERE i.node_id = :node_id AND i.closed_at IS NULL AND l.open > 0
              AND i.expected_at < now() + interval '1 day'
        ) c GROUP BY sku
    )
    SELECT t.sku, t.as_of, t.theirs,
           (t.on_hand - coalesce(b.since, 0) - coalesce(b.shipped, 0))::bigint AS ours,
           (coalesce(b.left, 0) + coalesce(l.units, 0))::bigint AS may_have_left,
           (coalesce(b.come, 0) + coalesce(c.units, 0))::bigint AS may_have_come,
           coalesce(b.corrected, false) AS corrected
    FROM told t LEFT JOIN booked b USING (sku, as_of) LEFT JOIN leaving l USING (sku) LEFT JOIN coming c USING (sku)
""")
_KEEP = text("""
    INSERT INTO stock_comparison (node_id, sku, as_of, theirs)
    SELECT :node_id, sku, as_of, theirs FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS r(sku text, as_of timestamptz, theirs bigint)
    ON CONFLICT (node_id, sku) DO UPDATE
    SET as_of = excluded.as_of, theirs = excluded.theirs, compared_at = now()
""")
_FORGET = text("DELETE FROM stock_comparison WHERE node_id = :node_id AND sku = ANY(CAST(:skus AS text[]))")
_LOCK = text("""
    SELECT sku, on_hand - reserved - held AS unclaimed FROM stock_position
    WHERE node_id = :node_id AND sku = ANY(CAST(:skus AS text[])) ORDER BY node_id, sku FOR NO KEY UPDATE
""")
_OPEN = text("""
    INSERT INTO exception_case (kind, reference, detail)
    SELECT :kind, :node_id || '/' || sku, detail
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(sku text, detail jsonb)
    ON CONFLICT (kind, reference) WHERE resolved_at IS NULL DO NOTHING
""")
_RESOLVE = text("""
    UPDATE exception_case c SET resolved_at = now(), resolution = r.resolution
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(sku text, resolution text)
    WHERE c.kind = :kind AND c.reference = :node_id || '/' || r.sku AND c.resolved_at IS NULL
""")


class NodeCompared(Model):
    """What the comparison of one node came to.

    Attributes:
        more: Items of which there is more by its corrections.
    """

    checked: int = 0
    breaks: int = 0
    repaired: int = 0
    more: tuple[str, ...] = ()


class _Pair(NamedTuple):
    earlier: Compared | None
    now: Compared


async def nodes_of_partners(connection: AsyncConnection) -> list[tuple[str, str]]:
    """Every node with the partner that runs it."""
    return [(row.node_id, row.partner_id) for row in await connection.execute(_NODES)]


async def compare(connection: AsyncConnection, snapshot: StockSnapshot) -> NodeCompared:
    """Compare a node's figures with the ledger of their moment: open cases, correct what is known exactly.

    A correction is a move ``adjust`` by the difference. It is made only of units nobody has claimed; where they are
    claimed the case stays open. What it finds more of is kept for the orders that wait. The same figures again change
    nothing.
    """
    node_id = snapshot.node_id
    await connection.execute(_ALONE, {"node_id": node_id})
    pairs = await _pairs(connection, snapshot)
    found: dict[Finding, list[_Pair]] = {finding: [] for finding in Finding}
    for pair in pairs:
        found[judge(pair.earlier, pair.now)].append(pair)
    repaired, claimed = await _repair(connection, node_id, found[Finding.REPAIR])
    broken = found[Finding.BREAK] + claimed
    await _watch(connection, node_id, found[Finding.WATCH] + found[Finding.BREAK])
    await _open(connection, node_id, broken + repaired)
    await _settle(connection, node_id, agreed=found[Finding.AGREES], repaired=repaired)
    return NodeCompared(
        checked=len(pairs), breaks=len(broken) + len(repaired), repaired=len(repaired), more=_risen(repaired)
    )


async def _pairs(connection: AsyncConnection, snapshot: StockSnapshot) -> list[_Pair]:
    earlier = (await connection.execute(_EARLIER, {"node_id": snapshot.node_id})).all()
    told = [{"sku": f.sku, "as_of": snapshot.as_of, "theirs": f.on_hand} for f in snapshot.figures]
    kept = [dict(row._mapping) for row in earlier if row.as_of < snapshot.as_of]
    values = {"node_id": snapshot.node_id, "told": _ROWS.dump_json(told + kept).decode()}
    now: dict[str, Compared] = {}
    before: dict[str, Compared] = {}
    for row in await connection.execute(_COMPARE, values):
        compared = Compared(node_id=snapshot.node_id, **row._mapping)
        (now if compared.as_of == snapshot.as_of else before)[compared.sku] = compared
    return [_Pair(before.get(sku), compared) for sku, compared in now.items()]


async def _repair(connection: AsyncConnection, node_id: str, pairs: Sequence[_Pair]) -> tuple[list[_Pair], list[_Pair]]:
    """Correct the positions whose unclaimed units allow it; returns those, and those that do not."""
    if not pairs:
        return [], []
    queue = await rises.line_up(connection, _risen(pairs))
    values = {"node_id": node_id, "skus": [pair.now.sku for pair in pairs]}
    unclaimed = {row.sku: row.unclaimed for row in await connection.execute(_LOCK, values)}
    able = [pair for pair in pairs if unclaimed.get(pair.now.sku, 0) + _difference(pair) >= 0]
    await receive(
        connection,
        [
            Move(
                node_id=node_id,
                sku=pair.now.sku,
                cause="adjust",
                on_hand=_difference(pair),
                reference=f"recon/{node_id}/{pair.earlier.as_of.isoformat()}",
                actor="reconciliation",
            )
            for pair in able
            if pair.earlier is not None
        ],
    )
    await wakes.ask_waiting(connection, _risen(able))
    await queue.serve(connection)
    return able, [pair for pair in pairs if pair not in able]


def _risen(pairs: Sequence[_Pair]) -> tuple[str, ...]:
    return tuple(pair.now.sku for pair in pairs if _difference(pair) > 0)


def _difference(pair: _Pair) -> int:
    """What is certainly different: the nearest bound to nothing."""
    seen = pair.earlier or pair.now
    return seen.least if seen.least > 0 else seen.most


async def _watch(connection: AsyncConnection, node_id: str, pairs: Sequence[_Pair]) -> None:
    """Remember a figure that does not agree. One that waits for orders under way is not replaced by a newer one."""
    waiting = [p for p in pairs if p.earlier is None or p.earlier.corrected or p.earlier.exact]
    if waiting:
        rows = [{"sku": p.now.sku, "as_of": p.now.as_of, "theirs": p.now.theirs} for p in waiting]
        await connection.execute(_KEEP, {"node_id": node_id, "rows": _ROWS.dump_json(rows).decode()})


async def _open(connection: AsyncConnection, node_id: str, pairs: Sequence[_Pair]) -> None:
    if pairs:
        rows = [{"sku": p.now.sku, "detail": _detail(p)} for p in pairs]
        values = {"kind": KIND, "node_id": node_id, "rows": _ROWS.dump_json(rows).decode()}
        await connection.execute(_OPEN, values)


def _detail(pair: _Pair) -> dict[str, Any]:
    seen = pair.earlier or pair.now
    return {
        "theirs": seen.theirs,
        "ours": seen.ours,
        "as_of": seen.as_of,
        "difference": _difference(pair),
        "may_have_left": seen.may_have_left,
        "may_have_come": seen.may_have_come,
    }


async def _settle(
    connection: AsyncConnection, node_id: str, *, agreed: Sequence[_Pair], repaired: Sequence[_Pair]
) -> None:
    """Resolve the cases of what agrees again, by itself or by its correction."""
    gone = {pair.now.sku: "the figures agree" for pair in agreed}
    gone |= {pair.now.sku: f"corrected by {_difference(pair):+} after it was the same twice" for pair in repaired}
    rows = [{"sku": sku, "resolution": why} for sku, why in gone.items()]
    await connection.execute(_FORGET, {"node_id": node_id, "skus": list(gone)})
    values = {"kind": KIND, "node_id": node_id, "rows": _ROWS.dump_json(rows).decode()}
    await connection.execute(_RESOLVE, values)
