"""Fulfillment orders on our side of the conversation with their nodes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import consolidations, outbox
from shared.database.consolidations import Mate
from shared.database.steps import lock_order, note, open_case
from shared.database.units import read_fulfillment, take_from_node
from shared.domain.base import Model
from shared.domain.cartons import PlannedPackage, contents
from shared.domain.network import NodeType
from shared.domain.orders import Address
from shared.gateways.protocol import (
    CancelRequest,
    Consolidation,
    FulfillmentRequest,
    RequestedLine,
    SuggestedPackage,
)
from shared.messages import AskCancel, CallOutcome, FulfillmentCall, fulfillment_order_id

_PACKAGES = TypeAdapter(tuple[PlannedPackage, ...])
_DETAIL = text("""
    SELECT f.fulfillment_order_id, f.node_id, f.status, f.request_status, f.shipped_at, f.ended_at, n.node_type,
           n.partner_id
    FROM fulfillment_order f JOIN node n USING (node_id)
    WHERE f.order_id = :order_id AND f.n = :n
""")
#: One that has ended is not sent; one that was answered is not sent again.
_RELEASE = text("""
    WITH f AS (
        SELECT f.fulfillment_order_id, f.node_id, f.status, f.request_status, f.carrier, f.service, f.ship_by,
               f.ended_at, f.packages, n.node_type, n.partner_id, o.ship_to
        FROM fulfillment_order f JOIN node n USING (node_id) JOIN orders o USING (order_id)
        WHERE f.fulfillment_order_id = :owner
    ), intent AS (
        INSERT INTO message_out (message_key, partner_id, order_id)
        SELECT :key, partner_id, :order_id FROM f WHERE ended_at IS NULL
        ON CONFLICT (message_key) DO UPDATE SET attempts = message_out.attempts + 1
        RETURNING attempts, answer
    ), submitted AS (
        UPDATE fulfillment_order SET request_status = 'submitted', submitted_at = now()
        WHERE fulfillment_order_id = :owner AND request_status = 'unsubmitted'
          AND EXISTS (SELECT FROM intent WHERE answer IS NULL)
        RETURNING fulfillment_order_id
    ), moved AS (
        UPDATE order_line l SET allocated = l.allocated - r.open, released = l.released + r.open
        FROM reservation r JOIN submitted s ON s.fulfillment_order_id = r.owner
        WHERE r.open > 0 AND l.order_id = r.order_id AND l.line_no = r.line_no
    )
    SELECT f.*, intent.attempts, intent.answer, EXISTS (
        SELECT FROM consolidation_member m WHERE m.fulfillment_order_id = :owner AND m.left_at IS NULL) AS shares, (
        SELECT jsonb_agg(jsonb_build_object(
                   'line_no', r.line_no, 'sku', r.sku, 'partner_sku', coalesce(s.partner_sku, r.sku),
                   'quantity', r.open, 'weight_g', i.weight_g,
                   'unit_cost_minor', coalesce(s.cost_minor, i.cost_minor)) ORDER BY r.line_no)
        FROM reservation r JOIN item i USING (sku) LEFT JOIN source_offer s ON s.node_id = r.node_id AND s.sku = r.sku
        WHERE r.owner = :owner AND r.open > 0) AS lines
    FROM f LEFT JOIN intent ON true
""")
_RELEASED = text("""
    WITH answered AS (
        UPDATE message_out SET answered_at = now(), answer = CAST(:answer AS jsonb) WHERE message_key = :key
    )
    INSERT INTO timeline (order_id, actor, event, detail)
    VALUES (:order_id, 'doms', 'released', CAST(:detail AS jsonb))
""")
_REQUEST_STATUS = text("""
    UPDATE fulfillment_order SET request_status = :status WHERE order_id = :order_id AND n = :n
