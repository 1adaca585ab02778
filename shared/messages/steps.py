"""The steps an order's process takes in our own database."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from shared.domain.base import Instant, Model
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing.stages import Rest
from shared.messages.commands import LineQuantity
from shared.messages.processes import FulfillmentState, HoldState


class SourceRequest(Model):
    """Find sources for every unit of the order that has none, and reserve them in the same transaction.

    Attributes:
        known: The highest number of a fulfillment order that the process knows of.
    """

    step_key: str
    order_id: str
    as_of: Instant
    policy: ProcessPolicy
    only: tuple[str, ...] = ()
    known: int = 0


class SourceResult(Model):
    """The new fulfillment orders, and how many units must wait.

    Attributes:
        look_again: The step was taken before and this is what it came to then: the facts may have moved on since.
        contended: Others were faster each time: there may be stock, so look again soon.
        order_promised_at: What the whole order is promised now, by its fulfillment orders and the supply it waits
            for; it takes the place of what the process remembers, be it earlier or later.
        rest: What the policy's stage says of the units that must wait, when it says more than that they do.
    """

    fulfillments: tuple[FulfillmentState, ...] = ()
    backordered: int = 0
    promised_at: Instant | None = None
    look_again: bool = False
    contended: bool = False
    order_promised_at: Instant | None = None
    rest: Rest | None = None


class CancelUnits(Model):
    """Cancel what no node has been told of; name the nodes that must be asked for the rest.

    Attributes:
        known: The highest number of a fulfillment order that the process knows of.
    """

    step_key: str
    order_id: str
    lines: tuple[LineQuantity, ...] = ()
    actor: str
    reason: str
    only_waiting: bool = False  #: only units that no node holds
    known: int = 0
    keep: tuple[int, ...] = ()  #: fulfillment orders whose nodes have refused to give them back


class CancelledUnits(Model):
    """What was cancelled at once.

    Attributes:
        units: Units cancelled.
        cancelled: Units of the order that are cancelled, after this.
        unallocated: Units of the order that have no source, after this.
        backordered: Units of the order that wait for supply, after this.
        planned: Units left in each fulfillment order that has not been sent; 0 when it was cancelled whole.
        ask: Fulfillment orders already sent that hold units to cancel: their nodes must agree.
        wanted: Units still to cancel, by line, if the nodes agree.
        too_late: Units asked for that have left.
        missing: Units asked for that the order does not have, or has cancelled before.
        unknown: Fulfillment orders of the order that the process does not know of.
        replanned: Fulfillment orders whose units a wave has planned again.
        look_again: The step was taken before and this is what it came to then: the facts may have moved on since.
    """

    units: int = 0
    cancelled: int = 0
    unallocated: int = 0
    backordered: int = 0
    planned: dict[int, int] = Field(default_factory=dict)
    ask: tuple[int, ...] = ()
    wanted: tuple[LineQuantity, ...] = ()
    too_late: int = 0
    missing: int = 0
    unknown: tuple[FulfillmentState, ...] = ()
    replanned: tuple[int, ...] = ()
    look_again: bool = False


class CatchUp(Model):
    """Read what others have changed of an order.

    Attributes:
        known: Every fulfillment order that the process knows of.
    """

    order_id: str
    known: tuple[int, ...]


class CaughtUp(Model):
    """Where the order is, as far as its process did not see it happen.

    Attributes:
        replanned: Fulfillment orders whose units a wave has planned again.
        unknown: Fulfillment orders of the order that the process does not know of.
        backordered: Units of the order that wait for supply.
    """

    replanned: tuple[int, ...] = ()
    unknown: tuple[FulfillmentState, ...] = ()
    backordered: int = 0
    promised_at: Instant | None = None


class Withdraw(Model):
    """Take the units of a fulfillment order that was never sent: they need a source again."""

    step_key: str
    order_id: str
    n: int
    because: str
    actor: str = "doms"


class Withdrawn(Model):
    """Units taken back; ``done`` is false when the state did not allow it."""

    done: bool
    units: int = 0


class TryReroute(Model):
    """Whether a node, or with no name any other node, could take a fulfillment order's units now."""

    order_id: str
    n: int
    to_node: str
    as_of: Instant
    policy: ProcessPolicy


class Separate(Model):
    """Take an order out of the parcels that it shares."""

    step_key: str
    order_id: str
    actor: str
    reason: str = ""


class RecordHold(Model):
    """Place or release a hold in the order's record."""

    order_id: str
    hold: HoldState
    actor: str
    placed: bool
    reason: str = ""


class CloseOrder(Model):
    """Write the order's end."""

    step_key: str
    order_id: str


class RaiseCase(Model):
    """Open a case for people: something did not go as it should."""

    kind: str
    reference: str
    order_id: str
    detail: dict[str, Any] = Field(default_factory=dict)
