"""What a customer ordered, and where each unit of it is.

The document is what the channel sent and never changes. Status lives on line *quantities*: every unit of
every line is in exactly one ``UnitState``, and an order's status is read off them, never set.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from shared.domain.base import (
    Currency,
    Document,
    Identifier,
    Instant,
    Minor,
    Model,
    OptionalText,
    Quantity,
    Sku,
    Text,
    unused,
)

MAX_LINES = 20_000

Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class Address(Document):
    """A postal address. Personal data: it stays in Postgres and in the request to whoever ships."""

    name: Text
    line1: Text
    line2: OptionalText = ""
    city: Text
    region: OptionalText = ""
    postal_code: OptionalText = ""
    country: Country = "US"
    phone: OptionalText = ""
    email: OptionalText = ""


class OrderLine(Document):
    """One item of an order.

    Attributes:
        line_no: The channel's own number of the line, unique in the order.
        unit_price_minor: Price of one base unit before discount and tax.
        discount_minor: Discount on the whole line.
        tax_minor: Tax on the whole line.
    """

    line_no: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    sku: Sku
    quantity: Quantity
    unit_price_minor: Minor = 0
    discount_minor: Minor = 0
    tax_minor: Minor = 0

    @property
    def total_minor(self) -> int:
        return self.quantity * self.unit_price_minor - self.discount_minor + self.tax_minor

    @model_validator(mode="after")
    def _discount_within_price(self) -> OrderLine:
        if self.discount_minor > self.quantity * self.unit_price_minor:
            raise ValueError("discount_minor is more than the line's price")
        return self


class PaymentMethod(Document):
    """How the customer pays: a provider's token, never a card number."""

    kind: Literal["card", "wallet", "invoice"] = "card"
    token: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z][A-Za-z0-9_.:-]*$")]


class ServiceLevel(StrEnum):
    """How fast the customer asked for the order."""

    STANDARD = "standard"
    EXPEDITED = "expedited"
    OVERNIGHT = "overnight"


class Method(StrEnum):
    """How a customer gets what is in a cart or an order."""

    SHIP = "ship"  #: to the customer, from any node
    DROPSHIP = "dropship"  #: to the customer, by vendors alone
    PICKUP = "pickup"  #: fetched at a store, from its own stock
    SHIP_TO_STORE = "ship_to_store"  #: fetched at a store, shipped there from other nodes

    @property
    def ends_at_store(self) -> bool:
        return self in (Method.PICKUP, Method.SHIP_TO_STORE)


class OrderDocument(Document):
    """An order as a channel submits it, whole and immutable.

    Attributes:
        channel: Where the order comes from; with ``channel_order_id`` it names the order once and for all.
        priority: 1 (first) to 5 (last); who overtakes whom when stock is scarce.
        shipping_minor: What the customer pays for shipping, tax included.
        cart_id: The channel's cart this order was made of: the units held for it are the order's.
        tags: What the channel marks the order with, for the conditions of policies.
        method: How the customer gets it; ``None`` is as its cart was held, else shipped.
        pickup_node_id: The store where it is fetched, for the methods that end at one.
    """

    channel: Identifier
    channel_order_id: Identifier
    placed_at: Instant
    currency: Currency
    customer_ref: OptionalText = ""
    ship_to: Address
    lines: Annotated[tuple[OrderLine, ...], Field(min_length=1, max_length=MAX_LINES)]
    shipping_minor: Minor = 0
    service: ServiceLevel = ServiceLevel.STANDARD
    priority: Annotated[int, Field(strict=True, ge=1, le=5)] = 3
    payment: PaymentMethod
    cart_id: Identifier | None = None
    tags: Annotated[tuple[Identifier, ...], Field(max_length=20, exclude_if=unused)] = ()
    method: Annotated[Method | None, Field(exclude_if=unused)] = None
    pickup_node_id: Annotated[Identifier | None, Field(exclude_if=unused)] = None

    @model_validator(mode="after")
    def _lines_are_numbered_once(self) -> OrderDocument:
        twice = sorted(line_no for line_no, n in Counter(line.line_no for line in self.lines).items() if n > 1)
        if twice:
            raise ValueError(f"line_no must be unique; repeated: {twice[:20]}")
        return self

    @model_validator(mode="after")
    def _fetched_somewhere(self) -> OrderDocument:
        if (self.method is not None and self.method.ends_at_store) != (self.pickup_node_id is not None):
            raise ValueError("pickup_node_id must be given for pickup and ship_to_store, and only for them")
        return self

    @property
    def total_minor(self) -> int:
        return sum(line.total_minor for line in self.lines) + self.shipping_minor

    @property
    def units(self) -> int:
        return sum(line.quantity for line in self.lines)

    def content_hash(self) -> str:
        """SHA-256 of the document in canonical JSON: the same order sent again hashes the same."""
        # Without a cart as before there were any: what was sent then and is sent again is the same order.
        document = self.model_dump_json(exclude=None if self.cart_id else {"cart_id"})
        return hashlib.sha256(document.encode()).hexdigest()


