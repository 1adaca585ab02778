"""Every plan there is, of networks small enough to list them all, and what it costs.

The oracle shares nothing with the planner but the calendar: it prices shipments by the documented rules and
tries every way to hand units to nodes.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import product
from math import ceil, comb, prod

from shared.domain.calendars import days_late, deliver_by, local_day, ready_by
from shared.domain.geo import distance_km
from shared.domain.network import Node, NodeType
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing import plan
from shared.domain.sourcing.criteria import criterion
from shared.domain.sourcing.models import (
    DayPrice,
    IdleStock,
    NodeRisk,
    Policy,
    ServiceRate,
    Snapshot,
    SourcingOrder,
    WantedLine,
)
from shared.domain.sourcing.plans import Plan
from shared.domain.sourcing.weights import Weights
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
    wanted, seen, policy = case
    reach = policy.max_distance_km or 40_000
    return [
        at
        for at in seen.nodes
        if at.ship_enabled
        and at.node_id not in wanted.excluded
        and (not wanted.only or at.node_id in wanted.only)
        and (
            at.node_id in wanted.only
            or (at.node_id not in policy.exclude_nodes and distance_km(at.place, wanted.ship_to) <= reach)
        )
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


def day_price(case: Case, at: Node, later: int) -> int:
    """What shipping a unit so many days after the next costs: no less than on an earlier day with room."""
    _, seen, _ = case
    prices = {(price.node_id, price.day): price.unit_minor for price in seen.day_prices}
    usable = [day for day in range(later + 1) if ready(case, at, 1) in range(day + 1)]
    leaves = [ready_by(at, seen.as_of, later=day) for day in usable]
    return max(prices.get((at.node_id, local_day(day, at.place.time_zone)), 0) for day in leaves if day)


def cards(case: Case, at: Node) -> list[ServiceRate]:
    """The card of every service that is fast enough, for the distance."""
    wanted, seen, _ = case
    km = distance_km(at.place, wanted.ship_to)
    found = []
    for name in {(rate.carrier, rate.service) for rate in seen.rates}:
        zones = [rate for rate in seen.rates if (rate.carrier, rate.service) == name and rate.max_distance_km >= km]
        if zones:
            rate = min(zones, key=lambda zone: zone.max_distance_km)
            if SPEED.index(rate.level) >= SPEED.index(wanted.service):
                found.append(rate)
    return found


def price(rate: ServiceRate, grams: int) -> int:
    """What so many grams cost, in as many of the heaviest parcels as it takes and one of the rest."""
    heaviest = max(rate.breaks, key=lambda step: step.up_to_g)
    full = (max(grams, 1) - 1) // heaviest.up_to_g
    rest = max(grams, 1) - full * heaviest.up_to_g
    return full * heaviest.price_minor + min(step.price_minor for step in rate.breaks if step.up_to_g >= rest)


def waiting(case: Case, at: Node, rate: ServiceRate, units: int, later: int) -> int:
    """Weighed lateness, and what the node's day costs, in hundredths."""
    wanted, seen, policy = case
    leaves = ready_by(at, seen.as_of, later=later)
    assert leaves is not None
    arrives = deliver_by(leaves, at.place, wanted.ship_to, rate.transit_days)
    assert arrives is not None
    late = days_late(arrives, wanted.needed_by, wanted.ship_to.time_zone) if wanted.needed_by else 0
    waited = days_late(arrives, seen.as_of, wanted.ship_to.time_zone)
    lateness = (late * policy.late_day_minor + waited * policy.wait_day_minor) * policy.weights.lateness
    return units * (lateness + day_price(case, at, later) * policy.weights.capacity)


def freight(case: Case, at: Node, parts: Sequence[tuple[WantedLine, int]]) -> int | None:
    """Least weighed freight and lateness over every service and every day it can leave, in hundredths."""
    _, _, policy = case
    units = sum(n for _, n in parts)
    weight = sum(n * one.weight_g for one, n in parts)
    volume = sum(n * one.length_mm * one.width_mm * one.height_mm for one, n in parts)
    grams = max(weight, ceil(volume / policy.dim_divisor))
    later = ready(case, at, units)
    if later is None:
        return None
    costs = (price(rate, grams) * policy.weights.freight + waiting(case, at, rate, units, later)
             for rate in cards(case, at))  # fmt: skip
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
    weights = case[2].weights
    scarcity = sum(n * rows[sku].scarcity_minor for sku, n in needed.items()) * weights.scarcity
    handling = (at.handling_order_minor + units * at.handling_unit_minor) * weights.handling
    clearance = sum(n * cleared(case, at, sku) for sku, n in needed.items()) * weights.clearance
    beside = scarcity + clearance + risk(case, at) * weights.risk
    for name, percent in weights.criteria.items():
        asked = criterion(name).criterion
        beside += percent * sum(n * asked(case[0], at, sku) for sku, n in needed.items())
    return moving + handling + fee * weights.dropship_fee + goods * weights.item_cost + beside


