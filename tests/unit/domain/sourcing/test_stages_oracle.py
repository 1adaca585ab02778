"""A stage's limits and groups against every plan there is, and what holds for stages whatever they say."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.geo import distance_km
from shared.domain.sourcing import confined, plan
from shared.domain.sourcing.models import Snapshot, WantedLine
from shared.domain.sourcing.plans import Plan
from shared.domain.sourcing.stages import AfterPart, Limits, SoftLimits, Stage, Then, Tried
from shared.domain.sourcing.weights import Weights
from tests.support.oracle import Case, allowed, handed_out, random_case, shipment_cost

ONLY = AfterPart(then=Then.BACKORDER)


class Found(NamedTuple):
    """One plan: its shipments as units of each line by node."""

    units: int
    cost: int
    shipments: dict[str, tuple[int, ...]]


def limits_case(seed: int) -> Case:
    """A random case with values and groups, whose policy has one stage with limits."""
    order, seen, policy = random_case(seed)
    rng = random.Random(seed)
    worth = [
        line.model_copy(update={"unit_price_minor": rng.choice([0, 400, 900]), "group": rng.choice([None, None, 7, 7])})
        for line in order.lines
    ]
    stage = Stage(
        name="one",
        hard=Limits(
            max_distance_km=rng.choice([None, None, 2000]),
            max_shipments=rng.choice([None, 1, 2]),
            min_part_value_minor=rng.choice([0, 800, 1500]),
            floor_units=rng.choice([0, 0, 1]),
            whole_lines=rng.random() < 0.2,
        ),
        soft=tuple(random_soft(rng) for _ in range(rng.choice([0, 1, 2]))),
        on_part=ONLY,
    )
    policy = policy.model_copy(update={"stages": (stage,), "keep_bundles_together": rng.random() < 0.5})
    return order.model_copy(update={"lines": tuple(worth), "only": ()}), seen, policy


def random_soft(rng: random.Random) -> SoftLimits:
    return SoftLimits(
        price_minor=rng.choice([1, 150, 2000]),
        max_distance_km=rng.choice([None, 900]),
        max_shipments=rng.choice([None, 1, 2]),
        min_part_value_minor=rng.choice([0, 900, 2500]),
        floor_units=rng.choice([0, 1, 2]),
        whole_lines=rng.random() < 0.3,
    )


def within(case: Case) -> Case:
    """The case by the stage's limits that the policy has words for."""
    order, seen, policy = case
    hard = policy.stages[0].hard
    stock = [row.model_copy(update={"available": max(0, row.available - hard.floor_units)}) for row in seen.stock]
    rules = {
        "max_distance_km": hard.max_distance_km,
        "max_shipments": min(policy.max_shipments, hard.max_shipments or policy.max_shipments),
        "allow_line_split": policy.allow_line_split and not hard.whole_lines,
    }
    return order, seen.model_copy(update={"stock": tuple(stock)}), policy.model_copy(update=rules)


