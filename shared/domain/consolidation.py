"""Orders of one recipient in one parcel: who may share it, when its label is bought, and who pays what of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from shared.domain.base import Instant, Model
from shared.domain.money import allocate
from shared.domain.orders import ServiceLevel


class Candidate(Model):
    """A fulfillment order that might share its parcel.

    Attributes:
        recipient: The customer at the address, see ``recipients.recipient_of``; empty where nobody says who that is.
        level: The service that its order asks for. Carriers may differ: the one that is there first takes them all.
        told: Its node knows of it.
        held: A hold keeps it from its node.
        our_label: We buy its label. Others pack as they please, and nothing is packed for who fetches it.
    """

    fulfillment_order_id: str
    order_id: str
    channel: str
    recipient: str
    level: ServiceLevel
    node_id: str
    told: bool = False
    held: bool = False
    our_label: bool = True


class Packing(Model):
    """A member of a consolidation on its way to the label.

    Attributes:
        ship_by: When it has to be handed over to the carrier.
    """

    fulfillment_order_id: str
    packed: bool
    ship_by: Instant


class Sealing(Model):
    """Whether a shared parcel's label may be bought now.

    Attributes:
        wait_until: Not now: look again then, or when something has changed.
        left_behind: Members that are not waited for any longer, when it may.
    """

    wait_until: Instant | None = None
    left_behind: tuple[str, ...] = ()


#: What members of one parcel have in common, and what is said where they have not.
_SAME: tuple[tuple[Callable[[Candidate], object], str], ...] = (
    (lambda c: c.recipient, "they go to different recipients"),
    (lambda c: c.channel, "they came by different channels"),
    (lambda c: c.level, "they ask for different services"),
    (lambda c: c.node_id, "they ship from different nodes"),
)


def keeps_out(candidate: Candidate) -> str:
    """Why a fulfillment order may share with nobody; empty when it may."""
    if not candidate.recipient:
        return "its order does not say who the customer is (customer_ref)"
    if candidate.told:
        return f"{candidate.node_id} was already told to ship it"
    if candidate.held:
        return "a hold stands on it"
    if not candidate.our_label:
        return "we buy no label for it"
    return ""


def may_share(candidates: Iterable[Candidate]) -> tuple[tuple[str, ...], ...]:
    """The fulfillment orders that may travel together, two or more each, in the order they are given."""
    alike: dict[tuple[object, ...], list[str]] = {}
    for candidate in candidates:
        if not keeps_out(candidate):
            key = tuple(same(candidate) for same, _ in _SAME)
            alike.setdefault(key, []).append(candidate.fulfillment_order_id)
    return tuple(tuple(together) for together in alike.values() if len(together) > 1)


def why_apart(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Why none of these share a parcel, a sentence each."""
    out = [(candidate.fulfillment_order_id, keeps_out(candidate)) for candidate in candidates]
    able = [candidate for candidate in candidates if not keeps_out(candidate)]
    different = [why for same, why in _SAME if len({same(candidate) for candidate in able}) > 1]
    return tuple(f"{name}: {why}" for name, why in out if why) + tuple(different)


def sealing(members: Iterable[Packing], now: datetime) -> Sealing:
    """Wait for every member, but none is made late by another: at the first packed one's hand-over it is enough."""
    members = list(members)
    missing = tuple(member.fulfillment_order_id for member in members if not member.packed)
    last_call = min((member.ship_by for member in members if member.packed), default=None)
    if missing and last_call is not None and now < last_call:
        return Sealing(wait_until=last_call)
    return Sealing(left_behind=missing)


def share_cost(cost_minor: int, weights_g: Sequence[int]) -> list[int]:
    """What each package of a parcel pays of its label, by weight, to the cent."""
    return allocate(cost_minor, weights_g)
