"""What the processes, the database and the doors say to each other: plain values, no behaviour.

Names here are wire format: a running order replays against them. Fields are added, never renamed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from shared.domain.base import Instant, Model, OptionalText, Text
from shared.domain.fulfillment import Stage
from shared.domain.orders import HoldKind, Verdict
from shared.domain.policy import ProcessPolicy


def order_id_of(channel: str, channel_order_id: str) -> str:
    """The order's id. Neither part may hold a slash, so no two orders share one."""
    return f"{channel}/{channel_order_id}"


def order_workflow_id(order_id: str) -> str:
    return f"order/{order_id}"


def return_workflow_id(return_id: str) -> str:
    return f"return/{return_id}"


def fulfillment_order_id(order_id: str, n: int) -> str:
    return f"{order_id}/f{n}"


def return_id_of(order_id: str, n: int) -> str:
    return f"{order_id}/r{n}"


class Wake(Model):
    """A recorded fact that the order's process has to act on.

    Attributes:
        kind: What happened; the facts themselves are already in the database.
        n: The fulfillment order it is about; 0 for the order as a whole.
        short_units: Units asked for and not shipped.
    """

    kind: Literal["rejected", "packed", "shipped", "delivered", "stock_arrived", "return_received"]
    n: int = 0
    units: int = 0
    short_units: int = 0


class FulfillmentState(Model):
    """What the workflow remembers of one fulfillment order; everything else is in the database."""

    n: int
    node_id: str
    units: int
    stage: Stage = Stage.PLANNED
    deliver_by: Instant
    answer_by: Instant | None = None  #: when the node's silence counts as a refusal
    shipped_units: int = 0
    delivered: bool = False  #: the carrier said so, perhaps before we had captured
    pending: tuple[Wake, ...] = ()  #: facts recorded that the process has not acted on


class HoldState(Model):
    """One standing hold."""

    hold_id: str
    kind: HoldKind
    reason: str
    expires_at: Instant | None = None


class OrderState(Model):
    """Everything an order's process carries from one run to the next.

    Attributes:
        winding_down: The whole order was cancelled: what nodes give back later is cancelled, not sourced again.
        unsure: The facts may be ahead of what is remembered here: look again before the order is over.
        stock_arrived: Stock that a backorder waits for has come and has not been looked at.
        steps: Number of keyed steps taken; the next step's key continues the count.
        exception: Why the order needs a person, empty when it does not.
    """

    verdict: Verdict | None = None
    authorized: bool = False
    fulfillments: tuple[FulfillmentState, ...] = ()
    holds: tuple[HoldState, ...] = ()
    unallocated: int = 0
    backordered: int = 0
    cancelled: int = 0
    winding_down: bool = False
    unsure: bool = False
    stock_arrived: bool = False
    promised_at: Instant | None = None
    steps: int = 0
    exception: str = ""


class OrderInput(Model):
    """What an order's workflow starts with: references and small figures, no personal data."""

    order_id: str
    channel: str
    lines: int
    units: int
    total_minor: int
    currency: str
    received_at: Instant
    policy: ProcessPolicy = ProcessPolicy()
    state: OrderState | None = None


class OrderOutcome(Model):
    """How an order ended."""

    order_id: str
    status: str
    delivered_units: int
    cancelled_units: int
    fulfillments: int


class LineQuantity(Model):
    """Units of one line, as a command names them."""

    line_no: int = Field(strict=True, ge=1)
    quantity: int = Field(strict=True, ge=1)


class Command(Model):
    """A staff command. ``actor`` is an account, never a person's name."""

    actor: Text
    reason: OptionalText = ""


class CancelOrder(Command):
    """Cancel the whole order, or the named quantities of its lines."""

    lines: tuple[LineQuantity, ...] = ()


class Reroute(Command):
    """Take one fulfillment order from its node; to ``to_node``, or to the best other node."""

    n: int = Field(strict=True, ge=1)
    to_node: str = ""


class PlaceHold(Command):
    """Stop everything that has not been sent to a node."""

    kind: HoldKind = HoldKind.STAFF


class ReleaseHold(Command):
    """Let the order go on when no other hold stands."""

    hold_id: str


class CommandOutcome(Model):
    """What a staff command did. ``refused`` names what it could not do, and why.

    Attributes:
        units: Units cancelled, moved or held back.
    """

    done: bool
    units: int = 0
    message: str
    refused: tuple[str, ...] = ()


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
    """

    fulfillments: tuple[FulfillmentState, ...] = ()
    backordered: int = 0
    promised_at: Instant | None = None
    look_again: bool = False
    contended: bool = False


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
    look_again: bool = False


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


class PaymentRequest(Model):
    """One payment operation of an order. What is due is worked out from the facts, not passed in.

    Attributes:
        reference: The operation's key at the provider, the same on every retry.
    """

    order_id: str
    reference: str


class PaymentOutcome(Model):
    """The provider's answer, as the process needs it."""

    succeeded: bool
    amount_minor: int = 0
    reason: str = ""


class FulfillmentCall(Model):
    """One fulfillment order, towards its node."""

    order_id: str
    n: int


class AskCancel(FulfillmentCall):
    """Ask a node to give a fulfillment order back; if it agrees its units need a source again.

    Attributes:
        unanswered_only: Only when the node has said nothing yet.
        exclude: Do not ask this node again for this order for a while.
    """

    step_key: str
    because: str
    actor: str = "doms"
    unanswered_only: bool = False
    exclude: bool = True


class CallOutcome(Model):
    """``done`` is false when the facts or the partner did not allow it; ``reason`` says which."""

    done: bool
    reason: str = ""
    units: int = 0


class ReturnInput(Model):
    """What a return's workflow starts with; the lines are in the database."""

    return_id: str
    order_id: str
    units: int
    policy: ProcessPolicy = ProcessPolicy()


class ReturnStep(Model):
    """A return and the moment its process decides."""

    step_key: str
    return_id: str
    as_of: Instant
    actor: str = "doms"
    reason: str = ""


class ReturnRequest(Command):
    """Units of an order that the customer sends back."""

    order_id: str
    lines: tuple[LineQuantity, ...] = Field(min_length=1)
    request_id: OptionalText = ""  #: the same request again gets the same return


class ReturnVerdict(Model):
    """The policy's answer to a return request."""

    decision: Literal["approved", "declined", "ask_staff"]
    reason: str = ""
    node_id: str = ""
    value_minor: int = 0


class DecideReturn(Command):
    """Staff approve or decline a return that waits for them."""

    approve: bool


class ReturnOutcome(Model):
    """How a return ended."""

    return_id: str
    status: str
    received_units: int = 0
    refund_minor: int = 0


class ReconcileInput(Model):
    """A scheduled comparison of the facts with themselves and with the running processes."""

    resend_after: timedelta = timedelta(seconds=30)


class ReconcileStep(Model):
    """One run of one group of checks."""

    run_id: str
    started_at: Instant
    resend_after: timedelta


class ReconcileResult(Model):
    """What was compared and what did not agree."""

    run_id: str
    checked: dict[str, int] = Field(default_factory=dict)
    breaks: int = 0
    repaired: int = 0
