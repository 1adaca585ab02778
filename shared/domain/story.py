"""Everything there is to know of one order, as support reads it. No card token; the address is personal data."""

from __future__ import annotations

from typing import Any

from shared.domain.base import Instant, Model
from shared.domain.cartons import PlannedPackage
from shared.domain.orders import Address, Fulfillment, HoldKind, Lifecycle, Method, ServiceLevel, UnitCount
from shared.domain.profit import Profit
from shared.domain.rate_shopping import RateShop
from shared.domain.rollups import Money, Payment, Return
from shared.domain.sourcing.plans import CostTerms, Plan


class OrderSummary(Model):
    """One row of a list of orders.

    Attributes:
        nodes: Where its live fulfillment orders are.
        cases: Open exception cases.
    """

    order_id: str
    channel: str
    channel_order_id: str
    placed_at: Instant
    received_at: Instant
    promised_at: Instant | None
    lifecycle: Lifecycle
    fulfillment: Fulfillment
    on_hold: bool
    units: UnitCount
    lines: int
    total_minor: int
    currency: str
    service: ServiceLevel
    priority: int
    nodes: tuple[str, ...]
    cases: int


class TimelineEvent(Model):
    """Something that happened to an order, and by whom."""

    event_id: int
    at: Instant
    actor: str
    event: str
    detail: dict[str, Any]


class LineStory(Model):
    """One order line and where its units are.

    Attributes:
        total_minor: What the customer pays for it; ``tax_minor`` is part of it.
    """

    line_no: int
    sku: str
    name: str
    quantity: int
    unit_price_minor: int
    total_minor: int
    tax_minor: int
    units: UnitCount
    bundle_line_no: int | None = None


class BundleStory(Model):
    """A line of a bundle as it was ordered; its units are in the lines that name it."""

    line_no: int
    sku: str
    name: str
    quantity: int
    unit_price_minor: int
    total_minor: int


class PackageLine(Model):
    line_no: int
    quantity: int


class PackageStory(Model):
    """One parcel.

    Attributes:
        rate_shop: Who was chosen to sell its label, and from what; ``None`` where no carrier quotes.
    """

    package_id: str
    package_no: int
    weight_g: int
    lines: tuple[PackageLine, ...]
    carrier: str
    service: str
    tracking_no: str
    tracking_status: str
    label_status: str
    label_cost_minor: int
    shipped_at: Instant | None
    delivered_at: Instant | None
    rate_shop: RateShop | None = None


class ClaimStory(Model):
    """What a fulfillment order holds of one line."""

    line_no: int
    sku: str
    quantity: int
    open: int
    shipped: int
    released: int


class ConsolidationStory(Model):
    """The parcel that a fulfillment order shares.

    Attributes:
        mates: The fulfillment orders that it shares it with.
        sealed_at: When its label began to be bought; before that each may leave.
    """

    consolidation_id: str
    mates: tuple[str, ...]
    sealed_at: Instant | None


class FulfillmentStory(Model):
    """One fulfillment order: what was asked of which node, and what came of it."""

    fulfillment_order_id: str
    n: int
    node_id: str
    node_name: str
    node_type: str
    units: int
    status: str
    request_status: str
    carrier: str
    service: str
    release_at: Instant | None = None
    ready_at: Instant | None = None
    ship_by: Instant
    deliver_by: Instant
    cost: CostTerms
    planned_minor: int
    planned_packages: tuple[PlannedPackage, ...] = ()
    excludes_node: bool
    reason: str
    created_at: Instant
    submitted_at: Instant | None
    shipped_at: Instant | None
    delivered_at: Instant | None
    ended_at: Instant | None
    lines: tuple[ClaimStory, ...]
    packages: tuple[PackageStory, ...]
    packed_at: Instant | None = None
    consolidation: ConsolidationStory | None = None


class HoldStory(Model):
    """One hold, standing or released."""

    hold_id: str
    kind: HoldKind
    reason: str
    placed_by: str
    placed_at: Instant
    released_by: str | None
    released_at: Instant | None


class PaymentOperation(Model):
    """One thing asked of the payment provider."""

    reference: str
    kind: str
    amount_minor: int
    status: str
    reason: str
    intended_at: Instant
    answered_at: Instant | None


class ReturnLine(Model):
    line_no: int
    sku: str
    quantity: int
    received: int
    restocked: int
    written_off: int


class ReturnStory(Model):
    """One return."""

    return_id: str
    order_id: str
    n: int
    status: str
    reason: str
    node_id: str | None
    refund_minor: int
    currency: str
    requested_by: str
    decided_by: str | None
    requested_at: Instant
    received_at: Instant | None
    closed_at: Instant | None
    lines: tuple[ReturnLine, ...]


class CaseStory(Model):
    """Something that waits for a person."""

    case_id: int
    kind: str
    reference: str
    detail: dict[str, Any]
    opened_at: Instant


class SupplyStory(Model):
    """Backordered units of a line, and the supply they wait for.

    Attributes:
        expected_at: When it is expected at its node.
        promised_at: When the customer would have the units.
    """

    line_no: int
    inbound_id: str
    node_id: str
    quantity: int
    expected_at: Instant
    promised_at: Instant


class MessageStory(Model):
    """A message to a partner (``out``, with its key) or from one (``in``, with its type). No bodies."""

    direction: str
    partner_id: str
    what: str
    at: Instant
    done_at: Instant | None
    attempts: int


class OrderStory(Model):
    """One order, whole.

    Attributes:
        fulfillment, payment, returned: The roll-ups; ``on_hold`` lies over them.
        lines: Lines of items that have stock; each of ``bundles`` is there as its components.
        plan: The planner's latest decision with every candidate's cost or reason; ``plans`` counts them all.
        profit: What it earns as things stand; ``None`` while nothing of it has a source.
        waits_for: What it waits for now, a sentence each.
    """

    order_id: str
    channel: str
    channel_order_id: str
    customer_ref: str
    ship_to: Address
    method: Method
    pickup_node_id: str | None
    service: ServiceLevel
    priority: int
    currency: str
    shipping_minor: int
    total_minor: int
    payment_kind: str
    policy_version: str
    placed_at: Instant
    received_at: Instant
    promised_at: Instant | None
    closed_at: Instant | None
    accepted: bool
    lifecycle: Lifecycle
    fulfillment: Fulfillment
    payment: Payment
    returned: Return
    on_hold: bool
    units: UnitCount
    money: Money
    lines: tuple[LineStory, ...]
    bundles: tuple[BundleStory, ...] = ()
    fulfillments: tuple[FulfillmentStory, ...]
    holds: tuple[HoldStory, ...]
    operations: tuple[PaymentOperation, ...]
    returns: tuple[ReturnStory, ...]
    plan: Plan | None
    plans: int
    timeline: tuple[TimelineEvent, ...]
    cases: tuple[CaseStory, ...]
    messages: tuple[MessageStory, ...]
    supply: tuple[SupplyStory, ...] = ()
    profit: Profit | None = None
    waits_for: tuple[str, ...] = ()
