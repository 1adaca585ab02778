"""What partners tell us, applied to the facts once, whatever order and however often it comes.

A message and its effect are one transaction. When the order's process has something to decide, the message
carries a wake-up that is sent after the commit; one that was lost to a crash is found and sent again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.arrivals import apply_return, apply_tracking
from shared.database.confirmations import apply_accepted, apply_packed, apply_rejected, apply_shipped
from shared.database.facts import Applied, Unmatched
from shared.domain.base import Model
from shared.errors import NotAllowed
from shared.gateways.partner_messages import (
    FulfillmentAccepted,
    FulfillmentPacked,
    FulfillmentRejected,
    FulfillmentShipped,
    PartnerMessage,
    ReturnReceived,
    TrackingUpdated,
)
from shared.messages import Wake

_TAKE = text("""
    INSERT INTO message_in (partner_id, message_id, type, reference, body)
    VALUES (:partner_id, :message_id, :type, :reference, CAST(:body AS jsonb))
    ON CONFLICT (partner_id, message_id) DO UPDATE SET message_id = excluded.message_id
    RETURNING applied_at, workflow_id, wake, signalled_at, told_again
""")
_APPLIED = text("""
    WITH applied AS (
        UPDATE message_in
        SET applied_at = now(), order_id = :order_id, workflow_id = :workflow_id, wake = CAST(:wake AS jsonb)
        WHERE partner_id = :partner_id AND message_id = :message_id
    )
    INSERT INTO timeline (order_id, actor, event, detail)
    SELECT :order_id, :partner_id, e.name, e.detail
    FROM jsonb_to_record(CAST(:event AS jsonb)) AS e(name text, detail jsonb) WHERE e.name IS NOT NULL
""")
#: What one message means to several processes is noted for each, so that no wake-up is lost.
_ALSO = text("""
    INSERT INTO message_in (partner_id, message_id, type, reference, body)
    SELECT partner_id, :also_id, type, reference, '{}' FROM message_in
    WHERE partner_id = :partner_id AND message_id = :message_id
""")
#: A scan and the ship confirm it came before must not miss each other: whoever is second sees the first. A ship confirm
#: locks its numbers before its order, for an earlier scan is about the orders of all who share the parcel.
_MEET = text("""
    SELECT r, pg_advisory_xact_lock(hashtextextended(r, 0)) FROM (
        SELECT unnest(CAST(:references AS text[])) AS r
        UNION SELECT tracking_no FROM package WHERE fulfillment_order_id = :ships AND tracking_no <> ''
        ORDER BY r) n
""")
_EARLY = text("""
    SELECT partner_id, body FROM message_in
    WHERE applied_at IS NULL AND reference = ANY(:references) AND type = 'tracking.updated' ORDER BY received_at
    FOR UPDATE
""")
#: Nobody heard it: of an order or return that is over nobody has to, any other is owed it until its process runs again.
#: What only a process heard that was lost since is owed to the one in its place.
_SIGNALLED = text("""
    UPDATE message_in m SET signalled_at = now()
    WHERE partner_id = :partner_id AND message_id = :message_id AND told_again = :told_again
      AND (:heard OR CASE type
           WHEN 'return.received'
           THEN NOT EXISTS (SELECT FROM return_order r WHERE r.return_id = m.reference AND r.closed_at IS NULL)
           ELSE NOT EXISTS (SELECT FROM orders o WHERE o.order_id = m.order_id AND o.closed_at IS NULL) END)
    RETURNING message_id
""")
#: What a process was told and did not live to act on, is told to the one that takes its place.
_TELL_AGAIN = text("""
    UPDATE message_in SET signalled_at = NULL, told_again = told_again + 1
    WHERE order_id = :order_id AND workflow_id = :workflow_id AND wake IS NOT NULL
""")
_UNSIGNALLED = text("""
    SELECT partner_id, message_id, workflow_id, wake, told_again FROM message_in
    WHERE wake IS NOT NULL AND signalled_at IS NULL AND received_at < now() - make_interval(secs => :older_than)
      AND (partner_id, message_id) > (:partner_id, :message_id)
    ORDER BY partner_id, message_id LIMIT :limit
