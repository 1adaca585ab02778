"""What the planner is given: ``plan(order, snapshot, policy)`` is pure and total.

All money is integer minor units of one currency, weights are grams, times are aware UTC.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field

from shared.domain.base import Identifier, Instant, Minor, Model, Quantity, Sku, unused
from shared.domain.cartons import Carton
from shared.domain.network import Node, Place
from shared.domain.orders import Method, ServiceLevel
from shared.domain.pools import Pooled
from shared.domain.quotes import LaneQuote
from shared.domain.sourcing.stages import Batch, Stage
from shared.domain.sourcing.weights import Weights
from shared.domain.trade import NO_TRADE, Trade


class WantedLine(Model):
    """Units of one order line that need a source.

    Attributes:
        group: Lines of one group may have to come from one node in one shipment, such as a bundle's.
        own_container: Each unit is a package as it is.
    """

    line_no: int
    sku: Sku
    quantity: Quantity
    weight_g: int = 500
    length_mm: int = 200
    width_mm: int = 150
    height_mm: int = 100
    unit_price_minor: Minor = 0
    group: int | None = None
    own_container: bool = False

    @property
    def value_minor(self) -> int:
        return self.quantity * self.unit_price_minor


class SourcingOrder(Model):
    """What has to be sourced, for whom, by when.

    Attributes:
        excluded: Nodes that may not be used: they rejected it, did not answer, or staff said so.
        only: When not empty, the only nodes that may be used (a staff reroute).
        needed_by: The date the customer was promised or asked for; later is late, not forbidden.
        priority: 1 (first) to 5 (last).
        tags: What the channel marked the order with.
        method: How the customer gets it; ``ship_to`` is the store's place where it ends at one.
        pickup_node_id: That store.
    """

    order_id: str
    channel: Identifier
    ship_to: Place
    service: ServiceLevel = ServiceLevel.STANDARD
    lines: tuple[WantedLine, ...]
    excluded: tuple[Identifier, ...] = ()
    only: tuple[Identifier, ...] = ()
    needed_by: Instant | None = None
    priority: int = 3
    tags: tuple[str, ...] = ()
    received_at: Instant | None = None
    promised_at: Instant | None = None
    method: Method = Method.SHIP
    pickup_node_id: Identifier | None = None


class Stock(Model):
    """What one node can give of one SKU: on hand less reserved, held and safety, never below zero.

    Attributes:
        protected: Units that stay for other channels whatever comes from elsewhere; they are not among the available
            ones.
        own: Units among the available ones that are held for the order itself, such as its cart's.
        scarcity_minor: What later orders are expected to lose by one unit less here (``shared.domain.pricing``).
        clearance_minor: What the policy adds for a unit from here while more of the item lie elsewhere, or longer.
        customs_minor: Duty on a unit that crosses a border on its way.
        criteria: What a unit adds by a merchant's own criteria, by name.
    """

    node_id: Identifier
    sku: Sku
    available: Annotated[int, Field(ge=0)]
    protected: Annotated[int, Field(ge=0)] = 0
    own: Annotated[int, Field(ge=0)] = 0
    unit_cost_minor: Minor = 0
    scarcity_minor: Minor = 0
    clearance_minor: Minor = 0
    customs_minor: Minor = 0
    criteria: dict[str, int] = Field(default_factory=dict, exclude_if=unused)

    @property
    def unit_minor(self) -> int:
        """What taking one unit costs beside its handling."""
        known = self.unit_cost_minor + self.customs_minor + self.scarcity_minor + self.clearance_minor
        return known + sum(self.criteria.values()) if self.criteria else known


class DayLoad(Model):
    """What is taken of one day of a node.

    Attributes:
        service: Only what is of this service; ``None`` is all together.
        limit, order_limit: Units, and fulfillment orders, it can make ready that day; ``None`` is no limit.
        used, used_orders: What was promised to be ready that day, and what has left.
    """

    day: date
    service: ServiceLevel | None = None
    limit: Annotated[int, Field(ge=0)] | None
    used: Annotated[int, Field(ge=0)] = 0
    order_limit: Annotated[int, Field(ge=0)] | None = None
    used_orders: Annotated[int, Field(ge=0)] = 0


class NodeLoad(Model):
    """Units already promised to leave a node.

    Attributes:
        dated: Those among them with a day that is not over; the others come before everything new.
        days: What is known of single days; ``None`` where nothing is told by day, and all units are the next day's.
    """

    node_id: Identifier
    units: Annotated[int, Field(ge=0)] = 0
    dated: Annotated[int, Field(ge=0)] = 0
    days: tuple[DayLoad, ...] | None = None


class DayPrice(Model):
    """What later orders are expected to lose by one unit more that a node ships on a day of its own calendar."""

    node_id: Identifier
    day: date
    unit_minor: Minor


class NodeRisk(Model):
    """How often a node fails what it is asked to ship, in parts per million (``shared.database.risks``).

    Attributes:
        rejection_ppm: Of what it was asked: rejected, left unanswered, or shipped short.
        lateness_ppm: Of what it shipped: handed over after its latest hand-over.
    """

    node_id: Identifier
    rejection_ppm: Annotated[int, Field(ge=0, le=1_000_000)]
    lateness_ppm: Annotated[int, Field(ge=0, le=1_000_000)]


class IdleStock(Model):
    """Whole days in which a node had an item and shipped none of it; where nothing is told there are none."""

    node_id: Identifier
    sku: Sku
    days: Annotated[int, Field(ge=0)]


class RateBreak(Model):
    """Price of a parcel up to a weight."""

    up_to_g: Annotated[int, Field(ge=1)]
    price_minor: Minor


class ServiceRate(Model):
    """What one carrier service costs and how long it takes into one zone.

    Attributes:
        max_distance_km: The zone's outer edge; a destination belongs to the first zone that reaches it.
        zone: The carrier's number of the zone, where its ``ZoneChart`` decides and not the distance; 0 is none.
        breaks: By rising weight; a heavier shipment goes as several parcels.
        transit_days: Working days from hand-over to delivery.
    """

    carrier: Identifier
    service: Identifier
    level: ServiceLevel
    max_distance_km: Annotated[int, Field(ge=1)]
    breaks: Annotated[tuple[RateBreak, ...], Field(min_length=1)]
    transit_days: Annotated[int, Field(ge=0)]
    zone: Annotated[int, Field(ge=0)] = 0


class ZoneChart(Model):
    """A carrier's zones from one area, by area of destination; an area is a postal code's first three characters."""

    carrier: Identifier
    origin: str
    zones: dict[str, int]


class Snapshot(Model):
    """Everything the planner may know, read in one query at ``as_of``.

    Attributes:
        quotes: What carriers ask now, in the place of the rates' prices until they expire.
        ineligible: Nodes each channel does not sell from, unless staff chose them for the order.
        price_version: Which version the prices in ``stock`` and ``day_prices`` come from; ``None`` without prices.
        pooled: Items of which something is kept for other channels. Where there are any, ``stock`` says what each node
            could give by itself, and all that is taken of such an item must leave what is kept of it.
    """

    as_of: Instant
    nodes: tuple[Node, ...]
    stock: tuple[Stock, ...]
    loads: tuple[NodeLoad, ...] = ()
    rates: tuple[ServiceRate, ...] = ()
    zones: tuple[ZoneChart, ...] = ()
    quotes: tuple[LaneQuote, ...] = ()
    ineligible: dict[str, tuple[Identifier, ...]] = Field(default_factory=dict)
    day_prices: tuple[DayPrice, ...] = ()
    risks: tuple[NodeRisk, ...] = ()
    idle: tuple[IdleStock, ...] = ()
    trade: Trade = NO_TRADE
    cartons: tuple[Carton, ...] = ()
    price_version: str | None = None
    pooled: tuple[Pooled, ...] = ()


class Policy(Model):
    """What is best, as data. One version never changes.

    Attributes:
        split_penalty_minor: Added for every shipment beyond the first.
        late_day_minor: Added for each day a unit's delivery passes ``needed_by``.
        clear_unit_minor: Added for each unit from a node that has next to none of the item, nothing from the node that
            has most of it, and in proportion between: overstock leaves first.
        clear_aged_minor: Added for each unit of an item from a node that shipped some today, nothing from where it lay
            longest, and in proportion between; all of it for 90 days: what lies goes first.
        wait_day_minor: Added for each day until a unit's delivery, late or not; told as lateness.
        rejection_minor: What it costs when a node rejects a shipment; added in proportion to how often it does.
        late_shipment_minor: What it costs when a node hands over late; added in proportion to how often it does.
        max_shipments: More shipments than this are never planned.
        dim_divisor: Cubic millimetres that count as one gram.
        exclude_nodes: Never ship, unless staff chose them for the order.
        max_distance_km: Nodes further from the customer do not ship, unless staff chose them; ``None`` is no limit.
        stages: Tried in their order, each within the rules above; without any, those rules are all there is. They
            do not hold for what staff send to nodes of their choice.
        batches: Which of several orders takes its turn first, wherever a pool of them is served.
        keep_bundles_together: The lines of a bundle come from one node in one shipment.
    """

    version: str = "default/1"
    split_penalty_minor: Minor = 300
    late_day_minor: Minor = 500
    max_shipments: Annotated[int, Field(ge=1)] = 6
    allow_line_split: bool = True
    dim_divisor: Annotated[int, Field(ge=1)] = 5000
    wait_day_minor: Minor = 0
    exclude_nodes: tuple[Identifier, ...] = ()
    max_distance_km: Annotated[int, Field(ge=1)] | None = None
    weights: Weights = Weights()
    clear_unit_minor: Annotated[Minor, Field(exclude_if=unused)] = 0
    clear_aged_minor: Annotated[Minor, Field(exclude_if=unused)] = 0
    rejection_minor: Annotated[Minor, Field(exclude_if=unused)] = 0
    late_shipment_minor: Annotated[Minor, Field(exclude_if=unused)] = 0
    stages: Annotated[tuple[Stage, ...], Field(max_length=20, exclude_if=unused)] = ()
    batches: Annotated[tuple[Batch, ...], Field(max_length=20, exclude_if=unused)] = ()
    keep_bundles_together: Annotated[bool, Field(exclude_if=unused)] = False
