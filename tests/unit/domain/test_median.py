"""The p-median against every choice of places there is."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.median import Costs, Distances, p_median, served


def instance(seed: int) -> tuple[Costs, Distances, int, tuple[int, ...]]:
    """Costs in steps, so that many are equal."""
    rng = random.Random(seed)
    places, customers = rng.randint(2, 9), rng.randint(1, 12)
    step = rng.choice((1, 40))
    costs = np.array([[rng.randint(0, 100) // step * step for _ in range(customers)] for _ in range(places)])
    distances = np.array([[rng.uniform(0, 100) for _ in range(customers)] for _ in range(places)])
    fixed = tuple(rng.sample(range(places), rng.randint(0, min(2, places - 1))))
    return costs, distances, rng.randint(1, min(4, places - len(fixed))), fixed


@settings(max_examples=120)
@given(st.integers(0, 2**32))
def test_no_other_places_cost_less(seed: int) -> None:
    costs, distances, count, fixed = instance(seed)
    free = [place for place in range(len(costs)) if place not in fixed]
    best = min(served(costs, [*fixed, *chosen]) for chosen in combinations(free, count))
    found = p_median(costs, distances, count, given=fixed)
    assert (found.cost, found.bound, found.proven) == (best, best, True)
    assert len(set(found.places)) == count
    assert not set(found.places) & set(fixed)
    assert served(costs, [*fixed, *found.places]) == best
    assert found == p_median(costs, distances, count, given=fixed)


def test_of_equal_places_the_nearer_is_taken() -> None:
    costs = np.array([[5, 5], [5, 5], [9, 2]])
    distances = np.array([[90.0, 90.0], [10.0, 10.0], [1.0, 1.0]])
    assert p_median(costs, distances, 1).places == (1,)


def test_more_places_than_there_are_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="cannot choose 2 of 1 places"):
        p_median(np.array([[1], [2]]), np.array([[1.0], [2.0]]), 2, given=(0,))
