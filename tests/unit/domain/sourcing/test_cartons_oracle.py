"""The planner against every plan there is, where nodes pack in cartons.

Goods of equal cubes and cartons of whole cells are packed here by counting, which shares nothing with the planner.
Goods of all shapes are packed as the planner packs them; what is tried is that no other plan, so packed, costs less.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import combinations
from math import ceil
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.cartons import Carton
from shared.domain.network import Node
from shared.domain.sourcing import plan, solving
from shared.domain.sourcing.freight import Tariff, compile_tariff
from shared.domain.sourcing.models import ServiceRate, WantedLine
from shared.domain.sourcing.packing import Packer
from shared.domain.sourcing.weights import Weights
from tests.support import oracle
from tests.support.oracle import Case
from tests.support.packing import carton, check_packages

Parts = Sequence[tuple[WantedLine, int]]
#: Units that go together, and the cartons they may go in; none of these for a unit that goes as it is.
Groups = list[tuple[Parts, Sequence[Carton]]]
CELL = 100
CELLS = (
    carton("one", CELL, CELL, CELL, most_g=20_000, tare_g=50, minor=20),
    carton("two", CELL, 2 * CELL, CELL, most_g=9_000, tare_g=120, minor=10),
    carton("four", 2 * CELL, 2 * CELL, CELL, most_g=20_000, tare_g=0, minor=400),
    carton("other", 2 * CELL, CELL, 3 * CELL, most_g=30_000, tare_g=300, minor=0, node="n1"),
)
SHAPES = (
    carton("s", 200, 150, 60, most_g=20_000, tare_g=40, minor=15),
    carton("m", 300, 200, 150, most_g=20_000, tare_g=120, minor=5),
    carton("l", 400, 300, 200, most_g=36_000, tare_g=200, minor=60),
    carton("tube", 700, 110, 110, most_g=20_000, minor=90, node="n2"),
)


def cartons_of(case: Case, at: Node) -> list[Carton]:
    own = [one for one in case[1].cartons if one.node_id == at.node_id]
    return sorted(own or [one for one in case[1].cartons if not one.node_id], key=lambda one: one.name)


def counted(case: Case, at: Node, parts: Parts) -> Groups:
    """Equal cubes: as many as a carton has cells and carries; the heaviest first where one carton is not enough."""
    cartons = cartons_of(case, at)
    cells = {one.name: one.volume_mm3 // CELL**3 for one in cartons}
    single = [line for line, n in parts for _ in range(n) if line.own_container or not _takes(cartons, line)]
    rest = [line for line, n in parts for _ in range(n) if not line.own_container and _takes(cartons, line)]
    groups: Groups = [([(line, 1)], ()) for line in single]
    rest.sort(key=lambda line: -line.weight_g)
    while rest:
        holding = [
            one for one in cartons if len(rest) <= cells[one.name] and sum(x.weight_g for x in rest) <= one.max_weight_g
        ]
        if holding:
            return [*groups, ([(line, 1) for line in rest], holding)]
        roomiest = min(
            (one for one in cartons if rest[0].weight_g <= one.max_weight_g),
            key=lambda one: (-one.volume_mm3, -one.max_weight_g, one.name),
        )
        inside: list[WantedLine] = []
        for line in rest:
            grams = sum(one.weight_g for one in inside) + line.weight_g
            if len(inside) < cells[roomiest.name] and grams <= roomiest.max_weight_g:
                inside.append(line)
        weight = sum(one.weight_g for one in inside)
        fits = [one for one in cartons if len(inside) <= cells[one.name] and weight <= one.max_weight_g]
        groups.append(([(line, 1) for line in inside], fits))
        for line in inside:
            rest.remove(line)
    return groups


def _takes(cartons: Sequence[Carton], line: WantedLine) -> bool:
    return any(line.weight_g <= one.max_weight_g for one in cartons)


def packed(case: Case, at: Node, parts: Parts) -> Groups:
    """Any shapes, as the planner packs them."""
    cartons = cartons_of(case, at)
    packer = Packer(case[0].lines, cartons)
    units = [(packer.places[line.line_no], n) for line, n in parts]
    single = packer.fitting.single
    boxed = tuple(sorted((place, n) for place, n in units if not single[place]))
    groups: Groups = [([(packer.lines[place], 1)], ()) for place, n in units if single[place] for _ in range(n)]
    for group in packer.groups(boxed) if boxed else ():
        takes = [one for k, one in enumerate(cartons) if packer.takes(group, k)]
        groups.append(([(packer.lines[place], n) for place, n in group.units], takes))
    return groups


def in_cartons(pack: Callable[[Case, Node, Parts], Groups]) -> Callable[[Case, Node, Parts], int | None]:
    """Least weighed freight, cartons and lateness, in hundredths."""

    def freight(case: Case, at: Node, parts: Parts) -> int | None:
        later = oracle.ready(case, at, sum(n for _, n in parts))
        if later is None:
            return None
        groups = pack(case, at, parts)
        return min((_by(case, at, parts, rate, groups, later) for rate in oracle.cards(case, at)), default=None)

    return freight


def _by(case: Case, at: Node, parts: Parts, rate: ServiceRate, groups: Groups, later: int) -> int:
    _, _, policy = case
    weights = policy.weights
    moving = sum(_package(rate, group, cartons, policy.dim_divisor, weights) for group, cartons in groups)
    return moving + oracle.waiting(case, at, rate, sum(n for _, n in parts), later)


def _package(rate: ServiceRate, group: Parts, cartons: Sequence[Carton], divisor: int, weights: Weights) -> int:
    goods = sum(n * line.weight_g for line, n in group)
    if not cartons:
        ((line, _),) = group
        volume = line.length_mm * line.width_mm * line.height_mm
        return oracle.price(rate, max(goods, ceil(volume / divisor))) * weights.freight
    return min(
        oracle.price(rate, max(goods + one.tare_g, ceil(one.volume_mm3 / divisor))) * weights.freight
        + one.cost_minor * weights.packaging
        for one in cartons
    )


def case_of(seed: int, cartons: Sequence[Carton], sides: Callable[[random.Random], tuple[int, int, int]]) -> Case:
    """A priced case whose goods have these sides, and some of them their own container."""
    wanted, seen, policy = oracle.priced_case(seed)
    rng = random.Random(seed ^ 0xB0B)
    lines = []
    for one in wanted.lines:
        length, width, height = sides(rng)
        update = {
            "length_mm": length, "width_mm": width, "height_mm": height, "own_container": rng.random() < 0.15,
            "weight_g": rng.choice([0, 300, 900, 4000, 8000, 25_000]),
        }  # fmt: skip
        lines.append(one.model_copy(update=update))
    wanted = wanted.model_copy(update={"lines": tuple(lines)})
    packaging = policy.weights.model_copy(update={"packaging": rng.choice([0, 100, 100, 250])})
    return (
        wanted,
        seen.model_copy(update={"cartons": tuple(cartons)}),
        policy.model_copy(update={"weights": rng.choice([packaging, Weights()])}),
    )


def cubes(_rng: random.Random) -> tuple[int, int, int]:
    return CELL, CELL, CELL


def shapes(rng: random.Random) -> tuple[int, int, int]:
    return rng.choice([(190, 140, 50), (120, 90, 60), (250, 60, 40), (300, 200, 140), (650, 90, 90), (900, 80, 80)])


def check(case: Case, pack: Callable[[Case, Node, Parts], Groups]) -> None:
    with patch.object(oracle, "freight", in_cartons(pack)):
        oracle.check_best(case)
    for shipment in plan(*case).shipments:
        check_packages(shipment, case[0].lines, case[1].cartons)


@settings(max_examples=120)
@given(st.integers(0, 2**32))
def test_the_plan_is_the_best_when_equal_cubes_are_packed(seed: int) -> None:
    check(case_of(seed, CELLS, cubes), counted)


@settings(max_examples=120)
@given(st.integers(0, 2**32))
def test_the_plan_is_the_best_when_all_shapes_are_packed(seed: int) -> None:
    check(case_of(seed, SHAPES, shapes), packed)


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_the_bounded_method_keeps_its_word_with_cartons(seed: int) -> None:
    """The method for large orders, made to plan small ones, is off by no more than it says."""
    wanted, seen, policy = case_of(seed, SHAPES, shapes)
    case = (wanted, seen, policy.model_copy(update={"weights": Weights()}))
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(solving, "GRID_WORK", 0)
        changed.setattr(solving, "MASK_ATOMS", 0)
        found = plan(*case)
    with patch.object(oracle, "freight", in_cartons(packed)):
        plans = list(oracle.every_plan(case))
    units = sum(one.quantity for shipment in found.shipments for one in shipment.lines)
    best = min(cost for filled, cost, _ in plans if filled == units) // 100
    assert found.total_minor - found.gap_minor <= best <= found.total_minor
    assert not found.optimal or units == max(filled for filled, _, _ in plans)


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_a_plan_does_not_depend_on_the_order_of_cartons_and_lines_numbers(seed: int) -> None:
    wanted, seen, policy = case_of(seed, SHAPES, shapes)
    turned = seen.model_copy(update={"cartons": seen.cartons[::-1], "nodes": seen.nodes[::-1]})
    assert plan(wanted, turned, policy) == plan(wanted, seen, policy)


def tariffs(case: Case) -> tuple[Tariff, ...]:
    return tuple(compile_tariff(rate) for rate in case[1].rates[:4])


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_what_no_packing_undercuts_is_undercut_by_none(seed: int) -> None:
    """Before anything is packed the bounds are no more than the price; of all that is packed they are the price."""
    from shared.domain.sourcing.cartonising import Cartons
    from shared.domain.sourcing.grid import amounts

    case = case_of(seed, SHAPES, shapes)
    lines, steps = case[0].lines, tuple(line.quantity for line in case[0].lines)
    cartons = Cartons(Packer(lines, [one for one in SHAPES if not one.node_id]), 5000)
    taken = amounts(steps)
    if len(taken) > 60:
        return
    bounds = cartons.least(tariffs(case), lines, taken)
    true = [
        [
            cartons.load([(one, n) for one, n in zip(lines, row, strict=True) if n]).by(each).cost
            for row in taken.tolist()
        ]
        for each in tariffs(case)
    ]
    assert (bounds <= true).all()
    assert (cartons.least(tariffs(case), lines, taken) == true).all()


def test_two_boxes_that_fit_at_all_are_known_to_without_being_placed() -> None:
    shapes_of = [(190, 140, 50), (120, 90, 60), (250, 60, 40), (300, 200, 140), (100, 100, 100), (210, 150, 100)]
    from shared.domain.sourcing.fitting import Fit, placed, sides_of

    for first, second in combinations(shapes_of, 2):
        lines = [
            WantedLine(line_no=n, sku=str(n), quantity=1, weight_g=1, length_mm=a, width_mm=b, height_mm=c)
            for n, (a, b, c) in enumerate((first, second))
        ]
        packer = Packer(lines, SHAPES[:3])
        for k, box in enumerate(SHAPES[:3]):
            inner = sides_of(box.length_mm, box.width_mm, box.height_mm)
            kinds = tuple(sorted((sides_of(*sides), 1) for sides in (first, second)))
            assert packer.holds(((0, 1), (1, 1)), k) == (placed(kinds, inner) == (1, 1))
        assert all(Fit.OPEN not in known for known in packer._proven.values())
