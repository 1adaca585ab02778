from __future__ import annotations

import pytest

from shared.domain.geo import distance_km
from shared.domain.network import Place
from tests.support.sourcing import place


def test_known_distance() -> None:
    assert distance_km(place(0), place(1)) == pytest.approx(3936, abs=10)  # New York to Los Angeles
    assert distance_km(place(0), place(1)) == distance_km(place(1), place(0))


def test_nothing_and_half_the_globe() -> None:
    pole, other = Place(latitude=90, longitude=0), Place(latitude=-90, longitude=123)
    assert distance_km(pole, pole) == 0
    assert distance_km(pole, other) == pytest.approx(20015.1, abs=0.1)