def risk(case: Case, at: Node) -> int:
    """What a shipment from the node costs beside for its failures, by the policy's documentation."""
    policy = case[2]
    return sum(
        (one.rejection_ppm * policy.rejection_minor + one.lateness_ppm * policy.late_shipment_minor) // 1_000_000
        for one in case[1].risks
        if one.node_id == at.node_id
    )


def cleared(case: Case, at: Node, sku: str) -> int:
    """What a unit costs beside for the stock that lies elsewhere, or longer, by the policy's documentation."""
    units = {row.node_id: row.available for row in case[1].stock if row.sku == sku}
    lain = {row.node_id: min(90, row.days) for row in case[1].idle if row.sku == sku}
    longest = max(lain.get(node_id, 0) for node_id, available in units.items() if available)
    fewer = case[2].clear_unit_minor * (max(units.values()) - units[at.node_id]) // max(units.values())
    return fewer + case[2].clear_aged_minor * (longest - lain.get(at.node_id, 0)) // 90


def every_plan(case: Case) -> Iterator[tuple[int, int, frozenset[str]]]:
    """(units, weighed cost in hundredths, nodes) of every plan the rules allow."""
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
                splits = max(0, len(used) - 1) * policy.split_penalty_minor * policy.weights.split_penalty
                yield units, cost + splits, frozenset(used)


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
    loads = {load.node_id: load.units for load in seen.loads}
    daily = {at.node_id: at.daily_units for at in seen.nodes if at.daily_units is not None}
    for shipment in found.shipments:
        if (each := daily.get(shipment.node_id)) is not None:
            units = sum(one.quantity for one in shipment.lines)
            assert units <= max(0, each - loads.get(shipment.node_id, 0)) + 4 * each
    used = [shipment.node_id for shipment in found.shipments]
    assert len(set(used)) == len(used) <= policy.max_shipments
    assert set(used) <= {at.node_id for at in allowed(case)}
    assert {one.node_id for one in found.candidates if one.chosen} == set(used)
    assert [one.node_id for one in found.candidates] == sorted(at.node_id for at in seen.nodes)
    assert all((one.alone is None) != (one.because is None) for one in found.candidates)


def random_case(seed: int) -> Case:
    """Mostly networks that can ship something, with every rule present now and then."""
    rng = random.Random(seed)
    count = rng.randint(1, 6)
    skus = rng.choice([("a", "b", "c", "d"), ("a", "b", "c", "d"), ("a", "a", "b", "b")])
    quantities = [rng.randint(1, 4) for _ in range(rng.randint(1, 4))]
    while prod(comb(units + count, count) for units in quantities) > MOST_PLANS:
        largest = quantities.index(max(quantities))
        quantities[largest] -= 1
        quantities = [units for units in quantities if units]
    wanted = [
        line(
            number + 1,
            skus[number],
            units,
            weight_g=rng.choice([0, 300, 900, 4000, 17_000]),
            side_mm=rng.choice([10, 200]),
        )
        for number, units in enumerate(quantities)
    ]
    places = [
        node(
            f"n{index}",
            city=rng.randrange(11),
            node_type=rng.choice(list(NodeType)),
            handling_days=rng.randint(0, 2),
            daily_units=rng.choice([None, None, None, None, 0, 1, 3]),
            order_minor=rng.randint(0, 300),
            unit_minor=rng.randint(0, 100),
            fee_minor=rng.randint(0, 200),
            ship_enabled=rng.random() < 0.9,
        )
        for index in range(count)
    ]
    ids = [at.node_id for at in places]
    plenty = rng.choice([1, 2, 5])
    stock = {(at, sku): rng.randint(0, plenty) for at in ids for sku in sorted({one.sku for one in wanted})}
    all_rates = rng.sample(rates(), k=16)
    return (
        order(
            *wanted,
            city=rng.randrange(11),
            service=rng.choices(SPEED, (4, 2, 1))[0],
            excluded=rng.choice([(), (), (), ("n0",)]),
            only=rng.choice([(), (), (), ("n0", "n1", "n2")]),
            needed_by=rng.choice([None, AS_OF]),
        ),
        snapshot(
            places,
            stock,
            rates=all_rates if rng.random() < 0.9 else all_rates[:5],
            loads={at: rng.randint(0, 4) for at in ids},
            unit_cost={key: rng.randint(0, 500) for key in stock},
        ),
        Policy(
            split_penalty_minor=rng.choice([0, 0, 300]),
            late_day_minor=rng.choice([0, 150]),
            max_shipments=rng.randint(1, 4),
            allow_line_split=rng.random() < 0.6,
        ),
    )


