"""What a shop may ask before there is an order: where a cart would come from, and that its units are held."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field, computed_field, model_validator

from shared.domain.base import Document, Identifier, Instant, Model, OptionalText, Quantity, Sku, unused
from shared.domain.cartons import PlannedPackage
from shared.domain.orders import Country, Method, ServiceLevel
from shared.domain.sourcing.plans import Shortage

#: Nobody's: it is configured nowhere.
NO_CHANNEL = "cart"
#: A day is the longest: units nobody sells for longer are an order, not a cart.
MAX_MINUTES = 24 * 60
HoldMinutes = Annotated[int, Field(strict=True, ge=1, le=MAX_MINUTES)]


class CartLine(Document):
    """Units of one item."""

    sku: Sku
    quantity: Quantity = 1


class Destination(Document):
    """Where a cart would go; a postal code is enough, and no person is named."""

    postal_code: OptionalText
    country: Country = "US"
    region: OptionalText = ""
    city: OptionalText = ""


class Cart(Destination):
    """A cart and its destination.

    Attributes:
        channel: Who sells it; without one it comes from any node, but not out of what is kept for a channel.
        methods: How the customer may get it.
    """

    channel: Identifier = NO_CHANNEL
    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = (Method.SHIP,)
    lines: Annotated[tuple[CartLine, ...], Field(min_length=1, max_length=500)]


class CartSource(Model):
    """What one node would ship of the cart.

    Attributes:
        quoted_until: When the carrier's quote ends that the freight is; ``None`` when it is the card's price.
    """

    node_id: str
    carrier: str
    service: str
    units: int
    deliver_by: Instant
    quoted_until: Annotated[Instant | None, Field(exclude_if=unused)] = None
    packages: Annotated[tuple[PlannedPackage, ...], Field(exclude_if=unused)] = ()


class DeliveryOption(Model):
    """One way to get a cart.

    Attributes:
        service: Service level of what is shipped.
        pickup_node_id: The store where the customer fetches it.
        promised_at: When the customer has, or can fetch, all that there is; ``None`` when there is nothing.
        delivery_minor: Freight, handling and vendors' fees, minor units: what delivering it costs us.
        item_minor: What the goods cost us at these nodes.
        sources: What would give it. Nothing is reserved.
        shortages: Units that have no source this way now.
    """

    method: Method = Method.SHIP
    service: ServiceLevel | None
    pickup_node_id: str | None = None
    promised_at: Instant | None
    delivery_minor: int
    item_minor: int
    sources: tuple[CartSource, ...]
    shortages: tuple[Shortage, ...]


class Promise(Model):
    """The delivery options of a cart at a moment; they hold as long as stock does."""

    as_of: Instant
    policy_version: str
    currency: str
    options: tuple[DeliveryOption, ...]


class HoldCart(Document):
    """A cart whose units are to be held until it is ordered or its time is up.

    Attributes:
        channel: Who holds; with ``cart_id`` it names the hold once and for all.
        ship_to: Where the cart would go; without it the units come from as few nodes as can give them.
        service: The service level the customer chose.
        method: How the customer wants to get it.
        pickup_node_id: The store where it will be fetched, for the methods that end at one.
        minutes: How long the units are held.
        partial: Hold what there is, and say of each line how much; else all units or none.
    """

    channel: Identifier
    cart_id: Identifier
    lines: Annotated[tuple[CartLine, ...], Field(min_length=1, max_length=500)]
    ship_to: Destination | None = None
    service: ServiceLevel = ServiceLevel.STANDARD
    minutes: HoldMinutes = 15
    partial: bool = False
    method: Annotated[Method, Field(exclude_if=lambda method: method is Method.SHIP)] = Method.SHIP
    pickup_node_id: Annotated[Identifier | None, Field(exclude_if=unused)] = None

    @model_validator(mode="after")
    def _fetched_somewhere(self) -> HoldCart:
        if self.method.ends_at_store != (self.pickup_node_id is not None):
            raise ValueError("pickup_node_id must be given for pickup and ship_to_store, and only for them")
        return self

    @property
    def cart_hold_id(self) -> str:
        return cart_hold_id_of(self.channel, self.cart_id)

    def content_hash(self) -> str:
        """SHA-256 of what is to be held: the same cart sent again hashes the same, for however long."""
        return hashlib.sha256(self.model_dump_json(exclude={"minutes"}).encode()).hexdigest()


def cart_hold_id_of(channel: str, cart_id: str) -> str:
    """The hold's id. Neither part may hold a slash, so no two carts share one."""
    return f"{channel}/{cart_id}"


class WantedUnits(Model):
    """A line of a cart as it was asked for. A bundle is held whole."""

    sku: Sku
    quantity: int
    bundle: bool = False


class CartUnits(Model):
    """Units of a cart at one node: ``quantity`` were held, ``open`` still are."""

    node_id: str
    sku: str
    quantity: int
    open: int
    ordered: int = 0
    given_back: int = 0


class HoldStatus(StrEnum):
    """What has become of a cart's hold."""

    HELD = "held"
    OVERDUE = "overdue"  #: its time is up, and nobody has needed the units yet
    ORDERED = "ordered"
    GIVEN_BACK = "given_back"


class HeldLine(Model):
    """How much of what was asked for is held."""

    sku: str
    quantity: int
    held: int


class CartHold(Model):
    """What is on record of a cart's hold.

    Attributes:
        wanted: What was asked for.
        units: What was held of it, components for bundles, and what has become of it.
    """

    cart_hold_id: str
    channel: str
    held_at: Instant
    expires_at: Instant
    overdue: bool
    wanted: tuple[WantedUnits, ...]
    units: tuple[CartUnits, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def lines(self) -> tuple[HeldLine, ...]:
        """How much of each line was held, the earlier line first where there was too little for all."""
        left: dict[str, int] = {}
        for units in self.units:
            left[units.sku] = left.get(units.sku, 0) + units.quantity
        told: list[HeldLine] = []
        for line in self.wanted:
            held = line.quantity if line.bundle else min(line.quantity, left.get(line.sku, 0))
            told.append(HeldLine(sku=line.sku, quantity=line.quantity, held=held))
            if not line.bundle:
                left[line.sku] = left.get(line.sku, 0) - held
        return tuple(told)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def status(self) -> HoldStatus:
        if any(units.open for units in self.units):
            return HoldStatus.OVERDUE if self.overdue else HoldStatus.HELD
        return HoldStatus.ORDERED if any(units.ordered for units in self.units) else HoldStatus.GIVEN_BACK


def gather(wanted: Mapping[str, int], free: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Units by node and SKU from as few nodes as it takes: each next node is the one that gives most of the rest.

    The greedy cover; among equals the node named first. What nobody has is left out.

    Args:
        free: Units by node and SKU.
    """
    left, taken = dict(wanted), dict[tuple[str, str], int]()
    nodes = {node_id for node_id, _ in free}
    while nodes:
        gives = {
            node_id: {sku: min(units, free.get((node_id, sku), 0)) for sku, units in left.items()} for node_id in nodes
        }
        best = min(nodes, key=lambda node_id: (-sum(gives[node_id].values()), node_id))
        if not any(gives[best].values()):
            break
        taken |= {(best, sku): units for sku, units in gives[best].items() if units}
        left = {sku: units - gives[best][sku] for sku, units in left.items()}
        nodes.remove(best)
    return taken
