"""An order's overlay and its end: holds placed and released, and the order closed."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import consolidations
from shared.database.steps import lock_order, note
from shared.domain.orders import HoldKind, UnitCount, UnitState, fulfillment_of
from shared.messages import CloseOrder, OrderOutcome, RecordHold

_PLACE = text("""
    INSERT INTO hold (order_id, hold_id, kind, reason, placed_by)
    VALUES (:order_id, :hold_id, :kind, :reason, :actor)
    ON CONFLICT DO NOTHING
    RETURNING hold_id
""")
#: What a stage had queued is decided: its case is over with its hold.
_RELEASE = text("""
    WITH lifted AS (
        UPDATE hold SET released_at = now(), released_by = :actor
        WHERE order_id = :order_id AND hold_id = :hold_id AND released_at IS NULL
        RETURNING hold_id, kind, placed_by
    ), decided AS (
        UPDATE exception_case SET resolved_at = now(), resolution = :actor || ': ' || :reason
        WHERE kind = 'queued' AND reference = :order_id AND resolved_at IS NULL
          AND EXISTS (SELECT FROM lifted WHERE kind = 'sourcing' AND placed_by = 'doms')
    )
    SELECT hold_id FROM lifted
""")
_UNITS = text(f"""
    SELECT {", ".join(f"sum({state}) AS {state}" for state in UnitState)},
           (SELECT count(*) FROM fulfillment_order f WHERE f.order_id = :order_id) AS fulfillments
    FROM order_line WHERE order_id = :order_id
""")  # noqa: S608 - the names are the enumeration's own
_CLOSE = text("""
    WITH lifted AS (
        UPDATE hold SET released_at = now(), released_by = 'doms' WHERE order_id = :order_id AND released_at IS NULL
    ), decided AS (
        UPDATE exception_case SET resolved_at = now(), resolution = 'doms: the order is over'
        WHERE kind = 'queued' AND reference = :order_id AND resolved_at IS NULL
    ), noted AS (
        INSERT INTO timeline (order_id, actor, event, detail) VALUES (:order_id, 'doms', :lifecycle, '{}')
    ), kept AS (
        INSERT INTO step_result (step_key, result) VALUES (:step_key, CAST(:result AS jsonb))
    )
    UPDATE orders SET closed_at = now(), lifecycle = :lifecycle WHERE order_id = :order_id
""")


async def record(connection: AsyncConnection, request: RecordHold) -> None:
    """Place or release a hold; repeated, nothing more happens."""
    values = {
        "order_id": request.order_id,
        "hold_id": request.hold.hold_id,
        "actor": request.actor,
        "reason": request.hold.reason if request.placed else request.reason,
    }
    if request.placed:
        values |= {"kind": request.hold.kind}
    changed = (await connection.execute(_PLACE if request.placed else _RELEASE, values)).first()
    if changed is not None:
        await note(
            connection,
            request.order_id,
            "held" if request.placed else "hold released",
            actor=request.actor,
            hold_id=request.hold.hold_id,
            kind=request.hold.kind,
            because=request.reason,
        )
    if request.placed and request.hold.kind is not HoldKind.SOURCING:
        # Others in its parcels do not wait for a decision about it.
        await lock_order(connection, request.order_id)
        await consolidations.leave_untold(connection, request.order_id, because=f"held: {request.hold.reason}")


async def close_order(connection: AsyncConnection, request: CloseOrder) -> OrderOutcome:
    """Write the end of an order's process; a hold that still stands has nothing left to hold."""
    answered = await lock_order(connection, request.order_id, request.step_key)
    if answered is not None:
        return OrderOutcome.model_validate(answered)
    row = (await connection.execute(_UNITS, {"order_id": request.order_id})).one()
    count = UnitCount(**{state: getattr(row, state) for state in UnitState})
    lifecycle = "cancelled" if count.cancelled == count.ordered else "closed"
    outcome = OrderOutcome(
        order_id=request.order_id,
        status=fulfillment_of(count),
        delivered_units=count.delivered + count.returned,
        cancelled_units=count.cancelled,
        fulfillments=row.fulfillments,
    )
    values = {
        "order_id": request.order_id,
        "lifecycle": lifecycle,
        "step_key": request.step_key,
        "result": outcome.model_dump_json(),
    }
    await connection.execute(_CLOSE, values)
    return outcome
