"""Consolidations: fulfillment orders of one recipient that travel in one parcel under one label.

Joining and sealing are done under the locks of all members' orders, taken in the order of their ids; leaving needs only
the lock of one's own. A member is live until it ends or leaves. Those that have packed wait for the others, so whoever
leaves has them look again, and itself: see ``waiting``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.candidates import HELD, named
from shared.database.steps import keep_result, lock_order
from shared.domain.base import Instant, Model
from shared.domain.consolidation import Packing, may_share, sealing
from shared.errors import NotFound
from shared.messages import CommandOutcome, Separate, fulfillment_order_id

#: The order and those of its fulfillment order's mates, or without one of all of its mates.
_LOCK_MATES = text("""
    SELECT order_id FROM orders
    WHERE order_id = ANY(CAST(:order_id AS text) || ARRAY(
        SELECT f.order_id
        FROM consolidation_member own JOIN consolidation_member m USING (consolidation_id)
        JOIN fulfillment_order f ON f.fulfillment_order_id = m.fulfillment_order_id
        WHERE own.fulfillment_order_id = :owner AND own.left_at IS NULL AND m.left_at IS NULL))
    ORDER BY order_id FOR NO KEY UPDATE
""")
_LOCK = text("""
    SELECT order_id FROM orders WHERE order_id = ANY(:order_ids) ORDER BY order_id FOR NO KEY UPDATE
""")
_AROUND = text("""
    SELECT order_id FROM fulfillment_order WHERE fulfillment_order_id = ANY(:owners)
    UNION
    SELECT f.order_id
    FROM consolidation_member own JOIN consolidation_member m USING (consolidation_id)
    JOIN fulfillment_order f ON f.fulfillment_order_id = m.fulfillment_order_id
    WHERE own.fulfillment_order_id = ANY(:owners) AND own.left_at IS NULL AND m.left_at IS NULL
""")
_MEMBERS = text(f"""
    SELECT c.consolidation_id, c.sealed_at, c.sealed_by, f.fulfillment_order_id, f.order_id, f.n, f.ship_by,
           f.deliver_by, f.request_status <> 'unsubmitted' AS told,
           f.packed_at IS NOT NULL OR f.shipped_at IS NOT NULL AS packed,
           NOT {HELD} AND EXISTS (
               SELECT FROM payment_operation p
               WHERE p.order_id = f.order_id AND p.kind = 'authorize' AND p.status = 'succeeded') AS may_go
    FROM consolidation_member own JOIN consolidation c USING (consolidation_id)
    JOIN consolidation_member m USING (consolidation_id)
    JOIN fulfillment_order f ON f.fulfillment_order_id = m.fulfillment_order_id
    WHERE own.fulfillment_order_id = :owner AND own.left_at IS NULL AND m.left_at IS NULL AND f.ended_at IS NULL
    ORDER BY f.fulfillment_order_id
""")  # noqa: S608 - our own fragments
_OPEN = text("""
    INSERT INTO consolidation (consolidation_id, node_id, opened_by)
    SELECT f.fulfillment_order_id || '/c' || (
               SELECT count(*) + 1 FROM consolidation_member m WHERE m.fulfillment_order_id = f.fulfillment_order_id),
           f.node_id, :actor
    FROM fulfillment_order f WHERE f.fulfillment_order_id = :owner
    RETURNING consolidation_id
""")
_JOIN = text("""
    WITH joined AS (
        INSERT INTO consolidation_member (consolidation_id, fulfillment_order_id)
        SELECT CAST(:consolidation_id AS text), owner FROM unnest(CAST(:joining AS text[])) AS owner
        ON CONFLICT (consolidation_id, fulfillment_order_id)
        DO UPDATE SET joined_at = now(), left_at = NULL, left_because = ''
        RETURNING fulfillment_order_id
    )
    INSERT INTO timeline (order_id, actor, event, detail)
    SELECT f.order_id, :actor, 'merged', jsonb_build_object(
               'n', f.n, 'with', array_remove(CAST(:members AS text[]), f.fulfillment_order_id),
               'because', CAST(:because AS text), 'consolidation_id', CAST(:consolidation_id AS text))
    FROM joined JOIN fulfillment_order f USING (fulfillment_order_id) ORDER BY f.order_id, f.n
