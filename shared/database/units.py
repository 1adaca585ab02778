"""Moving units of an order between states: withdrawn from a node, cancelled, shipped, delivered, returned.

Every function here runs under the order's lock (``steps.lock_order``) in the caller's transaction. The
constraint ``each_unit_is_somewhere_once`` refuses a move that would lose or invent a unit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.bundles import bundled_units
from shared.database.steps import keep_result, lock_order, note
from shared.database.stock import Settle, settle
from shared.domain.bundles import in_components
from shared.domain.cancellation import (
    CancellableClaim,
    CancellableLine,
    Cancellation,
    decide_cancellation,
    decide_waiting,
)
from shared.messages import (
    CancelledUnits,
    CancelUnits,
    CatchUp,
    CaughtUp,
    FulfillmentState,
    LineQuantity,
    Withdraw,
    Withdrawn,
    fulfillment_order_id,
)

_SHIFT = text("""
    WITH d AS (
        SELECT line_no, sum(unallocated) AS unallocated, sum(backordered) AS backordered,
               sum(allocated) AS allocated, sum(released) AS released, sum(shipped) AS shipped,
               sum(delivered) AS delivered, sum(cancelled) AS cancelled, sum(returned) AS returned
        FROM jsonb_populate_recordset(NULL::order_line, CAST(:deltas AS jsonb)) GROUP BY line_no
    )
    UPDATE order_line l SET
        unallocated = l.unallocated + coalesce(d.unallocated, 0),
        backordered = l.backordered + coalesce(d.backordered, 0),
        allocated = l.allocated + coalesce(d.allocated, 0), released = l.released + coalesce(d.released, 0),
        shipped = l.shipped + coalesce(d.shipped, 0), delivered = l.delivered + coalesce(d.delivered, 0),
        cancelled = l.cancelled + coalesce(d.cancelled, 0), returned = l.returned + coalesce(d.returned, 0)
    FROM d WHERE l.order_id = :order_id AND l.line_no = d.line_no
""")
_OPEN_CLAIMS = text("""
    SELECT r.line_no, r.open FROM reservation r WHERE r.owner = :owner AND r.open > 0
""")
_FULFILLMENT = text("""
    SELECT fulfillment_order_id, node_id, status, request_status, shipped_at, ended_at
    FROM fulfillment_order WHERE order_id = :order_id AND n = :n
""")
_END = text("""
    UPDATE fulfillment_order
    SET status = 'cancelled', request_status = coalesce(:request_status, request_status), reason = :reason,
        excludes_node = :exclude, ended_at = now()
    WHERE order_id = :order_id AND n = :n
""")
_LINES = text("""
    SELECT line_no, unallocated, backordered, shipped + delivered + returned AS left
    FROM order_line WHERE order_id = :order_id ORDER BY line_no
""")
_CLAIMS = text("""
    SELECT f.n, r.line_no, r.open, f.request_status <> 'unsubmitted' AS told
    FROM reservation r JOIN fulfillment_order f ON f.fulfillment_order_id = r.owner
    WHERE r.order_id = :order_id AND r.open > 0 ORDER BY f.n, r.line_no
""")
_LEFT_PLANNED = text("""
    UPDATE fulfillment_order f
    SET units = CASE WHEN c.open > 0 THEN c.open ELSE f.units END,
        status = CASE WHEN c.open > 0 THEN f.status ELSE 'cancelled' END,
        reason = CASE WHEN c.open > 0 THEN f.reason ELSE :reason END,
        ended_at = CASE WHEN c.open > 0 THEN f.ended_at ELSE now() END
    FROM (SELECT owner, sum(open) AS open FROM reservation WHERE order_id = :order_id GROUP BY owner) c
    WHERE f.order_id = :order_id AND f.n = ANY(:numbers) AND c.owner = f.fulfillment_order_id
    RETURNING f.n, c.open
""")
_WAITING = text("""
    SELECT coalesce(sum(unallocated), 0) AS unallocated, coalesce(sum(backordered), 0) AS backordered,
           coalesce(sum(cancelled), 0) AS cancelled
    FROM order_line WHERE order_id = :order_id
