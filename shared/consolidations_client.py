"""Orders that share parcels, as staff and plans have it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Literal

from shared.client import Doms, reachable
from shared.database import candidates, consolidations, orders
from shared.database.consolidations import Mate, Regrouped
from shared.database.engine import Database, around_races
from shared.domain.base import Model
from shared.domain.consolidation import Candidate, may_share, why_apart
from shared.errors import Conflict, NotFound
from shared.messages import CommandOutcome, Unmerge, Wake, order_workflow_id


class Merged(Model):
    """What travels together by now.

    Attributes:
        parcels: The fulfillment orders in each parcel that was formed, by its consolidation.
        apart: Why other orders that were named are not in them.
    """

    parcels: dict[str, tuple[str, ...]]
    apart: tuple[str, ...] = ()


async def merge(doms: Doms, order_ids: Sequence[str], *, reason: str = "", actor: str = "staff") -> Merged:
    """Have orders of one recipient share a parcel where they ship from the same node, which was not told yet.

    Raises:
        NotFound: one of the orders is not known.
        Conflict: none of what they have planned may share a parcel; it says why.
    """
    with reachable():
        async with doms.database.reading() as connection:
            for order_id in order_ids:
                if await orders.find_order(connection, order_id) is None:
                    raise NotFound(f"there is no order {order_id}", order_id=order_id)
            found = await candidates.of_orders(connection, order_ids)
        parcels: dict[str, tuple[str, ...]] = {}
        for owners in may_share(found):
            for consolidation_id in await form(doms.database, owners, because=reason or "merged", actor=actor):
                parcels[consolidation_id] = owners
    if not parcels:
        why = _why_apart(order_ids, found)
        raise Conflict(f"nothing of these orders may share a parcel: {'; '.join(why)}", because=list(why))
    together = {owner for owners in parcels.values() for owner in owners}
    left = [candidate for candidate in found if candidate.fulfillment_order_id not in together]
    return Merged(parcels=parcels, apart=why_apart(left) if left else ())


async def unmerge(doms: Doms, order_id: str, command: Unmerge) -> CommandOutcome:
    """Have the order travel alone again, as far as no label is being bought.

    Raises:
        NotFound: there is no such order.
        Conflict: the order is over.
    """
    return await doms.command(order_id, "unmerge", command)


async def form(database: Database, owners: Sequence[str], *, because: str, actor: str = "doms") -> tuple[str, ...]:
    """Have fulfillment orders share a parcel, in a transaction of their own; as ``consolidations.consolidate``."""
    async for attempt in around_races():
        with attempt:
            while True:
                with suppress(Regrouped):
                    async with database.transaction() as connection:
                        return await consolidations.consolidate(connection, owners, because=because, actor=actor)
    raise AssertionError("around_races ends with a result or an error")


async def wake_mates(doms: Doms, mates: Iterable[Mate], kind: Literal["release_due", "label_due"]) -> None:
    """Have fulfillment orders act that share a parcel with one that has just moved.

    Nobody has to have heard. A process that takes the place of a lost one finds in the facts that its label is due.
    That it was to be released with others it does not: it is at its own time, for which they wait.
    """
    for mate in mates:
        await doms.wake(order_workflow_id(mate.order_id), Wake(kind=kind, n=mate.n))


def _why_apart(order_ids: Sequence[str], found: Sequence[Candidate]) -> tuple[str, ...]:
    planned = {candidate.order_id for candidate in found}
    nothing = tuple(f"{order_id} has nothing planned" for order_id in order_ids if order_id not in planned)
    return nothing + (why_apart(found) or ("they changed meanwhile: try again",) * (not nothing))
