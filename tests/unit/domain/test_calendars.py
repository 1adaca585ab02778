from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.domain.calendars import days_late, deliver_by, open_from, ready_by, works_on
from shared.domain.network import Calendar
from tests.support.sourcing import node, place

NEW_YORK, LOS_ANGELES = 0, 1
EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)


def local(text: str, zone: str = "America/New_York") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("as_of", "handling", "expected"),
    [
        ("2026-03-04T13:59:59", 0, "2026-03-04"),  # a second before the cut-off: the same day
        ("2026-03-04T14:00:00", 0, "2026-03-05"),  # the cut-off itself is too late
        ("2026-03-04T14:01:00", 0, "2026-03-05"),  # a minute after: one working day later
        ("2026-03-04T00:00:00", 0, "2026-03-04"),
        ("2026-03-04T13:00:00", 2, "2026-03-06"),
        ("2026-03-06T14:01:00", 0, "2026-03-09"),  # Friday after the cut-off is Monday's work
        ("2026-03-06T13:00:00", 1, "2026-03-09"),  # handling days skip the weekend
        ("2026-03-07T09:00:00", 0, "2026-03-09"),  # Saturday
        ("2026-03-08T23:30:00", 1, "2026-03-10"),  # Sunday, the night the clocks went forward
    ],
)
def test_ready_by_counts_working_days_in_the_nodes_zone(as_of: str, handling: int, expected: str) -> None:
    ready = ready_by(node("n", city=NEW_YORK, handling_days=handling), local(as_of))
    assert ready == local(f"{expected}T18:00:00")
    assert ready.tzinfo is UTC


def test_the_same_instant_is_before_one_nodes_cutoff_and_after_anothers() -> None:
    as_of = datetime(2026, 3, 4, 20, 0, tzinfo=UTC)  # 15:00 in New York, 12:00 in Los Angeles
    assert ready_by(node("east", city=NEW_YORK), as_of) == local("2026-03-05T18:00:00")
    assert ready_by(node("west", city=LOS_ANGELES), as_of) == local("2026-03-04T18:00:00", "America/Los_Angeles")


def test_closures_are_not_worked() -> None:
    calendar = Calendar(closures=(date(2026, 3, 5), date(2026, 3, 6)))
    assert not works_on(calendar, date(2026, 3, 5))
    assert ready_by(node("n", calendar=calendar), local("2026-03-04T15:00:00")) == local("2026-03-09T18:00:00")
    assert ready_by(node("n", calendar=calendar), local("2026-03-04T10:00:00"), later=1) == local("2026-03-09T18:00:00")


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        # 2026-03-08 02:30 does not exist in New York; the cut-off falls on the instant that would have been it.
        (datetime(2026, 3, 8, 6, 59, tzinfo=UTC), date(2026, 3, 8)),
        (datetime(2026, 3, 8, 7, 31, tzinfo=UTC), date(2026, 3, 9)),
        # 2026-11-01 01:30 comes twice; the first one is the cut-off, so the second 01:10 is too late.
        (datetime(2026, 11, 1, 5, 29, tzinfo=UTC), date(2026, 11, 1)),
        (datetime(2026, 11, 1, 5, 30, tzinfo=UTC), date(2026, 11, 2)),
        (datetime(2026, 11, 1, 6, 10, tzinfo=UTC), date(2026, 11, 2)),
    ],
)
def test_clock_changes_neither_lose_nor_double_a_cutoff(as_of: datetime, expected: date) -> None:
    cutoff = time(2, 30) if as_of.month == 3 else time(1, 30)
    ready = ready_by(node("n", calendar=Calendar(cutoff=cutoff, working_days=EVERY_DAY)), as_of)
    assert ready is not None
    assert ready.astimezone(ZoneInfo("America/New_York")).date() == expected


def test_a_day_over_the_clock_change_is_a_calendar_day() -> None:
    ready = ready_by(node("n", handling_days=1), local("2026-03-06T10:00:00"))  # Friday, EST; Monday is EDT
    assert ready == datetime(2026, 3, 9, 22, 0, tzinfo=UTC)


def test_a_place_that_never_works_is_never_ready() -> None:
    assert ready_by(node("n", calendar=Calendar(working_days=())), local("2026-03-04T10:00:00")) is None


def test_naive_times_are_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        ready_by(node("n"), datetime(2026, 3, 4))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("handed_over", "transit", "expected"),
    [
        ("2026-03-04T18:00:00", 0, "2026-03-04"),
        ("2026-03-04T18:00:00", 2, "2026-03-06"),
        ("2026-03-05T18:00:00", 2, "2026-03-09"),  # over the weekend
        ("2026-03-07T18:00:00", 1, "2026-03-10"),  # handed over on Saturday, moves from Monday
    ],
)
def test_deliver_by_counts_the_carriers_days_and_ends_in_the_customers_zone(
    handed_over: str, transit: int, expected: str
) -> None:
    arrives = deliver_by(local(handed_over), place(NEW_YORK), place(LOS_ANGELES), transit)
    assert arrives == local(f"{expected}T20:00:00", "America/Los_Angeles")


def test_delivery_is_never_before_the_hand_over() -> None:
    handed_over = local("2026-03-04T18:00:00", "America/Los_Angeles")  # 21:00 in New York
    arrives = deliver_by(handed_over, place(LOS_ANGELES), place(NEW_YORK), 0)
    assert arrives == local("2026-03-05T20:00:00")


@pytest.mark.parametrize(
    ("delivered", "needed", "late"),
    [
        ("2026-03-06T20:00:00", "2026-03-06T00:00:00", 0),  # the same day, whatever the hour
        ("2026-03-06T20:00:00", "2026-03-05T23:59:00", 1),
        ("2026-03-06T20:00:00", "2026-03-09T00:00:00", 0),
    ],
)
def test_lateness_is_in_the_customers_calendar_days(delivered: Any, needed: Any, late: int) -> None:
    assert days_late(local(delivered), local(needed), "America/New_York") == late


@pytest.mark.parametrize(
    ("there", "fetched"),
    [("2026-03-06T20:00:00", "2026-03-06T20:00:00"), ("2026-03-07T20:00:00", "2026-03-09T20:00:00")],
)
def test_what_comes_to_a_store_waits_for_its_next_day(there: str, fetched: str) -> None:
    assert open_from(node("n"), local(there)) == local(fetched)


def test_a_store_that_never_opens_gives_nothing() -> None:
    assert open_from(node("n", calendar=Calendar(working_days=())), local("2026-03-06T20:00:00")) is None