""")


class Release(Model):
    """What the node must be told, or why it need not be.

    Attributes:
        summon: Whose nodes are to be told now, too: they go into the same parcel.
    """

    partner_id: str = ""
    request: FulfillmentRequest | None = None
    unsure: bool = False
    outcome: CallOutcome | None = None
    summon: tuple[Mate, ...] = ()


async def begin_release(connection: AsyncConnection, call: FulfillmentCall) -> Release:
    """Mark the fulfillment order as sent and give the request; a cancelled one is not sent.

    Raises:
        Regrouped: somebody came to share its parcel this moment; begin the transaction again.
    """
    owner = fulfillment_order_id(call.order_id, call.n)
    locked = await consolidations.lock_with_mates(connection, call.order_id, owner)
    values = {"owner": owner, "key": _request_key(call), "order_id": call.order_id}
    row = (await connection.execute(_RELEASE, values)).one()
    if row.ended_at is not None:
        # One that was sent has ended by its node's word, which the process hears by itself.
        told = row.request_status != "unsubmitted"
        return Release(outcome=CallOutcome(done=told, reason=row.status, replanned=row.status == "replanned"))
    if row.answer is not None:
        return Release(outcome=CallOutcome.model_validate(row.answer))
    if not row.lines:
        # The node has shipped it: it was told, only its answer was lost.
        outcome = CallOutcome(done=True, reason=row.status)
        await outbox.answer(connection, values["key"], outcome.model_dump())
        return Release(outcome=outcome)
    lines = tuple(RequestedLine.model_construct(**line) for line in row.lines)
    parcel = await consolidations.release(connection, owner, locked) if row.shares else None
    request = FulfillmentRequest(
        reference=owner,
        order_id=call.order_id,
        node_id=row.node_id,
        node_type=NodeType(row.node_type),
        ship_to=Address.model_validate(row.ship_to),
        carrier=row.carrier,
        service=row.service,
        ship_by=row.ship_by,
        lines=lines,
        packages=_suggested(row.packages, lines),
        consolidation=parcel and Consolidation(consolidation_id=parcel.consolidation_id, members=parcel.members),
    )
    return Release(
        partner_id=row.partner_id,
        request=request,
        unsure=row.attempts > 1,
        summon=parcel.summon if parcel else (),
    )


def _suggested(packages: list[dict[str, Any]], lines: Sequence[RequestedLine]) -> tuple[SuggestedPackage, ...]:
    """How the lines were planned to be packed; nothing when some of their units were cancelled since."""
    planned = _PACKAGES.validate_python(packages)
    if contents(planned) != Counter({line.line_no: line.quantity for line in lines}):
        return ()
    return tuple(SuggestedPackage(**package.model_dump()) for package in planned)


def _request_key(call: FulfillmentCall) -> str:
    return f"{fulfillment_order_id(call.order_id, call.n)}/request"


async def finish_release(connection: AsyncConnection, call: FulfillmentCall, node_id: str) -> CallOutcome:
    """The node has the request. One statement: it needs no transaction around it."""
    outcome = CallOutcome(done=True)
    values = {
        "key": _request_key(call),
        "answer": outcome.model_dump_json(),
        "order_id": call.order_id,
        "detail": json.dumps({"n": call.n, "node_id": node_id}),
    }
    await connection.execute(_RELEASED, values)
    return outcome


async def refuse_release(connection: AsyncConnection, call: FulfillmentCall, reason: str) -> CallOutcome:
    """The node will not take the request as it stands: its units go elsewhere, and somebody looks at why."""
    await lock_order(connection, call.order_id)
    units = await take_from_node(
        connection,
        call.order_id,
        call.n,
        because=reason,
        actor="partner",
        exclude=True,
        told=True,
        request_status="rejected",
    )
    reference = fulfillment_order_id(call.order_id, call.n)
    await open_case(connection, "request_refused", reference, call.order_id, reason=reason)
    await note(connection, call.order_id, "request refused", n=call.n, units=units, because=reason)
    outcome = CallOutcome(done=False, reason=reason, units=units)
    await outbox.answer(connection, _request_key(call), outcome.model_dump())
    return outcome


class Asking(Model):
    """A request to give a fulfillment order back, or its answer when there is one already."""

    partner_id: str = ""
    request: CancelRequest | None = None
    outcome: CallOutcome | None = None


async def begin_ask(connection: AsyncConnection, ask: AskCancel) -> Asking:
    """Whether the node has to be asked, and what."""
    await lock_order(connection, ask.order_id)
    row = (await connection.execute(_DETAIL, {"order_id": ask.order_id, "n": ask.n})).one()
    intent = await outbox.intend(connection, ask.step_key, row.partner_id, ask.order_id)
    if intent.answer is not None:
        return Asking(outcome=CallOutcome.model_validate(intent.answer))
    if row.shipped_at is not None or row.ended_at is not None:
        return await _not_asked(connection, ask, f"it is {row.status}")
    if ask.unanswered_only and not intent.unsure and row.request_status != "submitted":
        return await _not_asked(connection, ask, "the node has answered")
    values = {"order_id": ask.order_id, "n": ask.n, "status": "cancel_requested"}
    await connection.execute(_REQUEST_STATUS, values)
    request = CancelRequest(reference=row.fulfillment_order_id, node_id=row.node_id, node_type=NodeType(row.node_type))
    return Asking(partner_id=row.partner_id, request=request)


async def _not_asked(connection: AsyncConnection, ask: AskCancel, reason: str) -> Asking:
    outcome = CallOutcome(done=False, reason=reason)
    await outbox.answer(connection, ask.step_key, outcome.model_dump())
    return Asking(outcome=outcome)


async def finish_ask(connection: AsyncConnection, ask: AskCancel, *, accepted: bool, reason: str) -> CallOutcome:
    """Write the node's answer down. A ship confirm that came first wins, whatever the node says.

    Args:
        reason: Why the node does not agree.
    """
    await lock_order(connection, ask.order_id)
    row = await read_fulfillment(connection, ask.order_id, ask.n)
    if row.shipped_at is not None or row.ended_at is not None:
        outcome = CallOutcome(done=False, reason=f"it is {row.status}")
    elif accepted:
        outcome = await _given_back(connection, ask)
    else:
        values = {"order_id": ask.order_id, "n": ask.n, "status": "accepted"}
        await connection.execute(_REQUEST_STATUS, values)
        await note(connection, ask.order_id, "cancel refused", n=ask.n, node_id=row.node_id, because=reason)
        outcome = CallOutcome(done=False, reason=reason)
    await outbox.answer(connection, ask.step_key, outcome.model_dump())
    return outcome


async def _given_back(connection: AsyncConnection, ask: AskCancel) -> CallOutcome:
    units = await take_from_node(
        connection,
        ask.order_id,
        ask.n,
        because=ask.because,
        actor=ask.actor,
        exclude=ask.exclude,
        told=True,
        request_status="cancel_accepted",
    )
    await note(connection, ask.order_id, "given back", actor=ask.actor, n=ask.n, units=units, because=ask.because)
    return CallOutcome(done=True, units=units)
