"""Planning in stages: each in its turn takes what its rules allow, and says what becomes of the rest.

A stage plans what the stages before it left, on the stock they left. Of each it is told why it was passed over, what
it took, or what it could not find. Orders that staff send to nodes of their choice go through no stage.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.domain.geo import distance_km
from shared.domain.sourcing.conditions import ConditionFailed, condition
from shared.domain.sourcing.confines import Confines
from shared.domain.sourcing.facts import node_facts, of_order, order_facts
from shared.domain.sourcing.models import NodeLoad, Policy, Snapshot, SourcingOrder, WantedLine
from shared.domain.sourcing.plans import Because, Plan, Shortage
from shared.domain.sourcing.stages import After, Rest, Stage, StageTried, Then, Tried


@dataclass(frozen=True, slots=True)
class Staged:
    """What one stage is to plan, and by which rules.

    Attributes:
        barred: Nodes its condition rules out.
    """

    order: SourcingOrder
    snapshot: Snapshot
    policy: Policy
    confines: Confines
    barred: frozenset[str]


@dataclass(slots=True)
class Taken:
    """What the stages have taken until now, and what they said.

    Attributes:
        last: What the last stage that was tried has found, taken or not.
        rest: What becomes of what is left, when a stage has said so.
    """

    plans: list[Plan] = field(default_factory=list)
    tried: list[StageTried] = field(default_factory=list)
    last: Plan | None = None
    rest: Rest | None = None
    units: Counter[int] = field(default_factory=Counter)
    stock: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def shipments(self) -> int:
        return sum(len(plan.shipments) for plan in self.plans)

    def take(self, plan: Plan) -> None:
        self.plans.append(plan)
        for shipment in plan.shipments:
            for line in shipment.lines:
                self.units[line.line_no] += line.quantity
                self.stock[shipment.node_id, line.sku] += line.quantity

    def left_of(self, order: SourcingOrder) -> SourcingOrder:
        lines = [
            line.model_copy(update={"quantity": line.quantity - self.units[line.line_no]})
            for line in order.lines
            if line.quantity > self.units[line.line_no]
        ]
        return order.model_copy(update={"lines": tuple(lines)})


def why_passed_over(stage: Stage, order: SourcingOrder, now: datetime) -> str:
    """Why the stage is not for this order at this time; empty when it is."""
    if stage.effective_from is not None and now < stage.effective_from:
        return f"it begins {stage.effective_from:%Y-%m-%d %H:%M} UTC"
    if stage.effective_until is not None and now >= stage.effective_until:
        return f"it ended {stage.effective_until:%Y-%m-%d %H:%M} UTC"
    if not stage.when:
        return ""
    try:
        return "" if condition(stage.when).holds(of_order(order, now)) else "its condition does not hold"
    except ConditionFailed as error:
        return f"its condition failed: {error}"


def staged(stage: Stage, order: SourcingOrder, snapshot: Snapshot, policy: Policy, taken: Taken) -> Staged:
    """What is left of the order for this stage, by its rules.

    Raises:
        ConditionFailed: the condition on nodes cannot be answered.
    """
    rest = taken.left_of(order)
    barred = _barred(stage, order, snapshot) if stage.nodes else frozenset()
    rules = _rules(stage, policy, taken.shipments, barred)
    confines = Confines(
        lines=rest.lines,
        least_part_minor=stage.hard.min_part_value_minor,
        floor_units=stage.hard.floor_units,
        soft=stage.soft,
        whole=not taken.shipments,
        together=policy.keep_bundles_together,
        earlier=taken.shipments,
        far={node.node_id: distance_km(node.place, order.ship_to) for node in snapshot.nodes} if stage.soft else {},
    )
    return Staged(rest, _less(snapshot, taken, stage.hard.floor_units), rules, confines, barred)


def _barred(stage: Stage, order: SourcingOrder, snapshot: Snapshot) -> frozenset[str]:
    asked = condition(stage.nodes)
    loads = {load.node_id: load.units for load in snapshot.loads}
    common: dict[str, Any] = {"order": order_facts(order, snapshot.as_of), "now": snapshot.as_of}
    holders = {row.node_id for row in snapshot.stock}
    return frozenset(
        node.node_id
        for node in snapshot.nodes
        if node.node_id in holders
        and not asked.holds(common | {"node": node_facts(node, order.ship_to, loads.get(node.node_id, 0))})
    )


def _rules(stage: Stage, policy: Policy, shipments: int, barred: frozenset[str]) -> Policy:
    hard = stage.hard
    reach = [km for km in (policy.max_distance_km, hard.max_distance_km) if km is not None]
    changes: dict[str, Any] = {
        "max_distance_km": min(reach, default=None),
        "max_shipments": min(policy.max_shipments, hard.max_shipments or policy.max_shipments) - shipments,
        "allow_line_split": policy.allow_line_split and not hard.whole_lines,
        "exclude_nodes": barred.union(policy.exclude_nodes),
        "stages": (),
    }
    for name in ("weights", "split_penalty_minor", "late_day_minor", "wait_day_minor"):
        if (own := getattr(stage, name)) is not None:
            changes[name] = own
    return policy.model_copy(update=changes)


def _less(snapshot: Snapshot, taken: Taken, floor: int) -> Snapshot:
    """The snapshot without what is taken already and what must stay."""
    if not floor and not taken.stock:
        return snapshot
    rows = [
        row.model_copy(update={"available": max(0, row.available - taken.stock[row.node_id, row.sku] - floor)})
        for row in snapshot.stock
    ]
    loads = Counter({load.node_id: load.units for load in snapshot.loads})
    for (node_id, _), units in taken.stock.items():
        loads[node_id] += units
    kept = [load.model_copy(update={"units": loads.pop(load.node_id)}) for load in snapshot.loads]
    return snapshot.model_copy(update={"stock": tuple(rows), "loads": (*kept, *_loads(loads))})


def _loads(units: Counter[str]) -> list[NodeLoad]:
    return [NodeLoad(node_id=node_id, units=count) for node_id, count in sorted(units.items())]


def told(stage: Stage, found: Plan, order: SourcingOrder, broken_minor: int) -> StageTried:
    """How far the stage came with what was left of the order."""
    units = sum(line.quantity for shipment in found.shipments for line in shipment.lines)
    because = ", ".join(f"{count} x {reason}" for reason, count in sorted(_reasons(found.shortages).items()))
    if not units:
        return StageTried(name=stage.name, outcome=Tried.FOUND_NOTHING, because=because)
    if units == sum(line.quantity for line in order.lines):
        return StageTried(name=stage.name, outcome=Tried.TOOK_ALL, units=units, broken_minor=broken_minor)
    if not stage.on_part.take:
        return StageTried(name=stage.name, outcome=Tried.LEFT_PART, because=because)
    return StageTried(name=stage.name, outcome=Tried.TOOK_PART, because=because, units=units, broken_minor=broken_minor)


def _reasons(shortages: tuple[Shortage, ...]) -> Counter[str]:
    reasons = Counter[str]()
    for short in shortages:
        reasons[short.because.value] += short.quantity
    return reasons


def rest_of(stage: Stage, outcome: Tried) -> Rest | None:
    """What becomes of what the stage did not find; ``None`` when the next stage is to try."""
    after: After = stage.on_none if outcome is Tried.FOUND_NOTHING else stage.on_part
    if after.then is Then.NEXT_STAGE:
        return None
    return Rest(then=after.then, stage=stage.name, after=after.after)


def short_of(line: WantedLine, because: Because) -> Shortage:
    return Shortage(line_no=line.line_no, sku=line.sku, quantity=line.quantity, because=because)
