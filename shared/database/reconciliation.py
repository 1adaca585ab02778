"""Running the checks: a case for each break, closed by itself when a later run no longer sees the break."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import Field, TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.checks import TOO_LONG, Check
from shared.database.steps import lock_order
from shared.database.stock import Settle, settle
from shared.domain.base import Model
from shared.domain.policy import ProcessPolicy
from shared.messages import ReconcileResult, ReturnInput

#: Breaks of one check that become cases in one run; the rest are counted, and opened as these are resolved.
MAX_CASES = 500

_RUN = """
    WITH compared AS MATERIALIZED ({query}), broken AS MATERIALIZED (
        SELECT * FROM compared WHERE broken
    ), opened AS (
        INSERT INTO exception_case (kind, reference, order_id, detail)
        SELECT :kind, reference, order_id, detail FROM broken ORDER BY reference LIMIT :limit
        ON CONFLICT (kind, reference) WHERE resolved_at IS NULL DO NOTHING
    ), resolved AS (
        UPDATE exception_case c SET resolved_at = now(), resolution = :resolution
        WHERE c.kind = :kind AND c.resolved_at IS NULL
          AND NOT EXISTS (SELECT FROM broken b WHERE b.reference = c.reference)
    )
    SELECT (SELECT count(*) FROM compared) AS checked, (SELECT count(*) FROM broken) AS breaks
"""
_RUN_GIVEN = text(
    _RUN.format(
        query="""
            SELECT * FROM jsonb_to_recordset(CAST(:breaks AS jsonb))
                AS b(reference text, order_id text, detail jsonb, broken boolean)
        """
    )
)
_FIND_RUN = text("SELECT checked, breaks FROM reconciliation_run WHERE run_id = :run_id")
_KEEP_RUN = text("""
    INSERT INTO reconciliation_run (run_id, started_at, checked, breaks)
    VALUES (:run_id, :started_at, CAST(:checked AS jsonb), :breaks)
    ON CONFLICT (run_id) DO NOTHING
""")
_WITHOUT_VERDICT = text("""
    SELECT order_id FROM orders
    WHERE closed_at IS NULL AND NOT accepted AND received_at < now() - make_interval(secs => :older_than)
      AND order_id > :after
    ORDER BY order_id LIMIT :limit
""")
#: Judging is the first step of a return's process: without its result there may be no process.
_UNJUDGED = text("""
    SELECT r.return_id, r.order_id, p.process AS policy,
           (SELECT sum(quantity) FROM return_line l WHERE l.return_id = r.return_id) AS units
    FROM return_order r JOIN orders o USING (order_id) JOIN policy_version p ON p.version = o.policy_version
    WHERE r.status = 'requested' AND r.requested_at < now() - make_interval(secs => :older_than)
      AND NOT EXISTS (SELECT FROM step_result s WHERE s.step_key = r.return_id || '/judge/1')
      AND r.return_id > :after
    ORDER BY r.return_id LIMIT :limit
""")


#: Settled orders only: what else holds their units is a break of its own, for people.
_RELEASABLE = text("""
    SELECT DISTINCT r.order_id
    FROM reservation r JOIN orders o USING (order_id) JOIN order_line l USING (order_id, line_no)
    WHERE r.open > 0 AND o.closed_at IS NOT NULL AND l.allocated + l.released = 0
    ORDER BY r.order_id LIMIT :limit
""")
_STILL_OPEN = text("""
    SELECT r.owner, r.line_no, r.open FROM reservation r JOIN order_line l USING (order_id, line_no)
    WHERE r.order_id = :order_id AND r.open > 0 AND l.allocated + l.released = 0 ORDER BY r.owner, r.line_no
""")


class Break(Model):
    """Something that does not agree; ``reference`` names it within its kind of case."""

    reference: str
    order_id: str | None = None
    detail: dict[str, Any] = Field(default_factory=dict)
    broken: bool = True


_BREAKS = TypeAdapter(list[Break])


class Found(Model):
    """What one check came to."""

    checked: int
    breaks: int


async def run_check(connection: AsyncConnection, check: Check, *, run_id: str, started_at: datetime) -> Found:
    """Compare, open a case for each break and resolve the cases of breaks that are gone: one statement."""
    moments = {"now": started_at, "overdue": started_at - TOO_LONG}
    values: dict[str, Any] = {name: moment for name, moment in moments.items() if f":{name} " in check.query}
    values |= {"kind": check.case_kind, "limit": MAX_CASES, "resolution": f"no longer so in {run_id}"}
    row = (await connection.execute(text(_RUN.format(query=check.query)), values)).one()
    return Found(checked=row.checked, breaks=row.breaks)


async def keep_breaks(connection: AsyncConnection, kind: str, breaks: Sequence[Break], *, run_id: str) -> None:
    """Open a case for each break of a kind that was found outside the database, and resolve those that are gone."""
    values = {
        "kind": kind,
        "limit": MAX_CASES,
        "resolution": f"no longer so in {run_id}",
        "breaks": _BREAKS.dump_json(list(breaks)).decode(),
    }
    await connection.execute(_RUN_GIVEN, values)


async def releasable_orders(connection: AsyncConnection, limit: int = 500) -> Sequence[str]:
    """Orders that are over, whose lines have no units at nodes, and which still reserve some."""
    return (await connection.execute(_RELEASABLE, {"limit": limit})).scalars().all()


async def release_ended(connection: AsyncConnection, order_id: str) -> int:
    """Give back what an order that is over still reserves, in moves of the ledger; returns the units."""
    await lock_order(connection, order_id)
    rows = (await connection.execute(_STILL_OPEN, {"order_id": order_id})).all()
    if not rows:
        return 0
    settles = [Settle(owner=row.owner, line_no=row.line_no, released=row.open) for row in rows]
    # Named by what it ends for good: other lines of the order may come to their end later.
    reference = f"recon/{rows[0].owner}/{rows[0].line_no}"
    await settle(connection, settles, reference=reference, actor="reconciliation")
    return sum(row.open for row in rows)


async def find_run(connection: AsyncConnection, run_id: str) -> ReconcileResult | None:
    """The result of a run that was finished before."""
    row = (await connection.execute(_FIND_RUN, {"run_id": run_id})).first()
    return None if row is None else ReconcileResult(run_id=run_id, checked=row.checked, breaks=row.breaks)


async def keep_run(connection: AsyncConnection, result: ReconcileResult, started_at: datetime) -> None:
    """Write a run down, once."""
    values = {
        "run_id": result.run_id,
        "started_at": started_at,
        "checked": json.dumps(result.checked),
        "breaks": result.breaks,
    }
    await connection.execute(_KEEP_RUN, values)


async def orders_without_verdict(
    connection: AsyncConnection, *, older_than: float, after: str = "", limit: int = 200
) -> Sequence[str]:
    """Orders on record whose process never planned them, a page at a time. ``older_than`` is in seconds."""
    values = {"older_than": older_than, "after": after, "limit": limit}
    return (await connection.execute(_WITHOUT_VERDICT, values)).scalars().all()


async def returns_without_judgement(
    connection: AsyncConnection, *, older_than: float, after: str = "", limit: int = 200
) -> list[ReturnInput]:
    """Returns on record whose process never began, with what it is started with, a page at a time."""
    rows = await connection.execute(_UNJUDGED, {"older_than": older_than, "after": after, "limit": limit})
    return [
        ReturnInput(
            return_id=row.return_id,
            order_id=row.order_id,
            units=row.units,
            policy=ProcessPolicy.model_validate(row.policy),
        )
        for row in rows
    ]
