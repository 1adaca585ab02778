"""Units that are there but cannot be sold, damaged or not inspected yet: released to stock, or written off."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.positions import must_exist
from shared.database.stock import Move, move
from shared.domain.base import Identifier, Model, Sku, Text
from shared.errors import Conflict

_LOCK = text("""
    SELECT quarantined FROM stock_position WHERE node_id = :node_id AND sku = :sku FOR NO KEY UPDATE
""")
_DONE = text("""
    SELECT EXISTS (SELECT FROM stock_move WHERE reference = :reference AND cause = :cause
                   AND node_id = :node_id AND sku = :sku)
""")


class Disposal(Model):
    """What becomes of quarantined units. The same reference counts once."""

    node_id: Identifier
    sku: Sku
    quantity: Annotated[int, Field(ge=1, le=1_000_000)]
    reference: Text


async def release(connection: AsyncConnection, disposal: Disposal, *, actor: str) -> bool:
    """Put quarantined units on hand; false when it was done before under this reference.

    Raises:
        NotFound: there is no such node or item.
        Conflict: fewer are quarantined.
    """
    return await _dispose(connection, disposal, "quarantine", on_hand=disposal.quantity, actor=actor)


async def write_off(connection: AsyncConnection, disposal: Disposal, *, actor: str) -> bool:
    """Write quarantined units off; false when it was done before under this reference.

    Raises:
        NotFound: there is no such node or item.
        Conflict: fewer are quarantined.
    """
    return await _dispose(connection, disposal, "write_off", on_hand=0, actor=actor)


async def _dispose(connection: AsyncConnection, disposal: Disposal, cause: str, *, on_hand: int, actor: str) -> bool:
    await must_exist(connection, disposal.node_id, disposal.sku)
    key = {"node_id": disposal.node_id, "sku": disposal.sku}
    there = (await connection.execute(_LOCK, key)).scalar_one_or_none() or 0
    done = await connection.execute(_DONE, {**key, "reference": disposal.reference, "cause": cause})
    if done.scalar_one():
        return False
    if there < disposal.quantity:
        message = f"{there} of {disposal.sku} are quarantined at {disposal.node_id}, not {disposal.quantity}"
        raise Conflict(message, **key)
    change = Move(
        **key,
        cause=cause,
        on_hand=on_hand,
        quarantined=-disposal.quantity,
        reference=disposal.reference,
        actor=actor,
    )
    await move(connection, [change])
    return True
