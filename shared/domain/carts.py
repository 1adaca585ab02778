"""What a shop may ask before there is an order: what is in the cart and where it would go."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.domain.base import Document, Instant, Model, OptionalText, Quantity, Sku
from shared.domain.orders import Country, ServiceLevel
from shared.domain.sourcing.models import Shortage


class CartLine(Document):
    """Units of one item."""

    sku: Sku
    quantity: Quantity = 1


class Cart(Document):
    """A cart and its destination; a postal code is enough, and no person is named."""

    postal_code: OptionalText
    country: Country = "US"
    region: OptionalText = ""
    city: OptionalText = ""
    lines: Annotated[tuple[CartLine, ...], Field(min_length=1, max_length=500)]


class CartSource(Model):
    """What one node would ship of the cart."""

    node_id: str
    carrier: str
    service: str
    units: int
    deliver_by: Instant


class DeliveryOption(Model):
    """One service level for a cart.

    Attributes:
        promised_at: Latest delivery of what can be shipped; ``None`` when nothing can.
        delivery_minor: Freight, handling and vendors' fees, minor units: what delivering it costs us.
        item_minor: What the goods cost us at these nodes.
        sources: What would ship it. Nothing is reserved.
        shortages: Units that have no source at this level now.
    """

    service: ServiceLevel
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
