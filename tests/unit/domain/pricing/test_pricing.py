"""Prices from what is expected: who pays for what, until when, and when they are not believed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.catalogue import Item
from shared.domain.pricing.flows import Costs
from shared.domain.pricing.models import Kind, Outlook, PriceList, Prices, ShippingPrice, StockPrice
from shared.domain.pricing.pricing import price, told_apart
from shared.domain.pricing.scarcity import busy_days, shipping_days
from shared.domain.sourcing import plan
from shared.domain.sourcing.models import DayLoad, NodeLoad, Policy, Snapshot
from shared.domain.sourcing.weights import Weights
from tests.support.sourcing import AS_OF, instance, line, node, order, place, rates, snapshot

DAYS = 28
ITEMS = {sku: Item(sku=sku, weight_g=500, length_mm=100, width_mm=100, height_mm=100) for sku in ("a", "b", "c")}
EAST, WEST = node("east", city=0), node("west", city=1)


def kind(city: int, daily: int, *items: tuple[str, int]) -> Kind:
    return Kind(f"R-{city}", place(city), items, dict.fromkeys(range(DAYS), daily))


def outlook(seen: Snapshot, *kinds: Kind, **changes: Any) -> Outlook:
    units: dict[str, dict[int, int]] = {}
    for each in kinds:
        for sku, quantity in each.items:
            by_age = units.setdefault(sku, {})
            for age, count in each.by_age.items():
                by_age[age] = by_age.get(age, 0) + count * quantity
    made = Outlook(
        snapshot=seen,
        policy=Policy(),
        items=ITEMS,
        history_days=DAYS,
        units=units,
        kinds=kinds,
        supply={},
        horizon_days=14,
    )
    return made._replace(**changes)


def scarce(**changes: Any) -> Outlook:
    """Both regions want ``a``; the east has too little of it, the west plenty, and ``b`` is only in the east."""
    stock = {("east", "a"): 20, ("west", "a"): 500, ("east", "b"): 500}
    seen = snapshot([EAST, WEST], stock, rates=rates())
    return outlook(seen, kind(0, 3, ("a", 1)), kind(0, 1, ("a", 1), ("b", 1)), **changes)


def by_key(found: PriceList) -> Mapping[tuple[str, str], int]:
    return {(each.node_id, each.sku): each.unit_milli for each in found.stock}


def test_what_is_scarce_costs_what_going_elsewhere_costs_more() -> None:
    found = by_key(price(scarce()))
    # 56 of ``a`` are expected for 20 in the east; the last of them go west for the difference in freight.
    east = plan(order(line(1, "a"), city=0), _only("east"), Policy()).total_minor
    west = plan(order(line(1, "a"), city=0), _only("west"), Policy()).total_minor
    assert found == {("east", "a"): 1000 * (west - east)}


def _only(node_id: str) -> Snapshot:
    at = {"east": EAST, "west": WEST}[node_id]
    return snapshot([at], {(node_id, "a"): 9}, rates=rates())


def test_what_is_plentiful_costs_nothing() -> None:
    seen = snapshot([EAST, WEST], {("east", "a"): 500, ("west", "a"): 500}, rates=rates())
    assert price(outlook(seen, kind(0, 3, ("a", 1)))) == PriceList()
    assert price(outlook(seen)) == PriceList()


def test_demand_counts_until_the_next_supply() -> None:
    soon = {("east", "a"): AS_OF + timedelta(days=4)}
    later = {("east", "a"): AS_OF + timedelta(days=12)}
    assert by_key(price(scarce(supply=soon))) == {}
    assert by_key(price(scarce(supply=later))) == by_key(price(scarce()))
    assert by_key(price(scarce(horizon_days=4))) == {}


def test_a_price_is_lowered_where_demand_did_not_come_as_forecast() -> None:
    surprised = scarce()
    units = surprised.units["a"]
    for factor, share in ((1, 1.0), (3, 0.0)):
        seen = {age: count * (factor if age < 7 else 1) for age, count in units.items()}
        found = price(surprised._replace(units={**surprised.units, "a": seen}))
        assert found.doubted == (("a",) if share < 1 else ())
        assert (by_key(found).get(("east", "a"), 0) > 0) == (share > 0)


def test_a_full_day_costs_at_most_what_a_late_day_costs() -> None:
    busy = node("east", city=0, daily_units=4)
    seen = snapshot([busy, WEST], {("east", "a"): 9000, ("west", "a"): 9000}, rates=rates(), loads={"east": 1})
    found = price(outlook(seen, kind(0, 6, ("a", 1)), policy=Policy(late_day_minor=30)))
    assert {each.node_id for each in found.days} == {"east"}
    assert {each.unit_milli for each in found.days} == {30_000}
    assert not found.stock
    free = price(outlook(seen, kind(0, 6, ("a", 1)), policy=Policy(late_day_minor=0)))
    assert free == PriceList()


def test_the_room_of_a_day_is_its_own_limit_less_what_was_promised_of_it() -> None:
    at = node("east", daily_units=40)
    first, second, third = list(dict.fromkeys(shipping_days(at, AS_OF)))[:3]
    assert first is not None
    assert second is not None
    days = (DayLoad(day=first, limit=40, used=39), DayLoad(day=second, limit=5, order_limit=1, used_orders=1))
    load = NodeLoad(node_id="east", units=43, dated=39, days=days)
    seen = snapshot([at, node("west")], {("east", "a"): 9}).model_copy(update={"loads": (load,)})
    found = busy_days(seen, {"a": {0: 20}}, 1)
    assert [found["east", day] for day in (first, second, third) if day] == [0, 0, 37]
    assert {node_id for node_id, _ in found} == {"east"}
    told = seen.model_copy(update={"nodes": (at.model_copy(update={"daily_units": None}),)})
    assert {day: left for (_, day), left in busy_days(told, {"a": {0: 20}}, 1).items()} == {first: 0, second: 0}


def test_the_same_outlook_has_the_same_prices() -> None:
    assert price(scarce()) == price(scarce())


def test_prices_are_what_the_policy_weighs() -> None:
    plain = by_key(price(scarce()))
    freight = Policy(weights=Weights(freight=50, handling=50, item_cost=50, split_penalty=50, dropship_fee=50))
    halved = by_key(price(scarce(policy=freight)))
    assert {key: milli // 2 for key, milli in plain.items()} == halved


def test_many_kinds_are_counted_as_single_units() -> None:
    made = scarce()
    kept, merged = told_apart(made, 1)
    assert merged == pytest.approx(1.0)
    assert sum(each.rate * sum(units for _, units in each.kind.items) for each in kept) == pytest.approx(4.0)
    assert {each.kind.items for each in kept} == {(("a", 1),)}


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_a_whole_order_from_one_node_costs_what_the_planner_says(seed: int) -> None:
    wanted, seen, policy = instance(seed, lines=3, nodes=4)
    items = {
        one.sku: Item(sku=one.sku, weight_g=one.weight_g, length_mm=120, width_mm=120, height_mm=120)
        for one in wanted.lines
    }
    expected = Kind("R", wanted.ship_to, tuple((one.sku, one.quantity) for one in wanted.lines), {0: 1})
    held = {(row.node_id, row.sku): row.available for row in seen.stock}
    for offer in Costs(seen, policy, items).offers(expected):
        if all(held.get((offer.node_id, one.sku), 0) >= one.quantity for one in wanted.lines):
            alone = plan(wanted.model_copy(update={"only": (offer.node_id,)}), seen, policy)
            told = offer.fixed + sum(cost or 0.0 for cost in offer.items)
            assert told == pytest.approx(alone.total_minor + policy.split_penalty_minor)


def test_planners_see_whole_minor_units_until_the_prices_are_stale() -> None:
    kept = PriceList(
        stock=(StockPrice(node_id="east", sku="a", unit_milli=1500), StockPrice(node_id="east", sku="b", unit_milli=1)),
        days=(ShippingPrice(node_id="east", day=AS_OF.date(), unit_milli=2499),),
    )
    prices = Prices("p/1", AS_OF + timedelta(hours=1), kept)
    seen = snapshot([EAST], {("east", "a"): 1, ("east", "b"): 1})
    priced = prices.at(AS_OF).put_on(seen)
    assert {row.sku: row.scarcity_minor for row in priced.stock} == {"a": 2, "b": 0}
    assert [each.unit_minor for each in priced.day_prices] == [2]
    assert priced.price_version == "p/1"
    assert prices.at(AS_OF + timedelta(hours=1)).put_on(seen) == seen