def every_limited_plan(case: Case) -> Iterator[Found]:
    order, _, policy = ruled = within(case)
    nodes = allowed(ruled)
    known: dict[tuple[int, tuple[int, ...]], int | None] = {}
    shares = [
        [s for s in handed_out(one.quantity, len(nodes)) if policy.allow_line_split or one.quantity in s or not any(s)]
        for one in order.lines
    ]
    for picked in product(*shares):
        shipments = {at.node_id: load for n, at in enumerate(nodes) if any(load := tuple(share[n] for share in picked))}
        if len(shipments) > policy.max_shipments or not keeps(case, list(shipments.values())):
            continue
        cost = max(0, len(shipments) - 1) * policy.split_penalty_minor * 100
        for index, at in enumerate(nodes):
            if at.node_id not in shipments:
                continue
            load = shipments[at.node_id]
            if (index, load) not in known:
                parts = [(one, n) for one, n in zip(order.lines, load, strict=True) if n]
                known[index, load] = shipment_cost(ruled, at, parts)
            if (each := known[index, load]) is None:
                break
            cost += each
        else:
            yield Found(sum(map(sum, shipments.values())), cost // 100 + broken(case, shipments), shipments)


def value(lines: tuple[WantedLine, ...], load: tuple[int, ...]) -> int:
    return sum(n * one.unit_price_minor for one, n in zip(lines, load, strict=True))


def left(lines: tuple[WantedLine, ...], loads: list[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(one.quantity - sum(load[n] for load in loads) for n, one in enumerate(lines))


def keeps(case: Case, loads: list[tuple[int, ...]]) -> bool:
    order, _, policy = case
    least = policy.stages[0].hard.min_part_value_minor
    wanted = tuple(one.quantity for one in order.lines)
    rest = left(order.lines, loads)
    if any(load != wanted and value(order.lines, load) < least for load in loads):
        return False
    if loads and any(rest) and value(order.lines, rest) < least:
        return False
    members = [n for n, one in enumerate(order.lines) if one.group is not None]
    whole = all(all(load[n] == wanted[n] for n in members) or not any(load[n] for n in members) for load in loads)
    return whole or not policy.keep_bundles_together


def broken(case: Case, shipments: dict[str, tuple[int, ...]]) -> int:
    """The soft limits' prices for what these shipments break, in minor units."""
    order, seen, policy = case
    wanted = tuple(one.quantity for one in order.lines)
    loads = list(shipments.values())
    rest = left(order.lines, loads)
    km = {at.node_id: distance_km(at.place, order.ship_to) for at in seen.nodes}
    held = {(row.node_id, row.sku): row.available for row in seen.stock}
    total = 0
    for soft in policy.stages[0].soft:
        times = sum(km[at] > (soft.max_distance_km or 40_000) for at in shipments)
        times += max(0, len(loads) - (soft.max_shipments or 99))
        times += sum(load != wanted and value(order.lines, load) < soft.min_part_value_minor for load in loads)
        times += bool(loads) and any(rest) and value(order.lines, rest) < soft.min_part_value_minor
        split = any(load[n] not in (0, wanted[n]) for load in loads for n in range(len(wanted)))
        times += soft.whole_lines and split
        floor = max(soft.floor_units, policy.stages[0].hard.floor_units)
        hard = policy.stages[0].hard.floor_units
        for at, load in shipments.items():
            for sku in {one.sku for one in order.lines}:
                taken = sum(n for one, n in zip(order.lines, load, strict=True) if one.sku == sku)
                reach = max(0, held.get((at, sku), 0) - hard)
                times += max(0, taken - max(0, reach - (floor - hard))) if floor > hard else 0
        total += times * soft.price_minor
    return total


def shipped(found: Plan, case: Case) -> dict[str, tuple[int, ...]]:
    units = {(one.node_id, each.line_no): each.quantity for one in found.shipments for each in one.lines}
    return {
        one.node_id: tuple(units.get((one.node_id, line.line_no), 0) for line in case[0].lines)
        for one in found.shipments
    }


@settings(max_examples=600)
@given(st.integers(0, 2**32))
def test_a_stage_finds_the_best_plan_its_limits_allow(seed: int) -> None:
    case = limits_case(seed)
    found = plan(*case)
    plans = list(every_limited_plan(case))
    most = max(one.units for one in plans)
    best = min(one.cost for one in plans if one.units == most)
    loads = shipped(found, case)
    assert found.optimal
    assert sum(map(sum, loads.values())) == most
    assert keeps(case, list(loads.values()))
    assert found.total_minor + broken(case, loads) == best
    assert found.weighed_minor in ((None, best) if not case[2].stages[0].soft else (best,)) or not loads
    assert found.stages[0].broken_minor == broken(case, loads)
    if found.runner_up_minor is not None or loads:
        others = [one.cost for one in plans if one.units == most and set(one.shipments) != set(loads)]
        assert found.runner_up_minor == (min(others, default=None) if loads else None)


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_a_mended_plan_keeps_every_limit_and_its_word(seed: int) -> None:
    """The method for large orders, made to plan small ones, is off by no more than it says."""
    case = limits_case(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(confined, "GRID_WORK", 0)
        found = plan(*case)
    loads = shipped(found, case)
    assert keeps(case, list(loads.values()))
    units = sum(map(sum, loads.values()))
    costs = [one.cost for one in every_limited_plan(case) if one.units == units]
    assert costs, "what it plans is one of the plans that the limits allow"
    cost = found.total_minor + broken(case, loads)
    assert cost - found.gap_minor <= min(costs) <= cost
    wanted = sum(line.quantity for line in case[0].lines)
    assert sum(short.quantity for short in found.shortages) == wanted - units


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_stages_that_are_for_no_order_change_nothing(seed: int) -> None:
    order, seen, policy = limits_case(seed)
    never = Stage(name="never", when="order.units > 1000000", nodes="node.type == 'store'", hard=Limits(floor_units=9))
    failing = Stage(name="failing", when="order.units / (order.priority - 3) > 1")
    more = policy.model_copy(update={"stages": (never, failing, *policy.stages, never)})
    found, with_more = plan(order, seen, policy), plan(order, seen, more)
    assert with_more.model_copy(update={"stages": ()}) == found.model_copy(update={"stages": ()})
    assert [one.outcome for one in with_more.stages[:2]] == [Tried.PASSED_OVER] * 2
    assert "division by zero" in with_more.stages[1].because


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_a_stage_without_rules_of_its_own_is_the_policy(seed: int) -> None:
    order, seen, policy = random_case(seed)
    order = order.model_copy(update={"only": ()})
    found = plan(order, seen, policy.model_copy(update={"stages": (Stage(name="all"),)}))
    assert found.model_copy(update={"stages": ()}) == plan(order, seen, policy)


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_every_unit_is_planned_once_or_short_over_all_stages(seed: int) -> None:
    order, seen, policy = limits_case(seed)
    rng = random.Random(seed)
    stages = [
        policy.stages[0].model_copy(
            update={
                "name": f"s{n}",
                "nodes": rng.choice(["", "node.distance_km < 1500.0", "node.type != 'vendor'"]),
                "on_part": AfterPart(take=rng.random() < 0.7),
                "weights": rng.choice([None, Weights(freight=30, lateness=250)]),
                "soft": (),
            }
        )
        for n in range(3)
    ]
    last = Stage(name="last", nodes="node.handling_days < 2", on_part=ONLY)
    found = plan(order, seen, policy.model_copy(update={"stages": (*stages, last)}))
    again = plan(order, shuffled(seen, rng), policy.model_copy(update={"stages": (*stages, last)}))
    assert found == again
    stock = {(row.node_id, row.sku): row.available for row in seen.stock}
    units = dict.fromkeys((line.line_no for line in order.lines), 0)
    for shipment in found.shipments:
        for one in shipment.lines:
            units[one.line_no] += one.quantity
            stock[shipment.node_id, one.sku] -= one.quantity
    for short in found.shortages:
        units[short.line_no] += short.quantity
    assert units == {line.line_no: line.quantity for line in order.lines}
    assert min(stock.values(), default=0) >= 0
    assert len(found.shipments) <= policy.max_shipments
    assert {one.node_id for one in found.candidates if one.chosen} == {one.node_id for one in found.shipments}
    planned = sum(one.units for one in found.stages)
    assert planned == sum(one.quantity for shipment in found.shipments for one in shipment.lines)
    penalties = [shipment.cost.split_penalty for shipment in found.shipments]
    assert penalties[:1] in ([], [0])
    assert all(penalty == policy.split_penalty_minor for penalty in penalties[1:])


def shuffled(seen: Snapshot, rng: random.Random) -> Snapshot:
    stock = rng.sample(seen.stock, k=len(seen.stock))
    return seen.model_copy(update={"stock": tuple(stock), "nodes": tuple(reversed(seen.nodes))})
