"""What is expected to be ordered, from what was: a smoothed daily rate, and how far it can be trusted.

Days are counted back from the moment of the forecast, in whole 24 hours: age 0 is the last of them.

The rate is the mean of the days seen, each weighing half as much as one ``HALF_LIFE`` days younger (simple
exponential smoothing: Brown, "Statistical Forecasting for Inventory Control", 1959).

The forecast is checked against itself: what it would have said ``CHECKED`` days ago is compared with what came
since. What chance explains, ``NOISE`` standard deviations of a Poisson count, is no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp2, sqrt

#: Days after which a day's demand says half as much.
HALF_LIFE = 14.0
#: Days that the forecast is checked on.
CHECKED = 7
#: Days that history is spread over at least, so that a first day's orders are no rate.
SHORTEST = 7
NOISE = 2.0
#: A forecast that is off by this share of itself is trusted as fully as one without error; by twice that, not at all.
TOLERANCE = 0.5


def daily_rate(by_age: Mapping[int, int], days: int, *, since: int = 0) -> float:
    """Expected a day, as seen ``since`` days ago.

    Args:
        by_age: Count by age of the day.
        days: How many days history reaches back.
    """
    weights = {age: exp2((since - age) / HALF_LIFE) for age in range(since, max(days, since + SHORTEST))}
    return sum(by_age.get(age, 0) * weight for age, weight in weights.items()) / sum(weights.values())


def trust(expected: float, realised: float) -> float:
    """How far a forecast is to be believed, from 0 to 1, after this came where that was expected.

    1 while the error beyond chance is at most ``TOLERANCE`` of what was expected, 0 from twice that, linear between.
    """
    chance = NOISE * sqrt(max(expected, 1.0))
    off = max(abs(realised - expected) - chance, 0.0) / max(expected, 1.0)
    return min(max(2.0 - off / TOLERANCE, 0.0), 1.0)


def trust_in(by_age: Mapping[int, int], days: int) -> float:
    """``trust`` in the rate of this history, checked on its last ``CHECKED`` days."""
    expected = daily_rate(by_age, days, since=CHECKED) * CHECKED
    return trust(expected, sum(by_age.get(age, 0) for age in range(CHECKED)))
