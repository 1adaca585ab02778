"""What an order's process starts with, remembers, is woken by, and comes to."""

from __future__ import annotations

from typing import Literal

from shared.domain.base import Instant, Model
from shared.domain.fulfillment import Stage
from shared.domain.orders import HoldKind, Verdict
from shared.domain.policy import ProcessPolicy


class Wake(Model):
    """A recorded fact that the order's process has to act on.

    Attributes:
        kind: What happened; the facts themselves are already in the database.
        n: The fulfillment order it is about; 0 for the order as a whole.
        short_units: Units asked for and not shipped.
    """

    kind: Literal[
        "rejected",
        "packed",
        "shipped",
        "delivered",
        "replanned",
        "release_due",
        "label_due",
        "stock_arrived",
        "supply_changed",
        "return_received",
    ]
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
    release_at: Instant | None = None  #: the node is not told before
    answer_by: Instant | None = None  #: when the node's silence counts as a refusal
    shipped_units: int = 0
    delivered: bool = False  #: the carrier said so, perhaps before we had captured
    pickup: bool = False  #: the customer fetches it: no label is bought
    pickup_by: Instant | None = None  #: until when
    unlabelled: bool = False  #: it left before its label was handed over
    label_at: Instant | None = None  #: packed; its label waits for who shares its parcel, at most until then
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
        summoned: Fulfillment orders whose nodes are told now, as that of another in their parcel was.
        facts_moved: A wave has planned units of the order again, which has not been looked at.
        early: What was heard of fulfillment orders that are not remembered yet.
        steps: Number of keyed steps taken; the next step's key continues the count.
        exception: Why the order needs a person, empty when it does not.
        cancel_at: When what waits for stock is cancelled although the order's patience is longer.
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
    summoned: tuple[int, ...] = ()
    facts_moved: bool = False
    early: tuple[Wake, ...] = ()
    promised_at: Instant | None = None
    steps: int = 0
    exception: str = ""
    cancel_at: Instant | None = None


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
