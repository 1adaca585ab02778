"""What carriers say of parcels, and what receiving nodes say of returns."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.facts import Applied, Unmatched, event
from shared.database.steps import lock_order, open_case
from shared.errors import NotAllowed
from shared.gateways.partner_messages import Grade, ReturnReceived, TrackingStatus, TrackingUpdated
from shared.messages import Wake, order_workflow_id, return_workflow_id

#: Forward only: a scan of a lower rank than the parcel's came late and changes nothing.
_RANK = {status: rank for rank, status in enumerate(TrackingStatus, start=1)}

#: Finds the carrier's parcel, or another's of the same number, and locks the orders of all who share it, also of those
#: whose ship confirm is still to come. What is read here of a package never changes once it has shipped.
_FIND_PARCEL = text("""
    SELECT p.package_id, p.order_id, p.fulfillment_order_id, p.carrier, p.label_reference,
           p.label_reference NOT IN ('', p.package_id) AS shared
    FROM (
        SELECT * FROM package WHERE tracking_no = :tracking_no AND shipped_at IS NOT NULL
        ORDER BY carrier <> :carrier, delivered_at IS NOT NULL, shipped_at DESC LIMIT 1
    ) p JOIN orders o ON o.order_id = ANY(
        CASE WHEN p.label_reference IN ('', p.package_id) THEN ARRAY[p.order_id]
             ELSE ARRAY(SELECT m.order_id FROM package m WHERE m.label_reference = p.label_reference) END)
    ORDER BY o.order_id
    FOR NO KEY UPDATE OF o
""")
#: A statement of its own, after the locks.
_SHARING = text("""
    SELECT package_id, order_id, fulfillment_order_id, carrier FROM package
    WHERE label_reference = :label_reference AND tracking_no = :tracking_no AND shipped_at IS NOT NULL
    ORDER BY package_id
""")
#: Scans of the parcel that came between the ship confirms of those who share it.
_CATCH_UP = text("""
    UPDATE package p
    SET tracking_status = m.tracking_status, tracking_rank = m.tracking_rank, delivered_at = m.delivered_at
    FROM package m
    WHERE p.fulfillment_order_id = :fulfillment_order_id AND p.label_reference NOT IN ('', p.package_id)
      AND m.label_reference = p.label_reference AND m.tracking_no = p.tracking_no AND m.tracking_rank > p.tracking_rank
    RETURNING p.package_id, p.order_id, p.fulfillment_order_id, p.tracking_no, p.tracking_status
""")
_SCAN = text("""
    UPDATE package
    SET tracking_status = :status, tracking_rank = :rank,
        delivered_at = CASE WHEN :delivered THEN coalesce(delivered_at, now()) ELSE delivered_at END
    WHERE package_id = :package_id AND tracking_rank < :rank
    RETURNING package_id
""")
_ALL_DELIVERED = text("""
    WITH done AS (
        UPDATE fulfillment_order f SET delivered_at = now(), ended_at = now()
        WHERE fulfillment_order_id = :fulfillment_order_id AND shipped_at IS NOT NULL AND delivered_at IS NULL
          AND NOT EXISTS (
            SELECT FROM package p
            WHERE p.fulfillment_order_id = f.fulfillment_order_id AND p.shipped_at IS NOT NULL
              AND p.delivered_at IS NULL)
        RETURNING fulfillment_order_id, order_id, n
    ), moved AS (
        UPDATE order_line l SET shipped = l.shipped - r.shipped, delivered = l.delivered + r.shipped
        FROM done d JOIN reservation r ON r.owner = d.fulfillment_order_id
        WHERE r.shipped > 0 AND l.order_id = d.order_id AND l.line_no = r.line_no
        RETURNING r.shipped
    )
    SELECT n, (SELECT coalesce(sum(shipped), 0) FROM moved) AS units FROM done
""")

_FIND_RETURN = text("SELECT order_id FROM return_order WHERE return_id = :return_id")
_RETURN = text("""
    SELECT r.status, r.n, p.partner_id, r.node_id FROM return_order r LEFT JOIN node p USING (node_id)
    WHERE return_id = :return_id
""")
_RETURN_LINES = text("""
    WITH came AS (
        SELECT line_no, sum(quantity) AS quantity,
               coalesce(sum(quantity) FILTER (WHERE grade = :as_new), 0) AS as_new
        FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS c(line_no int, quantity int, grade text) GROUP BY line_no
    )
    UPDATE return_line l
    SET received = least(c.quantity, l.quantity), restocked = least(c.as_new, l.quantity),
        written_off = least(c.quantity, l.quantity) - least(c.as_new, l.quantity)
    FROM came c WHERE l.return_id = :return_id AND l.line_no = c.line_no
    RETURNING l.line_no, l.received, c.quantity - l.received AS extra
""")
_RECEIVED = text("""
    UPDATE return_order SET status = 'received', received_at = now() WHERE return_id = :return_id
