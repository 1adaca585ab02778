"""Returns: never more than was shipped, never refunded twice."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import network
from shared.database.rises import line_up_behind
from shared.database.steps import keep_result, lock_order, note
from shared.database.stock import Move, receive
from shared.database.units import shift
from shared.domain.base import Model
from shared.domain.network import NodeType, Place
from shared.domain.policy import ProcessPolicy
from shared.domain.returns import Judgement, judge, receiving_node
from shared.errors import Conflict, Fault, InvalidInput, NotFound
from shared.gateways.protocol import ExpectReturn, RequestedLine
from shared.messages import (
    CallOutcome,
    ReturnInput,
    ReturnOutcome,
    ReturnRequest,
    ReturnStep,
    ReturnVerdict,
    return_id_of,
)

_RETURNABLE = text("""
    SELECT l.line_no, l.sku, l.delivered, l.quantity, l.total_minor,
           coalesce((SELECT sum(rl.quantity) FROM return_line rl JOIN return_order r USING (return_id)
                     WHERE r.order_id = l.order_id AND rl.line_no = l.line_no
                       AND r.status IN ('requested', 'approved', 'received')), 0) AS coming
    FROM order_line l WHERE l.order_id = :order_id
""")
_OPEN = text("""
    WITH opened AS (
        INSERT INTO return_order (return_id, order_id, n, status, reason, requested_by)
        VALUES (:return_id, :order_id, :n, 'requested', :reason, :requested_by)
    )
    INSERT INTO return_line (return_id, line_no, sku, quantity)
    SELECT :return_id, line_no, sku, quantity
    FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS l(line_no int, sku text, quantity int)
""")
_NEXT_N = text("SELECT coalesce(max(n), 0) + 1 FROM return_order WHERE order_id = :order_id")
_FIND = text("""
    SELECT r.return_id, r.order_id, r.n, r.status, r.closed_at, r.node_id, o.place,
           (SELECT process FROM policy_version p WHERE p.version = o.policy_version) AS process,
           (SELECT sum(quantity) FROM return_line WHERE return_id = r.return_id) AS units,
           (SELECT sum(ol.total_minor * rl.quantity / ol.quantity) FROM return_line rl
            JOIN order_line ol ON ol.order_id = r.order_id AND ol.line_no = rl.line_no
            WHERE rl.return_id = r.return_id) AS value_minor,
           (SELECT max(f.delivered_at) FROM fulfillment_order f WHERE f.order_id = r.order_id) AS delivered_at,
           (SELECT f.node_id FROM reservation c JOIN fulfillment_order f ON f.fulfillment_order_id = c.owner
            JOIN return_line rl ON rl.return_id = r.return_id AND rl.line_no = c.line_no
            WHERE c.order_id = r.order_id AND c.shipped > 0 ORDER BY f.n LIMIT 1) AS shipped_from
    FROM return_order r JOIN orders o USING (order_id) WHERE r.return_id = :return_id
""")
_IS_RETURN = text("SELECT FROM return_order WHERE return_id = :return_id")
_DECIDE = text("""
    UPDATE return_order SET status = :status, node_id = :node_id, decided_by = :actor
    WHERE return_id = :return_id AND status = 'requested'
""")
_LINES = text("""
    SELECT l.line_no, l.sku, coalesce(s.partner_sku, l.sku) AS partner_sku, l.quantity, l.received, l.restocked,
           l.written_off
    FROM return_line l JOIN return_order r USING (return_id)
    LEFT JOIN source_offer s ON s.node_id = r.node_id AND s.sku = l.sku
    WHERE return_id = :return_id ORDER BY l.line_no
""")
_NODE = text("SELECT node_type, partner_id FROM node WHERE node_id = :node_id")
_END = text("""
    UPDATE return_order
    SET status = :status, closed_at = now(),
        refund_minor = (SELECT coalesce(sum(amount_minor), 0) FROM payment_operation
                        WHERE kind = 'refund' AND status = 'succeeded' AND reference LIKE :refunds)
    WHERE return_id = :return_id
    RETURNING refund_minor
