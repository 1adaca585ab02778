"""Cases: what needs a person, how old it is, and how it was resolved."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.base import Instant, Model
from shared.domain.cases import explain
from shared.errors import Conflict, NotFound

_LIST = text("""
    SELECT *, coalesce(resolved_at, now()) - opened_at AS age FROM exception_case
    WHERE (resolved_at IS NOT NULL) = :resolved AND (:kind = '' OR kind = :kind OR starts_with(kind, :kind || '.'))
      AND (:order_id = '' OR order_id = :order_id)
    ORDER BY case_id DESC LIMIT :limit
""")
_ONE = text("""
    SELECT *, coalesce(resolved_at, now()) - opened_at AS age FROM exception_case WHERE case_id = :case_id
    FOR NO KEY UPDATE
""")
_RESOLVE = text("""
    UPDATE exception_case SET resolved_at = now(), resolution = :resolution WHERE case_id = :case_id
""")


class Case(Model):
    """Something for a person.

    Attributes:
        age: Seconds it was, or has been, open.
        explanation: What its kind means and what to do.
    """

    case_id: int
    kind: str
    reference: str
    order_id: str | None
    explanation: str
    detail: dict[str, Any]
    opened_at: Instant
    age: float
    resolved_at: Instant | None
    resolution: str


async def list_cases(
    connection: AsyncConnection, *, resolved: bool = False, kind: str = "", order_id: str = "", limit: int = 100
) -> list[Case]:
    """Cases, the latest first. A kind may be the first part of a name, such as ``recon``."""
    values = {"resolved": resolved, "kind": kind, "order_id": order_id, "limit": limit}
    return [_case(row) for row in await connection.execute(_LIST, values)]


async def find_case(connection: AsyncConnection, case_id: int) -> Case:
    """One case.

    Raises:
        NotFound: there is no such case.
    """
    row = (await connection.execute(_ONE, {"case_id": case_id})).first()
    if row is None:
        raise NotFound(f"there is no case {case_id}", case_id=case_id)
    return _case(row)


async def resolve_case(connection: AsyncConnection, case_id: int, *, actor: str, resolution: str) -> Case:
    """Note how a case was resolved. A break that is still there opens a new one in the next reconciliation.

    Raises:
        NotFound: there is no such case.
        Conflict: it was resolved before.
    """
    case = await find_case(connection, case_id)
    if case.resolved_at is not None:
        raise Conflict(f"case {case_id} was resolved: {case.resolution}", case_id=case_id)
    await connection.execute(_RESOLVE, {"case_id": case_id, "resolution": f"{actor}: {resolution}"})
    return await find_case(connection, case_id)


def _case(row: Any) -> Case:
    values = dict(row._mapping)
    return Case.model_validate(values | {"age": values["age"].total_seconds(), "explanation": explain(row.kind)})
