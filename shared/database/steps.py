"""One transaction per step of a process, with its result kept under the step's key.

A step that is repeated, because its worker died or its answer was lost, answers with its first result. Every
step that changes an order locks the order's row first, so that steps, staff commands and partner messages
of one order never interleave; stock rows are locked after it, in key order.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.base import Model
from shared.errors import NotFound

M = TypeVar("M", bound=Model)

_LOCK = text("SELECT FROM orders WHERE order_id = :order_id FOR NO KEY UPDATE")
#: A statement of its own: the one that waits for the lock does not see what whoever held it has committed.
_RESULT = text("SELECT result FROM step_result WHERE step_key = :step_key")
_KEEP = text("INSERT INTO step_result (step_key, result) VALUES (:step_key, CAST(:result AS jsonb))")
_NOTE = text("""
    INSERT INTO timeline (order_id, actor, event, detail) VALUES (:order_id, :actor, :event, CAST(:detail AS jsonb))
""")
_CASE = text("""
    INSERT INTO exception_case (kind, reference, order_id, detail)
    VALUES (:kind, :reference, :order_id, CAST(:detail AS jsonb))
    ON CONFLICT (kind, reference) WHERE resolved_at IS NULL DO NOTHING
""")


async def lock_order(connection: AsyncConnection, order_id: str, step_key: str = "") -> dict[str, Any] | None:
    """Lock the order for this transaction; returns the step's first result if it has one.

    Raises:
        NotFound: there is no such order.
    """
    if (await connection.execute(_LOCK, {"order_id": order_id})).first() is None:
        raise NotFound(f"there is no order {order_id}", order_id=order_id)
    if not step_key:
        return None
    result: dict[str, Any] | None = (await connection.execute(_RESULT, {"step_key": step_key})).scalar_one_or_none()
    return result


async def keep_result(connection: AsyncConnection, step_key: str, result: M) -> M:
    """Keep the step's result in the transaction of its effect."""
    await connection.execute(_KEEP, {"step_key": step_key, "result": result.model_dump_json()})
    return result


async def note(connection: AsyncConnection, order_id: str, event: str, *, actor: str = "doms", **detail: Any) -> None:
    """Add to the order's timeline."""
    values = {"order_id": order_id, "actor": actor, "event": event, "detail": json.dumps(detail, default=str)}
    await connection.execute(_NOTE, values)


async def open_case(
    connection: AsyncConnection, kind: str, reference: str, order_id: str | None, **detail: Any
) -> None:
    """Open a case for people, once: while it is open the same case is not opened again."""
    values = {"kind": kind, "reference": reference, "order_id": order_id, "detail": json.dumps(detail, default=str)}
    await connection.execute(_CASE, values)
