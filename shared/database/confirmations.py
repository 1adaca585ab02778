"""What nodes say of fulfillment orders: taken on, refused, packed, shipped."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import pickups, rises
from shared.database.arrivals import catch_up
from shared.database.facts import Applied, Event, event, lock_fulfillment, owner_of
from shared.database.steps import open_case
from shared.database.stock import Settle, settle
from shared.database.units import shift, take_from_node
from shared.domain.fulfillment import PICKUP
from shared.domain.network import NodeType
from shared.gateways.partner_messages import (
    FulfillmentAccepted,
    FulfillmentPacked,
    FulfillmentRejected,
    FulfillmentShipped,
    Package,
)
from shared.messages import Wake, order_workflow_id

_ACCEPT = text("""
    UPDATE fulfillment_order SET request_status = 'accepted', status = 'in_progress'
    WHERE fulfillment_order_id = :reference AND request_status = 'submitted'
""")
_PACKED = text("""
    UPDATE fulfillment_order
    SET packed_at = coalesce(packed_at, now()),
        status = CASE request_status WHEN 'submitted' THEN 'in_progress' ELSE status END,
        request_status = CASE request_status WHEN 'submitted' THEN 'accepted' ELSE request_status END
    WHERE fulfillment_order_id = :reference
""")
_CLAIMS = text("SELECT line_no, open FROM reservation WHERE owner = :reference AND open > 0 ORDER BY line_no")
_SHIP = text("""
    UPDATE fulfillment_order
    SET status = :status, request_status = 'closed', shipped_at = now(), excludes_node = excludes_node OR :short,
        ended_at = CASE WHEN :none THEN now() END
    WHERE fulfillment_order_id = :reference
""")
#: What leaves under a label that is not ours needs none of ours any more.
_PACKAGES = text("""
    INSERT INTO package (package_id, fulfillment_order_id, order_id, package_no, parcel_no, weight_g, lines, carrier,
                         service, tracking_no, label_status, shipped_at)
    SELECT :reference || '/p' || p.package_no, :reference, :order_id, p.package_no, p.parcel_no, p.weight_g, p.lines,
           p.carrier, p.service, p.tracking_no,
           CASE WHEN :shipped AND p.tracking_no <> '' THEN 'partner' ELSE :label_status END,
           CASE WHEN :shipped THEN now() END
    FROM jsonb_to_recordset(CAST(:packages AS jsonb))
        AS p(package_no int, parcel_no int, weight_g int, lines jsonb, carrier text, service text, tracking_no text)
    ON CONFLICT (package_id) DO UPDATE
    SET shipped_at = coalesce(excluded.shipped_at, package.shipped_at), lines = excluded.lines,
        tracking_no = CASE WHEN package.tracking_no = '' THEN excluded.tracking_no ELSE package.tracking_no END,
        carrier = CASE WHEN package.carrier = '' THEN excluded.carrier ELSE package.carrier END,
        service = CASE WHEN package.service = '' THEN excluded.service ELSE package.service END,
        label_status = CASE WHEN excluded.label_status = 'partner' AND package.label_status IN ('none', 'purchasing')
            THEN 'partner' ELSE package.label_status END
    RETURNING tracking_no, label_reference NOT IN ('', package_id) AS shared
