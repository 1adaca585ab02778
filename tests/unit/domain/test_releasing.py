"""How long a fulfillment order is kept from its node."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.calendars import ready_by
from shared.domain.network import Calendar
from shared.domain.releasing import MARGIN, release_at
from tests.support.sourcing import node

#: Cut-off at 14:00 in New York, which is 19:00 UTC; a Wednesday.
NODE = node("wh")
MORNING = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
CUTOFF = datetime(2026, 3, 4, 19, 0, tzinfo=UTC)


def test_without_a_window_the_node_is_told_at_once() -> None:
    assert release_at(NODE, MORNING, timedelta(0)) is None


def test_the_window_ends_when_it_is_over() -> None:
    assert release_at(NODE, MORNING, timedelta(hours=1)) == MORNING + timedelta(hours=1)


def test_it_ends_before_the_cut_off_of_the_day_that_was_promised() -> None:
    assert release_at(NODE, MORNING, timedelta(hours=9)) == CUTOFF - MARGIN


@pytest.mark.parametrize("before", [timedelta(seconds=1), MARGIN])
def test_what_comes_shortly_before_the_cut_off_does_not_wait(before: timedelta) -> None:
    assert release_at(NODE, CUTOFF - before, timedelta(hours=1)) is None


def test_what_comes_after_the_cut_off_has_until_that_of_the_next_working_day() -> None:
    friday = datetime(2026, 3, 6, 20, 0, tzinfo=UTC)
    # The clocks go forward that weekend.
    assert release_at(NODE, friday, timedelta(days=9)) == datetime(2026, 3, 9, 18, 0, tzinfo=UTC) - MARGIN


def test_a_node_that_never_works_holds_nothing() -> None:
    assert release_at(node("wh", calendar=Calendar(working_days=())), MORNING, timedelta(hours=1)) is None


@given(
    minutes=st.integers(0, 60 * 24 * 20),
    window=st.integers(0, 60 * 24 * 5),
    handling=st.integers(0, 3),
    city=st.integers(0, 10),
)
def test_waiting_never_costs_a_day(minutes: int, window: int, handling: int, city: int) -> None:
    there = node("wh", city=city, handling_days=handling)
    planned_at = MORNING + timedelta(minutes=minutes)
    told = release_at(there, planned_at, timedelta(minutes=window)) or planned_at
    assert planned_at <= told <= planned_at + timedelta(minutes=window)
    assert ready_by(there, told) == ready_by(there, planned_at)
