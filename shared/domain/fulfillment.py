"""The life of one fulfillment order: an instruction to one node, forward only.

Partner messages come late, twice and out of order. ``advance`` is total: whatever comes at whatever stage,
it says where the fulfillment order stands afterwards, and what is out of date changes nothing.
"""

from __future__ import annotations

from enum import StrEnum

#: The carrier of what the customer fetches: nobody is paid, and there is no label.
PICKUP = "pickup"


class Stage(StrEnum):
    """How far a fulfillment order is."""

    PLANNED = "planned"  #: reserved at the node, which has not been told
    REQUESTED = "requested"  #: sent; waits for the node
    PACKED = "packed"  #: the node waits for labels
    READY = "ready"  #: waits at the store for its customer
    LABELLED = "labelled"  #: labels handed over; waits for the ship confirm
    SHIPPED = "shipped"  #: left the node; its money is to be captured
    IN_TRANSIT = "in_transit"  #: captured; waits for delivery
    DONE = "done"  #: delivered, or nothing of it will ship


class Happened(StrEnum):
    """What a partner's message, a wave, or a mate in its parcel can mean to a fulfillment order."""

    REJECTED = "rejected"
    PACKED = "packed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    LABEL_DUE = "label_due"  #: whoever shares its parcel has packed, left, or bought the label
    REPLANNED = "replanned"  #: its units were planned again with other orders, before its node was told


#: A stage in which the node may still refuse.
REVOCABLE = frozenset({Stage.PLANNED, Stage.REQUESTED, Stage.PACKED, Stage.READY, Stage.LABELLED})

_NEXT: dict[tuple[Stage, Happened], Stage] = {
    (Stage.PLANNED, Happened.REPLANNED): Stage.DONE,
    (Stage.REQUESTED, Happened.REJECTED): Stage.DONE,
    (Stage.REQUESTED, Happened.PACKED): Stage.PACKED,
    (Stage.REQUESTED, Happened.SHIPPED): Stage.SHIPPED,
    (Stage.PACKED, Happened.REJECTED): Stage.DONE,
    (Stage.PACKED, Happened.SHIPPED): Stage.SHIPPED,
    (Stage.READY, Happened.REJECTED): Stage.DONE,
    (Stage.READY, Happened.SHIPPED): Stage.SHIPPED,
    (Stage.LABELLED, Happened.REJECTED): Stage.DONE,
    (Stage.LABELLED, Happened.SHIPPED): Stage.SHIPPED,
    (Stage.IN_TRANSIT, Happened.DELIVERED): Stage.DONE,
}


def advance(stage: Stage, happened: Happened) -> Stage:
    """The stage after a message; the same stage when the message is out of date or repeated."""
    return _NEXT.get((stage, happened), stage)