""")


async def apply_tracking(connection: AsyncConnection, partner_id: str, message: TrackingUpdated) -> Applied:
    """A carrier's scan. Only the last parcel's delivery leaves the process something to decide.

    Raises:
        Unmatched: no parcel of that number has shipped.
        NotAllowed: only another carrier's has.
    """
    values = {"tracking_no": message.reference}
    parcel = (await connection.execute(_FIND_PARCEL, values | {"carrier": partner_id})).first()
    if parcel is None:
        raise Unmatched(message.reference)
    if parcel.carrier != partner_id:
        raise NotAllowed(f"{partner_id} does not carry {message.reference}", reference=message.reference)
    if not parcel.shared:
        return await _scanned(connection, parcel, message)
    values["label_reference"] = parcel.label_reference
    sharing = (await connection.execute(_SHARING, values)).all()
    first, *others = [await _scanned(connection, package, message) for package in sharing]
    return first.model_copy(update={"also": tuple(effect for effect in others if effect.event is not None)})


async def _scanned(connection: AsyncConnection, package: Any, message: TrackingUpdated) -> Applied:
    if not await _scan(connection, package, message):
        return Applied(order_id=package.order_id)
    applied = await _after_scan(connection, package, message)
    said = event(f"parcel {message.status}", package_id=package.package_id, tracking_no=message.reference)
    return applied.model_copy(update={"event": said})


async def catch_up(connection: AsyncConnection, fulfillment_order_id: str) -> tuple[Applied, ...]:
    """Take in what was scanned of shared parcels before this ship confirm, under the order's lock."""
    caught_up = (await connection.execute(_CATCH_UP, {"fulfillment_order_id": fulfillment_order_id})).all()
    delivered = [package for package in caught_up if package.tracking_status == TrackingStatus.DELIVERED]
    return tuple([await _told_late(connection, package) for package in delivered[-1:]])


async def _told_late(connection: AsyncConnection, package: Any) -> Applied:
    said = event("parcel delivered", package_id=package.package_id, tracking_no=package.tracking_no)
    return (await _delivered(connection, package)).model_copy(update={"event": said})


async def _scan(connection: AsyncConnection, parcel: Any, message: TrackingUpdated) -> bool:
    values = {
        "package_id": parcel.package_id,
        "status": message.status,
        "rank": _RANK[message.status],
        "delivered": message.status is TrackingStatus.DELIVERED,
    }
    return (await connection.execute(_SCAN, values)).first() is not None


async def _after_scan(connection: AsyncConnection, parcel: Any, message: TrackingUpdated) -> Applied:
    if message.status in (TrackingStatus.EXCEPTION, TrackingStatus.RETURN_TO_SENDER):
        kind = f"parcel_{message.status}"
        await open_case(connection, kind, parcel.package_id, parcel.order_id, tracking_no=message.reference)
    if message.status is not TrackingStatus.DELIVERED:
        return Applied(order_id=parcel.order_id)
    return await _delivered(connection, parcel)


async def _delivered(connection: AsyncConnection, parcel: Any) -> Applied:
    """A parcel is there; its fulfillment order is over with the last of them."""
    values = {"fulfillment_order_id": parcel.fulfillment_order_id}
    done = (await connection.execute(_ALL_DELIVERED, values)).first()
    if done is None:
        return Applied(order_id=parcel.order_id)
    return Applied(
        order_id=parcel.order_id,
        workflow_id=order_workflow_id(parcel.order_id),
        wake=Wake(kind="delivered", n=done.n, units=int(done.units)),
    )


async def apply_return(connection: AsyncConnection, partner_id: str, message: ReturnReceived) -> Applied:
    """A return has come in and was graded: as new goes back to stock, the rest is written off."""
    values = {"return_id": message.reference}
    order_id = (await connection.execute(_FIND_RETURN, values)).scalar_one_or_none()
    if order_id is None:
        raise Unmatched(message.reference)
    await lock_order(connection, order_id)
    row = (await connection.execute(_RETURN, values)).one()
    if row.partner_id != partner_id:
        raise NotAllowed(f"{partner_id} does not receive {message.reference}", reference=message.reference)
    if row.status in ("declined", "expired"):
        await open_case(connection, "returned_after_all", message.reference, order_id, status=row.status)
    if row.status != "approved":
        return Applied(order_id=order_id)
    units = await _receive_lines(connection, order_id, message)
    await connection.execute(_RECEIVED, values)
    return Applied(
        order_id=order_id,
        event=event("return received", return_id=message.reference, units=units),
        workflow_id=return_workflow_id(message.reference),
        wake=Wake(kind="return_received", n=row.n, units=units),
    )


async def _receive_lines(connection: AsyncConnection, order_id: str, message: ReturnReceived) -> int:
    values = {
        "return_id": message.reference,
        "lines": json.dumps([line.model_dump(mode="json") for line in message.lines]),
        "as_new": Grade.A,
    }
    came = (await connection.execute(_RETURN_LINES, values)).all()
    extra = sum(row.extra for row in came)
    if extra:
        await open_case(connection, "more_returned_than_asked", message.reference, order_id, units=extra)
    return sum(int(row.received) for row in came)