class UnitState(StrEnum):
    """Where one unit of an order line is. The names are columns of ``order_line``."""

    UNALLOCATED = "unallocated"  #: not yet sourced, or taken back from a node
    BACKORDERED = "backordered"  #: no stock anywhere it may come from; waits for supply
    ALLOCATED = "allocated"  #: reserved at a node that has not been told
    RELEASED = "released"  #: the node has been told and has not shipped it
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    RETURNED = "returned"  #: came back; was shipped before


class Fulfillment(StrEnum):
    """The fulfilment roll-up of an order."""

    UNALLOCATED = "unallocated"
    PARTIALLY_ALLOCATED = "partially_allocated"
    ALLOCATED = "allocated"
    BACKORDERED = "backordered"
    RELEASED = "released"
    PARTIALLY_SHIPPED = "partially_shipped"
    SHIPPED = "shipped"
    PARTIALLY_DELIVERED = "partially_delivered"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class Lifecycle(StrEnum):
    """The lifecycle roll-up. A hold is an overlay on it, not a state."""

    PLACED = "placed"
    OPEN = "open"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class UnitCount(Model):
    """How many units are in each state. Adds up to what was ordered."""

    unallocated: int = 0
    backordered: int = 0
    allocated: int = 0
    released: int = 0
    shipped: int = 0
    delivered: int = 0
    cancelled: int = 0
    returned: int = 0

    @property
    def ordered(self) -> int:
        return sum(getattr(self, state) for state in UnitState)

    @property
    def open(self) -> int:
        """Units that have neither left nor been cancelled."""
        return self.unallocated + self.backordered + self.allocated + self.released

    @property
    def left(self) -> int:
        """Units that have left a node, wherever they are now."""
        return self.shipped + self.delivered + self.returned

    def __add__(self, other: UnitCount) -> UnitCount:
        return UnitCount(**{state: getattr(self, state) + getattr(other, state) for state in UnitState})


def count_units(lines: Iterable[UnitCount]) -> UnitCount:
    """The units of a whole order by state."""
    total = UnitCount()
    for line in lines:
        total = total + line
    return total


def fulfillment_of(units: UnitCount) -> Fulfillment:
    """Roll unit states up to the order's fulfilment status; total over every count."""
    live = units.ordered - units.cancelled
    arrived = units.delivered + units.returned
    if live == 0:
        return Fulfillment.CANCELLED
    if arrived == live:
        return Fulfillment.DELIVERED
    if arrived:
        return Fulfillment.PARTIALLY_DELIVERED
    if units.shipped == live:
        return Fulfillment.SHIPPED
    if units.shipped:
        return Fulfillment.PARTIALLY_SHIPPED
    return _before_shipping(units)


def _before_shipping(units: UnitCount) -> Fulfillment:
    if units.released:
        return Fulfillment.RELEASED
    if units.allocated and (units.unallocated or units.backordered):
        return Fulfillment.PARTIALLY_ALLOCATED
    if units.allocated:
        return Fulfillment.ALLOCATED
    return Fulfillment.BACKORDERED if units.backordered else Fulfillment.UNALLOCATED


def lifecycle_of(units: UnitCount, *, started: bool, finished: bool) -> Lifecycle:
    """Roll up to the lifecycle.

    Args:
        started: Payment was authorised and sourcing may act.
        finished: The order's workflow closed it: nothing will happen to it any more but returns.
    """
    if units.cancelled == units.ordered:
        return Lifecycle.CANCELLED
    if finished:
        return Lifecycle.CLOSED
    return Lifecycle.OPEN if started else Lifecycle.PLACED


class HoldKind(StrEnum):
    """Why an order is held. Each kind but the last blocks releasing to nodes; several may stand at once."""

    PAYMENT = "payment"
    FRAUD = "fraud"
    ADDRESS = "address"
    STAFF = "staff"
    SOURCING = "sourcing"  #: only units without a source wait for a person; the others go on


class Verdict(Model):
    """The channel's answer to a submitted order, the same for every repeat of it.

    Attributes:
        promised_at: Latest delivery date of what could be sourced; ``None`` when nothing could.
        backordered_units: Units that wait for supply.
    """

    order_id: str
    accepted: bool = True
    promised_at: Instant | None = None
    backordered_units: int = 0
