"""What a policy comes to over many orders: paid money in integer minor units, without the terms that only steer."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from shared.domain.base import Model
from shared.domain.calendars import days_late
from shared.domain.sourcing.models import SourcingOrder
from shared.domain.sourcing.plans import Plan


class NodeShare(Model):
    """What one node was given."""

    node_id: str
    shipments: int
    units: int
    paid_minor: int


class PolicyResult(Model):
    """One policy over the replayed orders.

    Attributes:
        filled_orders: Orders of which every unit found a source.
        split_orders: Orders that ship from more than one node; ``split_rate`` is their share of those that ship.
        paid_minor: Freight, cartons, handling, vendors' fees, goods, duties; ``paid_by_term`` sums each.
        paid_per_order_minor: Of the orders that ship something, rounded down, as all money by order or unit is.
        revenue_minor: Price of the units that ship, before discounts, tax and what is charged for shipping.
        profit_minor: Revenue less what is paid.
        late_orders, late_days: Orders delivered after what their customers were told, and by how many days in all.
        days_to_deliver: Mean calendar days from order to last delivery.
        short_by_reason: Units without a source.
        unproven: Plans not proven cheapest.
    """

    policy_version: str
    orders: int
    filled_orders: int
    units: int
    short_units: int
    shipments: int
    parcels: int
    split_orders: int
    split_rate: float
    paid_minor: int
    paid_per_order_minor: int
    paid_per_unit_minor: int
    paid_by_term: dict[str, int]
    revenue_minor: int
    profit_minor: int
    profit_per_order_minor: int
    late_orders: int
    late_days: int
    days_to_deliver: float
    nodes: tuple[NodeShare, ...]
    short_by_reason: dict[str, int]
    unproven: int


_PAID = ("freight", "handling", "dropship_fee", "item_cost")
#: Told where any of it is paid.
_SOMETIMES = ("customs", "packaging")


class Tally:
    """Adds up plans, one order after the other."""

    def __init__(self, policy_version: str) -> None:
        self._version = policy_version
        self._counts: Counter[str] = Counter()
        self._terms: Counter[str] = Counter(dict.fromkeys(_PAID, 0))
        self._nodes: dict[str, Counter[str]] = {}
        self._short: Counter[str] = Counter()

    def add(self, order: SourcingOrder, at: datetime, found: Plan, told: datetime | None) -> None:
        """One order's plan; ``told`` is the delivery its customer was told."""
        self._counts.update(
            orders=1,
            filled=not found.shortages,
            shipping=bool(found.shipments),
            split=len(found.shipments) > 1,
            unproven=not found.optimal,
        )
        for short in found.shortages:
            self._short[short.because.value] += short.quantity
        if (delivered := found.promised_at) is not None:
            zone = order.ship_to.time_zone
            late = days_late(delivered, told, zone) if told is not None else 0
            self._counts.update(late=late > 0, late_days=late, days=days_late(delivered, at, zone))
        self._add_shipments(found, {line.line_no: line.unit_price_minor for line in order.lines})

    def _add_shipments(self, found: Plan, price: dict[int, int]) -> None:
        for shipment in found.shipments:
            units = sum(line.quantity for line in shipment.lines)
            revenue = sum(line.quantity * price[line.line_no] for line in shipment.lines)
            self._counts.update(units=units, shipments=1, parcels=shipment.parcels, revenue=revenue)
            self._terms.update({term: getattr(shipment.cost, term) for term in _PAID})
            for term in _SOMETIMES:
                if amount := getattr(shipment.cost, term):
                    self._terms[term] += amount
            node = self._nodes.setdefault(shipment.node_id, Counter())
            node.update(shipments=1, units=units, paid_minor=shipment.cost.paid)

    def result(self) -> PolicyResult:
        counts, paid = self._counts, sum(self._terms.values())
        shipping = max(counts["shipping"], 1)
        return PolicyResult(
            policy_version=self._version,
            orders=counts["orders"],
            filled_orders=counts["filled"],
            units=counts["units"],
            short_units=sum(self._short.values()),
            shipments=counts["shipments"],
            parcels=counts["parcels"],
            split_orders=counts["split"],
            split_rate=round(counts["split"] / shipping, 4),
            paid_minor=paid,
            paid_per_order_minor=paid // shipping,
            paid_per_unit_minor=paid // max(counts["units"], 1),
            paid_by_term=dict(self._terms),
            revenue_minor=counts["revenue"],
            profit_minor=counts["revenue"] - paid,
            profit_per_order_minor=(counts["revenue"] - paid) // shipping,
            late_orders=counts["late"],
            late_days=counts["late_days"],
            days_to_deliver=round(counts["days"] / shipping, 2),
            nodes=tuple(NodeShare(node_id=node_id, **self._nodes[node_id]) for node_id in sorted(self._nodes)),
            short_by_reason=dict(sorted(self._short.items())),
            unproven=counts["unproven"],
        )
