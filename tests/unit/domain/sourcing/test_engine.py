"""The planner's rules one by one, and how its answers must move when the network moves."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.network import Calendar, NodeType
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing import plan
from shared.domain.sourcing.models import NodeRisk, Policy, Snapshot
from shared.domain.sourcing.plans import Because, Plan
from shared.domain.sourcing.presets import PRESETS
from shared.domain.sourcing.weights import Weights
from tests.support.oracle import check_rules, random_case
from tests.support.sourcing import AS_OF, flat_rate, instance, line, node, order, rates, snapshot

POLICY = Policy(split_penalty_minor=100)
SEEDS = st.integers(0, 2**32)


def shipped(found: Plan) -> dict[str, dict[int, int]]:
    return {one.node_id: {each.line_no: each.quantity for each in one.lines} for one in found.shipments}


def units(found: Plan) -> int:
    return sum(sum(lines.values()) for lines in shipped(found).values())


def reasons(found: Plan) -> dict[int, tuple[int, Because]]:
    return {one.line_no: (one.quantity, one.because) for one in found.shortages}


def test_one_shipment_is_better_than_two() -> None:
    found = plan(
        order(line(1, "a"), line(2, "b")),
        snapshot([node("n1"), node("n2", city=5)], {("n1", "a"): 1, ("n2", "a"): 1, ("n2", "b"): 1}),
        POLICY,
    )
    assert shipped(found) == {"n2": {1: 1, 2: 1}}
    assert (found.total_minor, found.runner_up_minor, found.optimal) == (500, 1100, True)


def test_two_shipments_when_one_would_be_dearer() -> None:
    nodes = [node("far", order_minor=900), node("n1"), node("n2")]
    stock = {("far", "a"): 1, ("far", "b"): 1, ("n1", "a"): 1, ("n2", "b"): 1}
    found = plan(order(line(1, "a"), line(2, "b")), snapshot(nodes, stock), POLICY)
    assert shipped(found) == {"n1": {1: 1}, "n2": {2: 1}}
    assert [one.cost.split_penalty for one in found.shipments] == [0, 100]
    assert (found.total_minor, found.runner_up_minor) == (1100, 1400)


def test_duplicate_lines_share_the_stock_there_is() -> None:
    found = plan(order(line(1, "a", 2), line(2, "a", 2)), snapshot([node("n1"), node("n2")], {("n1", "a"): 3}), POLICY)
    assert sum(shipped(found)["n1"].values()) == 3
    assert sum(quantity for quantity, _ in reasons(found).values()) == 1


@pytest.mark.parametrize(
    ("split", "expected", "short"),
    [(True, {"n1": {1: 3}, "n2": {1: 2}}, {}), (False, {}, {1: (5, Because.NOT_ENOUGH_STOCK)})],
)
def test_a_line_no_node_has_whole(
    split: bool, expected: dict[str, dict[int, int]], short: dict[int, tuple[int, Because]]
) -> None:
    policy = Policy(allow_line_split=split)
    found = plan(order(line(1, "a", 5)), snapshot([node("n1"), node("n2")], {("n1", "a"): 3, ("n2", "a"): 2}), policy)
    assert shipped(found) == expected
    assert reasons(found) == short


def test_a_quantity_is_split_where_the_weight_break_pays() -> None:
    """Five units weigh just over a break at one node; taking one of them from the other node is cheaper."""
    nodes = [node("n1"), node("n2", order_minor=50)]
    wanted = order(line(1, "a", 5, weight_g=450), line(2, "b"))
    stock = {("n1", "a"): 5, ("n2", "a"): 1, ("n2", "b"): 1}
    found = plan(wanted, snapshot(nodes, stock, rates=rates()), Policy(split_penalty_minor=0))
    assert shipped(found) == {"n1": {1: 4}, "n2": {1: 1, 2: 1}}


@pytest.mark.parametrize(
    ("because", "changes"),
    [
        (Because.DISABLED, {"node": {"ship_enabled": False}}),
        (Because.EXCLUDED, {"order": {"excluded": ("n1",)}}),
        (Because.NOT_CHOSEN_BY_STAFF, {"order": {"only": ("n2",)}}),
        (Because.NO_STOCK, {"stock": 0}),
        (Because.NO_SERVICE, {"order": {"service": ServiceLevel.OVERNIGHT}}),
        (Because.NO_CAPACITY, {"node": {"daily_units": 0}}),
        (Because.NO_CAPACITY, {"node": {"calendar": Calendar(working_days=())}}),
    ],
)
def test_why_a_node_falls_out_and_the_line_is_short(because: Because, changes: dict[str, object]) -> None:
    at = node("n1", **changes.get("node", {}))  # type: ignore[arg-type]
    wanted = order(line(1, "a", 2), **changes.get("order", {}))  # type: ignore[arg-type]
    found = plan(wanted, snapshot([at, node("n2")], {("n1", "a"): changes.get("stock", 2)}), POLICY)  # type: ignore[dict-item]
    assert found.shipments == ()
    assert found.candidates[0].because is because
    assert found.candidates[0].alone is None
    assert reasons(found) == {1: (2, because)}


def test_what_max_shipments_leaves_out() -> None:
    stock = {("n1", "a"): 1, ("n2", "b"): 2}
    found = plan(
        order(line(1, "a"), line(2, "b", 2)), snapshot([node("n1"), node("n2")], stock), Policy(max_shipments=1)
    )
    assert shipped(found) == {"n2": {2: 2}}
    assert reasons(found) == {1: (1, Because.MAX_SHIPMENTS)}


def test_a_full_day_moves_the_hand_over_to_the_next() -> None:
    at = node("n1", daily_units=10)
    wanted = order(line(1, "a", 3))
    hand_overs = [
        plan(wanted, snapshot([at], {("n1", "a"): 9}, loads={"n1": load}), POLICY).shipments[0].ship_by
        for load in (0, 7, 8, 10, 99)
    ]
    today = hand_overs[0]
    assert hand_overs == [today, today] + [today + timedelta(days=1)] * 3


def test_more_units_than_a_week_of_capacity_are_short() -> None:
    found = plan(order(line(1, "a", 60)), snapshot([node("n1", daily_units=10)], {("n1", "a"): 99}), POLICY)
    assert reasons(found) == {1: (10, Because.NO_CAPACITY)}


def test_a_vendor_costs_its_fee_and_the_goods() -> None:
    vendor = node("v", node_type=NodeType.VENDOR, fee_minor=250, order_minor=30, unit_minor=7)
    seen = snapshot([vendor], {("v", "a"): 9}, unit_cost={("v", "a"): 1000})
    cost = plan(order(line(1, "a", 3)), seen, POLICY).shipments[0].cost
    assert (cost.dropship_fee, cost.item_cost, cost.handling, cost.freight) == (250, 3000, 51, 500)
    own = snapshot([node("w", fee_minor=250)], {("w", "a"): 3})
    assert plan(order(line(1, "a", 3)), own, POLICY).total_minor == 500


def test_node_and_service_are_chosen_together() -> None:
    """The cheap node's cheap service is late; its fast one costs more than the dear node's cheap one."""
    services = [flat_rate(500, transit_days=9), flat_rate(1500, service="air", transit_days=1)]
    nodes = [node("far", handling_days=0), node("near", order_minor=200)]
    stock = {("far", "a"): 1, ("near", "a"): 1}
    wanted = order(line(1, "a"), needed_by=AS_OF + timedelta(days=2))
    found = plan(wanted, snapshot(nodes, stock, rates=services), Policy(late_day_minor=5000))
    assert (found.shipments[0].node_id, found.shipments[0].service) == ("far", "air")
    patient = plan(wanted, snapshot(nodes, stock, rates=services), Policy(late_day_minor=10))
    assert (patient.shipments[0].service, patient.shipments[0].cost.lateness) == ("ground", 110)


def test_an_order_of_nothing_and_a_network_of_nothing() -> None:
    assert plan(order(), snapshot([node("n1")], {}), POLICY).shipments == ()
    found = plan(order(line(1, "a")), snapshot([], {}, rates=[]), POLICY)
    assert reasons(found) == {1: (1, Because.NO_STOCK)}


def test_amounts_beyond_64_bits_are_counted_exactly() -> None:
    dear = 10**12
    seen = snapshot(
        [node("n1", unit_minor=dear), node("n2", unit_minor=dear - 1)], {("n1", "a"): 10**6, ("n2", "a"): 9}
    )
    found = plan(order(line(1, "a", 10**6)), seen, POLICY)
    assert units(found) == 10**6
    assert found.total_minor == sum(one.cost.total for one in found.shipments) >= 10**18 - 9


@settings(max_examples=100)
@given(SEEDS)
def test_the_order_of_the_snapshot_does_not_matter(seed: int) -> None:
    wanted, seen, policy = random_case(seed)
    rng = random.Random(seed)
    turned = Snapshot(
        as_of=seen.as_of,
        nodes=tuple(rng.sample(seen.nodes, len(seen.nodes))),
        stock=tuple(rng.sample(seen.stock, len(seen.stock))),
        loads=tuple(rng.sample(seen.loads, len(seen.loads))),
        rates=tuple(rng.sample(seen.rates, len(seen.rates))),
    )
    assert plan(wanted, seen, policy).model_dump_json() == plan(wanted, turned, policy).model_dump_json()


@settings(max_examples=100)
@given(SEEDS)
def test_a_cheaper_node_is_not_left(seed: int) -> None:
    wanted, seen, policy = random_case(seed)
    before = plan(wanted, seen, policy)
    for used in shipped(before):
        nodes = tuple(
            at.model_copy(update={"handling_order_minor": 0}) if at.node_id == used else at for at in seen.nodes
        )
        after = plan(wanted, seen.model_copy(update={"nodes": nodes}), policy)
        assert used in shipped(after)
        assert after.total_minor <= before.total_minor


@settings(max_examples=100)
@given(SEEDS)
def test_more_stock_never_costs_more_for_as_many_units(seed: int) -> None:
    wanted, seen, policy = random_case(seed)
    before = plan(wanted, seen, policy)
    more = tuple(row.model_copy(update={"available": row.available + 1}) for row in seen.stock)
    after = plan(wanted, seen.model_copy(update={"stock": more}), policy)
    assert units(after) >= units(before)
    if units(after) == units(before):
        assert after.total_minor <= before.total_minor


@settings(max_examples=150)
@given(SEEDS, st.integers(1, 25), st.integers(1, 30), st.integers(1, 5), st.booleans())
def test_every_rule_holds_at_every_size(seed: int, lines: int, nodes: int, most: int, split: bool) -> None:
    wanted, seen, policy = instance(seed, lines=lines, nodes=nodes, most=most, density=0.5)
    rng = random.Random(seed)
    busy = tuple(at.model_copy(update={"daily_units": rng.choice([None, 1, 3, 40])}) for at in seen.nodes)
    seen = seen.model_copy(update={"nodes": busy})
    policy = policy.model_copy(update={"allow_line_split": split})
    found = plan(wanted, seen, policy)
    check_rules((wanted, seen, policy), found)
    assert not found.optimal or found.gap_minor == 0
    assert found.runner_up_minor is None or found.runner_up_minor >= found.total_minor
    assert Plan.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("split", [True, False])
def test_ten_thousand_lines(split: bool) -> None:
    wanted, seen, policy = instance(1, lines=10_000, nodes=11, most=5)
    policy = policy.model_copy(update={"allow_line_split": split})
    found = plan(wanted, seen, policy)
    check_rules((wanted, seen, policy), found)
    held = {row.sku for row in seen.stock}
    fillable = sum(one.quantity for one in wanted.lines if one.sku in held)
    assert units(found) >= 0.95 * fillable
    assert found.gap_minor < 0.25 * found.total_minor
    assert found.model_dump_json() == plan(wanted, seen, policy).model_dump_json()


def test_overstock_leaves_first_while_that_costs_little() -> None:
    def ships(surcharge: int, *, full: int = 100, scant: int = 20) -> tuple[str, int]:
        nodes = [node("full", order_minor=surcharge), node("scant")]
        seen = snapshot(nodes, {("full", "a"): full, ("scant", "a"): scant})
        (shipment,) = plan(order(line(1, "a")), seen, PRESETS["clear-overstock"]).shipments
        return shipment.node_id, shipment.cost.clearance

    assert ships(200) == ("full", 0)
    assert ships(250) == ("scant", 240), "300 less a fifth of it, as it holds a fifth of what the other does"
    assert ships(0, full=20) == ("full", 0), "as much at both: the lower name, as always"


def test_a_node_that_often_fails_ships_only_where_it_is_that_much_cheaper() -> None:
    def ships(surcharge: int, **rules: object) -> tuple[str, int]:
        nodes = [node("sound", order_minor=surcharge), node("wonky")]
        risks = (NodeRisk(node_id="wonky", rejection_ppm=250_000, lateness_ppm=100_000),)
        seen = snapshot(nodes, {("sound", "a"): 1, ("wonky", "a"): 1}).model_copy(update={"risks": risks})
        (shipment,) = plan(order(line(1, "a")), seen, POLICY.model_copy(update=rules)).shipments
        assert shipment.cost.total == shipment.cost.paid + shipment.cost.risk
        return shipment.node_id, shipment.cost.risk

    dear = {"rejection_minor": 800, "late_shipment_minor": 500}
    assert ships(249, **dear) == ("sound", 0)
    assert ships(251, **dear) == ("wonky", 250), "a quarter of 800 and a tenth of 500"
    assert ships(150, weights=Weights(risk=50), **dear) == ("wonky", 250), "told in full, counted half"
    assert ships(1) == ("wonky", 0), "failures that cost nothing are no reason"


def test_what_nobody_set_is_not_written_down() -> None:
    assert "risk" not in Policy().model_dump_json()
    wanted, seen, policy = random_case(1)
    assert "risk" not in plan(wanted, seen, policy).model_dump_json()


@pytest.mark.parametrize(("lines", "nodes", "most"), [(8, 20, 3), (16, 20, 1), (30, 50, 2)])
def test_large_orders_come_with_a_certificate_that_says_something(lines: int, nodes: int, most: int) -> None:
    found = [plan(*instance(seed, lines=lines, nodes=nodes, most=most)) for seed in range(3)]
    assert sum(one.gap_minor for one in found) < 0.2 * sum(one.total_minor for one in found)
    for one in found:
        assert one.optimal == (one.gap_minor == 0 and not one.shortages)
