"""Expected supply is told, departs, slips, is cancelled: each once, whatever is sent again.

Whoever changes it locks orders first, stock after them in key order, then inbound lines, in key order, too, and their
inbounds last. Units leave and enter stock as moves of the ledger under the inbound's own reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import transfer_advices
from shared.database.stock import Move, move
from shared.domain.supply import Inbound, InboundKind, InboundStatus
from shared.errors import Conflict, Fault, InvalidInput, NotFound

_UNKNOWN = text("""
    SELECT ARRAY(SELECT n FROM unnest(CAST(:nodes AS text[])) n WHERE NOT EXISTS (SELECT FROM node WHERE node_id = n))
               AS nodes,
           ARRAY(SELECT s FROM unnest(CAST(:skus AS text[])) s WHERE NOT EXISTS (SELECT FROM item WHERE sku = s))
               AS skus
""")
_KEEP = text("""
    WITH kept AS (
        INSERT INTO inbound (inbound_id, kind, node_id, origin_node_id, expected_at, reference, content_hash, actor)
        VALUES (:inbound_id, :kind, :node_id, :origin_node_id, :expected_at, :reference, :content_hash, :actor)
        ON CONFLICT DO NOTHING
        RETURNING inbound_id
    )
    INSERT INTO inbound_line (inbound_id, sku, quantity, open)
    SELECT k.inbound_id, l.sku, l.quantity, l.quantity
    FROM kept k, unnest(CAST(:skus AS text[]), CAST(:quantities AS bigint[])) AS l(sku, quantity)
    RETURNING inbound_id
""")
_FIND = text("SELECT * FROM inbound WHERE inbound_id = :inbound_id")
_LOCK = text("SELECT * FROM inbound WHERE inbound_id = :inbound_id FOR NO KEY UPDATE")
_SKUS = text("SELECT sku FROM inbound_line WHERE inbound_id = :inbound_id ORDER BY sku")
_LOCK_LINES = text("""
    SELECT FROM inbound_line WHERE sku = ANY(:skus) AND open > 0 ORDER BY inbound_id, sku FOR NO KEY UPDATE
""")
_LOCK_ORIGIN = text("""
    SELECT l.sku, l.open, coalesce(p.on_hand - p.reserved - p.held, 0) AS there
    FROM inbound_line l LEFT JOIN (
        SELECT * FROM stock_position
        WHERE node_id = :node_id AND sku IN (SELECT sku FROM inbound_line WHERE inbound_id = :inbound_id)
        ORDER BY sku FOR NO KEY UPDATE
    ) p USING (sku)
    WHERE l.inbound_id = :inbound_id ORDER BY l.sku
""")
_DEPART = text("""
    UPDATE inbound SET status = 'in_transit', departed_at = now() WHERE inbound_id = :inbound_id
""")
_SLIP = text("UPDATE inbound SET expected_at = :expected_at WHERE inbound_id = :inbound_id")
#: Who is bound to it is bound anew at once.
_CANCEL = text("""
    WITH given_up AS (
        UPDATE inbound_line SET missing = missing + open, open = 0, bound = 0 WHERE inbound_id = :inbound_id
    )
    UPDATE inbound SET status = 'cancelled', closed_at = now() WHERE inbound_id = :inbound_id