""")
#: One statement, so that its parts agree. What has shipped is to be captured by a process started anew, too.
_CAUGHT_UP = text("""
    SELECT o.promised_at,
           (SELECT sum(backordered) FROM order_line l WHERE l.order_id = o.order_id) AS backordered,
           ARRAY(SELECT n FROM fulfillment_order f
                 WHERE f.order_id = o.order_id AND f.status = 'replanned' ORDER BY n) AS replanned,
           (SELECT coalesce(jsonb_agg(to_jsonb(f) || jsonb_build_object('pickup', f.carrier = 'pickup')
                                      ORDER BY n), '[]')
            FROM fulfillment_order f
            WHERE f.order_id = o.order_id AND (f.ended_at IS NULL OR f.shipped_at IS NOT NULL)
              AND f.n <> ALL(CAST(:known AS int[]))) AS unknown
    FROM orders o WHERE o.order_id = :order_id
""")
_REPLANNED = text("""
    SELECT n FROM fulfillment_order WHERE order_id = :order_id AND status = 'replanned' ORDER BY n
""")
_UNKNOWN = text("""
    SELECT n, node_id, units, deliver_by, release_at, carrier = 'pickup' AS pickup FROM fulfillment_order
    WHERE order_id = :order_id AND n > :known AND ended_at IS NULL ORDER BY n
""")


async def shift(connection: AsyncConnection, order_id: str, deltas: Iterable[Mapping[str, int]]) -> None:
    """Add to the state columns of lines: ``{"line_no": 1, "released": -2, "shipped": 2}``.

    Raises:
        sqlalchemy.exc.IntegrityError: a unit would be lost, invented, or taken from where it is not.
    """
    rows = list(deltas)
    if rows:
        await connection.execute(_SHIFT, {"order_id": order_id, "deltas": json.dumps(rows)})


async def read_fulfillment(connection: AsyncConnection, order_id: str, n: int) -> Any:
    """One fulfillment order's node and states."""
    return (await connection.execute(_FULFILLMENT, {"order_id": order_id, "n": n})).one()


async def take_from_node(
    connection: AsyncConnection,
    order_id: str,
    n: int,
    *,
    because: str,
    actor: str,
    exclude: bool,
    told: bool,
    request_status: str | None = None,
) -> int:
    """End a fulfillment order that ships nothing: its stock is free again, its units need a source.

    Args:
        told: Whether the node knew of it, which is where its units are now.
        request_status: What the request ends as; ``None`` leaves it.
    """
    owner = fulfillment_order_id(order_id, n)
    claims = (await connection.execute(_OPEN_CLAIMS, {"owner": owner})).all()
    where = "released" if told else "allocated"
    await shift(connection, order_id, ({"line_no": c.line_no, where: -c.open, "unallocated": c.open} for c in claims))
    released = [Settle(owner=owner, line_no=claim.line_no, released=claim.open) for claim in claims]
    await settle(connection, released, reference=owner, actor=actor)
    values = {
        "order_id": order_id,
        "n": n,
        "reason": because,
        "exclude": exclude,
        "request_status": request_status,
    }
    await connection.execute(_END, values)
    return sum(claim.open for claim in claims)


async def withdraw(connection: AsyncConnection, request: Withdraw) -> Withdrawn:
    """Take back a fulfillment order that was never sent to its node."""
    answered = await lock_order(connection, request.order_id, request.step_key)
    if answered is not None:
        return Withdrawn.model_validate(answered)
    row = await read_fulfillment(connection, request.order_id, request.n)
    if row.request_status != "unsubmitted" or row.ended_at is not None:
        return await keep_result(connection, request.step_key, Withdrawn(done=False))
    units = await take_from_node(
        connection,
        request.order_id,
        request.n,
        because=request.because,
        actor=request.actor,
        exclude=True,
        told=False,
    )
    await note(
        connection,
        request.order_id,
        "withdrawn",
        actor=request.actor,
        n=request.n,
        node_id=row.node_id,
        units=units,
        because=request.because,
    )
    return await keep_result(connection, request.step_key, Withdrawn(done=True, units=units))


