"""Quotes in the place of card prices: the plan is what it would be if the card said so, until they expire."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cartons import Carton
from shared.domain.geo import distance_km
from shared.domain.network import Place
from shared.domain.quotes import LaneQuote, QuoteLane
from shared.domain.sourcing import plan
from shared.domain.sourcing.freight import compile_tariff
from shared.domain.sourcing.models import Policy, RateBreak, ServiceRate, Snapshot, SourcingOrder
from shared.domain.sourcing.plans import PlannedShipment
from shared.domain.sourcing.quote_lanes import lanes_of
from tests.support.sourcing import AS_OF, flat_rate, instance, line, node, order, rates, snapshot

TO = "US/100"
HOUR = timedelta(hours=1)


def quote(price_minor: int, **changes: object) -> LaneQuote:
    values = {
        "quote_id": "q", "carrier": "sky", "service": "ground", "price_minor": price_minor, "currency": "USD",
        "transit_days": 2, "expires_at": AS_OF + HOUR, "node_id": "a", "destination": TO, "weight_g": 1_000_000,
    }  # fmt: skip
    return LaneQuote.model_validate(values | changes)


def at(place: Place, postal_code: str) -> Place:
    return place.model_copy(update={"postal_code": postal_code})


def asked(found: SourcingOrder, postal_code: str = "10001") -> SourcingOrder:
    return found.model_copy(update={"ship_to": at(found.ship_to, postal_code)})


def two_nodes(*quotes: LaneQuote) -> Snapshot:
    seen = snapshot([node("a"), node("b")], {("a", "x"): 5, ("b", "x"): 5}, rates=[flat_rate(500)])
    return seen.model_copy(update={"quotes": quotes})


def shipped(seen: Snapshot, wanted: SourcingOrder | None = None) -> tuple[str, int, datetime | None]:
    (one,) = plan(wanted or asked(order(line(1, "x"))), seen, Policy()).shipments
    return one.node_id, one.cost.freight, one.quoted_until


def test_a_quote_takes_the_place_of_the_cards_price() -> None:
    assert shipped(two_nodes()) == ("a", 500, None)
    assert shipped(two_nodes(quote(499, node_id="b"))) == ("b", 499, AS_OF + HOUR)
    assert shipped(two_nodes(quote(501))) == ("b", 500, None), "the quote is dearer than the card was"
    assert shipped(two_nodes(quote(600), quote(550, node_id="b"))) == ("b", 550, AS_OF + HOUR)


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": AS_OF},
        {"destination": "US/101"},
        {"destination": "CA/100"},
        {"weight_g": 999_999},
        {"service": "air"},
        {"carrier": "road"},
        {"node_id": "c"},
    ],
)
def test_of_another_lane_weight_or_service_or_when_it_has_expired_it_is_not_used(changes: dict[str, object]) -> None:
    assert shipped(two_nodes(quote(1, **changes))) == ("a", 500, None)


def test_nothing_is_quoted_to_nowhere() -> None:
    assert shipped(two_nodes(quote(1)), order(line(1, "x"))) == ("a", 500, None)


def test_a_quote_that_is_slower_than_the_card_is_promised_by() -> None:
    fast = plan(asked(order(line(1, "x"))), two_nodes(), Policy())
    slow = plan(asked(order(line(1, "x"))), two_nodes(quote(1, transit_days=4)), Policy())
    eager = plan(asked(order(line(1, "x"))), two_nodes(quote(1, transit_days=0)), Policy())
    assert slow.promised_at is not None
    assert fast.promised_at is not None
    assert slow.promised_at > fast.promised_at == eager.promised_at


def test_each_step_of_weight_has_its_own_quote() -> None:
    rate = ServiceRate(
        carrier="sky",
        service="ground",
        level=flat_rate().level,
        max_distance_km=9000,
        breaks=tuple(RateBreak(up_to_g=g, price_minor=p) for g, p in ((500, 400), (1000, 600), (5000, 900))),
        transit_days=2,
    )
    end = AS_OF + HOUR
    mixed = compile_tariff(rate, {1000: quote(700, weight_g=1000), 5000: quote(800, weight_g=5000)})
    assert mixed.price == (400, 700, 800)
    assert [mixed.quoted_until(grams) for grams in (400, 900, 4000)] == [None, end, end]
    dear = compile_tariff(rate, {500: quote(650, weight_g=500)})
    assert dear.price == (600, 600, 900), "it is declared as a kilogram, which the card still has for less"
    assert dear.until == ()
    heavy = compile_tariff(rate, {5000: quote(800, weight_g=5000)})
    assert heavy.steps(5001) == (500, 5000)
    assert (heavy.cost(5001), heavy.quoted_until(5001)) == ((1200, 2), end)


@given(st.integers(0, 10_000), st.data())
def test_a_plan_by_quotes_is_the_plan_by_a_card_that_says_the_same(seed: int, data: st.DataObject) -> None:
    """One service of one node quoted for every weight: as if that node had a card of its own."""
    wanted, seen, policy = instance(seed, lines=2, nodes=3)
    wanted = asked(wanted)
    percent = data.draw(st.integers(10, 300))
    chosen = data.draw(st.sampled_from([rate.service for rate in rates()]))
    cards = tuple(_by(rate, percent) if rate.service == chosen else rate for rate in seen.rates)
    by_card = plan(wanted, seen.model_copy(update={"rates": cards}), policy)
    found = seen.model_copy(update={"quotes": tuple(_quotes(seen, wanted, chosen, cards))})
    by_quote = plan(wanted, found, policy)
    assert [_without_quotes(one) for one in by_quote.shipments] == [_without_quotes(one) for one in by_card.shipments]
    expired = found.model_copy(update={"as_of": AS_OF + 2 * HOUR})
    assert plan(wanted, expired, policy) == plan(wanted, expired.model_copy(update={"quotes": ()}), policy)


def _by(rate: ServiceRate, percent: int) -> ServiceRate:
    breaks = tuple(RateBreak(up_to_g=b.up_to_g, price_minor=b.price_minor * percent // 100) for b in rate.breaks)
    return rate.model_copy(update={"breaks": breaks})


def _quotes(seen: Snapshot, wanted: SourcingOrder, service: str, cards: tuple[ServiceRate, ...]) -> list[LaneQuote]:
    found = []
    for at_node in seen.nodes:
        km = distance_km(at_node.place, wanted.ship_to)
        reaching = [rate for rate in cards if rate.service == service and km <= rate.max_distance_km]
        card = min(reaching, key=lambda rate: rate.max_distance_km)
        found += [
            quote(
                step.price_minor,
                node_id=at_node.node_id,
                carrier=card.carrier,
                service=service,
                weight_g=step.up_to_g,
                transit_days=card.transit_days,
            )
            for step in card.breaks
        ]
    return found


def _without_quotes(shipment: PlannedShipment) -> PlannedShipment:
    return shipment.model_copy(update={"quoted_until": None})


def test_carriers_are_asked_of_what_could_ship_and_of_what_does() -> None:
    seen = snapshot([node("a"), node("b", city=1)], {("a", "x"): 1, ("b", "y"): 9}, rates=rates())
    wanted = asked(order(line(1, "x", weight_g=400), line(2, "y", 2, weight_g=600)))
    found = lanes_of(wanted, seen, Policy(), plan(wanted, seen, Policy()), ["sky"])
    assert {lane.carrier for lane in found} == {"sky"}
    assert {lane.destination for lane in found} == {TO}
    assert {(lane.node_id, lane.weight_g) for lane in found} == {
        ("a", 500), ("a", 1000), ("b", 2000), ("b", 5000), ("b", 10_000),
    }  # fmt: skip
    assert lanes_of(wanted, seen, Policy(), None, []) == frozenset()
    assert lanes_of(order(line(1, "x")), seen, Policy(), None, ["sky"]) == frozenset(), "no postal code, no quotes"


def test_a_lane_asked_and_quoted_is_a_plan_by_quotes() -> None:
    seen = two_nodes()
    wanted = asked(order(line(1, "x", 2)), "10003")
    lanes = lanes_of(wanted, seen, Policy(), None, ["sky"])
    told = tuple(_answer(lane) for lane in lanes)
    (one,) = plan(wanted, seen.model_copy(update={"quotes": told}), Policy()).shipments
    assert (one.cost.freight, one.quoted_until) == (321, AS_OF + HOUR)


def test_what_is_packed_is_asked_about_package_by_package() -> None:
    box = Carton(name="box", length_mm=120, width_mm=120, height_mm=120, max_weight_g=5000, tare_g=50, cost_minor=30)
    seen = two_nodes().model_copy(update={"rates": rates(), "cartons": (box,)})
    wanted = asked(order(line(1, "x", 3, weight_g=900, side_mm=110)), "10003")
    lanes = lanes_of(wanted, seen, Policy(), None, ["sky", "road"])
    assert {lane.weight_g for lane in lanes if lane.carrier == "road"} == {1000}, "three boxes of 950 g"
    told = tuple(
        _answer(lane).model_copy(update={"carrier": lane.carrier, "service": service})
        for lane in lanes
        for service in ("ground", "parcel", "two-day", "overnight")
    )
    (one,) = plan(wanted, seen.model_copy(update={"quotes": told}), Policy()).shipments
    assert (one.cost.freight, one.cost.packaging, one.quoted_until) == (3 * 321, 90, AS_OF + HOUR)


def _answer(lane: QuoteLane) -> LaneQuote:
    return quote(321, node_id=lane.node_id, destination=lane.destination, weight_g=lane.weight_g)
