"""Sites and centres of gravity of small demands whose best places are plain to see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.geo import distance_km
from shared.domain.gravity import centres, kilometres, on_sphere
from shared.domain.locating import demand_of, locate_sites, thinned
from shared.domain.network import Place
from shared.domain.sourcing.models import SourcingOrder
from tests.support.sourcing import CITIES, line, order, place, rates


def orders(*cities: int, grams: int = 900) -> list[SourcingOrder]:
    """An order for each city; areas are told apart by a made-up postal code."""
    return [
        order(line(1, "a", weight_g=grams)).model_copy(
            update={"ship_to": place(city).model_copy(update={"postal_code": f"{city:03d}01"})}
        )
        for city in cities
    ]


@given(st.integers(0, 10), st.integers(0, 10))
def test_distances_are_those_of_places(one: int, other: int) -> None:
    degrees = np.array([CITIES[one][1:3], CITIES[other][1:3]], dtype=float)
    points = on_sphere(degrees)
    assert kilometres(points[:1], points[1:])[0, 0] == pytest.approx(distance_km(place(one), place(other)), abs=1e-3)


def test_a_city_with_more_than_half_the_demand_is_its_own_centre() -> None:
    degrees = np.array([city[1:3] for city in CITIES], dtype=float)
    weights = np.ones(len(CITIES))
    weights[3] = 20
    (centre,), _ = centres(degrees, weights, 1)
    assert centre.tolist() == pytest.approx(list(CITIES[3][1:3]), abs=0.02)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_no_step_from_a_centre_comes_nearer_to_its_own_customers(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    degrees = np.stack([rng.uniform(25, 48, 30), rng.uniform(-120, -70, 30)], axis=1)
    weights = rng.integers(1, 50, 30).astype(float)
    found, mean = centres(degrees, weights, count)
    assert centres(degrees, weights, count)[1] == mean
    reach = kilometres(on_sphere(degrees), on_sphere(found))
    for index in range(count):
        mine = reach.argmin(axis=1) == index  # a step may also win customers of another centre: that is no median's
        here = reach[mine, index] @ weights[mine]
        for step in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)):
            there = kilometres(on_sphere(degrees[mine]), on_sphere(found[index : index + 1] + step))[:, 0]
            assert there @ weights[mine] >= here * 0.999


def test_areas_and_weights_add_up() -> None:
    demand = demand_of([*orders(1, 1, 2), *orders(1, grams=2500)], 5000)
    assert [(one.orders, dict(one.grams)) for one in demand] == [(3, {900: 2, 2500: 1}), (1, {900: 1})]


def test_the_best_site_stands_where_the_orders_are() -> None:
    demand = demand_of(orders(1, 1, 1, 5), 5000)
    found = locate_sites(demand, [place(0)], [place(city) for city in range(len(CITIES))], rates(), 2)
    assert [site.place.city for site in found.alone[0].sites] == ["Los Angeles"]
    assert [site.place.city for site in found.alone[1].sites] == ["Los Angeles", "Seattle"]
    assert [site.share for site in found.alone[1].sites] == [0.75, 0.25]
    assert [site.place.city for site in found.beside[0].sites] == ["New York", "Los Angeles"]
    # Parcels of 900 g by road: 560 in the first zone, 700 in the second, 1176 in the fourth.
    assert (found.today.freight_minor, found.alone[1].freight_minor) == (4 * 1176, 4 * 560)
    assert found.alone[1].saved_minor == 4 * (1176 - 560)
    assert (found.today.fast, found.alone[1].fast) == (0.0, 1.0)
    assert found.alone[1].mean_km == 0
    assert all(one.gap_minor == 0 for one in (*found.alone, *found.beside))


def test_orders_no_service_reaches_are_counted_and_not_priced() -> None:
    near = [rate for rate in rates() if rate.max_distance_km <= 250]
    found = locate_sites(demand_of(orders(0, 1, 1), 5000), [place(0)], [place(1)], near, 1)
    assert (found.today.unserved, found.today.freight_minor) == (2, 560)
    assert (found.alone[0].unserved, found.beside[0].unserved) == (1, 0)


def test_thinning_keeps_the_busiest_and_the_edges() -> None:
    places = [
        Place(latitude=float(lat), longitude=float(lon), city=f"{lat},{lon}")
        for lat in range(25, 49)
        for lon in range(-120, -70, 2)
    ]
    demand = demand_of(orders(3, 3, 3, 7), 5000)
    kept = thinned(places, demand, 20)
    assert len(kept) == 20
    assert min(distance_km(one, place(3)) for one in kept) == min(distance_km(one, place(3)) for one in places)
    assert max(min(distance_km(one, other) for one in kept) for other in places) < 1000
