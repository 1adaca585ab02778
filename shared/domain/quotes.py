"""What carriers say a parcel costs, and until when it may be had for that.

Prices are integer minor units of the quote's own currency, weights grams, transit the carrier's working days from
hand-over to delivery, as in ``shared.domain.sourcing.models.ServiceRate``.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from shared.domain.base import Currency, Identifier, Instant, Minor, Model, Text
from shared.domain.network import Place
from shared.domain.orders import Country

Grams = Annotated[int, Field(ge=1)]


class CarrierQuote(Model):
    """A carrier's price of one parcel by one of its services.

    Attributes:
        quote_id: The carrier's name for it; a label bought under it costs this, until it expires.
    """

    quote_id: Text
    carrier: Identifier
    service: Identifier
    price_minor: Minor
    currency: Currency
    transit_days: Annotated[int, Field(ge=0, le=365)]
    expires_at: Instant


class QuoteLane(Model):
    """What a carrier is asked to quote: a parcel of this weight from a node to the area of a postal code."""

    carrier: Identifier
    node_id: Identifier
    country: Country
    postal_code: Text
    weight_g: Grams

    @property
    def destination(self) -> str:
        return destination_of(self.country, self.postal_code)


class LaneQuote(CarrierQuote):
    """A quote as plans use it: for parcels of one step of the rate card's weights, from a node to an area.

    Attributes:
        weight_g: The step's upper end; the parcel that was asked for weighed as much.
    """

    node_id: Identifier
    destination: str
    weight_g: Grams


def destination_of(country: str, postal_code: str) -> str:
    """The area a destination is in, which shares its quotes: the postal code's first three characters, as in a
    carrier's zone chart. Empty where the postal code is not known: nothing is quoted to there.
    """
    return f"{country}/{postal_code[:3]}" if len(postal_code) >= 3 else ""


class QuoteSpan(LaneQuote):
    """What was quoted from ``begins`` until it expired, or another took its place."""

    begins: Instant


class Area(NamedTuple):
    """Where quotes are for, and in which currency they are paid."""

    destination: str
    currency: str


def area_of(ship_to: Place, currency: str) -> Area:
    """The area that an order or a cart goes to."""
    return Area(destination_of(ship_to.country, ship_to.postal_code), currency)
