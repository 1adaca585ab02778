"""The planner's decisions on an order, as people ask about them: what it cost, what else it could have been."""

from __future__ import annotations

from shared.domain.base import Model
from shared.domain.rate_shopping import RateShop
from shared.domain.sourcing.plans import Plan


class Decision(Model):
    """One decision on an order.

    Attributes:
        attempt: Counts the order's decisions from 1.
        runner_up_minor: Cost of the best plan that uses another set of nodes; ``None`` when there is none.
            Both this and the difference are as the policy weighs its terms.
        difference_minor: How much dearer that one is.
        units, short_units: Units that are shipped by this decision, and that it found no source for.
    """

    attempt: int
    policy_version: str
    total_minor: int
    runner_up_minor: int | None
    difference_minor: int | None
    units: int
    short_units: int
    plan: Plan

    @classmethod
    def of(cls, attempt: int, plan: Plan) -> Decision:
        runner_up = plan.runner_up_minor
        weighed = plan.total_minor if plan.weighed_minor is None else plan.weighed_minor
        return cls(
            attempt=attempt,
            policy_version=plan.policy_version,
            total_minor=plan.total_minor,
            runner_up_minor=runner_up,
            difference_minor=None if runner_up is None else runner_up - weighed,
            units=sum(line.quantity for shipment in plan.shipments for line in shipment.lines),
            short_units=sum(short.quantity for short in plan.shortages),
            plan=plan,
        )


class Explanation(Model):
    """Every decision on an order, the first one first.

    Attributes:
        rate_shops: Who sold the labels of its parcels, and from what it was chosen.
    """

    order_id: str
    currency: str
    decisions: tuple[Decision, ...]
    rate_shops: tuple[RateShop, ...] = ()