""")


async def open_return(connection: AsyncConnection, request: ReturnRequest) -> ReturnInput:
    """Write a return request down.

    Raises:
        NotFound: there is no such order.
        InvalidInput: more units than were delivered and are not already coming back; every line is named.
    """
    key = f"{request.order_id}/return-request/{request.request_id}" if request.request_id else ""
    answered = await lock_order(connection, request.order_id, key)
    if answered is not None:
        return ReturnInput.model_validate(answered)
    lines = await _checked(connection, request)
    n = (await connection.execute(_NEXT_N, {"order_id": request.order_id})).scalar_one()
    return_id = return_id_of(request.order_id, n)
    values = {
        "return_id": return_id,
        "order_id": request.order_id,
        "n": n,
        "reason": request.reason,
        "requested_by": request.actor,
        "lines": json.dumps(lines),
    }
    await connection.execute(_OPEN, values)
    units = sum(line["quantity"] for line in lines)
    await note(connection, request.order_id, "return requested", actor=request.actor, return_id=return_id, units=units)
    opened = _start(await _find(connection, return_id))
    return await keep_result(connection, key, opened) if key else opened


async def is_return(connection: AsyncConnection, reference: str) -> bool:
    """Whether this is the id of a return."""
    return (await connection.execute(_IS_RETURN, {"return_id": reference})).first() is not None


async def read_start(connection: AsyncConnection, return_id: str) -> ReturnInput:
    """What the process of an open return is started with.

    Raises:
        NotFound: there is no such return.
        Conflict: it is over.
    """
    row = await _find(connection, return_id)
    if row.closed_at is not None:
        raise Conflict(f"{return_id} is over: it needs no process", return_id=return_id)
    return _start(row)


def _start(row: Any) -> ReturnInput:
    return ReturnInput(
        return_id=row.return_id,
        order_id=row.order_id,
        units=row.units,
        policy=ProcessPolicy.model_validate(row.process),
    )


async def _checked(connection: AsyncConnection, request: ReturnRequest) -> list[dict[str, Any]]:
    rows = {row.line_no: row for row in await connection.execute(_RETURNABLE, {"order_id": request.order_id})}
    wanted: dict[int, int] = {}
    for line in request.lines:
        wanted[line.line_no] = wanted.get(line.line_no, 0) + line.quantity
    faults = [_fault(line_no, units, rows.get(line_no)) for line_no, units in wanted.items()]
    if any(faults):
        raise InvalidInput([fault for fault in faults if fault is not None])
    return [{"line_no": n, "sku": rows[n].sku, "quantity": units} for n, units in sorted(wanted.items())]


def _fault(line_no: int, units: int, row: Any) -> Fault | None:
    if row is None:
        return Fault(pointer=f"/lines/{line_no}", code="unknown_line", message=f"the order has no line {line_no}")
    left = row.delivered - row.coming
    if units > left:
        message = f"{units} units asked for, {left} of line {line_no} can be returned"
        return Fault(pointer=f"/lines/{line_no}/quantity", code="not_returnable", message=message)
    return None


async def _find(connection: AsyncConnection, return_id: str) -> Any:
    row = (await connection.execute(_FIND, {"return_id": return_id})).first()
    if row is None:
        raise NotFound(f"there is no return {return_id}", return_id=return_id)
    return row


async def judge_return(connection: AsyncConnection, step: ReturnStep) -> ReturnVerdict:
    """The policy's answer, written down when it is final."""
    row = await _find(connection, step.return_id)
    answered = await lock_order(connection, row.order_id, step.step_key)
    if answered is not None:
        return ReturnVerdict.model_validate(answered).model_copy(update={"decided": _decided(row)})
    judgement = judge(row.value_minor, _delivered_at(row, step.as_of), step.as_of, ProcessPolicy(**row.process))
    verdict = await _write_decision(connection, row, judgement, "doms")
    return await keep_result(connection, step.step_key, verdict)


def _decided(row: Any) -> bool | None:
    """What staff have decided meanwhile: the process that was told is not the one that asks again."""
    return None if row.status == "requested" else row.status != "declined"


async def decide_return(connection: AsyncConnection, step: ReturnStep, *, approve: bool) -> ReturnVerdict:
    """Staff's answer to a return the policy would not decide."""
    row = await _find(connection, step.return_id)
    answered = await lock_order(connection, row.order_id, step.step_key)
    if answered is not None:
        return ReturnVerdict.model_validate(answered)
    judgement = Judgement(decision="approved" if approve else "declined", reason=step.reason)
    verdict = await _write_decision(connection, row, judgement, step.actor)
    return await keep_result(connection, step.step_key, verdict)


def _delivered_at(row: Any, as_of: datetime) -> datetime:
    delivered: datetime = row.delivered_at or as_of
    return delivered


