"""Cycle counts against the ledger, and what they say of its records.

A count is compared with what the ledger says of the moment it was made: units that moved since are kept. A
correction that was booked later knows better, so an older count that comes in after it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.base import Instant, Model
from shared.domain.counts import (
    Count,
    CountClass,
    CountReason,
    count_classes,
    node_doubt,
    position_doubt,
    unit_accuracy,
    within_tolerance,
)
from shared.errors import Fault, InvalidInput

#: How far back counts speak for today's records, and movements for how often to count.
WINDOW = timedelta(days=90)
#: How far another's clock may be ahead of ours.
_SKEW = timedelta(minutes=1)

_COUNTS = TypeAdapter(list[Count])

_ENSURE = text("""
    INSERT INTO stock_position (node_id, sku)
    SELECT node_id, sku FROM jsonb_to_recordset(CAST(:counts AS jsonb)) AS c(node_id text, sku text)
    ORDER BY node_id, sku
    ON CONFLICT DO NOTHING
""")
#: A statement of its own: the one that waits for a lock does not see the moves that whoever held it has added.
_LOCK = text("""
    SELECT FROM stock_position
    WHERE (node_id, sku) IN (
        SELECT node_id, sku FROM jsonb_to_recordset(CAST(:counts AS jsonb)) AS c(node_id text, sku text))
    ORDER BY node_id, sku
    FOR NO KEY UPDATE
""")
#: Moves after the count are kept. An earlier count that was booked after it is not one of them: it corrected the
#: record of before. What a table said was on hand when it opened a position is a correction, too.
_RECORD = text("""
    WITH asked AS (
        SELECT c.node_id, c.sku, c.counted, least(coalesce(c.counted_at, now()), now()) AS counted_at, c.reason
        FROM jsonb_to_recordset(CAST(:counts AS jsonb))
            AS c(node_id text, sku text, counted bigint, counted_at timestamptz, reason text)
    ), compared AS (
        SELECT a.*, p.on_hand, p.reserved + p.held AS claimed, p.on_hand - coalesce(l.on_hand, 0) AS recorded,
               coalesce(l.corrected, false) AS superseded
        FROM asked a JOIN stock_position p ON p.node_id = a.node_id AND p.sku = a.sku
        CROSS JOIN LATERAL (
            SELECT sum(m.on_hand) FILTER (WHERE coalesce(e.counted_at, m.at) > a.counted_at) AS on_hand,
                   bool_or(m.cause IN ('adjust', 'feed')
                           OR (m.cause = 'count' AND coalesce(e.counted_at, m.at) > a.counted_at)
                           OR (m.cause = 'receive' AND EXISTS (
                               SELECT FROM stock_load s WHERE s.reference = m.reference))) AS corrected
            FROM stock_move m LEFT JOIN stock_count e
                ON m.cause = 'count' AND e.reference = m.reference AND e.node_id = m.node_id AND e.sku = m.sku
            WHERE m.node_id = a.node_id AND m.sku = a.sku AND m.at > a.counted_at
        ) l
        WHERE NOT EXISTS (SELECT FROM stock_count e
                          WHERE e.reference = :reference AND e.node_id = a.node_id AND e.sku = a.sku)
    ), judged AS (
        SELECT c.*, CASE WHEN superseded OR later.known THEN 0
                         ELSE greatest(counted - recorded, claimed - on_hand) END AS booked,
               superseded OR later.known AS outdated
        FROM compared c CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT FROM stock_count e WHERE e.node_id = c.node_id AND e.sku = c.sku
                           AND e.counted_at > c.counted_at) AS known
        ) later
    ), kept AS (
        INSERT INTO stock_count (reference, node_id, sku, counted_at, counted, recorded, booked, superseded,
                                 reason, actor)
        SELECT :reference, node_id, sku, counted_at, counted, recorded, booked, outdated, reason, :actor
        FROM judged ORDER BY node_id, sku
        RETURNING node_id, sku, counted_at, counted, recorded, variance, booked, superseded, reason
    ), noted AS (
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, reference, actor)
        SELECT node_id, sku, 'count', booked, 0, :reference, :actor FROM kept WHERE booked <> 0
    ), moved AS (
        UPDATE stock_position p SET on_hand = p.on_hand + k.booked FROM kept k
        WHERE k.booked <> 0 AND p.node_id = k.node_id AND p.sku = k.sku
    ), opened AS (
        INSERT INTO exception_case (kind, reference, detail)
        SELECT 'count.below_claims', node_id || '/' || sku,
               jsonb_build_object('counted', counted, 'claimed', claimed, 'unbooked', booked - (counted - recorded),
                                  'count', CAST(:reference AS text))
        FROM judged WHERE NOT outdated AND booked > counted - recorded
        ON CONFLICT (kind, reference) WHERE resolved_at IS NULL DO NOTHING
    )
    SELECT * FROM kept ORDER BY node_id, sku