async def cancel_units(connection: AsyncConnection, request: CancelUnits) -> CancelledUnits:
    """Cancel what no node was told of, and say which nodes must be asked for the rest."""
    answered = await lock_order(connection, request.order_id, request.step_key)
    if answered is not None:
        return CancelledUnits.model_validate(answered | {"look_again": True})
    decision = await _decide(connection, request)
    await shift(connection, request.order_id, map(_cancelled_line, decision.taken))
    planned = await _release_claims(connection, request, decision)
    waiting = (await connection.execute(_WAITING, {"order_id": request.order_id})).one()
    if decision.units:
        await note(
            connection,
            request.order_id,
            "cancelled",
            actor=request.actor,
            units=decision.units,
            because=request.reason,
        )
    result = CancelledUnits(
        units=decision.units,
        cancelled=waiting.cancelled,
        unallocated=waiting.unallocated,
        backordered=waiting.backordered,
        planned=planned,
        ask=decision.ask,
        wanted=tuple(LineQuantity(line_no=line_no, quantity=units) for line_no, units in decision.wanted),
        too_late=decision.too_late,
        missing=decision.missing,
        unknown=await unknown_fulfillments(connection, request.order_id, request.known),
        replanned=tuple((await connection.execute(_REPLANNED, {"order_id": request.order_id})).scalars()),
    )
    return await keep_result(connection, request.step_key, result)


async def catch_up(connection: AsyncConnection, request: CatchUp) -> CaughtUp:
    """What others have changed of the order that its process did not see.

    Raises:
        sqlalchemy.exc.NoResultFound: there is no such order.
    """
    values = {"order_id": request.order_id, "known": list(request.known)}
    return CaughtUp.model_validate(dict((await connection.execute(_CAUGHT_UP, values)).one()._mapping))


async def unknown_fulfillments(connection: AsyncConnection, order_id: str, known: int) -> tuple[FulfillmentState, ...]:
    """Fulfillment orders beyond the last one their process knows of, which it lost in a crash: none was sent."""
    rows = await connection.execute(_UNKNOWN, {"order_id": order_id, "known": known})
    return tuple(FulfillmentState.model_validate(dict(row._mapping)) for row in rows)


async def _decide(connection: AsyncConnection, request: CancelUnits) -> Cancellation:
    rows = await connection.execute(_LINES, {"order_id": request.order_id})
    lines = [CancellableLine(**row._mapping) for row in rows]
    if request.only_waiting:
        return decide_waiting(lines)
    claims = await connection.execute(_CLAIMS, {"order_id": request.order_id})
    wanted: dict[int, int] = {}
    for line in request.lines:
        wanted[line.line_no] = wanted.get(line.line_no, 0) + line.quantity
    units, broken = in_components(wanted, await bundled_units(connection, request.order_id)) if wanted else (None, 0)
    decision = decide_cancellation(
        lines,
        [CancellableClaim(**row._mapping) for row in claims],
        units,
        keep=request.keep,
    )
    return decision.model_copy(update={"too_late": decision.too_late + broken})


def _cancelled_line(taken: Any) -> dict[str, int]:
    allocated = sum(units for _, units in taken.claims)
    return {
        "line_no": taken.line_no,
        "unallocated": -taken.unallocated,
        "backordered": -taken.backordered,
        "allocated": -allocated,
        "cancelled": taken.units,
    }


async def _release_claims(connection: AsyncConnection, request: CancelUnits, decision: Cancellation) -> dict[int, int]:
    """Free the stock of cancelled units; returns the units left in each fulfillment order it touched."""
    settles = [
        Settle(owner=fulfillment_order_id(request.order_id, n), line_no=line.line_no, released=units)
        for line in decision.taken
        for n, units in line.claims
    ]
    if not settles:
        return {}
    await settle(connection, settles, reference=request.step_key, actor=request.actor)
    numbers = sorted({n for line in decision.taken for n, _ in line.claims})
    values = {"order_id": request.order_id, "numbers": numbers, "reason": f"cancelled: {request.reason}"}
    return {row.n: int(row.open) for row in await connection.execute(_LEFT_PLANNED, values)}
