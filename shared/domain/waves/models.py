"""What a wave is given and what it answers.

Money is integer minor units of one currency. Costs are the planner's, weighed as each order's policy says; a unit
that finds no source costs ``short_unit_minor`` beside them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.domain.base import Instant, Minor, Model
from shared.domain.quotes import LaneQuote
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder
from shared.domain.sourcing.plans import PlannedShipment


class WaveOrder(Model):
    """One order that may be planned again.

    Units that have a source keep one, and what was promised is kept: no plan gives a line fewer units than it stands
    with, or delivers later than ``promised_at``.

    Attributes:
        order: Every unit that may still move: planned ones and those that wait.
        standing: Where the planned ones are planned now; ``numbers`` are those of the fulfillment orders.
        recipient: Names who receives it where; orders with the same one may travel together. Empty: never.
        release_at: When the nodes are told of it, as it stands; ``None`` is at once.
        quotes: What carriers ask to where it goes, in the order's currency.
    """

    order: SourcingOrder
    policy: Policy
    standing: tuple[PlannedShipment, ...] = ()
    numbers: tuple[int, ...] = ()
    promised_at: Instant | None = None
    recipient: str = ""
    release_at: Instant | None = None
    quotes: tuple[LaneQuote, ...] = ()

    @property
    def order_id(self) -> str:
        return self.order.order_id


class WaveRules(Model):
    """What a wave weighs beside the planner's costs, and how hard it tries.

    Attributes:
        short_unit_minor: What a unit without a source costs.
        change_minor: What an order must at least save to be moved.
        gap_target: Planning ends when the plan is proven to be within this share of the best one.
        rounds: Rounds of pricing at most.
        branches: Nodes of the integer program's search at most.
    """

    short_unit_minor: Minor = 10_000
    change_minor: Minor = 50
    gap_target: Annotated[float, Field(ge=0)] = 0.001
    rounds: Annotated[int, Field(ge=1)] = 60
    branches: Annotated[int, Field(ge=0)] = 20


class Wave(Model):
    """Orders to plan together.

    Attributes:
        snapshot: The world as if none of these orders had reserved anything: what they hold counts as available, and
            what they occupy of their nodes' days as free.
    """

    orders: tuple[WaveOrder, ...]
    snapshot: Snapshot
    rules: WaveRules = WaveRules()


class Reassignment(Model):
    """A new plan of one order, in place of everything that stands of it.

    Attributes:
        saved_minor: What the order's cost falls by, units that find a source included. It may be negative: where one
            order gives way, others save more.
        group: Orders moved because of each other's stock or days have the same; all of them move, or none.
    """

    order_id: str
    shipments: tuple[PlannedShipment, ...]
    saved_minor: int
    filled_units: int
    group: int


class Consolidation(Model):
    """Shipments of several orders that leave one node together and can share a parcel.

    Attributes:
        saved_minor: What one shipment costs less than several.
    """

    recipient: str
    order_ids: tuple[str, ...]
    node_ids: tuple[str, ...]
    saved_minor: int


class WavePlan(Model):
    """What the wave comes to.

    Attributes:
        before_minor, after_minor: Cost of all orders as they stood and as planned, with units without a source and,
            in ``after_minor``, the price of each change.
        bound_minor: No plan of these orders within these rules costs less.
        frozen: Orders looked at that the wave cannot plan: too large, or under rules that only the planner knows.
        plans: Plans compared; ``rounds`` is how often they were priced.
    """

    orders: int
    frozen: int = 0
    reassignments: tuple[Reassignment, ...] = ()
    consolidations: tuple[Consolidation, ...] = ()
    before_minor: int = 0
    after_minor: int = 0
    bound_minor: int = 0
    short_before: int = 0
    short_after: int = 0
    plans: int = 0
    rounds: int = 0

    @property
    def gap(self) -> float:
        """How far the plan may be from the best one, as a share of the bound."""
        return max(0.0, (self.after_minor - self.bound_minor) / max(self.bound_minor, 1))
