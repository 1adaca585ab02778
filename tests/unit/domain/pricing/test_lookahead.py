"""The published instance, shortened: the policies are what they are said to be, and looking ahead pays."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.jasin_sinha import published
from tests.benchmarks.jasin_sinha.instance import FIXED_COST, UNIT_COST, arrivals, draw, misjudged
from tests.benchmarks.jasin_sinha.lookahead import Lookahead, Planner, Resolver, realised

ROUNDINGS = (published.independent, published.dilated, published.jasin_sinha)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_a_rounding_gives_every_node_its_share(rounding: published.Rounding) -> None:
    share = np.array([[0.6, 0.0, 0.4], [0.3, 1.0, 0.5], [0.1, 0.0, 0.1]])
    rng = np.random.default_rng(1)
    drawn = np.array([rounding(share, rng) for _ in range(6000)])
    assert np.abs((drawn[:, None, :] == np.arange(3)[None, :, None]).mean(axis=0) - share).max() < 0.03


def test_the_planner_pays_what_the_instance_says() -> None:
    instance = draw(3, 300)
    orders = arrivals(instance, 3)[:60]
    planner = Planner(instance)
    planner.instance = instance._replace(stock=np.full_like(instance.stock, 1000))
    dollars, _ = planner.run(orders)
    least = 0.0
    for kind, metro, _ in orders:
        costs = FIXED_COST + len(instance.types[kind]) * UNIT_COST[:, metro]
        least += costs.min()
    assert dollars == pytest.approx(least, abs=1e-4)


def test_looking_ahead_saves_also_with_a_wrong_forecast() -> None:
    instance = draw(7, 1000)
    orders = arrivals(instance, 7)
    lookahead, planner = Lookahead(instance), Planner(instance)
    myopic, _ = planner.run(orders)
    hindsight = lookahead.solve(realised(instance, orders), instance.stock).cost
    right, _ = planner.run(orders, Resolver(lookahead, instance.rate, 10))
    wrong, _ = planner.run(orders, Resolver(lookahead, misjudged(instance, 0.4, 7), 10))
    assert hindsight < right < myopic
    assert hindsight < wrong < myopic
