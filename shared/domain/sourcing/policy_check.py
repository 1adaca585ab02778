"""Whether a policy can be meant as it is written: every fault at once, and nothing is read but the arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.domain.base import Identifier, Model
from shared.domain.geo import distance_km
from shared.domain.network import Node, Place
from shared.domain.policies import PolicyVersion, named
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing.criteria import CriterionFailed, criterion
from shared.domain.sourcing.finding import Finding
from shared.domain.sourcing.models import Policy, ServiceRate
from shared.domain.sourcing.presets import PRESETS
from shared.domain.sourcing.stage_check import check_stages, unknown_settings, with_presets
from shared.domain.sourcing.weights import Weights

_NAME: TypeAdapter[str] = TypeAdapter(Identifier)
#: Durations of which the first must not be longer than the second.
_ORDERED = (
    ("backorder_retry", "backorder_patience", "a backorder would end before it looked for stock again"),
    ("answer_within", "exclude_for", "a silent node would be asked again while the next one may still be silent"),
)
#: Terms that are nothing where nothing is known of them: weights of these alone compare no plans.
_LATENT = frozenset({"scarcity", "capacity", "clearance", "risk", "customs", "packaging"})
#: Durations that may be nothing.
_OPTIONAL = frozenset({"release_after"})


def read_policy(value: Any) -> PolicyVersion | list[Finding]:
    """A policy file: a name, a preset to begin with, and what is different in ``sourcing`` and ``process``.

    Every fault of its shape comes back at once.
    """
    if not isinstance(value, dict):
        return [Finding(pointer="", code="not_an_object", message="a policy file is a JSON object")]
    found = [*_unknown(value, {"name", "preset", "sourcing", "process"}, ""), *_shape(value)]
    sourcing, process = _object(value, "sourcing"), _object(value, "process")
    preset = PRESETS.get(str(value.get("preset", "balanced")), Policy())
    weights = sourcing.get("weights", {})
    changes: dict[str, Any] = {"version": "draft"}
    if isinstance(weights, dict):
        found += _unknown(weights, set(Weights.model_fields), "/sourcing/weights")
        changes["weights"] = preset.weights.model_dump() | weights
    found += _unknown(sourcing, set(Policy.model_fields) - {"version"}, "/sourcing")
    found += unknown_settings(sourcing)
    if "stages" in sourcing:
        changes["stages"] = with_presets(sourcing["stages"])
    found += _unknown(process, set(ProcessPolicy.model_fields), "/process")
    policy = _validated(Policy, preset.model_dump() | sourcing | changes, "/sourcing", found)
    rules = _validated(ProcessPolicy, process, "/process", found)
    if found or not isinstance(policy, Policy) or not isinstance(rules, ProcessPolicy):
        return found
    return named(value["name"], policy, rules)


def _shape(value: dict[str, Any]) -> Iterator[Finding]:
    try:
        _NAME.validate_python(value.get("name"), strict=True)
    except ValidationError as error:
        yield Finding(pointer="/name", code="bad_name", message=error.errors()[0]["msg"])
    if "preset" in value and value["preset"] not in list(PRESETS):
        yield Finding(pointer="/preset", code="unknown_preset", message=f"one of: {', '.join(sorted(PRESETS))}")
    for part in ("sourcing", "process"):
        if not isinstance(value.get(part, {}), dict):
            yield Finding(pointer=f"/{part}", code="not_an_object", message="must be an object")


def _object(value: dict[str, Any], part: str) -> dict[str, Any]:
    found = value.get(part, {})
    return found if isinstance(found, dict) else {}


def _unknown(value: dict[str, Any], known: set[str], pointer: str) -> list[Finding]:
    message = f"no such setting; there are: {', '.join(sorted(known))}"
    return [Finding(pointer=f"{pointer}/{key}", code="unknown", message=message) for key in value if key not in known]


def _validated(kind: type[Model], values: dict[str, Any], pointer: str, found: list[Finding]) -> Model | None:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        for fault in error.errors():
            place = pointer + "".join(f"/{part}" for part in fault["loc"])
            found.append(Finding(pointer=place, code=fault["type"], message=fault["msg"]))
        return None


def check_policy(
    policy: PolicyVersion,
    nodes: Sequence[Node],
    rates: Sequence[ServiceRate],
    destinations: Sequence[Place] = (),
    channels: Sequence[str] = (),
) -> list[Finding]:
    """Everything that makes a policy unfit for this network.

    Args:
        destinations: Where orders go; the policy must not cut off any that the network reaches without it.
        channels: Channels that are known to sell.
    """
    sourcing = policy.sourcing
    return [
        *_nodes(sourcing, nodes),
        *_cut_off(sourcing, nodes, rates, destinations),
        *_contradictions(sourcing),
        *check_stages(sourcing, nodes, channels),
        *_criteria(sourcing),
        *_durations(policy.process),
    ]


def _nodes(policy: Policy, nodes: Sequence[Node]) -> Iterator[Finding]:
    known = {node.node_id for node in nodes}
    seen: Counter[str] = Counter()
    for place, node_id in enumerate(policy.exclude_nodes):
        pointer = f"/sourcing/exclude_nodes/{place}"
        seen[node_id] += 1
        if node_id not in known:
            yield Finding(pointer=pointer, code="unknown_node", message=f"there is no node {node_id}")
        elif seen[node_id] > 1:
            yield Finding(pointer=pointer, code="repeated", message=f"{node_id} is named before")
    if nodes and not _left(policy, nodes):
        yield Finding(pointer="/sourcing/exclude_nodes", code="no_node_left", message="no node that ships is left")


def _left(policy: Policy, nodes: Sequence[Node]) -> list[Node]:
    return [node for node in nodes if node.ship_enabled and node.node_id not in policy.exclude_nodes]


def _cut_off(
    policy: Policy, nodes: Sequence[Node], rates: Sequence[ServiceRate], destinations: Sequence[Place]
) -> Iterator[Finding]:
    reach = max((rate.max_distance_km for rate in rates), default=0)
    allowed = min(reach, policy.max_distance_km or reach)
    lost = [
        place
        for place in destinations
        if _reaches([node for node in nodes if node.ship_enabled], place, reach)
        and not _reaches(_left(policy, nodes), place, allowed)
    ]
    if lost:
        limit = "max_distance_km" if policy.max_distance_km is not None else "exclude_nodes"
        some = ", ".join(sorted({f"{place.region} {place.postal_code}".strip() or place.country for place in lost})[:5])
        message = f"{len(lost)} of {len(destinations)} destinations could not be reached any more, such as {some}"
        yield Finding(pointer=f"/sourcing/{limit}", code="unreachable", message=message)


def _reaches(nodes: Sequence[Node], place: Place, reach: int) -> bool:
    return any(distance_km(node.place, place) <= reach for node in nodes)


def _contradictions(policy: Policy) -> Iterator[Finding]:
    if not any(percent for name, percent in policy.weights.by_term().items() if name not in _LATENT):
        yield Finding(pointer="/sourcing/weights", code="nothing_counts", message="every weight is zero")
    elif policy.wait_day_minor and not policy.weights.lateness:
        message = "a price on waiting has no effect when lateness weighs nothing"
        yield Finding(pointer="/sourcing/wait_day_minor", code="contradictory", message=message)
    if policy.max_shipments == 1 and policy.weights.split_penalty > max(100, policy.weights.freight):
        message = "an order is never split when max_shipments is 1, so splitting need not weigh more"
        yield Finding(pointer="/sourcing/weights/split_penalty", code="contradictory", message=message)


def _criteria(policy: Policy) -> Iterator[Finding]:
    weighing = {"/sourcing": policy.weights}
    weighing |= {f"/sourcing/stages/{n}": stage.weights for n, stage in enumerate(policy.stages) if stage.weights}
    for pointer, weights in weighing.items():
        for name in weights.criteria:
            try:
                criterion(name)
            except CriterionFailed as error:
                place = f"{pointer}/weights/criteria/{name}"
                yield Finding(pointer=place, code="unknown_criterion", message=str(error))


def _durations(process: ProcessPolicy) -> Iterator[Finding]:
    values = {name: value for name, value in process if isinstance(value, timedelta)}
    for name, value in values.items():
        if value < timedelta(0) or (not value and name not in _OPTIONAL):
            yield Finding(pointer=f"/process/{name}", code="not_positive", message="must be longer than nothing")
    for shorter, longer, why in _ORDERED:
        if timedelta(0) < values[longer] < values[shorter]:
            message = f"is longer than {longer}: {why}"
            yield Finding(pointer=f"/process/{shorter}", code="contradictory", message=message)
