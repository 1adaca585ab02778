"""What counts say: classes, accuracy, and how far records are to be doubted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.counts import (
    ENOUGH_COUNTS,
    WHOLE,
    CountClass,
    count_classes,
    node_doubt,
    position_doubt,
    unit_accuracy,
    within_tolerance,
)
from tests.support.counts import count_buffer, shortfall

SHARES = st.integers(0, WHOLE)


def test_few_items_that_make_most_of_the_value_are_counted_most_often() -> None:
    assert count_classes([5, 800, 100, 60, 35, 0]) == [*"CABBC", CountClass.C]


def test_what_does_not_move_is_counted_least_often() -> None:
    assert count_classes([0, 0]) == [CountClass.C, CountClass.C]


@given(st.lists(st.integers(0, 10**9), max_size=30))
def test_a_more_valuable_item_is_never_counted_less_often(values: list[int]) -> None:
    classes = count_classes(values)
    for value, count_class in zip(values, classes, strict=True):
        for other, other_class in zip(values, classes, strict=True):
            assert value <= other or count_class <= other_class


@pytest.mark.parametrize(
    ("recorded", "counted", "tolerance", "right"),
    [
        (10, 10, 0.0, True),
        (10, 9, 0.0, False),
        (102, 100, 2.0, True),
        (103, 100, 2.0, False),
        (0, 0, 0.0, True),
        (1, 0, 50.0, False),  # any record of what is not there is wrong
    ],
)
def test_a_record_is_right_within_its_tolerance(recorded: int, counted: int, tolerance: float, right: bool) -> None:
    assert within_tolerance(recorded, counted, tolerance) is right


@pytest.mark.parametrize(
    ("pairs", "accuracy"),
    [
        ([(10, 10), (20, 20)], 1.0),
        ([(12, 10), (8, 10)], 0.8),  # too many here do not make up for too few there
        ([(40, 10)], 0.0),
        ([], None),
        ([(0, 0)], None),
        ([(3, 0)], 0.0),
    ],
)
def test_accuracy_in_units(pairs: list[tuple[int, int]], accuracy: float | None) -> None:
    assert unit_accuracy(pairs) == accuracy


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_buffer_of_a_shortfall_covers_it(recorded: int, counted: int, more: int) -> None:
    buffer = count_buffer(recorded, shortfall(recorded, counted))
    assert buffer >= recorded - counted
    assert buffer <= recorded
    assert shortfall(recorded, counted + more) <= shortfall(recorded, counted)


@given(st.lists(SHARES, max_size=60))
def test_a_node_is_doubted_as_nine_of_ten_counts_bear_out(shares: list[int]) -> None:
    doubt = node_doubt(shares)
    if len(shares) < 10:
        assert doubt == 0
    else:
        assert sum(share <= doubt for share in shares) * 10 >= 9 * len(shares)
        assert sum(share < doubt for share in shares) * 10 < 9 * len(shares)


@given(st.lists(SHARES, max_size=6), SHARES)
def test_exact_counts_narrow_the_buffer_to_nothing(own: list[int], node: int) -> None:
    assert position_doubt([0] * ENOUGH_COUNTS + own, node) == 0
    assert position_doubt([0, *own], 0) <= position_doubt(own, 0)
    assert position_doubt([], node) == node
    assert position_doubt([*own[:2]], node) >= node
