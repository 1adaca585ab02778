"""Deliveries as they are counted in: good, damaged, short, over, whole or in parts, each reference once.

Good units become stock of their node and are kept, in the same transaction, for the orders that wait; damaged ones
go to quarantine. More than was expected is taken in all the same, for it is there, and somebody looks at why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import turns
from shared.database.backorders import keep_for_waiting
from shared.database.inbounds import find_inbound, lock_inbound, lock_lines
from shared.database.rebinding import Change, News, rebind
from shared.database.steps import open_case
from shared.database.stock import Move, receive
from shared.domain.base import Model
from shared.domain.supply import InboundKind, InboundStatus, Receipt
from shared.errors import Conflict, Fault, InvalidInput

_ONCE = text("""
    INSERT INTO inbound_receipt (inbound_id, reference, content_hash, result, actor)
    VALUES (:inbound_id, :reference, :content_hash, '{}', :actor)
    ON CONFLICT DO NOTHING RETURNING reference
""")
_FIND = text("""
    SELECT content_hash, result FROM inbound_receipt WHERE inbound_id = :inbound_id AND reference = :reference
""")
_KEEP = text("""
    UPDATE inbound_receipt SET result = CAST(:result AS jsonb)
    WHERE inbound_id = :inbound_id AND reference = :reference
""")
_KNOWN = text("SELECT sku FROM item WHERE sku = ANY(:skus)")
_UNEXPECTED = text("""
    INSERT INTO inbound_line (inbound_id, sku, quantity, open)
    SELECT :inbound_id, sku, 0, 0 FROM unnest(CAST(:skus AS text[])) AS s(sku) ORDER BY sku
    ON CONFLICT DO NOTHING
""")
#: Who is bound to units that are no longer to come is bound anew at once, and counted then.
_COUNT_IN = text("""
    WITH came AS (
        SELECT * FROM jsonb_to_recordset(CAST(:lines AS jsonb))
            AS c(sku text, good bigint, damaged bigint, short boolean)
    ), before AS (
        SELECT l.sku, l.open, c.good, c.damaged, c.short FROM inbound_line l JOIN came c USING (sku)
        WHERE l.inbound_id = :inbound_id
    )
    UPDATE inbound_line l
    SET received = l.received + b.good, damaged = l.damaged + b.damaged,
        over = l.over + greatest(b.good + b.damaged - b.open, 0),
        missing = l.missing + CASE WHEN b.short THEN greatest(b.open - b.good - b.damaged, 0) ELSE 0 END,
        open = CASE WHEN b.short THEN 0 ELSE greatest(b.open - b.good - b.damaged, 0) END,
        bound = CASE WHEN b.short THEN 0 ELSE least(l.bound, greatest(b.open - b.good - b.damaged, 0)) END
    FROM before b WHERE l.inbound_id = :inbound_id AND l.sku = b.sku
    RETURNING l.sku, b.good, b.damaged, l.open, greatest(b.good + b.damaged - b.open, 0) AS over,
              CASE WHEN b.short THEN greatest(b.open - b.good - b.damaged, 0) ELSE 0 END AS missing
""")
_CLOSE = text("""
    UPDATE inbound i SET status = 'closed', closed_at = now()
    WHERE inbound_id = :inbound_id AND closed_at IS NULL
      AND NOT EXISTS (SELECT FROM inbound_line l WHERE l.inbound_id = i.inbound_id AND l.open > 0)
    RETURNING inbound_id