""")
_PLAN = text("""
    SELECT p.node_id, p.sku, p.on_hand, coalesce(o.units, 0) * i.cost_minor AS moved_minor, c.counted_at
    FROM stock_position p JOIN item i USING (sku)
    LEFT JOIN (
        SELECT sku, -sum(on_hand) AS units FROM stock_move
        WHERE node_id = :node_id AND cause = 'ship' AND at > :since GROUP BY sku
    ) o USING (sku)
    LEFT JOIN (
        SELECT sku, max(counted_at) AS counted_at FROM stock_count WHERE node_id = :node_id GROUP BY sku
    ) c USING (sku)
    WHERE p.node_id = :node_id
    ORDER BY p.sku
""")
_WINDOW = text("""
    SELECT node_id, sku, recorded, counted, reason FROM stock_count
    WHERE counted_at > :since AND (:node_id = '' OR node_id = :node_id)
    ORDER BY node_id, counted_at, sku
""")
_SHORTFALLS = text("""
    SELECT node_id, sku, array_agg(shortfall ORDER BY counted_at DESC, at DESC) AS shortfalls FROM (
        SELECT node_id, sku, counted_at, at, CASE WHEN counted >= recorded OR recorded <= 0 THEN 0
               ELSE least(10000, ceil((recorded - counted) * 10000.0 / recorded)) END::int AS shortfall
        FROM stock_count WHERE counted_at > :since
    ) c GROUP BY node_id, sku
""")
_BUFFERS = text("""
    WITH node_doubt AS (
        SELECT * FROM jsonb_to_recordset(CAST(:nodes AS jsonb)) AS n(node_id text, doubt int)
    ), position_doubt AS (
        SELECT * FROM jsonb_to_recordset(CAST(:positions AS jsonb)) AS n(node_id text, sku text, doubt int)
    ), wanted AS (
        SELECT p.node_id, p.sku, coalesce(o.doubt, n.doubt, 0) AS doubt
        FROM stock_position p LEFT JOIN node_doubt n USING (node_id) LEFT JOIN position_doubt o USING (node_id, sku)
    ), locked AS MATERIALIZED (
        SELECT p.node_id, p.sku, p.count_buffer, ceil(p.on_hand * w.doubt / 10000.0) AS buffer
        FROM stock_position p JOIN wanted w USING (node_id, sku)
        WHERE p.count_buffer <> ceil(p.on_hand * w.doubt / 10000.0)
        ORDER BY p.node_id, p.sku
        FOR NO KEY UPDATE OF p
    )
    UPDATE stock_position p SET count_buffer = l.buffer
    FROM locked l WHERE p.node_id = l.node_id AND p.sku = l.sku
    RETURNING p.sku, l.buffer < l.count_buffer AS narrowed
