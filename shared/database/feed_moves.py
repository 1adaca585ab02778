"""Positions brought to what a source says of them, a chunk at a time, in moves of the ledger.

A snapshot's figure holds for the moment it was taken: what we have booked since is added to it, so that an old
one cannot bring back stock that has left. A count that is newer than the figure stands. No position falls below
what orders and carts claim of it; that is a case for people.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.feed_runs import lock_run, stage_table
from shared.database.feeds import run_of
from shared.database.rises import line_up
from shared.domain.feeds import Buffer, FeedSource, OurOrders
from shared.messages.feeds import FeedRun

#: Positions in one transaction: their locks are held for a fraction of a second.
CHUNK = 20_000

_WAITED_FOR = """
    SELECT DISTINCT l.sku FROM order_line l JOIN {stage} s USING (sku)
    WHERE l.backordered > 0 AND s.n > :done AND s.n <= :upto
"""
#: What is not sold of so many units on hand; the same as ``Buffer.of``.
BUFFER = "least({0}, :units + ({0} * :percent + 99) / 100)"
_OPEN = """
    WITH opened AS (
        INSERT INTO stock_position (node_id, sku, on_hand, feed_buffer)
        SELECT s.node_id, s.sku, {figure}, {buffer}
        FROM {stage} s WHERE s.n > :done AND s.n <= :upto AND s.opens
        ORDER BY s.n
        ON CONFLICT DO NOTHING
        RETURNING node_id, sku, on_hand
    ), noted AS (
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, reference, actor)
        SELECT node_id, sku, 'feed', on_hand, 0, :reference, :source_id FROM opened WHERE on_hand > 0
    )
    SELECT count(*) AS positions, count(*) FILTER (WHERE on_hand > 0) AS changed FROM opened
"""
#: Positions that may have to change, locked in key order. What of them does change is worked out by the next
#: statement, which sees every move that whoever held the locks has committed.
_LOCK = """
    CREATE TEMP TABLE feed_due ON COMMIT DROP AS
    SELECT p.node_id, p.sku, p.on_hand, p.reserved + p.held AS claimed, s.quantity, s.missing
    FROM {stage} s JOIN stock_position p ON p.node_id = s.node_id AND p.sku = s.sku
    WHERE s.n > :done AND s.n <= :upto AND ({differs} OR p.feed_buffer <> {buffer})
    ORDER BY p.node_id, p.sku FOR NO KEY UPDATE OF p
"""
#: Naively compared; what was booked since, or is claimed where the source has taken our orders off, is looked at.
_SNAPSHOT_DIFFERS = """
    p.on_hand <> s.quantity OR (:deducted AND p.reserved > 0) OR EXISTS (
        SELECT FROM stock_move m
        WHERE m.at > :as_of AND m.node_id = p.node_id AND m.sku = p.sku AND m.cause <> 'feed' AND m.on_hand <> 0)
"""
_DELTA_DIFFERS = "s.quantity <> 0"
#: Units of our orders that a source which takes them off had taken off at the moment of its figures: it had been
#: told of them by then, and they had neither shipped nor been called back.
_BOOKED = """
    since AS (
        SELECT m.node_id, m.sku, sum(m.on_hand) FILTER (WHERE m.cause NOT IN ('count', 'adjust')) AS units,
               bool_or(m.cause IN ('count', 'adjust')) AS counted
        FROM feed_due d JOIN stock_move m ON m.node_id = d.node_id AND m.sku = d.sku
        WHERE m.at > :as_of AND m.on_hand <> 0 AND m.cause <> 'feed' GROUP BY m.node_id, m.sku
    ), deducted AS (
        SELECT r.node_id, r.sku, sum(r.open + CASE WHEN f.shipped_at > :as_of THEN r.shipped ELSE 0 END
            + CASE WHEN f.shipped_at IS NULL AND f.ended_at > :as_of THEN r.released ELSE 0 END) AS units
        FROM fulfillment_order f JOIN reservation r ON r.owner = f.fulfillment_order_id
        JOIN feed_due d ON d.node_id = r.node_id AND d.sku = r.sku
        WHERE :deducted AND f.node_id = ANY(:node_ids) AND f.submitted_at <= :as_of
          AND (f.ended_at IS NULL OR f.ended_at > :as_of)
        GROUP BY r.node_id, r.sku
    )
