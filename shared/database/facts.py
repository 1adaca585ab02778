"""What applying a partner's message comes to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.base import Model
from shared.errors import NotAllowed
from shared.messages import Wake

#: Whose order a fulfillment order is never changes, so it may be looked up before the lock is had.
_LOCK = text("""
    SELECT order_id FROM orders
    WHERE order_id = (SELECT order_id FROM fulfillment_order WHERE fulfillment_order_id = :reference)
    FOR NO KEY UPDATE
""")
_OWNER = text("SELECT order_id FROM fulfillment_order WHERE fulfillment_order_id = :reference")
_READ = text("""
    SELECT f.order_id, f.n, f.node_id, f.status, f.request_status, f.shipped_at, f.ended_at, f.carrier, f.service,
           f.units, n.partner_id, n.node_type
    FROM fulfillment_order f JOIN node n USING (node_id) WHERE f.fulfillment_order_id = :reference
""")


class Event(Model):
    """What the order's timeline says of a message."""

    name: str
    detail: dict[str, Any]


def event(name: str, **detail: Any) -> Event:
    """A timeline event with its details."""
    return Event(name=name, detail=detail)


class Applied(Model):
    """The effect of one message.

    Attributes:
        event: What the timeline says of it; ``None`` when nothing changed.
        wake: What the process has to decide on; ``None`` when there is nothing to decide.
        unlocks: References that earlier messages were waiting for.
        served: Other orders that got what this one gave back.
        also: Further effects of the same message: on orders that share the parcel, or that only now can be had.
    """

    order_id: str | None = None
    event: Event | None = None
    workflow_id: str = ""
    wake: Wake | None = None
    unlocks: tuple[str, ...] = ()
    served: tuple[str, ...] = ()
    also: tuple[Applied, ...] = ()


class Unmatched(Exception):
    """The message is about something that is not known yet."""


async def owner_of(connection: AsyncConnection, reference: str) -> str:
    """The order a fulfillment order belongs to, not locked; empty when there is none."""
    return (await connection.execute(_OWNER, {"reference": reference})).scalar_one_or_none() or ""


async def lock_fulfillment(connection: AsyncConnection, partner_id: str, reference: str) -> Any:
    """Lock the order a fulfillment order belongs to and read it.

    Raises:
        Unmatched: there is none of that reference.
        NotAllowed: it is another partner's, or was not sent to this one.
    """
    if (await connection.execute(_LOCK, {"reference": reference})).first() is None:
        raise Unmatched(reference)
    row = (await connection.execute(_READ, {"reference": reference})).one()
    if row.partner_id != partner_id:
        raise NotAllowed(f"{partner_id} does not fulfil {reference}", reference=reference)
    if row.request_status == "unsubmitted":
        raise NotAllowed(f"{partner_id} was not asked to fulfil {reference}", reference=reference)
    return row