""")


class WakeUp(Model):
    """A wake-up to be sent to a process, and the message it belongs to.

    Attributes:
        told_again: How often a process was owed it that took another's place.
    """

    partner_id: str
    message_id: str
    workflow_id: str
    wake: Wake
    told_again: int = 0


class Taken(Model):
    """What is to be told of a message after the commit.

    Attributes:
        served: Orders that got what the message's order gave back; they are owed a wake-up.
    """

    wakes: tuple[WakeUp, ...] = ()
    served: tuple[str, ...] = ()


_APPLY: dict[type, Callable[..., Awaitable[Applied]]] = {
    FulfillmentAccepted: apply_accepted,
    FulfillmentRejected: apply_rejected,
    FulfillmentPacked: apply_packed,
    FulfillmentShipped: apply_shipped,
    TrackingUpdated: apply_tracking,
    ReturnReceived: apply_return,
}


async def take(connection: AsyncConnection, partner_id: str, message: PartnerMessage) -> Taken:
    """Apply a message, in the caller's transaction; returns the processes to wake after the commit.

    A message whose parcel or order is not known yet is kept and applied when it is.

    Raises:
        NotAllowed: the message is about another partner's work.
    """
    values = {
        "partner_id": partner_id,
        "message_id": message.message_id,
        "type": message.type,
        "reference": message.reference,
        "body": message.model_dump_json(),
    }
    row = (await connection.execute(_TAKE, values)).one()
    if row.applied_at is not None:
        return Taken(wakes=_unsent(partner_id, message.message_id, row))
    met = await _meet_scans(connection, message) if isinstance(message, FulfillmentShipped) else set[str]()
    applied = await _apply(connection, partner_id, message)
    if applied is None:
        return Taken()
    wakes = await _mark_all(connection, partner_id, message.message_id, applied)
    return Taken(wakes=(*wakes, *await _apply_early(connection, applied, met)), served=applied.served)


async def _meet_scans(connection: AsyncConnection, message: FulfillmentShipped) -> set[str]:
    numbers = [package.tracking_no for package in message.packages if package.tracking_no]
    return await _meet(connection, numbers, ships=message.reference)


async def _meet(connection: AsyncConnection, references: Collection[str], *, ships: str = "") -> set[str]:
    """Lock references, and the numbers of what a fulfillment order ships; returns them."""
    rows = await connection.execute(_MEET, {"references": list(references), "ships": ships})
    return {row.r for row in rows}


async def _apply(connection: AsyncConnection, partner_id: str, message: PartnerMessage) -> Applied | None:
    """The message's effect; ``None`` when it came before what it is about."""
    apply = _APPLY[type(message)]
    try:
        return await apply(connection, partner_id, message)
    except Unmatched:
        await _meet(connection, [message.reference])
    try:
        return await apply(connection, partner_id, message)
    except Unmatched:
        return None


def _unsent(partner_id: str, message_id: str, row: Any) -> tuple[WakeUp, ...]:
    """The wake-up of a message that was applied before and perhaps never sent."""
    if row.wake is None or row.signalled_at is not None:
        return ()
    return (WakeUp.model_validate({**row._mapping, "partner_id": partner_id, "message_id": message_id}),)


def _wake_up(partner_id: str, message_id: str, applied: Applied) -> tuple[WakeUp, ...]:
    if applied.wake is None:
        return ()
    workflow_id = applied.workflow_id
    return (WakeUp(partner_id=partner_id, message_id=message_id, workflow_id=workflow_id, wake=applied.wake),)


async def _mark_all(connection: AsyncConnection, partner_id: str, message_id: str, applied: Applied) -> list[WakeUp]:
    """Note every effect of a message; returns who is to be woken."""
    await _mark_applied(connection, partner_id, message_id, applied)
    wakes = [*_wake_up(partner_id, message_id, applied)]
    for number, effect in enumerate(applied.also, start=1):
        also_id = f"{message_id}+{number}"
        await connection.execute(_ALSO, {"partner_id": partner_id, "message_id": message_id, "also_id": also_id})
        await _mark_applied(connection, partner_id, also_id, effect)
        wakes += _wake_up(partner_id, also_id, effect)
    return wakes


async def _mark_applied(connection: AsyncConnection, partner_id: str, message_id: str, applied: Applied) -> None:
    values = {
        "partner_id": partner_id,
        "message_id": message_id,
        "order_id": applied.order_id,
        "workflow_id": applied.workflow_id,
        "wake": applied.wake.model_dump_json() if applied.wake else None,
        "event": applied.event.model_dump_json() if applied.event else "{}",
    }
    await connection.execute(_APPLIED, values)


async def _apply_early(connection: AsyncConnection, applied: Applied, met: Collection[str]) -> list[WakeUp]:
    """Apply what came before the fact it is about: a scan before the ship confirm. Some references are locked."""
    if not applied.unlocks:
        return []
    wakes: list[WakeUp] = []
    if others := set(applied.unlocks).difference(met):
        await _meet(connection, others)
    for row in (await connection.execute(_EARLY, {"references": list(applied.unlocks)})).all():
        scan = TrackingUpdated.model_validate(row.body)
        with suppress(NotAllowed):  # another carrier's, whose parcel of the same number is still to come
            late = await apply_tracking(connection, row.partner_id, scan)
            wakes += await _mark_all(connection, row.partner_id, scan.message_id, late)
    return wakes


async def mark_signalled(connection: AsyncConnection, wake_up: WakeUp, *, heard: bool) -> bool:
    """The process has heard of it, or there was none; whether nothing is owed to it any more.

    What was owed anew since the wake-up was read stays owed. One statement: it needs no transaction around it.
    """
    values = {**wake_up.model_dump(include={"partner_id", "message_id", "told_again"}), "heard": heard}
    return (await connection.execute(_SIGNALLED, values)).first() is not None


async def tell_again(connection: AsyncConnection, order_id: str, workflow_id: str) -> None:
    """Have every wake-up of a process sent once more: of the order's, or of one of its returns."""
    await connection.execute(_TELL_AGAIN, {"order_id": order_id, "workflow_id": workflow_id})


async def unsignalled(
    connection: AsyncConnection, *, older_than: float, after: tuple[str, str] = ("", ""), limit: int = 500
) -> list[WakeUp]:
    """Wake-ups no process has heard as far as we know, a page at a time.

    Args:
        older_than: Seconds since the message came.
        after: Partner and message of the last one of the page before.
    """
    partner_id, message_id = after
    values = {"older_than": older_than, "partner_id": partner_id, "message_id": message_id, "limit": limit}
    rows = await connection.execute(_UNSIGNALLED, values)
    return [WakeUp.model_validate(dict(row._mapping)) for row in rows]
