"""Cartons: what fits is placed without overlap, what is divided is divided whole, whatever is proven is true."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packvium import Container, Dimensions, Item, PackingConfig
from packvium import Packer as Library

from shared.domain.sourcing import plan
from shared.domain.sourcing.bounds import lower_bound
from shared.domain.sourcing.cartonising import Cartons
from shared.domain.sourcing.fitting import Fit, Fitting, sides_of
from shared.domain.sourcing.freight import Tariff
from shared.domain.sourcing.grid import INF, Choice, by_node, with_another
from shared.domain.sourcing.lagrange import raised_bound
from shared.domain.sourcing.models import Policy, WantedLine
from shared.domain.sourcing.packing import Packer
from shared.domain.sourcing.sources import survey
from tests.support.packing import CARTONS, carton, check_packages
from tests.support.sourcing import instance, line, node, order, rates, snapshot

TARIFF = Tariff("sky", "ground", 9000, 3, (500, 2000, 10_000), (500, 800, 1500))


def lines_of(rng: random.Random, count: int) -> list[WantedLine]:
    sides = [rng.choice([(30, 40, 250), (100, 100, 100), (60, 150, 190), (20, 90, 140)]) for _ in range(count)]
    return [
        WantedLine(
            line_no=n + 1, sku=f"s{n}", quantity=rng.randint(1, 4), weight_g=rng.choice([0, 200, 900, 3000]),
            length_mm=length, width_mm=width, height_mm=height,
        )
        for n, (length, width, height) in enumerate(sides)
    ]  # fmt: skip


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_whatever_is_proven_to_fit_can_be_placed(seed: int) -> None:
    """The library, given its time, places all that a proof says; where it says no, it never does."""
    rng = random.Random(seed)
    lines = lines_of(rng, rng.randint(1, 3))
    verdicts = Fitting(lines, CARTONS).verdicts(np.arange(len(lines)), np.array([[one.quantity for one in lines]]))[0]
    for verdict, box in zip(verdicts, CARTONS, strict=True):
        goods = sum(one.quantity * one.weight_g for one in lines)
        if verdict == Fit.OPEN or goods > box.max_weight_g:
            continue
        items = [
            Item.create(one.sku, Dimensions.mm(one.length_mm, one.width_mm, one.height_mm), quantity=one.quantity)
            for one in lines
        ]
        inside = Container.create(box.name, Dimensions.mm(box.length_mm, box.width_mm, box.height_mm))
        found = Library(PackingConfig.balanced(time_limit_ms=20_000, max_containers=1)).pack(items, [inside])
        assert (not found.unpacked) == (verdict == Fit.YES)


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_every_unit_is_in_one_package_that_carries_it(seed: int) -> None:
    rng = random.Random(seed)
    lines = [one.model_copy(update={"quantity": rng.randint(1, 40)}) for one in lines_of(rng, rng.randint(1, 5))]
    packer = Packer(lines, CARTONS)
    units = tuple((place, one.quantity) for place, one in enumerate(lines))
    inside: dict[int, int] = {}
    for group in packer.groups(units):
        takes = [box for k, box in enumerate(CARTONS) if packer.takes(group, k)]
        weight = sum(count * lines[place].weight_g for place, count in group.units)
        volume = sum(count * lines[place].length_mm * lines[place].width_mm * lines[place].height_mm
                     for place, count in group.units)  # fmt: skip
        assert takes
        assert all(weight <= box.max_weight_g and volume <= box.volume_mm3 for box in takes)
        for place, count in group.units:
            inside[place] = inside.get(place, 0) + count
    assert inside == dict(units)


def test_a_division_fills_the_roomiest_carton_first() -> None:
    lines = [line(1, "a", 5, weight_g=100, side_mm=100)]
    boxes = [carton("four", 200, 200, 100), carton("one", 100, 100, 100)]
    groups = Packer(lines, boxes).groups(((0, 5),))
    assert [group.units for group in groups] == [((0, 4),), ((0, 1),)]


def test_the_carton_that_comes_cheapest_is_taken() -> None:
    lines = [line(1, "a", 1, weight_g=100, side_mm=50)]
    small, large = carton("small", 60, 60, 60, minor=300), carton("large", 130, 130, 130, minor=20)
    cartons = Cartons(Packer(lines, [large, small]), 5000)
    carriage = cartons.load([(lines[0], 1)]).by(TARIFF)
    assert [package.carton for package in carriage.packages] == [large], "one more gram is paid anyway"
    assert (carriage.freight, carriage.packaging) == (500, 20)


def test_two_packages_may_be_cheaper_by_weight_than_their_sum() -> None:
    """A tariff may ask more for one heavy parcel than for two light ones: bounds must know."""
    dear = replace(TARIFF, price=(500, 2000, 9000))
    lines = [line(1, "a", 2, weight_g=400, side_mm=100)]
    cartons = Cartons(Packer(lines, [carton("one", 100, 100, 100)]), 5000)
    taken = np.array([[2]])
    assert cartons.least((dear,), lines, taken)[0, 0] <= 1000 == cartons.load([(lines[0], 2)]).by(dear).cost


@pytest.mark.parametrize("most", [1, 3])
def test_large_orders_are_packed_and_bounded(most: int) -> None:
    for seed in range(3):
        wanted, seen, policy = instance(seed, lines=14, nodes=12, most=most)
        seen = seen.model_copy(update={"cartons": CARTONS})
        found = plan(wanted, seen, policy)
        for shipment in found.shipments:
            check_packages(shipment, wanted.lines, CARTONS)
        sources = survey(wanted, seen, policy).sources
        whole = sum(one.quantity for one in wanted.lines)
        if not found.shortages:
            bound = lower_bound(wanted.lines, sources, policy, whole)
            raised = raised_bound(wanted.lines, sources, policy, above=bound, cost=found.total_minor)
            assert bound <= raised <= found.total_minor
            assert found.total_minor - found.gap_minor <= found.total_minor


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_bounds_undercut_every_division_among_nodes(seed: int) -> None:
    """Against all plans of two nodes that pack in cartons, by tariffs that ask much for heavy parcels."""
    rng = random.Random(seed)
    lines = lines_of(rng, 2)
    steep = [
        rate.model_copy(
            update={"breaks": tuple(step.model_copy(update={"price_minor": step.price_minor * (n + 1) ** 2})
                                    for n, step in enumerate(rate.breaks))}
        )
        for rate in rates()
    ]  # fmt: skip
    wanted = order(*lines, city=rng.randrange(11))
    stock = {(at, one.sku): 9 for at in ("n0", "n1") for one in lines}
    seen = snapshot([node("n0", city=1), node("n1", city=4)], stock, rates=steep)
    seen = seen.model_copy(update={"cartons": CARTONS[:2]})
    policy = Policy(split_penalty_minor=rng.choice([0, 300]))
    sources = survey(wanted, seen, policy).sources
    best = plan(wanted, seen, policy)
    assert best.optimal
    bound = lower_bound(lines, sources, policy, sum(one.quantity for one in lines))
    assert bound <= best.total_minor
    assert raised_bound(lines, sources, policy, above=bound, cost=best.total_minor + 5000) <= best.total_minor


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_a_plan_with_another_node_is_what_it_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = tuple(rng.integers(1, 3, size=rng.integers(1, 4)).tolist())
    states = int(np.prod([step + 1 for step in steps]))
    keys = rng.integers(-500, 100, size=(4, states))
    keys[:, 0] = 0
    keys[rng.random(keys.shape) < 0.2] = INF
    keys[:, 0] = 0
    limit = int(rng.integers(1, 4))
    chosen = sorted(by_node(keys, steps, limit).nodes)
    found = with_another(keys, steps, limit, chosen)
    assert _key(keys, found) == found.key
    if found.shipments:
        assert set(chosen) < found.nodes
        assert len(found.shipments) == len(found.nodes) <= limit
    every = [frozenset(some) for size in range(5) for some in combinations(range(4), size)]
    forced = [by_node(_only(keys, nodes), steps, limit) for nodes in every if set(chosen) < nodes]
    best = min((one.key for one in forced if len(one.nodes) > len(chosen) and set(chosen) < one.nodes), default=INF)
    assert found.key <= best


def _only(keys: np.ndarray, nodes: frozenset[int]) -> np.ndarray:
    """The same keys, no node but these shipping."""
    some = keys.copy()
    some[[n for n in range(len(keys)) if n not in nodes], 1:] = INF
    return some


def _key(keys: np.ndarray, choice: Choice) -> int:
    return sum(int(keys[n, state]) for n, state in choice.shipments) if choice.shipments else INF


def test_sides_are_told_ascending_and_none_is_nothing() -> None:
    assert sides_of(300, 0, 20) == (1, 20, 300)
