"""Why an order ships from where it ships."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from workers.cli.drawing import PACKED, packed
from workers.cli.output import Answer, money, table, when
from workers.cli.rate_shops import rates_compared
from workers.connect import doms_client

if TYPE_CHECKING:
    from shared.domain.decisions import Decision, Explanation
    from shared.domain.sourcing.plans import Candidate, CostTerms, Plan, Replanned

_TERMS = ("freight", "handling", "dropship_fee", "item_cost", "split_penalty", "lateness", "scarcity", "capacity",
          "clearance", "risk", "customs", "packaging")  # fmt: skip


async def explain(order_id: str) -> Answer:
    """Explain every decision on an order: each node's cost by term or the reason it fell out, each stage's outcome.

    Costs are in minor units; a term that costs nothing anywhere is left out. Scarcity and capacity are what later
    orders were expected to lose by it (`doms prices show`); nobody pays them. Risk is what the node's rejections and
    late hand-overs cost on average. Where nodes pack in cartons (`doms load cartons`) each package is told: a carrier
    charges for the larger of its weight, carton included, and its volume. Criteria of your own packages that the policy
    weighs (docs/extending.md) are terms under their names, with the package's version.

    Where carriers quote, the rates that were compared before each label was bought come last.

    ```
    doms explain webshop/W7-000001
    doms --json explain webshop/W7-000001 | jq '.decisions[-1].plan.candidates'
    ```

    Args:
        order_id: The channel and the channel's own id, as CHANNEL/ID.
    """
    from shared.database.decisions import explain as read

    async with doms_client() as doms, doms.database.reading() as connection:
        explanation = await read(connection, order_id)
    if not explanation.decisions:
        return Answer(explanation, text=f"{order_id}: nothing was decided yet")
    return Answer(explanation, show=lambda: drawn(explanation))


def drawn(explanation: Explanation) -> Any:
    """The decisions as tables, the first one first."""
    from rich.console import Group

    decided = [part for one in explanation.decisions for part in _decision(one, explanation.currency)]
    return Group(*decided, *([rates_compared(explanation.rate_shops)] if explanation.rate_shops else []))


def _decision(decision: Decision, currency: str) -> Iterator[Any]:
    terms = _counting(decision.plan)
    costs = (*(f"{name.replace('_', ' ')}#" for name in terms), "total#")
    yield table(
        headline(decision, currency), ("ships from", "by", "units#", "deliver by", *costs), _chosen(decision, terms)
    )
    if decision.plan.criteria:
        yield table("own criteria", ("criterion", "of package"), decision.plan.criteria.items())
    if any(one.packages for one in decision.plan.shipments):
        yield table("packages", ("from", *PACKED), _packages(decision, currency))
    if decision.plan.stages:
        yield table(_stage_title(decision.plan), ("stage", "outcome", "units#", "because", "broken limits#"),
                    _stages(decision.plan))  # fmt: skip
    if decision.plan.candidates:
        yield table(
            "every node",
            ("", "node", "holds#", "deliver by", "if it shipped all it can", *costs),
            _nodes(decision.plan, terms),
        )
    if decision.plan.shortages:
        rows = [(short.line_no, short.sku, short.quantity, short.because) for short in decision.plan.shortages]
        yield table("units without a source", ("line#", "item", "units#", "because"), rows)


def _stage_title(plan: Plan) -> str:
    """Which stages decided, and what becomes of the rest."""
    took = [one.name for one in plan.stages if one.units]
    decided = f"decided by {' and '.join(took)}" if took else "no stage took anything"
    if plan.rest is None:
        return f"stages: {decided}"
    after = f" {plan.rest.after}" if plan.rest.after is not None else ""
    return f"stages: {decided}; the rest by {plan.rest.stage}: {plan.rest.then.replace('_', ' ')}{after}"


def _stages(plan: Plan) -> Iterator[tuple[object, ...]]:
    for one in plan.stages:
        yield one.name, one.outcome.replace("_", " "), one.units, one.because, one.broken_minor or ""


def headline(decision: Decision, currency: str) -> str:
    """The decision in one line: cost, proof, runner-up."""
    plan = decision.plan
    if plan.replanned is not None:
        return _replanned(decision, plan.replanned, currency)
    proof = "proven cheapest" if plan.optimal else f"at most {money(plan.gap_minor, currency)} above the cheapest"
    other = "no other set of nodes can ship as much"
    if sum(bool(one.units) for one in plan.stages) > 1:
        other = "each stage took what its own rules make best"
    if decision.runner_up_minor is not None:
        dearer = money(decision.difference_minor, currency)
        weighed = " as the policy weighs it" if plan.weighed_minor is not None else ""
        other = f"the best other way costs {money(decision.runner_up_minor, currency)}{weighed}, {dearer} more"
    prices = f", prices {plan.price_version}" if plan.price_version else ""
    spent = f"{decision.units} unit(s) for {money(decision.total_minor, currency)}"
    return (
        f"decision {decision.attempt}, {when(plan.as_of)}, policy {decision.policy_version}{prices}: "
        f"{spent}, {proof}; {other}"
    )


def _replanned(decision: Decision, wave: Replanned, currency: str) -> str:
    """A decision of a wave in one line."""
    others = f"; with {wave.orders - 1} other(s) {money(wave.group_saved_minor, currency)}" if wave.orders > 1 else ""
    return (
        f"decision {decision.attempt}, {when(decision.plan.as_of)}, policy {decision.policy_version}: replanned by "
        f"wave {wave.wave_id}, group {wave.group}: "
        f"{decision.units} unit(s) for {money(decision.total_minor, currency)}, "
        f"saves {money(wave.saved_minor, currency)}{others}"
    )


def _counting(plan: Plan) -> tuple[str, ...]:
    """The terms that cost something somewhere in the plan."""
    told = [one.cost for one in plan.shipments] + [one.alone for one in plan.candidates if one.alone is not None]
    terms = (*_TERMS, *sorted({name for cost in told for name in cost.criteria}))
    return tuple(name for name in terms if any(cost.by_term().get(name) for cost in told))


def _chosen(decision: Decision, terms: Sequence[str]) -> Iterator[tuple[object, ...]]:
    for one in decision.plan.shipments:
        units = sum(line.quantity for line in one.lines)
        until = f" (quoted until {when(one.quoted_until)})" if one.quoted_until else ""
        yield (
            one.node_id,
            f"{one.carrier} {one.service}{until}",
            units,
            when(one.deliver_by),
            *_amounts(one.cost, terms),
        )


def _packages(decision: Decision, currency: str) -> Iterator[tuple[object, ...]]:
    for one in decision.plan.shipments:
        for package in one.packages:
            yield one.node_id, *packed(package, currency)


def _nodes(plan: Plan, terms: Sequence[str]) -> Iterator[tuple[object, ...]]:
    for one in plan.candidates:
        yield (
            "ships" if one.chosen else "",
            one.node_id,
            one.fillable,
            when(one.deliver_by),
            _fate(one),
            *_amounts(one.alone, terms),
        )


def _fate(candidate: Candidate) -> str:
    return "fell out: " + candidate.because if candidate.because is not None else "would cost"


def _amounts(cost: CostTerms | None, terms: Sequence[str]) -> tuple[int | None, ...]:
    """The terms in minor units, and their sum."""
    if cost is None:
        return (None,) * (len(terms) + 1)
    amounts = cost.by_term()
    return (*(amounts.get(name, 0) for name in terms), cost.total)
