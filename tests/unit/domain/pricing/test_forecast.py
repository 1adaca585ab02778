"""What is expected from what was ordered, and when that is not believed."""

from __future__ import annotations

import pytest

from shared.domain.pricing.forecast import CHECKED, HALF_LIFE, daily_rate, trust, trust_in


def test_a_steady_demand_is_expected_to_go_on() -> None:
    assert daily_rate(dict.fromkeys(range(56), 3), 56) == pytest.approx(3.0)


def test_a_day_says_half_as_much_as_one_a_half_life_younger() -> None:
    young, old = daily_rate({0: 1}, 56), daily_rate({int(HALF_LIFE): 1}, 56)
    assert young == pytest.approx(2 * old)


def test_a_first_day_is_no_rate() -> None:
    assert daily_rate({0: 70}, 1) < 70 / 6
    assert daily_rate({}, 56) == 0


def test_what_was_known_then_leaves_out_what_came_since() -> None:
    assert daily_rate(dict.fromkeys(range(CHECKED), 100), 56, since=CHECKED) == 0
    assert daily_rate(dict.fromkeys(range(CHECKED, 56), 5), 56, since=CHECKED) == pytest.approx(5)


@pytest.mark.parametrize(
    ("expected", "realised", "share"),
    [
        (100, 100, 1.0),
        (100, 130, 1.0),  # beyond chance by 10 of 100
        (100, 170, 1.0),  # by 50
        (100, 195, 0.5),  # by 75
        (100, 220, 0.0),  # by 100
        (100, 5, 0.5),
        (4, 0, 1.0),  # chance
        (0, 2, 1.0),
        (0, 100, 0.0),  # nobody knew
    ],
)
def test_trust_is_lost_with_the_error_beyond_chance(expected: float, realised: float, share: float) -> None:
    assert trust(expected, realised) == pytest.approx(share)


def test_a_forecast_is_checked_on_the_last_week() -> None:
    steady = dict.fromkeys(range(56), 20)
    assert trust_in(steady, 56) == 1.0
    assert trust_in(steady | dict.fromkeys(range(CHECKED), 60), 56) == 0.0
    assert trust_in(dict.fromkeys(range(CHECKED), 60), 7) == 0.0
