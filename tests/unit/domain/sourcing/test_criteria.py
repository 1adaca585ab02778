"""A merchant's own criteria, of a package that is found as an installed one is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain.policies import PolicyVersion, content_hash, named
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing import plan
from shared.domain.sourcing.criteria import CriterionFailed
from shared.domain.sourcing.models import Policy, SourcingOrder
from shared.domain.sourcing.plans import Plan
from shared.domain.sourcing.policy_check import check_policy, read_policy
from shared.domain.sourcing.simulation import Replay, ReplayedOrder, compare
from shared.domain.sourcing.stages import Stage
from shared.domain.sourcing.weights import Weights
from shared.domain.waves.generation import plan_wave
from shared.domain.waves.models import Wave, WaveRules
from tests.support.oracle import check_best, criterion_case
from tests.support.plugins import installed
from tests.support.sourcing import AS_OF, flat_rate, line, node, order, snapshot
from tests.support.waves import order_by_order

NEAR, FAR = node("near", city=9, order_minor=60), node("far", city=5)
WORLD = snapshot([NEAR, FAR], {("near", "a"): 9, ("far", "a"): 9}, rates=[flat_rate(500)])


@pytest.fixture(autouse=True, scope="module")
def package() -> Iterator[None]:
    with installed():
        yield


def weighing(**criteria: int) -> Policy:
    return Policy(weights=Weights(criteria=criteria))


def wants(units: int = 1) -> SourcingOrder:
    return order(line(1, "a", units))


def nodes_of(found: Plan) -> list[str]:
    return [one.node_id for one in found.shipments]


@settings(max_examples=300)
@given(st.integers(0, 2**32))
@example(107446)  # all terms weigh alike, the criterion too
def test_the_plan_is_the_best_with_a_criterion(seed: int) -> None:
    check_best(criterion_case(seed))


def test_a_criterion_decides_as_it_is_weighed_and_is_told_with_its_package() -> None:
    assert nodes_of(plan(wants(2), WORLD, Policy())) == ["far"]
    found = plan(wants(2), WORLD, weighing(carbon=100))
    assert nodes_of(found) == ["near"]
    assert found.criteria == {"carbon": "doms-example 1.2.0"}
    costs = {one.node_id: one.alone for one in found.candidates if one.alone is not None}
    # 306 and 3866 km at 105 g per tonne and kilometre, of two units of 500 g, each rounded down.
    assert {node_id: cost.criteria["carbon"] for node_id, cost in costs.items()} == {"near": 2 * 16, "far": 2 * 202}
    assert costs["far"].total - costs["far"].paid == 2 * 202


def test_one_that_weighs_nothing_is_told_and_changes_nothing() -> None:
    watched = plan(wants(), WORLD, weighing(carbon=0))
    assert nodes_of(watched) == ["far"]
    assert watched.shipments[0].cost.criteria == {"carbon": 202}


def test_a_stage_may_weigh_one_of_its_own() -> None:
    staged = Policy(stages=(Stage(name="green", weights=Weights(criteria={"carbon": 100})),))
    found = plan(wants(), WORLD, staged)
    assert (nodes_of(found), found.criteria) == (["near"], {"carbon": "doms-example 1.2.0"})


def test_waves_and_simulations_weigh_it_alike() -> None:
    standing = order_by_order([wants()], WORLD, Policy())
    assert nodes_of(plan(wants(), WORLD, Policy())) == [one.node_id for one in standing[0].standing] == ["far"]
    asked = tuple(each.model_copy(update={"policy": weighing(carbon=100), "promised_at": None}) for each in standing)
    (moved,) = plan_wave(Wave(orders=asked, snapshot=WORLD, rules=WaveRules(change_minor=0))).reassignments
    assert [one.node_id for one in moved.shipments] == ["near"]
    assert moved.saved_minor == 202 - 16 - 60
    replay = Replay(WORLD.nodes, WORLD.rates, {("near", "a"): 1, ("far", "a"): 1}, {}, (ReplayedOrder(wants(), AS_OF),))
    without, with_it = compare(replay, [Policy(), weighing(carbon=100)]).policies
    assert [one.node_id for one in without.nodes] == ["far"]
    assert [one.node_id for one in with_it.nodes] == ["near"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("broken", r"criterion broken of doms-example 1.2.0, asked about a at far for o-1, raised KeyError"),
        ("fractional", r"criterion fractional .* gave 1.5"),
        ("negative", r"criterion negative .* gave -1"),
        ("missing", r"missing of doms.criteria in doms-example 1.2.0 cannot be loaded"),
        ("freight", r"freight is a cost term of the planner's own"),
        ("unheard", r"no unheard of doms.criteria is installed; there are: broken, carbon, "),
    ],
)
def test_what_does_not_answer_is_an_error_with_its_name(name: str, why: str) -> None:
    world = snapshot([FAR], {("far", "a"): 9}, rates=[flat_rate(500)])
    with pytest.raises(CriterionFailed, match=why):
        plan(wants(), world, weighing(**{name: 100}))


def test_a_policy_names_only_what_is_installed() -> None:
    read = read_policy({
        "name": "green",
        "sourcing": {
            "weights": {"criteria": {"carbon": 150, "unheard": 10}},
            "stages": [{"name": "first", "weights": {"criteria": {"freight": 5}}}],
        },
    })  # fmt: skip
    assert isinstance(read, PolicyVersion)
    found = check_policy(read, [NEAR, FAR], [flat_rate(500)])
    assert {each.pointer: each.code for each in found} == {
        "/sourcing/weights/criteria/unheard": "unknown_criterion",
        "/sourcing/stages/0/weights/criteria/freight": "unknown_criterion",
    }
    assert "there are: broken, carbon, fractional" in found[0].message
    refused = read_policy({"name": "green", "sourcing": {"weights": {"criteria": {"carbon": -1}}}})
    assert isinstance(refused, list)
    assert [each.pointer for each in refused] == ["/sourcing/weights/criteria/carbon"]


def test_policies_without_criteria_keep_their_names() -> None:
    kept = named("plain", Policy(), ProcessPolicy())
    written = kept.sourcing.model_dump(mode="json")
    assert "criteria" not in written["weights"]
    green = weighing(carbon=100)
    assert Policy.model_validate(green.model_dump(mode="json")) == green
    assert content_hash(green.model_dump(mode="json"), {}) != content_hash(written, {})
