"""The linear program: its optimum and its prices, on cases small enough to know both."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.pricing.program import Answer, Carry, Flow, Option, Program


def one_item(*costs: tuple[float, int | None]) -> Flow:
    """Options of (cost, limit it takes one of)."""
    return Flow(tuple(Option(0.0, (Carry(cost, () if limit is None else ((limit, 1.0),)),)) for cost, limit in costs))


def random_program(seed: int) -> tuple[list[Flow], list[float], list[float]]:
    rng = random.Random(seed)
    nodes, skus = rng.randint(1, 3), rng.randint(1, 3)
    flows = []
    for _ in range(rng.randint(1, 4)):
        items = rng.sample(range(skus), rng.randint(1, skus))
        options = [
            Option(
                rng.uniform(0, 9),
                tuple(Carry(rng.uniform(0, 5), ((node * skus + sku, float(rng.randint(1, 2))),)) for sku in items),
            )
            for node in range(nodes)
        ]
        flows.append(Flow((*options, Option(20.0, tuple(Carry(12.0) for _ in items)))))
    return flows, [rng.uniform(0, 9) for _ in flows], [rng.uniform(0, 12) for _ in range(nodes * skus)]


def test_the_price_of_stock_is_what_the_next_best_way_costs_more() -> None:
    near, far = one_item((5.0, 0), (9.0, 1), (30.0, None)), one_item((8.0, 0), (6.0, 1), (30.0, None))
    answer = Program([near, far], 2).solve([4.0, 4.0], [3.0, 100.0])
    assert answer.cost == pytest.approx(3 * 5 + 9 + 4 * 6)
    assert answer.prices.tolist() == pytest.approx([4.0, 0.0])
    assert answer.carried == pytest.approx({(0, 0, 0): 3.0, (0, 1, 0): 1.0, (1, 1, 0): 4.0})


def test_a_shipment_is_paid_once_for_the_items_in_it() -> None:
    both = Flow(
        (
            Option(10.0, (Carry(1.0, ((0, 1.0),)), Carry(1.0))),
            Option(10.0, (Carry(0.5), None)),
            Option(50.0, (Carry(9.0), Carry(9.0))),
        )
    )
    assert Program([both], 1).solve([1.0], [1.0]).cost == pytest.approx(12.0)
    without = Program([both], 1).solve([1.0], [0.0])
    assert without.cost == pytest.approx(10 + 0.5 + 10 + 1)
    half = Program([both], 1).solve([1.0], [0.5])
    assert half.prices[0] == pytest.approx(without.cost - 12.0)


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_prices_say_what_one_unit_more_or_less_would_change(seed: int) -> None:
    flows, orders, limits = random_program(seed)
    program = Program(flows, len(limits))
    answer = program.solve(orders, limits)
    for limit in range(len(limits)):
        costs = []
        for change in (-1e-3, 1e-3):
            moved = [each + change * (index == limit) for index, each in enumerate(limits)]
            costs.append(program.solve(orders, [max(each, 0.0) for each in moved]).cost)
        if limits[limit] > 1e-3:
            assert answer.cost - costs[1] <= answer.prices[limit] * 1e-3 + 1e-7
            assert answer.prices[limit] * 1e-3 <= costs[0] - answer.cost + 1e-7


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_solving_again_forgets_what_was_solved_before(seed: int) -> None:
    flows, orders, limits = random_program(seed)
    program = Program(flows, len(limits))
    program.solve([2 * each for each in orders], [0.0] * len(limits))
    again, fresh = program.solve(orders, limits), Program(flows, len(limits)).solve(orders, limits)
    assert again.cost == pytest.approx(fresh.cost)
    assert _same(fresh, Program(flows, len(limits)).solve(orders, limits))


def _same(one: Answer, other: Answer) -> bool:
    return one.cost == other.cost and one.prices.tolist() == other.prices.tolist() and one.carried == other.carried
