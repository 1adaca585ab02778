"""What partners tell DOMS, whatever the wire looks like.

A message may come twice, under one ``message_id``. Its ``reference`` is what ``shared.gateways.protocol`` calls so.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from shared.domain.base import Identifier, Instant, Model, OptionalText, Quantity, Sku, Text


class ShippedLine(Model):
    """Units of one line in one package."""

    line_no: int
    sku: Sku
    quantity: Quantity


class Package(Model):
    """What of a fulfillment order physically leaves a node in one piece.

    Attributes:
        weight_g: Of what is of this fulfillment order in it.
        parcel_no: The parcel of its consolidation that it lies in, together with packages of others that name the same;
            0 for a parcel of its own.
    """

    package_no: Annotated[int, Field(ge=1)]
    parcel_no: Annotated[int, Field(ge=0)] = 0
    weight_g: Annotated[int, Field(ge=0)] = 0
    lines: tuple[ShippedLine, ...]
    carrier: OptionalText = ""
    service: OptionalText = ""
    tracking_no: OptionalText = ""


class FulfillmentAccepted(Model):
    """The node takes the work on."""

    type: Literal["fulfillment.accepted"] = "fulfillment.accepted"
    message_id: Identifier
    reference: Text
    at: Instant


class FulfillmentRejected(Model):
    """The node will not ship any of it."""

    type: Literal["fulfillment.rejected"] = "fulfillment.rejected"
    message_id: Identifier
    reference: Text
    at: Instant
    reason: OptionalText = ""


class FulfillmentPacked(Model):
    """A warehouse or store has packed and waits for its labels; may hold less than was asked for.

    What the customer fetches (carrier ``pickup``) is ready for pickup with it.
    """

    type: Literal["fulfillment.packed"] = "fulfillment.packed"
    message_id: Identifier
    reference: Text
    at: Instant
    packages: tuple[Package, ...]


class FulfillmentShipped(Model):
    """Ship confirm, the one and final one of a fulfillment order: units missing from it were shipped short.

    What the customer fetches was handed over with it.
    """

    type: Literal["fulfillment.shipped"] = "fulfillment.shipped"
    message_id: Identifier
    reference: Text
    at: Instant
    packages: tuple[Package, ...]


class TrackingStatus(StrEnum):
    """Canonical carrier status; forward only (``domain`` order of this enumeration)."""

    PRE_TRANSIT = "pre_transit"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    EXCEPTION = "exception"
    RETURN_TO_SENDER = "return_to_sender"
    DELIVERED = "delivered"


class TrackingUpdated(Model):
    """A carrier's scan. May come late, twice, and out of order."""

    type: Literal["tracking.updated"] = "tracking.updated"
    message_id: Identifier
    reference: Text  #: the tracking number
    at: Instant
    status: TrackingStatus
    detail: OptionalText = ""


class Grade(StrEnum):
    """Observed condition of a returned unit."""

    A = "A"  #: as new
    B = "B"  #: opened
    C = "C"  #: damaged
    D = "D"  #: destroyed


class GradedLine(Model):
    """Units of one line that came back, in one condition."""

    line_no: int
    sku: Sku
    quantity: Quantity
    grade: Grade


class ReturnReceived(Model):
    """The receiving node has the returned goods in hand and inspected. Units missing never came."""

    type: Literal["return.received"] = "return.received"
    message_id: Identifier
    reference: Text  #: the return id
    at: Instant
    lines: tuple[GradedLine, ...]


PartnerMessage = Annotated[
    FulfillmentAccepted
    | FulfillmentRejected
    | FulfillmentPacked
    | FulfillmentShipped
    | TrackingUpdated
    | ReturnReceived,
    Field(discriminator="type"),
]
