"""Whether a policy's stages and batches can be meant as they are written: every fault at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from shared.domain.base import Model
from shared.domain.network import Node, NodeType
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.conditions import ConditionFailed, Scope, always, compared, condition, faults_of
from shared.domain.sourcing.facts import OF_NODES, OF_ORDERS, node_facts, of_order, order_facts, samples
from shared.domain.sourcing.finding import Finding
from shared.domain.sourcing.models import Policy
from shared.domain.sourcing.presets import PRESETS
from shared.domain.sourcing.stages import After, AfterPart, Batch, Limits, SoftLimits, SortKey, Stage
from shared.domain.sourcing.weights import Weights

#: What a stage takes of a preset that it names.
_OF_PRESETS = ("weights", "split_penalty_minor", "late_day_minor", "wait_day_minor")
#: Facts of nodes that are the same for every order.
_STANDING = frozenset({"node_id", "type", "partner_id", "country", "region", "postal_code", "city", "handling_days"})


def with_presets(stages: Any) -> Any:
    """Stages as a file has them, with what the presets they name stand for now."""
    return [_with_preset(stage) for stage in stages] if isinstance(stages, list) else stages


def _with_preset(stage: Any) -> Any:
    preset = PRESETS.get(str(stage.get("preset"))) if isinstance(stage, dict) else None
    if preset is None:
        return stage
    values = preset.model_dump(include=set(_OF_PRESETS))
    own = {name: value for name, value in stage.items() if name != "preset"}
    if isinstance(own.get("weights"), dict):
        own["weights"] = values["weights"] | own["weights"]
    return values | own


def unknown_settings(sourcing: Mapping[str, Any]) -> Iterator[Finding]:
    """Settings of stages and batches that there are not, and presets that there are not."""
    for n, stage in _objects(sourcing.get("stages")):
        at = f"/sourcing/stages/{n}"
        yield from _unknown(stage, Stage, at, "preset")
        if "preset" in stage and stage["preset"] not in list(PRESETS):
            message = f"one of: {', '.join(sorted(PRESETS))}"
            yield Finding(pointer=f"{at}/preset", code="unknown_preset", message=message)
        parts: tuple[tuple[str, type[Model]], ...] = (
            ("hard", Limits), ("on_none", After), ("on_part", AfterPart), ("weights", Weights),
        )  # fmt: skip
        for part, kind in parts:
            yield from _unknown(stage.get(part), kind, f"{at}/{part}")
        for m, soft in _objects(stage.get("soft")):
            yield from _unknown(soft, SoftLimits, f"{at}/soft/{m}")
    for n, batch in _objects(sourcing.get("batches")):
        yield from _unknown(batch, Batch, f"/sourcing/batches/{n}")
        for m, key in _objects(batch.get("sequence")):
            yield from _unknown(key, SortKey, f"/sourcing/batches/{n}/sequence/{m}")


def _objects(values: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for n, value in enumerate(values if isinstance(values, list) else []):
        if isinstance(value, dict):
            yield n, value


def _unknown(value: Any, kind: type[Model], pointer: str, *more: str) -> Iterator[Finding]:
    known = {*kind.model_fields, *more}
    message = f"no such setting; there are: {', '.join(sorted(known))}"
    for name in value if isinstance(value, dict) else ():
        if name not in known:
            yield Finding(pointer=f"{pointer}/{name}", code="unknown", message=message)


def check_stages(policy: Policy, nodes: Sequence[Node], channels: Sequence[str] = ()) -> Iterator[Finding]:
    """Everything that makes stages and batches unfit for this network.

    Args:
        channels: Channels that are known to sell; without any, no name of a channel is refused.
    """
    names = _Names(nodes, channels)
    yield from _repeated("stages", [stage.name for stage in policy.stages])
    yield from _repeated("batches", [batch.name for batch in policy.batches])
    for n, batch in enumerate(policy.batches):
        yield from _expression(batch.when, f"/sourcing/batches/{n}/when", OF_ORDERS, names)
    for n, stage in enumerate(policy.stages):
        at = f"/sourcing/stages/{n}"
        yield from _expression(stage.when, f"{at}/when", OF_ORDERS, names)
        yield from _expression(stage.nodes, f"{at}/nodes", OF_NODES, names)
        yield from _never(stage, at)
        yield from _contradictions(stage, policy, at)
        yield from _no_node(stage, policy, nodes, at)
    yield from _unreachable(policy.stages)


def _repeated(part: str, names: Sequence[str]) -> Iterator[Finding]:
    seen = Counter[str]()
    for n, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            yield Finding(pointer=f"/sourcing/{part}/{n}/name", code="repeated", message=f"{name} is named before")


class _Names:
    """What texts may be compared with, by field; a field without a list takes any."""

    def __init__(self, nodes: Sequence[Node], channels: Sequence[str]) -> None:
        self.known: dict[str, frozenset[str]] = {
            "node.node_id": frozenset(node.node_id for node in nodes),
            "node.partner_id": frozenset(node.partner_id for node in nodes),
            "node.type": frozenset(NodeType),
            "order.service": frozenset(ServiceLevel),
            "order.channel": frozenset(channels),
        }

    def unknown(self, expression: str) -> Iterator[tuple[str, str, frozenset[str]]]:
        for field, text in compared(expression):
            known = self.known.get(field, frozenset())
            if known and text not in known:
                yield field, text, known


def _expression(expression: str, pointer: str, scope: Scope, names: _Names) -> Iterator[Finding]:
    if not expression.strip():
        return
    faults = faults_of(expression, scope)
    if not faults:
        try:
            condition(expression).holds(_sample(scope))
        except ConditionFailed as error:
            faults = [f"it fails for a plain order: {error}"]
    for fault in faults:
        yield Finding(pointer=pointer, code="bad_condition", message=fault)
    for field, text, known in names.unknown(expression):
        some = ", ".join(sorted(known)[:10])
        code = f"unknown_{field.partition('.')[2].removesuffix('_id')}"
        yield Finding(pointer=pointer, code=code, message=f"there is no {field} {text!r}; there are: {some}")


def _sample(scope: Scope) -> dict[str, Any]:
    order, node, now = samples()
    if scope is OF_ORDERS:
        return of_order(order, now)
    return {"order": order_facts(order, now), "node": node_facts(node, order.ship_to, 0), "now": now}


def _never(stage: Stage, at: str) -> Iterator[Finding]:
    if always(stage.when) is False:
        yield Finding(pointer=f"{at}/when", code="never_holds", message="it is false for every order")
    begins, ends = stage.effective_from, stage.effective_until
    if begins is not None and ends is not None and ends <= begins:
        message = "must be later than effective_from: the stage would never be tried"
        yield Finding(pointer=f"{at}/effective_until", code="never_holds", message=message)


#: Hard and soft limits of one kind, and when the soft one can never be broken.
_NEEDLESS: tuple[tuple[str, Callable[[Any, Any], bool]], ...] = (
    ("max_distance_km", lambda hard, soft: hard is not None and soft is not None and soft >= hard),
    ("max_shipments", lambda hard, soft: hard is not None and soft is not None and soft >= hard),
    ("min_part_value_minor", lambda hard, soft: 0 < soft <= hard),
    ("floor_units", lambda hard, soft: 0 < soft <= hard),
    ("whole_lines", lambda hard, soft: hard and soft),
)


def _contradictions(stage: Stage, policy: Policy, at: str) -> Iterator[Finding]:
    hard = stage.hard
    if hard.max_shipments is not None and hard.max_shipments > policy.max_shipments:
        message = f"the policy allows no more than {policy.max_shipments} shipments"
        yield Finding(pointer=f"{at}/hard/max_shipments", code="contradictory", message=message)
    if hard.max_distance_km is not None and hard.max_distance_km > (policy.max_distance_km or hard.max_distance_km):
        message = f"the policy allows no more than {policy.max_distance_km} km"
        yield Finding(pointer=f"{at}/hard/max_distance_km", code="contradictory", message=message)
    if hard.max_shipments == 1 and hard.min_part_value_minor and not stage.on_part.take:
        message = "parts are never taken, so that what they are worth makes no difference"
        yield Finding(pointer=f"{at}/hard/min_part_value_minor", code="contradictory", message=message)
    for n, soft in enumerate(stage.soft):
        place = f"{at}/soft/{n}"
        if soft == SoftLimits(price_minor=soft.price_minor):
            yield Finding(pointer=place, code="no_effect", message="a price without a limit")
        for name, needless in _NEEDLESS:
            if needless(getattr(hard, name), getattr(soft, name)):
                message = "the hard limit is as strict: this one is never broken"
                yield Finding(pointer=f"{place}/{name}", code="contradictory", message=message)


def _no_node(stage: Stage, policy: Policy, nodes: Sequence[Node], at: str) -> Iterator[Finding]:
    """Nodes that a condition on what never changes of them leaves; one that depends on the order may leave any."""
    shipping = [node for node in nodes if node.ship_enabled and node.node_id not in policy.exclude_nodes]
    if not shipping or not stage.nodes or faults_of(stage.nodes, {"node": dict.fromkeys(_STANDING, "")}):
        return
    order, _, _ = samples()
    try:
        left = [node for node in shipping if condition(stage.nodes).holds({"node": node_facts(node, order.ship_to, 0)})]
    except ConditionFailed as error:
        yield Finding(pointer=f"{at}/nodes", code="bad_condition", message=f"it fails for a node: {error}")
        return
    if not left:
        message = "no node that ships is left by it" + (", so no floor is kept" if stage.hard.floor_units else "")
        yield Finding(pointer=f"{at}/nodes", code="no_node_left", message=message)


def _unreachable(stages: Sequence[Stage]) -> Iterator[Finding]:
    for n, stage in enumerate(stages):
        for earlier in stages[:n]:
            undated = earlier.effective_from is None and earlier.effective_until is None
            covers = always(earlier.when) is True or earlier.when.strip() == stage.when.strip()
            if undated and covers and earlier.ends_always and not _may_fail(earlier):
                message = f"{earlier.name} applies before it and ends the search in every case"
                yield Finding(pointer=f"/sourcing/stages/{n}", code="unreachable", message=message)
                break


def _may_fail(stage: Stage) -> bool:
    """Whether it may be passed over for an error, which no check of its form excludes."""
    return bool(stage.nodes) and any(sign in stage.nodes for sign in ("/", "%", "[", "int(", "double("))
