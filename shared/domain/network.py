"""The places that can fulfil an order, and when each of them can."""

from __future__ import annotations

from datetime import date, time
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from shared.domain.base import Identifier, Minor, Model, OptionalText, Text


class NodeType(StrEnum):
    """What kind of place a node is; it decides which documents it is sent."""

    WAREHOUSE = "warehouse"  #: ours: pick-and-pack task, we buy the label
    STORE = "store"  #: ours: pick-and-pack task, we buy the label
    LOGISTICS = "3pl"  #: a third party that holds our stock: shipping order
    VENDOR = "vendor"  #: drop-ships its own stock: purchase order

    @property
    def ships_on_our_label(self) -> bool:
        """Whether DOMS buys the carrier's label for such a node."""
        return self in (NodeType.WAREHOUSE, NodeType.STORE)


class Place(Model):
    """A point on the map with the zone its clocks keep."""

    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] = "US"
    region: OptionalText = ""
    postal_code: OptionalText = ""
    city: OptionalText = ""
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    time_zone: str = "UTC"


class Calendar(Model):
    """When a node or a carrier works, in local time.

    Attributes:
        cutoff: Orders released at or after this local time count as the next working day's.
        working_days: ISO weekdays, Monday is 1.
        closures: Dates on which it does not work although the weekday says so.
    """

    cutoff: time = time(14, 0)
    working_days: tuple[int, ...] = (1, 2, 3, 4, 5)
    closures: tuple[date, ...] = ()


class Node(Model):
    """A place that can fulfil.

    Attributes:
        partner_id: The outside party that is told to ship from here.
        handling_days: Working days from release to hand-over to the carrier; 0 is the same day.
        daily_units: Units the node can ship on one working day; ``None`` is no limit.
        handling_order_minor: Cost of one shipment from here, beside freight.
        handling_unit_minor: Cost of picking and packing one unit.
        dropship_fee_minor: Fee a vendor asks for each order it ships.
        pickup_enabled: Whether customers may fetch their carts here.
    """

    node_id: Identifier
    name: Text
    node_type: NodeType
    partner_id: Identifier
    place: Place
    calendar: Calendar = Calendar()
    handling_days: Annotated[int, Field(ge=0, le=60)] = 1
    daily_units: Annotated[int, Field(ge=0)] | None = None
    handling_order_minor: Minor = 0
    handling_unit_minor: Minor = 0
    dropship_fee_minor: Minor = 0
    ship_enabled: bool = True
    pickup_enabled: bool = False