"""
_SNAPSHOT_FIGURE = "d.quantity + coalesce(since.units, 0) + coalesce(deducted.units, 0)"
_DELTA_FIGURE = "d.on_hand + d.quantity"
_APPLY = """
    WITH {booked}, target AS (
        SELECT d.node_id, d.sku, d.missing, d.on_hand, d.claimed,
               CAST(CASE WHEN since.counted THEN d.on_hand ELSE greatest({figure}, 0) END AS bigint) AS figure
        FROM feed_due d
        LEFT JOIN since USING (node_id, sku) LEFT JOIN deducted USING (node_id, sku)
    ), wanted AS (
        SELECT *, greatest(figure, claimed) AS wanted FROM target
    ), noted AS (
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, reference, actor)
        SELECT node_id, sku, 'feed', wanted - on_hand, 0, :reference, :source_id
        FROM wanted WHERE wanted <> on_hand ORDER BY node_id, sku
    ), brought AS (
        UPDATE stock_position p SET on_hand = w.wanted, feed_buffer = {buffer}
        FROM wanted w
        WHERE p.node_id = w.node_id AND p.sku = w.sku AND (w.wanted <> w.on_hand OR p.feed_buffer <> {buffer})
    ), cases AS (
        INSERT INTO exception_case (kind, reference, detail)
        SELECT 'stock.below_claims', node_id || '/' || sku, jsonb_build_object(
            'source_id', CAST(:source_id AS text), 'run_id', CAST(:run_id AS text),
            'figure', figure, 'claimed', claimed)
        FROM wanted WHERE figure < claimed
        ON CONFLICT (kind, reference) WHERE resolved_at IS NULL DO UPDATE SET detail = excluded.detail
    )
    SELECT count(*) FILTER (WHERE wanted <> on_hand AND NOT missing) AS changed,
           count(*) FILTER (WHERE wanted <> on_hand AND missing) AS zeroed,
           count(*) FILTER (WHERE figure < claimed) AS floored
    FROM wanted
"""
_DONE = text("""
    UPDATE feed_run SET done = :upto, changed = changed + :changed, zeroed = zeroed + :zeroed,
                        floored = floored + :floored
    WHERE run_id = :run_id RETURNING *
""")


def differs(source: FeedSource) -> str:
    """The condition on a row ``s`` of a file and its position ``p`` under which the position may have to change."""
    return _DELTA_DIFFERS if source.kind == "delta" else _SNAPSHOT_DIFFERS


async def apply_chunk(connection: AsyncConnection, run_id: str, source: FeedSource, buffer: Buffer) -> FeedRun:
    """Bring the next positions of a staged run to their figures; how far it came is part of the same transaction.

    What that adds is kept in it for the orders that wait.

    Args:
        buffer: What is not sold of the positions, by how old the figures are now.
    """
    run = await lock_run(connection, run_id)
    if run.status != "staged" or run.done >= run.staged:
        return run
    stage, upto = stage_table(run_id), min(run.done + CHUNK, run.staged)
    waited_for = await connection.execute(text(_WAITED_FOR.format(stage=stage)), {"done": run.done, "upto": upto})
    queue = await line_up(connection, list(waited_for.scalars()))
    delta = source.kind == "delta"
    values = {
        "run_id": run_id, "source_id": source.source_id, "reference": f"feed/{run_id}", "as_of": run.as_of,
        "done": run.done, "upto": upto, "units": buffer.units, "percent": buffer.percent,
        "deducted": source.our_orders is OurOrders.DEDUCTED, "node_ids": sorted(source.node_ids),
    }  # fmt: skip
    # What a delta adds to, or takes from, is looked at below, also where there was nothing yet.
    first = "0" if delta else "s.quantity"
    open_new = _OPEN.format(stage=stage, figure=first, buffer=BUFFER.format(first))
    opened = (await connection.execute(text(open_new), values)).one()
    counts = {"changed": opened.changed, "zeroed": 0, "floored": 0}
    # Positions of a snapshot that were opened just now are as it says: the first one has no others.
    if delta or opened.positions < upto - run.done:
        brought = await _bring(connection, stage, source, values)
        counts = brought | {"changed": brought["changed"] + opened.changed}
    await queue.serve(connection)
    return run_of((await connection.execute(_DONE, {"run_id": run_id, "upto": upto, **counts})).one())


async def _bring(connection: AsyncConnection, stage: str, source: FeedSource, values: dict[str, Any]) -> dict[str, int]:
    lock = _LOCK.format(stage=stage, differs=differs(source), buffer=BUFFER.format("p.on_hand"))
    await connection.execute(text(lock), values)
    figure = _DELTA_FIGURE if source.kind == "delta" else _SNAPSHOT_FIGURE
    apply = _APPLY.format(booked=_BOOKED, figure=figure, buffer=BUFFER.format("w.wanted"))
    brought = (await connection.execute(text(apply), values)).one()
    await connection.execute(text("DROP TABLE feed_due"))
    return {"changed": brought.changed, "zeroed": brought.zeroed, "floored": brought.floored}
