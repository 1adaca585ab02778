"""What a channel shows, against a naive count of single units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.availability import (
    NO_RULES,
    Allocation,
    Arrival,
    Dated,
    Rules,
    available,
    coming,
    of_bundle,
    reaching,
    shown,
)
from shared.domain.pools import Pool, Pooled
from tests.support.pools import can_take, held_by_hand, takings

NODES, CHANNELS = ("a", "b", "c"), ("web", "app", "shop")
stocks = st.dictionaries(st.sampled_from(NODES), st.integers(0, 3))
eligibles = st.frozensets(st.sampled_from(NODES))
limits = st.none() | st.integers(0, 5)
pools = st.permutations(CHANNELS).flatmap(
    lambda order: st.tuples(
        *(st.builds(Pool, channel=st.just(c), units=st.integers(0, 4), nodes=eligibles) for c in order)
    )
)
allocations = st.none() | st.builds(
    Allocation,
    channel=st.just("web"),
    pool=limits,
    fall_through=st.booleans(),
    percent=st.integers(0, 100),
    buffer=st.integers(0, 3),
    floor=st.integers(0, 4),
    cap=limits,
)


def one_by_one(
    stock: Mapping[str, int], channel: str, eligible: frozenset[str], claims: Sequence[Pool], rule: Allocation | None
) -> int:
    """Of every way to take units at the channel's nodes that leaves the others' pools as full, the largest."""
    item = Pooled(sku="s", channel=channel, pools=tuple(claims))
    here = {node: units for node, units in stock.items() if node in eligible}
    units = max(sum(taken.values()) for taken in takings(here) if can_take(stock, item, taken))
    held = zip(claims, held_by_hand(stock, claims), strict=True)
    mine = min(units, sum(got for claim, got in held if claim.channel == channel))
    common = units - mine
    if rule is None:
        return common
    if rule.pool is not None and not rule.fall_through:
        common = 0
    units = mine + int(common * rule.percent / 100 + 1e-9) - rule.buffer
    units = 0 if units < rule.floor else max(units, 0)
    return units if rule.cap is None or units < rule.cap else rule.cap


def as_configured(claims: Sequence[Pool], eligible: frozenset[str], rule: Allocation | None) -> list[Pool]:
    """The channel's own pool is the one of its allocation, at the nodes it sells from."""
    own = Pool(channel="web", units=(rule.pool or 0) if rule else 0, nodes=eligible)
    return [own if claim.channel == "web" else claim for claim in claims]


@given(stocks, eligibles, pools, allocations)
def test_it_is_what_counting_single_units_gives(
    stock: dict[str, int], eligible: frozenset[str], claims: tuple[Pool, ...], rule: Allocation | None
) -> None:
    configured = as_configured(claims, eligible, rule)
    units = available(stock, "web", eligible, configured, rule)
    assert units == one_by_one(stock, "web", eligible, configured, rule)
    assert 0 <= units <= sum(stock.get(node, 0) for node in eligible)


def test_an_items_own_rule_goes_before_its_channels() -> None:
    rules = Rules(
        [
            Allocation(channel="web", pool=4),
            Allocation(channel="app", sku="s1", pool=3, fall_through=False),
            Allocation(channel="web", sku="s2", pool=0),
        ],
        {"web": frozenset("ab"), "app": frozenset("bc")},
    )
    assert [(pool.channel, pool.units) for pool in rules.pools("s1")] == [("web", 4), ("app", 3)]
    assert rules.pools("s2") == []
    nodes = {item.channel: item.nodes for c in ("shop", "app") if (item := rules.pooled(c, "s1")) is not None}
    assert nodes == {"shop": frozenset("abc"), "app": frozenset("abc")}
    assert rules.pooled("web", "s2") is None
    assert NO_RULES.pooled("web", "s1") is None


@given(stocks, eligibles, pools, allocations, st.sampled_from(NODES))
def test_more_stock_never_shows_less(
    stock: dict[str, int], eligible: frozenset[str], claims: tuple[Pool, ...], rule: Allocation | None, node: str
) -> None:
    configured = as_configured(claims, eligible, rule)
    more = stock | {node: stock.get(node, 0) + 1}
    before, after = (available(each, "web", eligible, configured, rule) for each in (stock, more))
    assert before <= after


