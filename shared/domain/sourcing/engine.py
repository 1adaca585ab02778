"""The planner: one order, one snapshot, one policy, one decision with its reasons.

``plan`` is pure, and total as long as a merchant's own criteria answer: it reads no clock and no other state, the
order of nodes, rows and rates in the snapshot does not matter, and the same input always gives the same answer to the
byte. It fills as many units as the rules allow, and among such plans takes the cheapest, its terms weighed as the
policy says; ties go to the lower ``node_id``.

A node makes at most one shipment of an order. With ``allow_line_split`` off, a line comes whole from one node
or is short whole. A policy with stages is applied stage by stage; each plans what the ones before it left.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.sourcing.conditions import ConditionFailed
from shared.domain.sourcing.confines import Confines
from shared.domain.sourcing.criteria import versions
from shared.domain.sourcing.merging import together
from shared.domain.sourcing.methods import fetched, seen_by
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder
from shared.domain.sourcing.once import Planned, plan_once, said_of_stage
from shared.domain.sourcing.plans import Because, Candidate, Plan
from shared.domain.sourcing.pooling import plan_beside_pools
from shared.domain.sourcing.stages import Stage, StageTried, Tried
from shared.domain.sourcing.staging import Staged, Taken, rest_of, short_of, staged, told, why_passed_over


def plan(order: SourcingOrder, snapshot: Snapshot, policy: Policy) -> Plan:
    """Decide which nodes ship which units of an order, by which service.

    Units that cannot be planned come back as shortages. The plan is proven cheapest when ``optimal`` is set;
    otherwise ``gap_minor`` bounds what a better one could save. Of a plan that several stages have a part in, both
    are said of each part.

    Raises:
        CriterionFailed: one of the policy's own criteria is not installed, or does not answer as it has to.
    """
    seen = seen_by(order.method, order.pickup_node_id, snapshot)
    planned = plan_beside_pools(order, seen, policy, _plan) if seen.pooled else _plan(order, seen, policy)
    whole = fetched(planned, order, snapshot)
    used = versions(policy)
    return whole.model_copy(update={"criteria": used}) if used else whole


def _plan(order: SourcingOrder, snapshot: Snapshot, policy: Policy) -> Plan:
    if policy.stages and not order.only:
        return _in_stages(order, snapshot, policy)
    confines = Confines(lines=order.lines, together=policy.keep_bundles_together)
    return plan_once(order, snapshot, policy, confines).plan


def _in_stages(order: SourcingOrder, snapshot: Snapshot, policy: Policy) -> Plan:
    taken = Taken()
    for stage in policy.stages:
        found = _by(stage, order, snapshot, policy, taken)
        if isinstance(found, StageTried):
            taken.tried.append(found)
            continue
        taken.last, broken = found
        tried = told(stage, taken.last, taken.left_of(order), broken)
        taken.tried.append(tried)
        if tried.units:
            taken.take(taken.last)
        if tried.outcome is not Tried.TOOK_ALL:
            taken.rest = rest_of(stage, tried.outcome)
        if tried.outcome is Tried.TOOK_ALL or taken.rest is not None:
            break
    return _told(order, snapshot, policy, taken)


def _by(stage: Stage, order: SourcingOrder, snapshot: Snapshot, policy: Policy, taken: Taken) -> Planned | StageTried:
    """The stage's plan for what is left, or why it has none."""
    because = why_passed_over(stage, order, snapshot.as_of)
    if because:
        return StageTried(name=stage.name, outcome=Tried.PASSED_OVER, because=because)
    try:
        rules = staged(stage, order, snapshot, policy, taken)
    except ConditionFailed as error:
        return StageTried(name=stage.name, outcome=Tried.PASSED_OVER, because=f"its condition on nodes failed: {error}")
    if rules.policy.max_shipments < 1:
        return Planned(_nothing(rules))
    plan, broken = plan_once(rules.order, rules.snapshot, rules.policy, rules.confines)
    floored = {row.sku for row in snapshot.stock if row.available} if stage.hard.floor_units else set()
    return Planned(said_of_stage(plan, rules.barred, floored), broken)


def _nothing(rules: Staged) -> Plan:
    return Plan(
        order_id=rules.order.order_id,
        policy_version=rules.policy.version,
        as_of=rules.snapshot.as_of,
        shortages=tuple(short_of(line, Because.MAX_SHIPMENTS) for line in rules.order.lines),
    )


def _told(order: SourcingOrder, snapshot: Snapshot, policy: Policy, taken: Taken) -> Plan:
    """What the stages came to, as one plan; what is still short has the reasons of the last one tried."""
    last = taken.last or Plan(order_id=order.order_id, policy_version=policy.version, as_of=snapshot.as_of)
    reasons = {short.line_no: short.because for short in last.shortages}
    alone = len(taken.plans) == 1
    deciding = taken.plans[0] if alone else last
    return deciding.model_copy(
        update={
            "shipments": together(order, snapshot, policy, taken.plans),
            "shortages": tuple(
                short_of(line, reasons.get(line.line_no, Because.NO_STAGE)) for line in taken.left_of(order).lines
            ),
            "candidates": _seen(deciding, taken.plans),
            "runner_up_minor": deciding.runner_up_minor if alone else None,
            "weighed_minor": deciding.weighed_minor if alone else None,
            "optimal": all(each.optimal for each in taken.plans or [last]),
            "gap_minor": sum(each.gap_minor for each in taken.plans),
            "stages": tuple(taken.tried),
            "rest": taken.rest,
        }
    )


def _seen(deciding: Plan, plans: Sequence[Plan]) -> tuple[Candidate, ...]:
    """Every node as the plan that chose it saw it, the others as the deciding one did if it looked at any."""
    chosen = {one.node_id: one for plan in reversed(plans) for one in plan.candidates if one.chosen}
    seen = next((plan.candidates for plan in (deciding, *reversed(plans)) if plan.candidates), ())
    return tuple(chosen.get(one.node_id) or one.model_copy(update={"chosen": False}) for one in seen)
