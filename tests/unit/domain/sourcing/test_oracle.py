"""The planner against every plan there is, on networks small enough to list them all.

The oracle shares nothing with the planner but the calendar: it prices shipments by the documented rules and
tries every way to hand units to nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from math import ceil, comb, prod

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from shared.domain.calendars import days_late, deliver_by, ready_by
from shared.domain.geo import distance_km
from shared.domain.network import Node, NodeType
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing import plan
from shared.domain.sourcing.models import Plan, Policy, Snapshot, SourcingOrder, WantedLine
from tests.support.sourcing import AS_OF, line, node, order, rates, snapshot

Case = tuple[SourcingOrder, Snapshot, Policy]
Best = tuple[int, int]
SPEED = list(ServiceLevel)
MOST_PLANS = 3_000


def handed_out(units: int, nodes: int) -> Iterator[tuple[int, ...]]:
    """Every way to give at most so many units to nodes."""
    if nodes == 0:
        yield ()
        return
    for first in range(units + 1):
        for rest in handed_out(units - first, nodes - 1):
            yield (first, *rest)


def allowed(case: Case) -> list[Node]:
    wanted, seen, _ = case
    return [
        at
        for at in seen.nodes
        if at.ship_enabled and at.node_id not in wanted.excluded and (not wanted.only or at.node_id in wanted.only)
    ]


def ready(case: Case, at: Node, units: int) -> int | None:
    """Working days after the next on which so many units can be ready."""
    if at.daily_units is None:
        return 0
    load = sum(load.units for load in case[1].loads if load.node_id == at.node_id)
    for later in range(5):
        if units <= max(0, at.daily_units - load) + later * at.daily_units:
            return later
    return None


def freight(case: Case, at: Node, parts: Sequence[tuple[WantedLine, int]]) -> int | None:
    """Least freight and lateness over every service and every day it can leave."""
    wanted, seen, policy = case
    units = sum(n for _, n in parts)
    weight = sum(n * one.weight_g for one, n in parts)
    volume = sum(n * one.length_mm * one.width_mm * one.height_mm for one, n in parts)
    grams = max(weight, ceil(volume / policy.dim_divisor), 1)
    later = ready(case, at, units)
    if later is None:
        return None
    km = distance_km(at.place, wanted.ship_to)
    costs: list[int] = []
    for name in {(rate.carrier, rate.service) for rate in seen.rates}:
        zones = [rate for rate in seen.rates if (rate.carrier, rate.service) == name and rate.max_distance_km >= km]
        if not zones:
            continue
        rate = min(zones, key=lambda zone: zone.max_distance_km)
        if SPEED.index(rate.level) < SPEED.index(wanted.service):
            continue
        heaviest = max(rate.breaks, key=lambda step: step.up_to_g)
        parcels = ceil(grams / heaviest.up_to_g)
        rest = grams - (parcels - 1) * heaviest.up_to_g
        price = (parcels - 1) * heaviest.price_minor + min(b.price_minor for b in rate.breaks if b.up_to_g >= rest)
        leaves = ready_by(at, seen.as_of, later=later)
        assert leaves is not None
        arrives = deliver_by(leaves, at.place, wanted.ship_to, rate.transit_days)
        assert arrives is not None
        late = days_late(arrives, wanted.needed_by, wanted.ship_to.time_zone) if wanted.needed_by else 0
        costs.append(price + late * units * policy.late_day_minor)
    return min(costs, default=None)


def shipment_cost(case: Case, at: Node, parts: Sequence[tuple[WantedLine, int]]) -> int | None:
    rows = {row.sku: row for row in case[1].stock if row.node_id == at.node_id}
    needed: Counter[str] = Counter()
    for one, n in parts:
        needed[one.sku] += n
    if any(sku not in rows or rows[sku].available < n for sku, n in needed.items()):
        return None
    moving = freight(case, at, parts)
    if moving is None:
        return None
    units = sum(needed.values())
    fee = at.dropship_fee_minor if at.node_type is NodeType.VENDOR else 0
    goods = sum(n * rows[sku].unit_cost_minor for sku, n in needed.items())
    return moving + at.handling_order_minor + units * at.handling_unit_minor + fee + goods


def every_plan(case: Case) -> Iterator[tuple[int, int, frozenset[str]]]:
    """(units, cost, nodes) of every plan the rules allow."""
    wanted, _, policy = case
    nodes = allowed(case)
    known: dict[tuple[int, tuple[int, ...]], int | None] = {}
    shares = [
        [s for s in handed_out(one.quantity, len(nodes)) if policy.allow_line_split or one.quantity in s or not any(s)]
        for one in wanted.lines
    ]
    for picked in product(*shares):
        cost, used, units = 0, set(), 0
        for index, at in enumerate(nodes):
            load = tuple(share[index] for share in picked)
            if not any(load):
                continue
            if (index, load) not in known:
                parts = [(one, n) for one, n in zip(wanted.lines, load, strict=True) if n]
                known[index, load] = shipment_cost(case, at, parts)
            one_cost = known[index, load]
            if one_cost is None:
                break
            cost += one_cost
            units += sum(load)
            used.add(at.node_id)
        else:
            if len(used) <= policy.max_shipments:
                yield units, cost + max(0, len(used) - 1) * policy.split_penalty_minor, frozenset(used)


def check_rules(case: Case, found: Plan) -> None:
    """What holds in every plan, cheapest or not."""
    wanted, seen, policy = case
    stock = {(row.node_id, row.sku): row.available for row in seen.stock}
    taken: Counter[tuple[str, str]] = Counter()
    given: Counter[int] = Counter()
    for shipment in found.shipments:
        for one in shipment.lines:
            taken[shipment.node_id, one.sku] += one.quantity
            given[one.line_no] += one.quantity
    for short in found.shortages:
        given[short.line_no] += short.quantity
    assert all(units <= stock.get(key, 0) for key, units in taken.items())
    assert given == Counter({one.line_no: one.quantity for one in wanted.lines})
    used = [shipment.node_id for shipment in found.shipments]
    assert len(set(used)) == len(used) <= policy.max_shipments
    assert set(used) <= {at.node_id for at in allowed(case)}
    assert {one.node_id for one in found.candidates if one.chosen} == set(used)
    assert [one.node_id for one in found.candidates] == sorted(at.node_id for at in seen.nodes)
    assert all((one.alone is None) != (one.because is None) for one in found.candidates)


@st.composite
def cases(draw: st.DrawFn, *, nodes: int = 6, lines: int = 4) -> Case:
    count = draw(st.integers(1, nodes))
    skus = draw(st.sampled_from([("a", "b", "c", "d"), ("a", "a", "b", "b")]))
    wanted = [
        line(
            number + 1,
            skus[number],
            draw(st.integers(1, 4)),
            weight_g=draw(st.sampled_from([0, 300, 900, 4000, 17_000])),
            side_mm=draw(st.sampled_from([10, 200])),
        )
        for number in range(draw(st.integers(1, lines)))
    ]
    places = [
        node(
            f"n{index}",
            city=draw(st.integers(0, 10)),
            node_type=draw(st.sampled_from(list(NodeType))),
            handling_days=draw(st.integers(0, 2)),
            daily_units=draw(st.sampled_from([None, None, 0, 1, 3])),
            order_minor=draw(st.integers(0, 300)),
            unit_minor=draw(st.integers(0, 100)),
            fee_minor=draw(st.integers(0, 200)),
            ship_enabled=draw(st.integers(0, 9)) > 0,
        )
        for index in range(count)
    ]
    ids = [at.node_id for at in places]
    stock = {(at, sku): draw(st.integers(0, 5)) for at in ids for sku in sorted({one.sku for one in wanted})}
    case = (
        order(
            *wanted,
            city=draw(st.integers(0, 10)),
            service=draw(st.sampled_from(SPEED)),
            excluded=draw(st.sampled_from([(), (), ("n0",)])),
            only=draw(st.sampled_from([(), (), ("n0", "n1", "n2")])),
            needed_by=draw(st.sampled_from([None, AS_OF])),
        ),
        snapshot(
            places,
            stock,
            rates=draw(st.permutations(rates()))[: draw(st.sampled_from([3, 16]))],
            loads={at: draw(st.integers(0, 4)) for at in ids},
            unit_cost={key: draw(st.integers(0, 500)) for key in stock},
        ),
        Policy(
            split_penalty_minor=draw(st.sampled_from([0, 300])),
            late_day_minor=draw(st.sampled_from([0, 150])),
            max_shipments=draw(st.integers(1, 4)),
            allow_line_split=draw(st.booleans()),
        ),
    )
    assume(prod(comb(one.quantity + count, count) for one in wanted) <= MOST_PLANS)
    return case


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_the_plan_is_the_best_there_is(case: Case) -> None:
    found = plan(*case)
    check_rules(case, found)
    plans = list(every_plan(case))
    most = max(units for units, _, _ in plans)
    best = min(cost for units, cost, _ in plans if units == most)
    assert found.optimal
    assert sum(one.quantity for shipment in found.shipments for one in shipment.lines) == most
    assert found.total_minor == best
    used = frozenset(shipment.node_id for shipment in found.shipments)
    others = [cost for units, cost, nodes in plans if units == most and nodes != used]
    assert found.runner_up_minor == (min(others, default=None) if used else None)
