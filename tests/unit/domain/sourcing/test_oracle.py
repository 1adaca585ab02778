"""The planner against every plan there is, on networks small enough to list them all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.sourcing import plan, solving
from shared.domain.sourcing.weights import Weights
from tests.support.oracle import (
    check_best,
    check_rules,
    every_plan,
    priced_case,
    random_case,
    weighing_case,
)


@settings(max_examples=1500)
@given(st.integers(0, 2**32))
def test_the_plan_is_the_best_there_is(seed: int) -> None:
    check_best(random_case(seed))


@settings(max_examples=400)
@given(st.integers(0, 2**32))
def test_the_plan_is_the_best_as_its_policy_weighs_it(seed: int) -> None:
    check_best(weighing_case(seed))


@settings(max_examples=600)
@given(st.integers(0, 2**32))
def test_the_plan_is_the_best_with_prices(seed: int) -> None:
    check_best(priced_case(seed))


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_prices_of_zero_and_prices_that_weigh_nothing_change_nothing(seed: int) -> None:
    wanted, seen, policy = priced_case(seed)
    unpriced = seen.model_copy(
        update={
            "stock": tuple(row.model_copy(update={"scarcity_minor": 0}) for row in seen.stock),
            "day_prices": tuple(price.model_copy(update={"unit_minor": 0}) for price in seen.day_prices),
        }
    )
    weights = policy.weights.model_copy(update={"scarcity": 0, "capacity": 0})
    blind = policy.model_copy(update={"weights": weights})
    without = plan(wanted, unpriced.model_copy(update={"day_prices": ()}), policy)
    assert plan(wanted, unpriced, policy) == without
    assert plan(wanted, seen, blind) == without


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_prices_never_leave_a_unit_unfilled(seed: int) -> None:
    wanted, seen, policy = priced_case(seed)
    free = policy.model_copy(update={"weights": policy.weights.model_copy(update={"scarcity": 0, "capacity": 0})})
    filled = [
        sum(one.quantity for shipment in plan(wanted, seen, each).shipments for one in shipment.lines)
        for each in (policy, free)
    ]
    assert filled[0] == filled[1]


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 10_000))
def test_weights_that_are_all_alike_change_nothing(seed: int, percent: int) -> None:
    wanted, seen, policy = random_case(seed)
    alike = policy.model_copy(update={"weights": Weights(**dict.fromkeys(Weights().by_term(), percent))})
    assert plan(wanted, seen, alike) == plan(wanted, seen, policy)


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_the_bounded_method_keeps_every_rule_and_its_word(seed: int) -> None:
    """The method for large orders, made to plan small ones, is off by no more than it says."""
    case = random_case(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solving, "GRID_WORK", 0)
        patch.setattr(solving, "MASK_ATOMS", 0)
        found = plan(*case)
    check_rules(case, found)
    units = sum(one.quantity for shipment in found.shipments for one in shipment.lines)
    plans = list(every_plan(case))
    most = max(filled for filled, _, _ in plans)
    assert units <= most
    best = min(cost for filled, cost, _ in plans if filled == units) // 100
    assert found.total_minor - found.gap_minor <= best <= found.total_minor
    assert not found.optimal or (found.gap_minor, units) == (0, most)