@given(stocks, st.tuples(*(eligibles for _ in CHANNELS)), st.tuples(*(st.integers(0, 5) for _ in CHANNELS)))
def test_what_only_pools_sell_is_never_sold_twice(
    stock: dict[str, int], nodes: tuple[frozenset[str], ...], units: tuple[int, ...]
) -> None:
    claims = [Pool(channel=c, units=u, nodes=n) for c, u, n in zip(CHANNELS, units, nodes, strict=True)]
    rules = [Allocation(channel=claim.channel, pool=claim.units, fall_through=False) for claim in claims]
    total = sum(available(stock, c.channel, c.nodes, claims, r) for c, r in zip(claims, rules, strict=True))
    assert total <= sum(stock.values())


NOW = datetime(2026, 8, 3, tzinfo=UTC)
arrivals = st.lists(
    st.builds(
        Arrival, st.integers(1, 4).map(lambda day: NOW + timedelta(days=day)), st.sampled_from(NODES), st.integers(1, 2)
    ),
    max_size=3,
).map(sorted)
laters = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9))).map(
    lambda rows: [Dated(at=NOW + timedelta(days=day), units=units) for day, units in sorted(rows)]
)


def days(told: Sequence[Dated]) -> dict[int, int]:
    assert all(more.units > 0 for more in told)
    assert [more.at for more in told] == sorted({more.at for more in told})
    return {(more.at - NOW).days: more.units for more in told}


@given(stocks, eligibles, pools, allocations, arrivals, st.integers(0, 6))
def test_what_comes_may_be_sold_as_if_it_were_there(
    stock: dict[str, int],
    eligible: frozenset[str],
    claims: tuple[Pool, ...],
    rule: Allocation | None,
    expected: list[Arrival],
    threshold: int,
) -> None:
    configured = as_configured(claims, eligible, rule)

    def sell(there: Mapping[str, int]) -> int:
        return reaching(threshold, available(there, "web", eligible, configured, rule))

    now = sell(stock)
    assert now <= sum(stock.get(node, 0) for node in eligible), "never more than is there"
    told = days(coming(expected, stock, now, sell))
    for day in range(5):
        there = dict(stock)
        for at, node_id, units in expected:
            if (at - NOW).days <= day:
                there[node_id] = there.get(node_id, 0) + units
        counted = one_by_one(there, "web", eligible, configured, rule)
        assert now + sum(units for at, units in told.items() if at <= day) == (counted if counted >= threshold else 0)


@given(st.lists(st.tuples(st.integers(0, 9), laters, st.integers(1, 3)), min_size=1, max_size=3))
def test_a_bundle_comes_with_its_scarcest_component(parts: list[tuple[int, list[Dated], int]]) -> None:
    now, told = of_bundle(parts)
    for day in range(5):
        shelves = [there + sum(d.units for d in later if (d.at - NOW).days <= day) for there, later, _ in parts]
        packed = 0
        while all(units >= quantity for units, (_, _, quantity) in zip(shelves, parts, strict=True)):
            shelves = [units - quantity for units, (_, _, quantity) in zip(shelves, parts, strict=True)]
            packed += 1
        assert now + sum(units for at, units in days(told).items() if at <= day) == packed


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, 16),  # the pool's 6 and the common 10
        ({"fall_through": False}, 6),
        ({"percent": 55}, 11),  # of what is common; half units are not shown
        ({"buffer": 4}, 12),
        ({"buffer": 20}, 0),
        ({"floor": 16}, 16),
        ({"floor": 17}, 0),
        ({"cap": 3}, 3),
        ({"floor": 5, "cap": 3}, 3),  # the floor looks at what there is, the cap at what is shown
    ],
)
def test_each_setting(rule: dict[str, int], expected: int) -> None:
    assert shown(10, 6, Allocation.model_validate({"channel": "web", "pool": 6} | rule)) == expected
