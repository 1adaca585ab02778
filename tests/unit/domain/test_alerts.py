"""A crossing raises one alert, however its level wavers; and what is projected, aged and to be ordered."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.domain.alerts import AlertKind, Level, Limits, Threshold, limits, projected, raised, replenishment

LEVELS = st.lists(st.integers(0, 30), max_size=60)


def alerts_of(levels: list[int], on: int, off: int, *, falling: bool) -> int:
    """How many alerts a sequence of levels raises."""
    stands, count = False, 0
    for level in levels:
        before = stands
        stands = raised(before, Limits(level=level, on=on, off=off, falling=falling))
        count += stands and not before
    return count


def crossings(levels: list[int], on: int, off: int, *, falling: bool) -> int:
    """Crossings, told another way: levels between the two thresholds say nothing, the rest is good or bad."""
    sign = 1 if falling else -1
    sides = ["bad" if sign * level < sign * on else "good" for level in levels if not _between(sign, level, on, off)]
    return sum(pair == ("good", "bad") for pair in pairwise(["good", *sides]))


def _between(sign: int, level: int, on: int, off: int) -> bool:
    return sign * on <= sign * level < sign * off


@given(LEVELS, st.integers(0, 30), st.integers(0, 10))
def test_a_low_level_raises_one_alert_a_crossing(levels: list[int], on: int, gap: int) -> None:
    assert alerts_of(levels, on, on + gap, falling=True) == crossings(levels, on, on + gap, falling=True)


@given(LEVELS, st.integers(0, 30), st.integers(0, 10))
def test_a_high_level_raises_one_alert_a_crossing(levels: list[int], on: int, gap: int) -> None:
    assert alerts_of(levels, on, on - gap, falling=False) == crossings(levels, on, on - gap, falling=False)


def test_a_level_that_is_watched_no_more_has_no_alert() -> None:
    assert raised(True, None) is False


def test_a_level_that_wavers_raises_nothing_new() -> None:
    assert alerts_of([12, 9, 10, 9, 11, 9, 14, 9], 10, 15, falling=True) == 1
    assert alerts_of([12, 9, 10, 9, 11, 9, 15, 9], 10, 15, falling=True) == 2


def test_stock_is_aged_from_its_day_on_and_no_longer_when_it_left() -> None:
    threshold = Threshold(sku="s", aged_days=30)

    def aged(days: int | None) -> bool:
        return limits(threshold, Level(available=5, idle_days=days))[AlertKind.AGED].crossed

    assert (aged(29), aged(30), aged(None)) == (False, True, False)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 28 * 9), st.integers(0, 30), st.integers(0, 9))
def test_a_shortage_is_when_demand_outlasts_what_is_here_and_comes(
    available: int, inbound: int, demand: int, lead: int, safety: int
) -> None:
    threshold = Threshold(sku="s", lead_days=lead, safety_days=safety)
    level = Level(available=available, inbound=inbound, daily_demand=demand / 28)
    left = available + inbound
    short = 28 * left < demand * (lead + safety)
    assert limits(threshold, level)[AlertKind.SHORTAGE].crossed is short
    assert projected(threshold, level) <= left


@pytest.mark.parametrize(
    ("low", "available", "inbound", "quantity"),
    [
        (10, 4, 0, 46),  # below the floor: up to the target
        (10, 4, 6, 0),  # what comes is enough for now
        (10, 10, 0, 0),
        (None, 48, 0, 2),  # without a floor every unit is ordered again
        (None, 60, 0, 0),
    ],
)
def test_what_is_ordered(low: int | None, available: int, inbound: int, quantity: int) -> None:
    threshold = Threshold(sku="s", low=low, target=50)
    assert replenishment(threshold, Level(available=available, inbound=inbound)) == quantity


@pytest.mark.parametrize(
    "values",
    [
        {"low": 10, "low_clear": 9},
        {"low_clear": 9},
        {"high": 10, "high_clear": 11},
        {"node_id": "n", "channel": "c"},
        {"channel": "c", "aged_days": 3},
        {"low": 10, "target": 9},
        {"safety_days": 3},
    ],
)
def test_thresholds_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Threshold.model_validate({"sku": "s", **values})