""")
_LEAVE = text("""
    WITH gone AS (
        UPDATE consolidation_member m SET left_at = now(), left_because = :because
        FROM consolidation c
        WHERE m.fulfillment_order_id = ANY(:owners) AND m.left_at IS NULL
          AND c.consolidation_id = m.consolidation_id AND c.sealed_at IS NULL
        RETURNING m.consolidation_id, m.fulfillment_order_id
    )
    INSERT INTO timeline (order_id, actor, event, detail)
    SELECT f.order_id, :actor, 'unmerged',
           jsonb_build_object('n', f.n, 'because', CAST(:because AS text), 'consolidation_id', g.consolidation_id)
    FROM gone g JOIN fulfillment_order f USING (fulfillment_order_id) ORDER BY f.order_id, f.n
    RETURNING order_id
""")
_LIVE_OF = text("""
    SELECT f.fulfillment_order_id, f.request_status <> 'unsubmitted' AS told, c.sealed_at
    FROM fulfillment_order f JOIN consolidation_member m USING (fulfillment_order_id)
    JOIN consolidation c USING (consolidation_id)
    WHERE f.order_id = :order_id AND f.ended_at IS NULL AND m.left_at IS NULL
    ORDER BY f.n
""")
_SEAL = text("""
    UPDATE consolidation c
    SET sealed_at = :now, sealed_by = :owner, carrier = coalesce(c.carrier, f.carrier),
        service = coalesce(c.service, f.service)
    FROM fulfillment_order f
    WHERE c.consolidation_id = :consolidation_id AND f.fulfillment_order_id = :first
""")
#: Whoever has packed may have waited for one that is gone, also for one that has been gone for a while. Who has left
#: waits for nobody any more.
_WAITING = text("""
    SELECT DISTINCT f.order_id, f.n
    FROM fulfillment_order gone JOIN consolidation_member own USING (fulfillment_order_id)
    JOIN consolidation c USING (consolidation_id) JOIN consolidation_member m USING (consolidation_id)
    JOIN fulfillment_order f ON f.fulfillment_order_id = m.fulfillment_order_id
    WHERE gone.order_id = :order_id AND f.ended_at IS NULL AND f.packed_at IS NOT NULL AND f.shipped_at IS NULL
      AND CASE WHEN m.left_at IS NULL THEN c.sealed_at IS NULL OR c.sealed_by = gone.fulfillment_order_id
          ELSE f.order_id = :order_id END
    ORDER BY f.order_id, f.n