""")


class CountedLine(Model):
    """What a receipt changed of one item.

    Attributes:
        open: Units that are still to come after it.
    """

    sku: str
    good: int
    damaged: int
    over: int
    missing: int
    open: int


class Received(Model):
    """What a receipt came to.

    Attributes:
        orders: Waiting orders that got units of it, or another promise.
        again: It was booked before, and this is what it came to then.
    """

    inbound_id: str
    reference: str
    lines: tuple[CountedLine, ...]
    closed: bool
    orders: tuple[str, ...]
    again: bool = False


async def book_receipt(change: Change, receipt: Receipt, *, actor: str) -> Received:
    """Count a delivery in. The same reference again answers with what it came to the first time.

    Raises:
        NotFound: there is no such inbound.
        InvalidInput: an item is unknown.
        Conflict: the reference names another receipt, or a transfer has not departed.
        Overtaken: others have locked orders that it concerns.
    """
    connection, inbound_id = change.connection, receipt.inbound_id
    inbound = await find_inbound(connection, inbound_id)
    booked = await _booked_before(connection, receipt, actor)
    if booked is not None:
        return booked
    if inbound.kind == InboundKind.TRANSFER and inbound.status == InboundStatus.EXPECTED:
        message = f"{inbound_id} has not departed from {inbound.origin_node_id}: its units are there"
        raise Conflict(message, inbound_id=inbound_id)
    skus = sorted(line.sku for line in receipt.lines)
    await _check_items(connection, receipt, skus)
    await turns.lock_first(connection, skus, change.behind, inbound_id=inbound_id)
    await receive(connection, _moves(inbound, receipt, actor))
    came = await _keep(change, inbound, receipt, actor)
    await connection.execute(_UNEXPECTED, {"inbound_id": inbound_id, "skus": skus})
    await lock_lines(connection, skus)
    lines = await _count_in(connection, receipt)
    because = f"{inbound_id} was received as {receipt.reference}"
    promised = await rebind(change, skus, because=because, news=News(came=came, came_with=inbound_id))
    await _open_cases(connection, inbound, lines)
    await lock_inbound(connection, inbound_id)
    closed = (await connection.execute(_CLOSE, {"inbound_id": inbound_id})).first() is not None
    result = Received(
        inbound_id=inbound_id,
        reference=receipt.reference,
        lines=lines,
        closed=closed,
        orders=tuple(sorted({order_id for order_id, _ in came}.union(promised))),
    )
    values = {"inbound_id": inbound_id, "reference": receipt.reference, "result": result.model_dump_json()}
    await connection.execute(_KEEP, values)
    return result


async def _booked_before(connection: AsyncConnection, receipt: Receipt, actor: str) -> Received | None:
    values = {"inbound_id": receipt.inbound_id, "reference": receipt.reference}
    content_hash = receipt.content_hash()
    kept = await connection.execute(_ONCE, {**values, "content_hash": content_hash, "actor": actor})
    if kept.first() is not None:
        return None
    row = (await connection.execute(_FIND, values)).one()
    if row.content_hash != content_hash:
        message = f"{receipt.reference} of {receipt.inbound_id} was booked before with other content"
        raise Conflict(message, inbound_id=receipt.inbound_id, reference=receipt.reference)
    return Received.model_validate(row.result | {"again": True})


async def _check_items(connection: AsyncConnection, receipt: Receipt, skus: list[str]) -> None:
    known = set((await connection.execute(_KNOWN, {"skus": skus})).scalars())
    faults = [
        Fault(pointer=f"/lines/{n}/sku", code="unknown_sku", message=f"no such item in the catalogue: {line.sku}")
        for n, line in enumerate(receipt.lines)
        if line.sku not in known
    ]
    if faults:
        raise InvalidInput(faults)


def _moves(inbound: Any, receipt: Receipt, actor: str) -> list[Move]:
    cause = "transfer" if inbound.kind == InboundKind.TRANSFER else "receive"
    reference = _reference(receipt)
    good = [
        Move(node_id=inbound.node_id, sku=n.sku, cause=cause, on_hand=n.good, reference=reference, actor=actor)
        for n in receipt.lines
        if n.good
    ]
    damaged = [
        Move(
            node_id=inbound.node_id,
            sku=n.sku,
            cause="quarantine",
            quarantined=n.damaged,
            reference=reference,
            actor=actor,
        )
        for n in receipt.lines
        if n.damaged
    ]
    return good + damaged


def _reference(receipt: Receipt) -> str:
    return f"{receipt.inbound_id}/{receipt.reference}"


async def _count_in(connection: AsyncConnection, receipt: Receipt) -> tuple[CountedLine, ...]:
    lines = json.dumps([line.model_dump() for line in receipt.lines])
    rows = await connection.execute(_COUNT_IN, {"inbound_id": receipt.inbound_id, "lines": lines})
    counted = (CountedLine.model_validate(dict(row._mapping)) for row in rows)
    return tuple(sorted(counted, key=lambda line: line.sku))


async def _keep(change: Change, inbound: Any, receipt: Receipt, actor: str) -> Mapping[tuple[str, int], int]:
    """Keep the good units for who waits, first for those bound to them; returns what each order line got."""
    arrived = {(inbound.node_id, line.sku): line.good for line in receipt.lines if line.good}
    if not arrived:
        return {}
    return await keep_for_waiting(
        change.connection,
        arrived,
        change.timetable,
        reference=_reference(receipt),
        as_of=change.as_of,
        actor=actor,
        inbound_id=inbound.inbound_id,
    )


async def _open_cases(connection: AsyncConnection, inbound: Any, lines: tuple[CountedLine, ...]) -> None:
    for line in lines:
        reference = f"{inbound.inbound_id}/{line.sku}"
        if line.over:
            await open_case(connection, "over_receipt", reference, None, units=line.over, node_id=inbound.node_id)
        if line.missing and inbound.kind == InboundKind.TRANSFER:
            await open_case(
                connection,
                "lost_in_transfer",
                reference,
                None,
                units=line.missing,
                from_node=inbound.origin_node_id,
                to_node=inbound.node_id,
            )
