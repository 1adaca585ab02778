from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.orders import ServiceLevel
from shared.domain.sourcing import plan
from shared.domain.sourcing.freight import Way, Weight, billable_g, cheapest, compile_tariff, services_for, zone_at
from shared.domain.sourcing.models import Policy, RateBreak, ServiceRate, ZoneChart
from tests.support.sourcing import AS_OF, flat_rate, line, node, order, place, rates, snapshot

LEVELS = list(ServiceLevel)


def rate(*breaks: tuple[int, int], service: str = "ground", reach: int = 9000) -> ServiceRate:
    return ServiceRate(
        carrier="sky",
        service=service,
        level=ServiceLevel.STANDARD,
        max_distance_km=reach,
        breaks=tuple(RateBreak(up_to_g=up_to, price_minor=price) for up_to, price in breaks),
        transit_days=2,
    )


@pytest.mark.parametrize(
    ("grams", "price", "parcels"),
    [
        (0, 500, 1),  # weightless goods still fill a parcel
        (1000, 500, 1),  # a break includes its own weight
        (1001, 900, 1),
        (5000, 900, 1),
        (5001, 1400, 2),  # a full parcel and a gram
        (10_000, 1800, 2),
        (11_500, 2700, 3),
    ],
)
def test_weight_breaks_and_parcels(grams: int, price: int, parcels: int) -> None:
    tariff = compile_tariff(rate((5000, 900), (1000, 500)))
    assert tariff.cost(grams) == (price, parcels)


def test_a_heavier_break_that_is_cheaper_is_used() -> None:
    assert compile_tariff(rate((1000, 800), (2000, 600), (3000, 900))).cost(500) == (600, 1)


def test_bulky_goods_pay_for_their_volume() -> None:
    pillow = line(1, "pillow", weight_g=100, side_mm=300)  # 27 l: 5.4 kg at 5000
    anvil = line(2, "anvil", weight_g=9000, side_mm=10)
    assert billable_g([(pillow, 2)], 5000) == 10_800
    assert billable_g([(pillow, 1), (anvil, 1)], 5000) == 9100  # the anvil's weight fills the pillow's air


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        (ServiceLevel.STANDARD, {"ground", "parcel", "two-day", "overnight"}),
        (ServiceLevel.EXPEDITED, {"two-day", "overnight"}),
        (ServiceLevel.OVERNIGHT, {"overnight"}),
    ],
)
def test_a_level_is_the_slowest_class_allowed(asked: ServiceLevel, offered: set[str]) -> None:
    assert {zones[0].service for zones in services_for(rates(), asked)} == offered


def test_the_first_zone_that_reaches_is_the_destinations() -> None:
    (zones,) = services_for((rate((1000, 900), reach=500), rate((1000, 400), reach=100)), ServiceLevel.STANDARD)
    found = [zone_at(zones, km) for km in (0, 100, 100.1, 500.1)]
    assert [zone and zone.reach_km for zone in found] == [100, 100, 500, None]


def test_lateness_can_make_the_dearer_service_the_cheaper() -> None:
    slow = Way(compile_tariff(rate((1000, 500))), AS_OF, AS_OF + timedelta(days=5), 300, 10)
    fast = Way(compile_tariff(rate((1000, 1000), service="two-day")), AS_OF, AS_OF + timedelta(days=2), 0, 10)
    one, two = cheapest([slow, fast], Weight(100), 1), cheapest([slow, fast], Weight(100), 2)
    assert one is not None
    assert two is not None
    assert (one.way, one.carriage.freight) == (slow, 500)
    assert (two.way, two.carriage.freight) == (fast, 1000)
    assert cheapest([slow, fast], Weight(100), 11) is None


def test_equal_costs_go_to_the_earlier_delivery() -> None:
    late = Way(compile_tariff(rate((1000, 500), service="a")), AS_OF, AS_OF + timedelta(days=5), 0, 10)
    soon = late._replace(tariff=replace(late.tariff, service="b"), deliver_by=AS_OF + timedelta(days=1))
    found = cheapest([late, soon], Weight(100), 1)
    assert found is not None
    assert found.way is soon


def test_a_chart_decides_the_zone_where_the_carrier_has_one() -> None:
    near, far = (
        flat_rate(price).model_copy(update={"zone": zone, "max_distance_km": reach})
        for price, zone, reach in ((400, 2, 1000), (900, 5, 30_000))
    )
    other = flat_rate(700).model_copy(update={"carrier": "road"})

    def freight(destination: str, *charts: ZoneChart) -> int:
        customer = place(10).model_copy(update={"postal_code": destination})
        at = node("n", city=2)
        wanted = order(line(1, "a")).model_copy(update={"ship_to": customer})
        seen = snapshot(
            [at.model_copy(update={"place": at.place.model_copy(update={"postal_code": "60601"})})],
            {("n", "a"): 1},
            rates=[near, far, other],
        ).model_copy(update={"zones": charts})
        return plan(wanted, seen, Policy()).shipments[0].cost.freight

    chart = ZoneChart(carrier="sky", origin="606", zones={"432": 5, "441": 2, "450": 8})
    assert freight("43210") == 400, "Chicago is near Columbus"
    assert freight("43210", chart) == 700, "its own carrier calls it far, the other is cheaper"
    assert freight("44101", chart) == 400
    assert freight("45001", chart) == 400, "a zone without a price falls back to the distance"
    assert freight("99901", chart) == 400
    assert freight("43210", chart.model_copy(update={"origin": "100"})) == 400