""")


class Counted(Model):
    """What became of one count.

    Attributes:
        recorded: Units on hand by the ledger when it was counted.
        variance: Counted less recorded.
        booked: What was added to on hand; less than the variance takes away where units are claimed.
        superseded: A later count or correction was booked before, so nothing was.
    """

    node_id: str
    sku: str
    counted_at: Instant
    counted: int
    recorded: int
    variance: int
    booked: int
    superseded: bool
    reason: CountReason


class Due(Model):
    """A position to count.

    Attributes:
        moved_minor: Cost of the units shipped in the window, minor units.
        overdue: Days since its last count, or since ever, in shares of how often its class is counted.
    """

    node_id: str
    sku: str
    on_hand: int
    count_class: CountClass
    moved_minor: int
    counted_at: Instant | None
    overdue: float | None


class Widened(Model):
    """How many buffers changed, and the SKUs of which more may be sold for it."""

    changed: int
    more: tuple[str, ...] = ()


class Accuracy(Model):
    """How right the records of a node were.

    Attributes:
        right: Counts within the tolerance.
        accuracy: ``right`` of ``counts``: inventory record accuracy as the ASCM dictionary has it, 0 to 1.
        unit_accuracy: See ``shared.domain.counts.unit_accuracy``; ``None`` when nothing was there to count.
        reasons: How many counts that were not exact have which reason.
    """

    node_id: str
    counts: int
    right: int
    accuracy: float
    unit_accuracy: float | None
    reasons: Mapping[CountReason, int]


def refuse_future(counts: Mapping[int, Count]) -> None:
    """Refuse counts of a moment to come; the pointers name their rows.

    Raises:
        InvalidInput: there are such counts.
    """
    latest = datetime.now(UTC) + _SKEW
    faults = [
        Fault(pointer=f"/{row}/counted_at", code="in_future", message="must not be to come: check clock and offset")
        for row, count in counts.items()
        if count.counted_at is not None and count.counted_at > latest
    ]
    if faults:
        raise InvalidInput(faults)


async def record(connection: AsyncConnection, counts: Sequence[Count], *, reference: str, actor: str) -> list[Counted]:
    """Book counts of different positions; returns what is new. A count on record under its reference changes nothing.

    Orders and carts keep what they have claimed: on hand is brought down to that, and a case tells what is missing.

    Raises:
        sqlalchemy.exc.IntegrityError: there is no such node or item.
    """
    if not counts:
        return []
    values = {"counts": _COUNTS.dump_json(list(counts)).decode()}
    await connection.execute(_ENSURE, values)
    await connection.execute(_LOCK, values)
    rows = await connection.execute(_RECORD, values | {"reference": reference, "actor": actor})
    return [Counted.model_validate(dict(row._mapping)) for row in rows]


async def plan(connection: AsyncConnection, node_id: str, *, as_of: datetime, limit: int) -> list[Due]:
    """The positions of a node to count next: those that were never counted by value, then the most overdue."""
    rows = (await connection.execute(_PLAN, {"node_id": node_id, "since": as_of - WINDOW})).all()
    classes = count_classes([row.moved_minor for row in rows])
    due = [_due(row, count_class, as_of) for row, count_class in zip(rows, classes, strict=True)]
    due.sort(key=lambda each: (each.overdue is not None, -(each.overdue or 0), -each.moved_minor, each.sku))
    return due[:limit]


def _due(row: Any, count_class: CountClass, as_of: datetime) -> Due:
    overdue = None if row.counted_at is None else (as_of - row.counted_at) / timedelta(days=count_class.every_days)
    return Due(count_class=count_class, overdue=overdue, **row._mapping)


async def accuracy(
    connection: AsyncConnection, *, since: datetime, node_id: str = "", tolerance: float = 0.0
) -> list[Accuracy]:
    """The accuracy of records by node, of what was counted since. ``tolerance`` is in percent of what was counted."""
    rows = (await connection.execute(_WINDOW, {"since": since, "node_id": node_id})).all()
    by_node: dict[str, list[Any]] = {}
    for row in rows:
        by_node.setdefault(row.node_id, []).append(row)
    return [_accuracy(node, counts, tolerance) for node, counts in by_node.items()]


def _accuracy(node_id: str, counts: Sequence[Any], tolerance: float) -> Accuracy:
    right = sum(within_tolerance(row.recorded, row.counted, tolerance) for row in counts)
    reasons: dict[CountReason, int] = {}
    for row in counts:
        if row.recorded != row.counted:
            reasons[CountReason(row.reason)] = reasons.get(CountReason(row.reason), 0) + 1
    return Accuracy(
        node_id=node_id,
        counts=len(counts),
        right=right,
        accuracy=right / len(counts),
        unit_accuracy=unit_accuracy((row.recorded, row.counted) for row in counts),
        reasons=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    )


async def widen_buffers(connection: AsyncConnection, *, as_of: datetime) -> Widened:
    """Bring every position's ``count_buffer`` to what its counts and its node's say."""
    rows = (await connection.execute(_SHORTFALLS, {"since": as_of - WINDOW})).all()
    by_node: dict[str, list[int]] = {}
    for row in rows:
        by_node.setdefault(row.node_id, []).extend(row.shortfalls)
    doubts = {node_id: node_doubt(shortfalls) for node_id, shortfalls in by_node.items()}
    positions = [
        {"node_id": row.node_id, "sku": row.sku, "doubt": position_doubt(row.shortfalls, doubts[row.node_id])}
        for row in rows
    ]
    nodes = [{"node_id": node_id, "doubt": doubt} for node_id, doubt in doubts.items() if doubt]
    encode = TypeAdapter(list[dict[str, object]]).dump_json
    values = {"nodes": encode(nodes).decode(), "positions": encode(positions).decode()}
    changed = (await connection.execute(_BUFFERS, values)).all()
    return Widened(changed=len(changed), more=tuple(sorted({row.sku for row in changed if row.narrowed})))