""")


class Regrouped(Exception):
    """Somebody joined between the look at the members and their locks: begin the transaction again."""


class Mate(Model):
    """A fulfillment order that shares, or shared, a parcel with another."""

    order_id: str
    n: int


class Released(Model):
    """What a node is told of a fulfillment order's parcel, when it goes first or follows.

    Attributes:
        members: All that travel in it.
        summon: Those of them whose node is to be told now, too.
    """

    consolidation_id: str
    members: int
    summon: tuple[Mate, ...]


class Sealed(Model):
    """Where a parcel is on its way to its label.

    Attributes:
        consolidation_id: Empty where it is not shared.
        owners: The fulfillment orders in it.
        mates: Those of them that wait for the one that buys.
        wait_until: The label may not be bought yet; look again then.
        buys: It is the one asked for that buys.
    """

    owners: tuple[str, ...]
    consolidation_id: str = ""
    mates: tuple[Mate, ...] = ()
    wait_until: Instant | None = None
    buys: bool = True


async def lock_with_mates(connection: AsyncConnection, order_id: str, owner: str) -> set[str]:
    """Lock an order and those of its fulfillment order's mates, in the order of their ids; returns them.

    Raises:
        NotFound: there is no such order.
    """
    locked = set((await connection.execute(_LOCK_MATES, {"order_id": order_id, "owner": owner})).scalars())
    if order_id not in locked:
        raise NotFound(f"there is no order {order_id}", order_id=order_id)
    return locked


# --- joining ----------------------------------------------------------------------------------------------


async def consolidate(
    connection: AsyncConnection,
    owners: Sequence[str],
    *,
    because: str,
    actor: str = "doms",
    locked: Collection[str] = (),
) -> tuple[str, ...]:
    """Have fulfillment orders share a parcel, as far as they still may; returns the consolidations they are in then.

    Args:
        locked: The orders that are locked, in a transaction that may lock no more of them: nothing is done when one of
            these shares with others, or when not all may share one parcel. Without any they are locked here, before
            anything else is.

    Raises:
        Regrouped: one of them shares with others by now; begin the transaction again.
    """
    order_ids = await _orders_around(connection, owners)
    if not locked:
        await connection.execute(_LOCK, {"order_ids": sorted(order_ids)})
        if not await _orders_around(connection, owners) <= order_ids:
            raise Regrouped
    elif not order_ids <= set(locked):
        return ()
    groups = may_share(await named(connection, owners))
    if locked and {len(group) for group in groups} != {len(owners)}:
        return ()
    return tuple([await _join(connection, group, because=because, actor=actor) for group in groups])


async def _orders_around(connection: AsyncConnection, owners: Sequence[str]) -> set[str]:
    """The orders of these and of all that they share a parcel with."""
    return set((await connection.execute(_AROUND, {"owners": list(owners)})).scalars())


async def _join(connection: AsyncConnection, owners: Sequence[str], *, because: str, actor: str) -> str:
    """Put these into the consolidation that the first of them has, or into a new one."""
    known = next(filter(None, [await _members(connection, owner) for owner in owners]), [])
    members = {member.fulfillment_order_id for member in known}
    joining = [owner for owner in owners if owner not in members]
    await _leave(connection, joining, because="it joins another parcel")
    values: dict[str, Any] = {"owner": min(owners), "actor": actor}
    consolidation_id: str = (
        known[0].consolidation_id if known else (await connection.execute(_OPEN, values)).scalar_one()
    )
    values |= {
        "consolidation_id": consolidation_id,
        "joining": joining,
        "members": sorted(members | set(joining)),
        "because": because,
    }
    await connection.execute(_JOIN, values)
    return consolidation_id


async def _members(connection: AsyncConnection, owner: str) -> list[Any]:
    return list((await connection.execute(_MEMBERS, {"owner": owner})).all())


# --- leaving ----------------------------------------------------------------------------------------------


async def leave(connection: AsyncConnection, order_id: str, n: int, *, because: str) -> None:
    """A fulfillment order goes alone, or not at all, unless its label is being bought; under its order's lock.

    Who has packed may have waited for it: tell ``waiting`` afterwards. Safe to repeat, as all of these are.
    """
    await _leave(connection, [fulfillment_order_id(order_id, n)], because=because)


async def leave_untold(connection: AsyncConnection, order_id: str, *, because: str) -> None:
    """What no node was told of leaves its parcels: it is held. As ``leave`` otherwise."""
    live = (await connection.execute(_LIVE_OF, {"order_id": order_id})).all()
    await _leave(connection, [row.fulfillment_order_id for row in live if not row.told], because=because)


async def separate(connection: AsyncConnection, request: Separate) -> CommandOutcome:
    """Take an order out of every parcel it shares, but for those whose label is being bought."""
    answered = await lock_order(connection, request.order_id, request.step_key)
    if answered is not None:
        return CommandOutcome.model_validate(answered)
    live = (await connection.execute(_LIVE_OF, {"order_id": request.order_id})).all()
    owners = [row.fulfillment_order_id for row in live if row.sealed_at is None]
    because = f"unmerged: {request.reason}".removesuffix(": ")
    left = await _leave(connection, owners, because=because, actor=request.actor)
    sealed = tuple(
        f"the label of the parcel of {row.fulfillment_order_id} was bought, or is being bought"
        for row in live
        if row.sealed_at is not None
    )
    shared = "travels alone" if left else "shares no parcel that it could leave"
    outcome = CommandOutcome(done=left > 0, message=f"{request.order_id} {shared}", refused=sealed)
    return await keep_result(connection, request.step_key, outcome)


async def waiting(connection: AsyncConnection, order_id: str) -> list[Mate]:
    """Who has packed for a parcel that this order shares, or shared, and may be the one now that buys its label."""
    rows = await connection.execute(_WAITING, {"order_id": order_id})
    return [Mate(order_id=row.order_id, n=row.n) for row in rows]


async def _leave(connection: AsyncConnection, owners: Sequence[str], *, because: str, actor: str = "doms") -> int:
    if not owners:
        return 0
    left = await connection.execute(_LEAVE, {"owners": list(owners), "because": because, "actor": actor})
    return len(left.all())


# --- on the way to the label ------------------------------------------------------------------------------


async def release(connection: AsyncConnection, owner: str, locked: Collection[str]) -> Released | None:
    """The node is told of a member: the others go with it, but for those that may not go yet.

    Args:
        locked: Orders that are locked, see ``lock_with_mates``.

    Returns:
        ``None`` when it travels alone.

    Raises:
        Regrouped: somebody joined meanwhile whose order is not locked.
    """
    members = await _members(connection, owner)
    if not {member.order_id for member in members} <= set(locked):
        raise Regrouped
    others = [member for member in members if member.fulfillment_order_id != owner]
    behind = [member.fulfillment_order_id for member in others if not member.told and not member.may_go]
    await _leave(connection, behind, because="it could not go when the others went")
    going = [member for member in others if member.fulfillment_order_id not in behind]
    if not going:
        await _leave(connection, [owner], because="nobody goes with it")
        return None
    return Released(
        consolidation_id=members[0].consolidation_id,
        members=len(going) + 1,
        summon=tuple(Mate(order_id=member.order_id, n=member.n) for member in going if not member.told),
    )


async def seal(connection: AsyncConnection, owner: str, *, now: datetime, take_over_after: timedelta) -> Sealed:
    """The label of a packed member's parcel may be bought, or it has to wait; under the locks of all members' orders.

    Args:
        take_over_after: Then another member buys, where the one that began is still there and has not got through.
    """
    members = await _members(connection, owner)
    if owner not in {member.fulfillment_order_id for member in members}:
        return Sealed(owners=(owner,))
    parcel = members[0]
    behind: tuple[str, ...] = ()
    if parcel.sealed_at is None:
        decision = sealing((Packing.model_validate(dict(m._mapping), extra="ignore") for m in members), now)
        if decision.wait_until is not None:
            return Sealed(owners=(owner,), wait_until=decision.wait_until)
        behind = decision.left_behind
        await _leave(connection, behind, because="not packed when the others had to be handed over")
    going = [member for member in members if member.fulfillment_order_id not in behind]
    mates = [member for member in going if member.fulfillment_order_id != owner]
    begun = parcel.sealed_by in {mate.fulfillment_order_id for mate in mates}
    buys = not begun or now - parcel.sealed_at >= take_over_after
    if buys:
        values = {"consolidation_id": parcel.consolidation_id, "owner": owner, "now": parcel.sealed_at or now}
        await connection.execute(_SEAL, values | {"first": min(going, key=_due).fulfillment_order_id})
    return Sealed(
        owners=tuple(member.fulfillment_order_id for member in going),
        consolidation_id=parcel.consolidation_id,
        mates=tuple(Mate(order_id=member.order_id, n=member.n) for member in mates),
        buys=buys,
    )


def _due(member: Any) -> tuple[datetime, str]:
    return member.deliver_by, member.fulfillment_order_id