""")


async def apply_accepted(connection: AsyncConnection, partner_id: str, message: FulfillmentAccepted) -> Applied:
    """The node takes the work on. Nothing to decide: nobody is woken."""
    row = await lock_fulfillment(connection, partner_id, message.reference)
    await connection.execute(_ACCEPT, {"reference": message.reference})
    return Applied(order_id=row.order_id, event=event("accepted by node", n=row.n, node_id=row.node_id))


async def apply_rejected(connection: AsyncConnection, partner_id: str, message: FulfillmentRejected) -> Applied:
    """The node will not ship: its units need another source, and it is not asked again for a while.

    What it gives back goes to who waits, who are as good as anybody who comes. What was shipped short does not: it is
    not there.
    """
    queue = await rises.line_up_behind(connection, await owner_of(connection, message.reference))
    row = await lock_fulfillment(connection, partner_id, message.reference)
    if row.ended_at is not None or row.shipped_at is not None:
        return Applied(order_id=row.order_id)
    units = await take_from_node(
        connection,
        row.order_id,
        row.n,
        because=f"rejected: {message.reason}",
        actor=partner_id,
        exclude=True,
        told=True,
        request_status="rejected",
    )
    served = await queue.serve(connection)
    said = event("rejected by node", n=row.n, node_id=row.node_id, because=message.reason)
    applied = _woken(row, said, Wake(kind="rejected", n=row.n, units=units))
    return applied.model_copy(update={"served": tuple(sorted(served))})


async def apply_packed(connection: AsyncConnection, partner_id: str, message: FulfillmentPacked) -> Applied:
    """The node has packed and waits for labels, or for the customer who fetches it."""
    row = await lock_fulfillment(connection, partner_id, message.reference)
    if row.ended_at is not None or row.shipped_at is not None:
        return Applied(order_id=row.order_id)
    await connection.execute(_PACKED, {"reference": message.reference})
    await _keep_packages(connection, row, message.reference, message.packages, shipped=False)
    said = event("packed", n=row.n, packages=len(message.packages))
    if row.carrier == PICKUP:
        await pickups.ready(connection, message.reference)
        said = event("ready for pickup", n=row.n, node_id=row.node_id)
    return _woken(row, said, Wake(kind="packed", n=row.n))


async def apply_shipped(connection: AsyncConnection, partner_id: str, message: FulfillmentShipped) -> Applied:
    """Ship confirm: stock leaves, what is missing was shipped short. It wins over a cancellation asked for.

    What the customer fetches is delivered with it.
    """
    row = await lock_fulfillment(connection, partner_id, message.reference)
    if row.shipped_at is not None:
        return Applied(order_id=row.order_id)
    if row.ended_at is not None:
        return await _shipped_too_late(connection, row, message)
    shipped, short = await _settle_shipment(connection, row, message)
    values = {
        "reference": message.reference,
        "status": "incomplete" if short else "closed",
        "short": bool(short),
        "none": not shipped,
    }
    await connection.execute(_SHIP, values)
    packages = await _keep_packages(connection, row, message.reference, message.packages, shipped=True)
    tracking = [package.tracking_no for package in packages]
    said = event("shipped", n=row.n, units=shipped, short=short, tracking=tracking)
    if row.carrier == PICKUP:
        await pickups.hand_over(connection, message.reference)
        said = event("handed over", n=row.n, node_id=row.node_id, units=shipped, short=short)
    wake = Wake(kind="shipped", n=row.n, units=shipped, short_units=short)
    applied = _woken(row, said, wake, unlocks=tuple(number for number in tracking if number))
    if any(package.shared for package in packages):
        return applied.model_copy(update={"also": await catch_up(connection, message.reference)})
    return applied


async def _settle_shipment(connection: AsyncConnection, row: Any, message: FulfillmentShipped) -> tuple[int, int]:
    """Move stock and units; returns (units shipped, units short)."""
    said = Counter[int]()
    for package in message.packages:
        for line in package.lines:
            said[line.line_no] += line.quantity
    claims = (await connection.execute(_CLAIMS, {"reference": message.reference})).all()
    settles = [
        Settle(
            owner=message.reference,
            line_no=claim.line_no,
            shipped=min(said[claim.line_no], claim.open),
            released=claim.open - min(said[claim.line_no], claim.open),
        )
        for claim in claims
    ]
    await settle(connection, settles, reference=message.reference, actor=row.partner_id)
    deltas = (
        {
            "line_no": s.line_no,
            "released": -s.shipped - s.released,
            "shipped": s.shipped,
            "unallocated": s.released,
        }
        for s in settles
    )
    await shift(connection, row.order_id, deltas)
    shipped = sum(s.shipped for s in settles)
    extra = sum(said.values()) - shipped
    if extra:
        await open_case(connection, "shipped_more_than_asked", message.reference, row.order_id, units=extra)
    return shipped, sum(s.released for s in settles)


async def _shipped_too_late(connection: AsyncConnection, row: Any, message: FulfillmentShipped) -> Applied:
    """The node ships what it had given back. The parcel is real: somebody intercepts it or takes it back."""
    units = sum(line.quantity for package in message.packages for line in package.lines)
    packages = await _keep_packages(connection, row, message.reference, message.packages, shipped=True)
    tracking = [package.tracking_no for package in packages]
    await open_case(connection, "shipped_after_cancel", message.reference, row.order_id, units=units, tracking=tracking)
    said = event("shipped after cancel", n=row.n, units=units, tracking=tracking)
    return Applied(order_id=row.order_id, event=said, unlocks=tuple(number for number in tracking if number))


async def _keep_packages(
    connection: AsyncConnection, row: Any, reference: str, packages: tuple[Package, ...], *, shipped: bool
) -> list[Any]:
    values = {
        "reference": reference,
        "order_id": row.order_id,
        "packages": json.dumps([package.model_dump(mode="json") for package in packages]),
        "label_status": "none" if NodeType(row.node_type).ships_on_our_label else "partner",
        "shipped": shipped,
    }
    return list((await connection.execute(_PACKAGES, values)).all())


def _woken(row: Any, said: Event, wake: Wake, unlocks: tuple[str, ...] = ()) -> Applied:
    return Applied(
        order_id=row.order_id,
        event=said,
        workflow_id=order_workflow_id(row.order_id),
        wake=wake,
        unlocks=unlocks,
    )
