"""Plans made of all shipments there are, beside the dynamic program over the same order."""

from __future__ import annotations

import random

import numpy as np
import pytest

from shared.domain.sourcing import bulk, covering, plan, solving
from shared.domain.sourcing.columns import Columns, columns_of
from shared.domain.sourcing.costs import Atoms
from shared.domain.sourcing.covering import cover
from shared.domain.sourcing.joining import Cover, Task
from shared.domain.sourcing.models import NodeLoad, Policy
from shared.domain.sourcing.sources import Source, survey
from tests.benchmarks.rules import Case
from tests.support.sourcing import instance, line

MANY = 10**9


def crowded(seed: int, *, lines: int, nodes: int, most: int) -> Case:
    """An order with two lines of one item, at nodes of which some have little room, with few shipments allowed."""
    order, seen, policy = instance(seed, lines=lines, nodes=nodes, most=most)
    rng = random.Random(seed)
    twice = line(lines + 1, "sku-0", rng.randint(1, most), weight_g=rng.randint(100, 4000))
    places = tuple(node.model_copy(update={"daily_units": rng.choice([None, 2, 5])}) for node in seen.nodes)
    loads = tuple(NodeLoad(node_id=node.node_id, units=rng.randint(0, 3)) for node in places)
    return (
        order.model_copy(update={"lines": (*order.lines, twice)}),
        seen.model_copy(update={"nodes": places, "loads": loads}),
        policy.model_copy(update={"max_shipments": rng.randint(1, 5), "late_day_minor": rng.randint(0, 900)}),
    )


def every(case: Case) -> tuple[Columns, Task, Atoms, tuple[Source, ...]]:
    order, seen, policy = case
    sources = survey(order, seen, policy).sources
    held = {one.sku: sum(source.holds(one.sku) for source in sources) for one in order.lines}
    atoms = Atoms(order.lines, (1,) * len(order.lines), tuple(min(one.quantity, held[one.sku]) for one in order.lines))
    columns = columns_of(atoms, sources, policy)
    assert columns is not None
    return columns, Task(np.array(atoms.steps), policy.max_shipments, policy.split_penalty_minor), atoms, sources


def covered(case: Case) -> Cover:
    columns, task, _, _ = every(case)
    return cover(columns, task, MANY)


@pytest.mark.parametrize("seed", range(60))
def test_the_cheapest_cover_costs_what_the_dynamic_program_says(seed: int) -> None:
    case = crowded(seed, lines=3, nodes=3 + seed % 9, most=3)
    exact = plan(*case)
    columns, task, _, _ = every(case)
    found = cover(columns, task, MANY)
    shipped = sum(one.quantity for shipment in exact.shipments for one in shipment.lines)
    if shipped == task.steps.sum():
        assert exact.optimal
        assert (found.cost, found.bound) == (exact.total_minor, exact.total_minor)
    else:
        assert found.columns is None


@pytest.mark.parametrize("seed", range(20))
def test_each_column_costs_what_its_shipment_costs(seed: int) -> None:
    case = crowded(seed, lines=3, nodes=4, most=3)
    columns, task, atoms, sources = every(case)
    for node, steps, cost in zip(columns.node, columns.taken.tolist(), columns.cost, strict=True):
        priced = sources[node].price(atoms.parts_of(steps), case[2].dim_divisor)
        assert priced is not None
        assert cost == priced.terms.total + task.penalty


def test_eight_lines_that_may_be_split_are_proven_and_keep_stock() -> None:
    for seed in range(6):
        order, seen, policy = instance(seed, lines=8, nodes=60, most=3)
        found = plan(order, seen, policy)
        assert found.optimal
        assert found.gap_minor == 0
        assert not found.shortages
        held = {(row.node_id, row.sku): row.available for row in seen.stock}
        for shipment in found.shipments:
            assert all(one.quantity <= held[shipment.node_id, one.sku] for one in shipment.lines)
        assert found.runner_up_minor is None or found.runner_up_minor >= found.total_minor


def test_columns_and_grid_agree_where_both_can(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [instance(seed, lines=5, nodes=25, most=3) for seed in range(12)]
    by_columns = [plan(*case) for case in cases]
    monkeypatch.setattr(solving, "GRID_QUICK", solving.GRID_WORK)
    by_grid = [plan(*case) for case in cases]
    assert [one.total_minor for one in by_columns] == [one.total_minor for one in by_grid]
    assert all(one.optimal for one in (*by_columns, *by_grid))


def test_the_sequence_of_nodes_does_not_matter() -> None:
    order, seen, policy = instance(3, lines=8, nodes=40, most=3)
    turned = seen.model_copy(update={"nodes": seen.nodes[::-1], "stock": seen.stock[::-1]})
    assert plan(order, turned, policy).model_dump_json() == plan(order, seen, policy).model_dump_json()


def test_a_search_that_is_cut_short_keeps_its_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [crowded(seed, lines=7, nodes=14, most=2) for seed in range(40)]
    cases = [(order, seen, Policy(max_shipments=5, split_penalty_minor=0)) for order, seen, _ in cases]
    exact = [covered(case) for case in cases]
    monkeypatch.setattr(covering, "BRANCHES", 2)
    cut = [covered(case) for case in cases]
    assert any(one.bound < one.cost for one in cut), "no search was cut short"
    for full, part in zip(exact, cut, strict=True):
        assert full.bound == full.cost
        assert part.bound <= full.cost <= part.cost


@pytest.mark.parametrize(("seed", "limit", "units"), [(96, 3, 14), (205, 2, 18)])
def test_all_there_is_ships_where_the_bounded_search_finds_less(seed: int, limit: int, units: int) -> None:
    order, seen, policy = instance(seed, lines=9, nodes=14, most=3, density=0.35)
    few = policy.model_copy(update={"max_shipments": limit})
    sources = survey(order, seen, few).sources
    held = [one for one in order.lines if any(source.holds(one.sku) for source in sources)]
    assert bulk.search(held, sources, few)[0].units == units - 1
    found = plan(order, seen, few)
    assert sum(one.quantity for shipment in found.shipments for one in shipment.lines) == units
    assert found.optimal
