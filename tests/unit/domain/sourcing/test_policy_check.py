"""Policies as files, versions and presets, and everything that can be wrong with one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.policies import PolicyVersion, content_hash, differences, named
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing import plan
from shared.domain.sourcing.models import Policy
from shared.domain.sourcing.plans import Because
from shared.domain.sourcing.policy_check import check_policy, read_policy
from shared.domain.sourcing.presets import PRESETS
from shared.domain.sourcing.weights import Weights
from tests.support.sourcing import flat_rate, instance, line, node, order, place, rates, snapshot

NODES = [node("n1"), node("n2", city=1), node("shut", ship_enabled=False)]


def version(process: ProcessPolicy | None = None, **sourcing: Any) -> PolicyVersion:
    return named("p", Policy(**sourcing), process or ProcessPolicy())


def codes(policy: PolicyVersion, **facts: Any) -> set[tuple[str, str]]:
    found = check_policy(policy, facts.pop("nodes", NODES), facts.pop("rates", rates()), **facts)
    return {(each.pointer, each.code) for each in found}


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_is_sound(name: str) -> None:
    assert codes(named(name, PRESETS[name], ProcessPolicy()), destinations=[place(0), place(5)]) == set()


def test_every_fault_comes_at_once() -> None:
    process = ProcessPolicy(answer_within=timedelta(days=9), backorder_retry=timedelta(0))
    policy = version(
        process,
        exclude_nodes=("n1", "ghost", "n1"),
        wait_day_minor=5,
        max_shipments=1,
        weights=Weights(lateness=0, split_penalty=200),
    )
    assert codes(policy) == {
        ("/sourcing/exclude_nodes/1", "unknown_node"),
        ("/sourcing/exclude_nodes/2", "repeated"),
        ("/sourcing/wait_day_minor", "contradictory"),
        ("/sourcing/weights/split_penalty", "contradictory"),
        ("/process/answer_within", "contradictory"),
        ("/process/backorder_retry", "not_positive"),
    }


def test_a_policy_must_leave_something() -> None:
    assert codes(version(exclude_nodes=("n1", "n2"))) == {("/sourcing/exclude_nodes", "no_node_left")}
    nothing = Weights(**dict.fromkeys(Weights().by_term(), 0))
    assert codes(version(weights=nothing)) == {("/sourcing/weights", "nothing_counts")}


def test_destinations_must_stay_within_reach() -> None:
    near_la, near_ny = place(1), place(0)
    assert codes(version(max_distance_km=100), destinations=[near_la, near_ny]) == set()
    miami = place(4)
    assert codes(version(max_distance_km=100), destinations=[miami]) == {("/sourcing/max_distance_km", "unreachable")}
    local = [flat_rate().model_copy(update={"max_distance_km": 500})]
    west = version(exclude_nodes=("n2",))
    assert codes(west, rates=local, destinations=[near_la]) == {("/sourcing/exclude_nodes", "unreachable")}
    assert codes(west, rates=local, destinations=[miami]) == set(), "it was out of reach before"


def test_a_file_begins_with_a_preset_and_says_what_is_different() -> None:
    file = {
        "name": "peak",
        "preset": "fastest",
        "sourcing": {"max_shipments": 2, "weights": {"freight": 50}},
        "process": {"answer_within": "PT1H"},
    }
    read = read_policy(file)
    assert isinstance(read, PolicyVersion)
    assert read.sourcing.weights == Weights(lateness=1000, freight=50)
    assert (read.sourcing.wait_day_minor, read.sourcing.max_shipments) == (200, 2)
    assert read.process.answer_within == timedelta(hours=1)
    assert read.version == f"peak/{read.content_hash[:8]}" == read.sourcing.version
    assert read_policy(file) == read


def test_every_fault_of_a_file_comes_at_once() -> None:
    file = {
        "name": "a/b",
        "preset": "quick",
        "colour": "red",
        "sourcing": {"version": "x", "max_shipments": 0, "weights": {"luck": 1, "freight": -1}},
        "process": {"answer_within": "soon", "naps": 1},
    }
    read = read_policy(file)
    assert isinstance(read, list)
    assert {each.pointer for each in read} == {
        "/name",
        "/preset",
        "/colour",
        "/sourcing/version",
        "/sourcing/max_shipments",
        "/sourcing/weights/luck",
        "/sourcing/weights/freight",
        "/process/answer_within",
        "/process/naps",
    }
    assert isinstance(read_policy([]), list)
    assert isinstance(read_policy({"name": "x", "sourcing": 1}), list)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "preset", "sourcing", "process", "weights", "freight", "x"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(JSON)
def test_no_file_breaks_the_reader(value: Any) -> None:
    read = read_policy(value)
    assert isinstance(read, PolicyVersion) or read


def test_versions_are_their_content() -> None:
    one, other = version(), version(max_shipments=3, weights=Weights(freight=10))
    assert one.content_hash != other.content_hash
    assert version().version == one.version
    raw = {"version": "another name", **one.sourcing.model_dump(mode="json", exclude={"version"})}
    assert content_hash(raw, one.process.model_dump(mode="json")) == one.content_hash
    assert [(each.pointer, each.one, each.other) for each in differences(one, other)] == [
        ("/sourcing/max_shipments", 6, 3),
        ("/sourcing/weights/freight", 100, 10),
    ]
    assert differences(one, one) == ()


def test_staff_may_choose_what_the_policy_leaves_out() -> None:
    policy = Policy(exclude_nodes=("n1",), max_distance_km=100)
    seen = snapshot([node("n1"), node("n2", city=1)], {("n1", "a"): 1, ("n2", "a"): 1})
    found = plan(order(line(1, "a")), seen, policy)
    assert [one.because for one in found.candidates] == [Because.NOT_IN_POLICY, Because.TOO_FAR]
    assert found.shortages[0].because is Because.TOO_FAR
    chosen = plan(order(line(1, "a"), only=("n1", "n2")), seen, policy)
    assert not chosen.shortages


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(2, 8))
def test_presets_do_what_they_are_called(seed: int, lines: int, nodes: int) -> None:
    wanted, seen, _ = instance(seed, lines=lines, nodes=nodes)
    found = {name: plan(wanted, seen, policy) for name, policy in PRESETS.items()}
    paid = {name: sum(one.cost.paid for one in each.shipments) for name, each in found.items()}
    parcels = {name: len(each.shipments) for name, each in found.items()}
    assert all(one.optimal for one in found.values() if not one.shortages) or lines > 2
    if all(one.optimal for one in found.values()):
        assert min(paid.values()) == paid["cheapest"]
        assert parcels["fewest-parcels"] <= min(parcels["cheapest"], parcels["balanced"])
