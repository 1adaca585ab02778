"""What an order earns: as it is expected while it waits and ships, as it came out when it is over.

Revenue is what customers pay for units that have a source or have left, and for shipping, before tax. Costs are those
of the fulfillment orders that stand: the plan's, until a label was bought. What payment providers ask and what
restocked goods are worth is not known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.domain.base import Model

if TYPE_CHECKING:
    from shared.domain.orders import UnitCount
    from shared.domain.story import FulfillmentStory, LineStory, OrderStory


class Profit(Model):
    """Integer minor units of the order's currency.

    Attributes:
        revenue_minor: Goods and shipping, before tax.
        refunds_minor: What was paid back of it.
        goods_minor: Cost of the units that ship.
        shipping_minor: Labels where they were bought, else planned freight; cartons and duties.
        fees_minor: Handling, and what vendors ask for shipping to our customers.
        profit_minor: Revenue less all of these.
        settled: No unit is still to ship: nothing of it is an expectation.
    """

    revenue_minor: int
    refunds_minor: int
    goods_minor: int
    shipping_minor: int
    fees_minor: int
    profit_minor: int
    settled: bool


def profit_of(order: OrderStory) -> Profit:
    """What the order earns as things stand."""
    standing = [each for each in order.fulfillments if each.ended_at is None or each.shipped_at is not None]
    revenue = sum(_revenue(line) for line in order.lines) + (order.shipping_minor if _sourced(order.units) else 0)
    refunds = _before_tax(order, order.money.refunded_minor)
    goods = sum(_goods(each) for each in standing)
    shipping = sum(_freight(each) + each.cost.packaging + each.cost.customs for each in standing)
    fees = sum(each.cost.handling + each.cost.dropship_fee for each in standing)
    return Profit(
        revenue_minor=revenue,
        refunds_minor=refunds,
        goods_minor=goods,
        shipping_minor=shipping,
        fees_minor=fees,
        profit_minor=revenue - refunds - goods - shipping - fees,
        settled=order.units.open == 0,
    )


def _sourced(units: UnitCount) -> int:
    return units.allocated + units.released + units.left


def _revenue(line: LineStory) -> int:
    """Of the units that ship, in proportion, as captures are."""
    return (line.total_minor - line.tax_minor) * _sourced(line.units) // line.quantity


def _before_tax(order: OrderStory, amount: int) -> int:
    """The part of what the customer got back that was not tax."""
    taxes = sum(line.tax_minor for line in order.lines)
    return amount * (order.total_minor - taxes) // order.total_minor if order.total_minor else 0


def _goods(fulfillment: FulfillmentStory) -> int:
    """Planned item cost, of the units that are still claimed or have left: cancelled and missing ones cost nothing."""
    units = sum(line.open + line.shipped for line in fulfillment.lines)
    return fulfillment.cost.item_cost * units // fulfillment.units


def _freight(fulfillment: FulfillmentStory) -> int:
    """Labels that were bought, those that were voided at a cost too; without one that stands the plan's."""
    bought = any(package.label_status == "completed" for package in fulfillment.packages)
    labels = sum(package.label_cost_minor for package in fulfillment.packages)
    return labels if bought else labels + fulfillment.cost.freight