async def _write_decision(connection: AsyncConnection, row: Any, judgement: Judgement, actor: str) -> ReturnVerdict:
    node_id = ""
    if judgement.decision == "approved":
        nodes = await network.read_nodes(connection)
        node_id = receiving_node(nodes, row.shipped_from or "", Place(**row.place))
    if judgement.decision != "ask_staff":
        values = {
            "return_id": row.return_id,
            "status": judgement.decision,
            "node_id": node_id or None,
            "actor": actor,
        }
        await connection.execute(_DECIDE, values)
    await note(
        connection,
        row.order_id,
        f"return {judgement.decision}",
        actor=actor,
        return_id=row.return_id,
        because=judgement.reason,
        node_id=node_id,
    )
    return ReturnVerdict(
        decision=judgement.decision, reason=judgement.reason, node_id=node_id, value_minor=row.value_minor
    )


class Announcement(Model):
    """What the receiving node is told to expect."""

    partner_id: str
    request: ExpectReturn


async def read_announcement(connection: AsyncConnection, return_id: str) -> Announcement:
    row = await _find(connection, return_id)
    node = (await connection.execute(_NODE, {"node_id": row.node_id})).one()
    lines = await connection.execute(_LINES, {"return_id": return_id})
    request = ExpectReturn(
        reference=return_id,
        order_id=row.order_id,
        node_id=row.node_id,
        node_type=NodeType(node.node_type),
        lines=tuple(
            RequestedLine(line_no=r.line_no, sku=r.sku, partner_sku=r.partner_sku, quantity=r.quantity) for r in lines
        ),
    )
    return Announcement(partner_id=node.partner_id, request=request)


async def settle_return(connection: AsyncConnection, step: ReturnStep) -> CallOutcome:
    """Units that came back are the order's no longer: written off, or as new, and then stock for who waits first."""
    row = await _find(connection, step.return_id)
    queue = await line_up_behind(connection, row.order_id)
    answered = await lock_order(connection, row.order_id, step.step_key)
    if answered is not None:
        return CallOutcome.model_validate(answered)
    lines = [line for line in await connection.execute(_LINES, {"return_id": step.return_id}) if line.received]
    await shift(
        connection,
        row.order_id,
        ({"line_no": line.line_no, "delivered": -line.received, "returned": line.received} for line in lines),
    )
    await receive(connection, _moves(row, lines))
    await queue.serve(connection)
    outcome = CallOutcome(done=bool(lines), units=sum(line.received for line in lines))
    return await keep_result(connection, step.step_key, outcome)


async def restocked_items(connection: AsyncConnection, return_id: str) -> list[str]:
    """The items of which units of a return are stock again."""
    lines = await connection.execute(_LINES, {"return_id": return_id})
    return sorted({line.sku for line in lines if line.restocked})


def _moves(row: Any, lines: list[Any]) -> list[Move]:
    restocked: dict[str, int] = {}
    written_off: dict[str, int] = {}
    for line in lines:
        restocked[line.sku] = restocked.get(line.sku, 0) + line.restocked
        written_off[line.sku] = written_off.get(line.sku, 0) + line.written_off
    back = [
        Move(node_id=row.node_id, sku=sku, cause="restock", on_hand=units, reference=row.return_id)
        for sku, units in restocked.items()
        if units
    ]
    lost = [
        Move(node_id=row.node_id, sku=sku, cause="write_off", reference=row.return_id)
        for sku, units in written_off.items()
        if units
    ]
    return back + lost


async def close_return(connection: AsyncConnection, step: ReturnStep) -> ReturnOutcome:
    """Write the end of a return. ``step.reason`` is its final status."""
    row = await _find(connection, step.return_id)
    answered = await lock_order(connection, row.order_id, step.step_key)
    if answered is not None:
        return ReturnOutcome.model_validate(answered)
    status = step.reason
    values = {"return_id": step.return_id, "status": status, "refunds": f"{step.return_id}/%"}
    refund = (await connection.execute(_END, values)).scalar_one()
    lines = (await connection.execute(_LINES, {"return_id": step.return_id})).all()
    outcome = ReturnOutcome(
        return_id=step.return_id,
        status=status,
        received_units=sum(line.received for line in lines),
        refund_minor=refund,
    )
    await note(connection, row.order_id, f"return {status}", return_id=step.return_id, refund_minor=refund)
    return await keep_result(connection, step.step_key, outcome)