""")


async def keep_inbound(connection: AsyncConnection, inbound: Inbound, *, actor: str) -> bool:
    """Write expected supply down; false when the same is on record already.

    Raises:
        InvalidInput: a node or an item is unknown.
        Conflict: the id names other supply.
    """
    await _check_names(connection, inbound)
    values = {
        **inbound.model_dump(mode="python", exclude={"lines"}),
        "content_hash": inbound.content_hash(),
        "actor": actor,
        "skus": [line.sku for line in inbound.lines],
        "quantities": [line.quantity for line in inbound.lines],
    }
    if (await connection.execute(_KEEP, values)).first() is not None:
        return True
    known = (await connection.execute(_FIND, {"inbound_id": inbound.inbound_id})).one()
    if known.content_hash != inbound.content_hash():
        name = inbound.inbound_id
        raise Conflict(f"{name} was announced before with other content: cancel it, or use `slip`", inbound_id=name)
    return False


async def _check_names(connection: AsyncConnection, inbound: Inbound) -> None:
    nodes = [inbound.node_id, *([inbound.origin_node_id] if inbound.origin_node_id else [])]
    values = {"nodes": nodes, "skus": [line.sku for line in inbound.lines]}
    unknown = (await connection.execute(_UNKNOWN, values)).one()
    faults = [
        Fault(pointer=f"/{name}", code="unknown_node", message=f"there is no node {node_id}")
        for name, node_id in (("node_id", inbound.node_id), ("origin_node_id", inbound.origin_node_id))
        if node_id in unknown.nodes
    ]
    faults += [
        Fault(pointer=f"/lines/{n}/sku", code="unknown_sku", message=f"no such item in the catalogue: {line.sku}")
        for n, line in enumerate(inbound.lines)
        if line.sku in unknown.skus
    ]
    if faults:
        raise InvalidInput(faults)


async def lines_of(connection: AsyncConnection, inbound_id: str) -> list[str]:
    """The items of an inbound.

    Raises:
        NotFound: there is none of this id.
    """
    await find_inbound(connection, inbound_id)
    return list((await connection.execute(_SKUS, {"inbound_id": inbound_id})).scalars())


async def lock_lines(connection: AsyncConnection, skus: Sequence[str]) -> None:
    """Lock what is to come of these items: nobody else is bound to it, or let go, until the transaction ends.

    Orders and stock that it locks are locked.
    """
    await connection.execute(_LOCK_LINES, {"skus": list(skus)})


async def find_inbound(connection: AsyncConnection, inbound_id: str) -> Any:
    """The row of an inbound.

    Raises:
        NotFound: there is none of this id.
    """
    return _known((await connection.execute(_FIND, {"inbound_id": inbound_id})).first(), inbound_id)


async def lock_inbound(connection: AsyncConnection, inbound_id: str) -> Any:
    """The row of an inbound, locked; after the stock and the inbound lines that the transaction locks.

    Raises:
        NotFound: there is none of this id.
    """
    return _known((await connection.execute(_LOCK, {"inbound_id": inbound_id})).first(), inbound_id)


def _known(row: Any, inbound_id: str) -> Any:
    if row is None:
        raise NotFound(f"there is no inbound {inbound_id}", inbound_id=inbound_id)
    return row


async def depart(connection: AsyncConnection, inbound_id: str, *, actor: str) -> bool:
    """Take a transfer's units out of its origin: they are on their way. False when it has departed before.

    Raises:
        NotFound: there is no such inbound.
        Conflict: it is no transfer, is over, or its origin has fewer units that nobody has claimed.
    """
    row = await find_inbound(connection, inbound_id)
    if row.kind != InboundKind.TRANSFER:
        raise Conflict(f"{inbound_id} is no transfer: only those depart from a node", inbound_id=inbound_id)
    values = {"inbound_id": inbound_id, "node_id": row.origin_node_id}
    lines = (await connection.execute(_LOCK_ORIGIN, values)).all()
    await lock_lines(connection, [line.sku for line in lines])
    row = await lock_inbound(connection, inbound_id)
    if row.departed_at is not None:
        return False
    must_be_open(row)
    short = [f"{line.sku}: {line.there} of {line.open}" for line in lines if line.there < line.open]
    if short:
        message = f"{row.origin_node_id} does not have what {inbound_id} takes: {', '.join(short[:20])}"
        raise Conflict(message, inbound_id=inbound_id)
    taken = [
        Move(
            node_id=row.origin_node_id,
            sku=line.sku,
            cause="transfer",
            on_hand=-line.open,
            reference=f"{inbound_id}/departure",
            actor=actor,
        )
        for line in lines
    ]
    await move(connection, taken)
    await connection.execute(_DEPART, {"inbound_id": inbound_id})
    await transfer_advices.intend(connection, inbound_id)
    return True


def must_be_open(row: Any) -> None:
    """Refuse what would change supply that is over.

    Raises:
        Conflict: it is closed or cancelled.
    """
    if row.closed_at is not None:
        raise Conflict(f"{row.inbound_id} is {row.status}: nothing more comes of it", inbound_id=row.inbound_id)


async def slip(connection: AsyncConnection, inbound_id: str, expected_at: datetime) -> datetime:
    """Date supply anew; returns when it was expected before.

    Raises:
        NotFound: there is no such inbound.
        Conflict: it is over.
    """
    row = await lock_inbound(connection, inbound_id)
    must_be_open(row)
    await connection.execute(_SLIP, {"inbound_id": inbound_id, "expected_at": expected_at})
    before: datetime = row.expected_at
    return before


async def cancel(connection: AsyncConnection, inbound_id: str) -> bool:
    """Give up what has not come yet; false when that was done before. What is to come of its items is locked.

    Raises:
        NotFound: there is no such inbound.
        Conflict: it is closed, or a transfer on its way: its units are somewhere, and have to be received.
    """
    row = await lock_inbound(connection, inbound_id)
    if row.status == InboundStatus.CANCELLED:
        return False
    must_be_open(row)
    if row.status == InboundStatus.IN_TRANSIT:
        message = f"{inbound_id} is on its way: receive it, and say what is short"
        raise Conflict(message, inbound_id=inbound_id)
    await connection.execute(_CANCEL, {"inbound_id": inbound_id})
    return True