def weighing_case(seed: int) -> Case:
    """A random case whose policy weighs its terms, and leaves nodes out now and then."""
    wanted, seen, policy = random_case(seed)
    rng = random.Random(-seed)
    rules = {
        "weights": Weights(**{name: rng.choice([0, 30, 100, 100, 100, 250]) for name in Weights().by_term()}),
        "clear_unit_minor": rng.choice([0, 0, 250]),
        "clear_aged_minor": rng.choice([0, 0, 400]),
        "wait_day_minor": rng.choice([0, 40]),
        "exclude_nodes": rng.choice([(), (), ("n1",)]),
        "max_distance_km": rng.choice([None, None, 1500]),
    }
    idle = [
        IdleStock(node_id=row.node_id, sku=row.sku, days=rng.randint(1, 120))
        for row in seen.stock
        if rng.random() < 0.6
    ]
    return wanted, seen.model_copy(update={"idle": tuple(idle)}), policy.model_copy(update=rules)


def priced_case(seed: int) -> Case:
    """A weighing case in which stock, shipping days and nodes' failures have prices."""
    wanted, seen, policy = weighing_case(seed)
    rng = random.Random(~seed)
    stock = [row.model_copy(update={"scarcity_minor": rng.choice([0, 0, 90, 700])}) for row in seen.stock]
    first = local_day(seen.as_of, "UTC")
    days = [
        DayPrice(node_id=at.node_id, day=first + timedelta(days=day), unit_minor=rng.choice([0, 150, 400]))
        for at in seen.nodes
        for day in range(rng.randint(0, 8))
    ]
    risks = tuple(
        NodeRisk(node_id=at.node_id, rejection_ppm=rng.randint(0, 300_000), lateness_ppm=rng.randint(0, 300_000))
        for at in seen.nodes
        if rng.random() < 0.7
    )
    told = {"stock": tuple(stock), "day_prices": tuple(days), "price_version": "p/1", "risks": risks}
    dear = {"rejection_minor": rng.choice([0, 900, 2500]), "late_shipment_minor": rng.choice([0, 700])}
    return wanted, seen.model_copy(update=told), policy.model_copy(update=dear)


def criterion_case(seed: int) -> Case:
    """A priced case whose policy weighs a criterion of a package, too."""
    wanted, seen, policy = priced_case(seed)
    criteria = {"carbon": random.Random(seed + 1).choice([0, 50, 100, 300])}
    return wanted, seen, policy.model_copy(update={"weights": policy.weights.model_copy(update={"criteria": criteria})})


def weighed(found: Plan, policy: Policy) -> int:
    """What the plan's own terms come to by the policy's weights, in hundredths."""
    percents = policy.weights.by_term()
    terms = [one.cost.by_term() for one in found.shipments]
    return sum(cost.get(term, 0) * percent for cost in terms for term, percent in percents.items())


def check_best(case: Case) -> None:
    """The planner's plan is the best of all, and what it says of the next best is true."""
    found = plan(*case)
    check_rules(case, found)
    plans = list(every_plan(case))
    most = max(units for units, _, _ in plans)
    best = min(cost for units, cost, _ in plans if units == most)
    assert found.optimal
    assert sum(one.quantity for shipment in found.shipments for one in shipment.lines) == most
    assert weighed(found, case[2]) == best
    assert found.weighed_minor in (None, best // 100)
    used = frozenset(shipment.node_id for shipment in found.shipments)
    others = [cost for units, cost, nodes in plans if units == most and nodes != used]
    runner_up = min(others, default=None) if used else None
    if found.weighed_minor is None and runner_up is not None:
        runner_up //= next(iter(case[2].weights.by_term().values())) or 1
    elif runner_up is not None:
        runner_up //= 100
    assert found.runner_up_minor == runner_up
