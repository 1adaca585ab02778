"""Replays: the same planner, stock that runs out, loads that pass, and figures that add up."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.availability import Allocation, Rules
from shared.domain.capacity import NodeCapacity
from shared.domain.pricing.models import PriceList, Prices, PriceSpan, StockPrice
from shared.domain.sourcing import plan
from shared.domain.sourcing.models import IdleStock, Policy, SourcingOrder
from shared.domain.sourcing.presets import PRESETS
from shared.domain.sourcing.simulation import Arrival, Leaving, Replay, ReplayedOrder, World, compare
from shared.domain.sourcing.weights import Weights
from tests.support.sourcing import AS_OF, flat_rate, instance, line, node, order, snapshot

HOUR = timedelta(hours=1)


def replay(*orders: ReplayedOrder, stock: dict[tuple[str, str], int], daily: int | None = None) -> Replay:
    nodes = (node("n1", daily_units=daily), node("n2", city=1, order_minor=100))
    return Replay(nodes, (flat_rate(),), stock, {}, orders)


def wants(number: int, units: int = 1, sku: str = "a") -> SourcingOrder:
    return order(line(1, sku, units)).model_copy(update={"order_id": f"o-{number}"})


def test_stock_is_consumed_order_by_order() -> None:
    given_ = replay(
        *(ReplayedOrder(wants(n), AS_OF + n * HOUR) for n in (3, 1, 2)), stock={("n1", "a"): 1, ("n2", "a"): 1}
    )
    (result,) = compare(given_, [Policy()]).policies
    assert {each.node_id: each.units for each in result.nodes} == {"n1": 1, "n2": 1}
    assert (result.orders, result.filled_orders, result.short_units) == (3, 2, 1)
    assert result.short_by_reason == {"no_stock": 1}
    assert (result.paid_minor, result.paid_per_order_minor, result.split_rate) == (1100, 550, 0.0)


def test_what_arrives_is_there_for_later_orders() -> None:
    late, early = ReplayedOrder(wants(2), AS_OF + 2 * HOUR), ReplayedOrder(wants(1), AS_OF)
    given_ = replay(late, early, stock={("n1", "a"): -1})._replace(
        arrivals=(Arrival(AS_OF + HOUR, "n1", "a", 2), Arrival(AS_OF + HOUR, "n2", "a", 0))
    )
    (result,) = compare(given_, [Policy()]).policies
    assert (result.filled_orders, result.units) == (1, 1)


def test_orders_meet_the_prices_of_their_time() -> None:
    dear = PriceList(stock=(StockPrice(node_id="n1", sku="a", unit_milli=200_000),))
    spans = (PriceSpan(AS_OF + HOUR, AS_OF + 2 * HOUR, Prices("p/1", AS_OF + 2 * HOUR, dear)),)
    stock = {("n1", "a"): 9, ("n2", "a"): 9}
    orders = [ReplayedOrder(wants(n, units), AS_OF + n * HOUR) for n, units in enumerate((1, 2, 3))]
    blind = Policy(version="blind", weights=Weights(scarcity=0))
    priced, unpriced = compare(replay(*orders, stock=stock)._replace(prices=spans), [Policy(), blind]).policies
    assert {each.node_id: each.units for each in priced.nodes} == {"n1": 4, "n2": 2}
    assert {each.node_id: each.units for each in unpriced.nodes} == {"n1": 6}
    assert priced.paid_minor == unpriced.paid_minor + 100, "a price is not paid"


def test_what_lies_is_cleared_in_replays_too() -> None:
    stock = {("n1", "a"): 9, ("n2", "a"): 9}
    lying = replay(ReplayedOrder(wants(1), AS_OF), stock=stock)._replace(
        idle=(IdleStock(node_id="n2", sku="a", days=90),)
    )
    (result,) = compare(lying, [Policy(clear_aged_minor=300)]).policies
    assert {each.node_id: each.units for each in result.nodes} == {"n2": 1}


def test_orders_leave_what_is_kept_for_another_channel() -> None:
    stock = {("n1", "a"): 2, ("n2", "a"): 2}
    rules = Rules([Allocation(channel="another", pool=2)], {"another": frozenset({"n1", "n2"})})
    orders = [ReplayedOrder(wants(n), AS_OF + n * HOUR) for n in range(4)]
    kept = replay(*orders, stock=stock)._replace(rules=rules)
    (result,) = compare(kept, [Policy()]).policies
    assert {each.node_id: each.units for each in result.nodes if each.units} == {"n1": 2}
    assert result.short_by_reason == {"protected": 2}
    (result,) = compare(kept._replace(ineligible={"web": ("n2",)}), [Policy()]).policies
    assert {each.node_id: each.units for each in result.nodes if each.units} == {"n1": 2}
    assert result.short_by_reason == {"protected": 2}, "what lies at the other node is the other channel's"


def test_nodes_fill_up_and_empty() -> None:
    stock = {("n1", "a"): 99}
    one, two = ReplayedOrder(wants(1, 5), AS_OF), ReplayedOrder(wants(2, 5), AS_OF + HOUR)
    assert compare(replay(one, two, stock=stock, daily=5), [Policy()]).policies[0].days_to_deliver == 3.5
    full = replay(one, stock=stock, daily=5)._replace(leaving=(Leaving(AS_OF + HOUR, "n1", 5),))
    assert compare(full, [Policy()]).policies[0].days_to_deliver == 5.0
    gone = full._replace(leaving=(Leaving(AS_OF - 24 * HOUR, "n1", 5),))
    assert compare(gone, [Policy()]).policies[0].days_to_deliver == 2.0


def test_a_replay_fills_days_as_they_are_reserved() -> None:
    stock, days = {("n1", "a"): 99}, [AS_OF.date() + timedelta(days=n) for n in range(3)]
    orders = [ReplayedOrder(wants(n), AS_OF + timedelta(minutes=n)) for n in range(3)]

    def promised(*limits: NodeCapacity) -> list[date]:
        world = World(replay(stock=stock)._replace(limits=limits))
        found = []
        for each in orders:
            planned = plan(each.order, world.seen(each), Policy())
            world.consume(planned, each.order.service)
            found.append(planned.shipments[0].ship_by.date())
        return found

    first, second, third = days
    assert promised() == [first] * 3
    of_orders = [NodeCapacity(node_id="n1", day=day, orders=1) for day in days]
    assert promised(*of_orders) == days
    closed = NodeCapacity(node_id="n1", day=second, units=0)
    assert promised(NodeCapacity(node_id="n1", day=first, units=2), closed) == [first, first, third]


def test_late_is_after_what_the_customer_was_told() -> None:
    told = ReplayedOrder(wants(1), AS_OF, AS_OF + timedelta(days=1))
    (result,) = compare(replay(told, stock={("n1", "a"): 1}), [Policy()]).policies
    assert (result.late_orders, result.late_days) == (1, 1)
    never_placed = told._replace(promised_at=None)
    first, second = compare(replay(never_placed, stock={("n1", "a"): 1}), [Policy(), Policy()]).policies
    assert first == second
    assert first.late_orders == 0


def test_nothing_to_replay() -> None:
    found = compare(replay(stock={}), [Policy()])
    assert (found.orders, found.begins, found.policies[0].paid_per_order_minor) == (0, None, 0)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_figures_add_up(seed: int, count: int) -> None:
    wanted, seen, _ = instance(seed, lines=3, nodes=5)
    rng = random.Random(seed)
    orders = tuple(
        ReplayedOrder(
            wanted.model_copy(
                update={"order_id": f"o-{n}", "lines": tuple(rng.sample(wanted.lines, rng.randint(1, 3)))}
            ),
            AS_OF + n * HOUR,
        )
        for n in range(count)
    )
    stock = {(row.node_id, row.sku): row.available for row in seen.stock}
    costs = {(row.node_id, row.sku): row.unit_cost_minor for row in seen.stock}
    given_ = Replay(seen.nodes, seen.rates, dict(stock), costs, orders)
    found = compare(given_, list(PRESETS.values()))
    units = sum(one.quantity for each in orders for one in each.order.lines)
    for result in found.policies:
        assert result.units + result.short_units == units
        assert result.units <= sum(stock.values())
        assert result.paid_minor == sum(result.paid_by_term.values()) == sum(node.paid_minor for node in result.nodes)
        assert result.shipments == sum(node.shipments for node in result.nodes)
    assert given_.stock == stock
    assert found == compare(given_, list(PRESETS.values()))


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_one_order_is_what_plan_says(seed: int) -> None:
    wanted, seen, policy = instance(seed, lines=3, nodes=6)
    stock = {(row.node_id, row.sku): row.available for row in seen.stock}
    costs = {(row.node_id, row.sku): row.unit_cost_minor for row in seen.stock}
    given_ = Replay(seen.nodes, seen.rates, stock, costs, (ReplayedOrder(wanted, AS_OF),))
    (result,) = compare(given_, [policy]).policies
    found = plan(wanted, seen, policy)
    assert result.paid_minor == sum(one.cost.paid for one in found.shipments)
    units = Counter({one.node_id: sum(each.quantity for each in one.lines) for one in found.shipments})
    assert {each.node_id: each.units for each in result.nodes} == units


def test_a_snapshot_is_not_needed_whole() -> None:
    """Items nobody orders are left out of what the planner sees; they change nothing."""
    seen = snapshot([node("n1")], {("n1", "a"): 1, ("n1", "z"): 9}, rates=[flat_rate()])
    stock = {(row.node_id, row.sku): row.available for row in seen.stock}
    given_ = Replay(seen.nodes, seen.rates, stock, {}, (ReplayedOrder(wants(1), AS_OF),))
    assert compare(given_, [Policy()]).policies[0].paid_minor == 500
