"""The planner's answer, with its reasons. Money is integer minor units of one currency, times are aware UTC."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from shared.domain.base import Identifier, Instant, Model, Quantity, Sku, unused
from shared.domain.cartons import PlannedPackage
from shared.domain.sourcing.stages import Rest, StageTried
from shared.domain.sourcing.terms import Terms


class CostTerms(Terms):
    """A shipment's cost by term, minor units. Their sum, weighed by the policy, is what the planner minimises.

    Attributes:
        scarcity, capacity: What later orders are expected to lose by these units leaving this node, on this day.
        clearance: What the policy adds for units that are not taken where most of their item lie, or longest.
        risk: What the node's rejections and late hand-overs cost a shipment on average.
        customs: Duties, which we pay. ``packaging``: cartons.
        criteria: What a merchant's own criteria add, by name.
    """

    freight: int = 0
    handling: int = 0
    dropship_fee: int = 0
    item_cost: int = 0
    split_penalty: int = 0
    lateness: int = 0
    scarcity: int = 0
    capacity: int = 0
    clearance: int = 0
    risk: Annotated[int, Field(exclude_if=unused)] = 0
    customs: Annotated[int, Field(exclude_if=unused)] = 0
    packaging: Annotated[int, Field(exclude_if=unused)] = 0

    @property
    def paid(self) -> int:
        """What is paid to somebody; the other terms only steer the planner."""
        return self.freight + self.handling + self.dropship_fee + self.item_cost + self.customs + self.packaging

    @property
    def total(self) -> int:
        later = self.scarcity + self.capacity + self.clearance
        return self.paid + self.split_penalty + self.lateness + later + self.risk + sum(self.criteria.values())


class PlannedLine(Model):
    """Units of one line that one shipment carries."""

    line_no: int
    sku: Sku
    quantity: Quantity


class PlannedShipment(Model):
    """What one node is to ship: the birth of a fulfillment order.

    Attributes:
        parcels: Number of parcels the freight was priced for.
        packages: What goes together in what carton; empty where the node's cartons are not known.
        ship_by: Latest hand-over to the carrier that keeps ``deliver_by``.
        quoted_until: When the carrier's quote ends that the freight is; ``None`` when it is the card's price.
    """

    node_id: Identifier
    carrier: Identifier
    service: Identifier
    lines: tuple[PlannedLine, ...]
    parcels: int = 1
    ship_by: Instant
    deliver_by: Instant
    cost: CostTerms
    quoted_until: Annotated[Instant | None, Field(exclude_if=unused)] = None
    packages: Annotated[tuple[PlannedPackage, ...], Field(exclude_if=unused)] = ()


class Because(StrEnum):
    """Why a node cannot give anything, or a line cannot be given.

    ``RESTRICTED_LANE``: the goods may not go from there to the customer. ``MISSING_CUSTOMS_DATA``: they cross a border
    without their origin or code. ``NOT_ELIGIBLE``: the order's channel does not sell from the node. ``PROTECTED``: all
    that is there is kept for other channels.
    """

    DISABLED = "disabled"
    EXCLUDED = "excluded"
    NOT_CHOSEN_BY_STAFF = "not_chosen_by_staff"
    NOT_ELIGIBLE = "not_eligible"
    NO_STOCK = "no_stock"
    PROTECTED = "protected"
    NOT_ENOUGH_STOCK = "not_enough_stock"
    NO_CAPACITY = "no_capacity"
    NO_SERVICE = "no_service"
    RESTRICTED_LANE = "restricted_lane"
    MISSING_CUSTOMS_DATA = "missing_customs_data"
    MAX_SHIPMENTS = "max_shipments"
    NOT_IN_POLICY = "not_in_policy"
    TOO_FAR = "too_far"
    NOT_IN_STAGE = "not_in_stage"
    RULED_OUT = "ruled_out"
    NO_STAGE = "no_stage"


class Candidate(Model):
    """One node as the planner saw it: what it alone would have cost, or the reason it fell out.

    Attributes:
        fillable: Units of the order the node holds.
        alone: Cost if it shipped all it can of the order by itself; ``None`` when it fell out.
    """

    node_id: Identifier
    chosen: bool = False
    fillable: int = 0
    because: Because | None = None
    alone: CostTerms | None = None
    deliver_by: Instant | None = None


class Shortage(Model):
    """Units that no allowed node can give now."""

    line_no: int
    sku: Sku
    quantity: Quantity
    because: Because


class Replanned(Model):
    """The wave that made a plan together with those of other orders.

    Attributes:
        group: Its part of the wave; ``orders`` moved with it, or none had.
        saved_minor: What the order costs less than before, units that found a source included. It may be negative,
            where the order gave way to another of its group.
        group_saved_minor: What all of the group cost less.
    """

    wave_id: str
    group: int
    orders: int
    saved_minor: int
    group_saved_minor: int


class Plan(Model):
    """The planner's decision, with its reasons.

    Attributes:
        runner_up_minor: Cost of the best plan that uses another set of nodes; ``None`` when there is none.
        optimal: Proven cheapest; false when a deadline or a bound ended the search (``gap_minor`` says how far).
        weighed_minor: The plan's cost as the policy weighs its terms, rounded down, when it weighs them at all;
            ``runner_up_minor`` and ``gap_minor`` are then weighed alike. Broken soft limits are part of it.
        stages: The policy's stages as the order met them; empty when it has none.
        rest: What becomes of the shortages, where a stage says so.
        replanned: The wave that made it; ``None`` for the planner's own.
        criteria: The package and its version that each of the policy's own criteria came from.
    """

    order_id: str
    policy_version: str
    as_of: Instant
    shipments: tuple[PlannedShipment, ...] = ()
    shortages: tuple[Shortage, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    runner_up_minor: int | None = None
    optimal: bool = True
    gap_minor: int = 0
    weighed_minor: int | None = None
    price_version: str | None = None
    stages: Annotated[tuple[StageTried, ...], Field(exclude_if=unused)] = ()
    rest: Annotated[Rest | None, Field(exclude_if=unused)] = None
    replanned: Annotated[Replanned | None, Field(exclude_if=unused)] = None
    criteria: dict[str, str] = Field(default_factory=dict, exclude_if=unused)

    @property
    def total_minor(self) -> int:
        return sum(shipment.cost.total for shipment in self.shipments)

    @property
    def promised_at(self) -> Instant | None:
        return max((shipment.deliver_by for shipment in self.shipments), default=None)
