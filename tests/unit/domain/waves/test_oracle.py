"""Small waves against every combination of every plan there is, and against a program written another way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import pytest

from shared.domain.calendars import days_late
from shared.domain.sourcing.models import Policy
from shared.domain.sourcing.sources import Source, survey
from shared.domain.waves.generation import plan_wave
from shared.domain.waves.models import Wave, WaveOrder, WaveRules
from tests.support.waves import least_cost, wave

FREE = WaveRules(change_minor=0, gap_target=0, branches=10_000)


class Option(NamedTuple):
    """A plan of one order: what it costs, and the stock it takes."""

    cost: int
    taken: Counter[tuple[str, str]]


def options(order: WaveOrder, whole: Wave) -> list[Option]:
    """Every plan of an order that gives its units a source where they have one, by the planner's prices."""
    sources = [_in_time(source, order) for source in survey(order.order, whole.snapshot, order.policy).sources]
    return [
        option
        for split in _splits(order, [source for source in sources if source.ways])
        if (option := _priced(order, split, whole.rules)) is not None
    ]


def _in_time(source: Source, order: WaveOrder) -> Source:
    promised, zone = order.promised_at, order.order.ship_to.time_zone
    ways = tuple(way for way in source.ways if promised is None or not days_late(way.deliver_by, promised, zone))
    return Source(source.node, ways, source.stock, source.fixed, source.capacity)


Split = list[tuple[Source, list[int]]]


def _splits(order: WaveOrder, sources: list[Source]) -> Iterator[Split]:
    """Every way to give units of every line to nodes."""
    places = [range(len(sources) + 1) for line in order.order.lines for _ in range(line.quantity)]
    seen = set()
    for chosen in product(*places):
        given = [[0] * len(order.order.lines) for _ in sources]
        units = iter(chosen)
        for at, line in enumerate(order.order.lines):
            for _ in range(line.quantity):
                if (place := next(units)) < len(sources):
                    given[place][at] += 1
        key = tuple(map(tuple, given))
        if key not in seen:
            seen.add(key)
            yield [(source, row) for source, row in zip(sources, given, strict=True) if any(row)]


def _priced(order: WaveOrder, split: Split, rules: WaveRules) -> Option | None:
    lines = order.order.lines
    stands = Counter({line.line_no: 0 for line in lines})
    for shipment in order.standing:
        for planned in shipment.lines:
            stands[planned.line_no] += planned.quantity
    filled = [sum(row[at] for _, row in split) for at in range(len(lines))]
    if any(units < stands[line.line_no] for units, line in zip(filled, lines, strict=True)):
        return None
    if len(split) > order.policy.max_shipments:
        return None
    cost = max(0, len(split) - 1) * order.policy.split_penalty_minor
    cost += rules.short_unit_minor * sum(line.quantity - units for units, line in zip(filled, lines, strict=True))
    taken: Counter[tuple[str, str]] = Counter()
    for source, row in split:
        parts = [(line, units) for line, units in zip(lines, row, strict=True) if units]
        for line, units in parts:
            taken[source.node.node_id, line.sku] += units
        if any(units > source.holds(sku) for (node_id, sku), units in taken.items() if node_id == source.node.node_id):
            return None
        priced = source.price(parts, order.policy.dim_divisor)
        if priced is None:
            return None
        cost += priced.terms.total
    return Option(cost, taken)


def cheapest(whole: Wave) -> int:
    """The least cost of all combinations that stock allows."""
    held = {(row.node_id, row.sku): row.available for row in whole.snapshot.stock}

    def go_together(chosen: Sequence[Option]) -> bool:
        taken = sum((option.taken for option in chosen), Counter[tuple[str, str]]())
        return all(units <= held.get(key, 0) for key, units in taken.items())

    return least_cost([options(order, whole) for order in whole.orders], go_together)


@pytest.mark.parametrize("seed", range(25))
def test_a_small_wave_is_the_best_of_all_combinations(seed: int) -> None:
    whole = wave(seed, orders=4, nodes=3, skus=3, tightness=(0.5, 0.8, 1.3)[seed % 3], rules=FREE, lines=2, most=2)
    found = plan_wave(whole)
    assert found.after_minor == cheapest(whole)
    assert found.bound_minor <= found.after_minor


@pytest.mark.parametrize("seed", range(6))
def test_without_line_splits_it_is_too(seed: int) -> None:
    policy = Policy(allow_line_split=False)
    whole = wave(seed, orders=4, nodes=3, skus=3, tightness=0.8, rules=FREE, lines=2, most=2, policy=policy)
    found = plan_wave(whole).after_minor
    # The combinations also split lines: they may only be cheaper.
    assert cheapest(whole) <= found <= plan_wave(whole).before_minor
