"""Splits of money against brute force: nothing lost, nothing invented, nobody a whole unit from their share."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.money import allocate

WEIGHTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=8)


@given(st.integers(0, 10**12), WEIGHTS)
def test_parts_add_up_and_stay_within_one_unit_of_their_share(total: int, weights: list[int]) -> None:
    parts = allocate(total, weights)
    shares = weights if any(weights) else [1] * len(weights)
    assert sum(parts) == total
    assert all(abs(part - Fraction(total * share, sum(shares))) < 1 for part, share in zip(parts, shares, strict=True))


@given(st.integers(0, 10**9), WEIGHTS)
def test_a_larger_weight_never_gets_less(total: int, weights: list[int]) -> None:
    parts = sorted(zip(weights, allocate(total, weights), strict=True))
    assert all(a[1] <= b[1] for a, b in pairwise(parts) if a[0] < b[0])


@given(st.integers(0, 12), st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_no_other_split_is_closer(total: int, weights: list[int]) -> None:
    shares = weights if any(weights) else [1] * len(weights)
    exact = [Fraction(total * share, sum(shares)) for share in shares]

    def distance(parts: tuple[int, ...]) -> Fraction:
        return sum((abs(part - share) for part, share in zip(parts, exact, strict=True)), Fraction(0))

    every = (parts for parts in product(range(total + 1), repeat=len(weights)) if sum(parts) == total)
    assert distance(tuple(allocate(total, weights))) == min(map(distance, every))


@pytest.mark.parametrize(("total", "weights"), [(1, []), (-1, [1]), (1, [1, -1])])
def test_what_cannot_be_split_is_refused(total: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match="allocate needs"):
        allocate(total, weights)
