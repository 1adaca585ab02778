"""Waves on nodes whose days are limited in orders: against every combination, each laid on the days as it is kept."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import product
from typing import NamedTuple

import pytest

from shared.domain.capacity import ALL, Day, Room, Work, lay, left, working_days
from shared.domain.network import Node
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.models import DayLoad, NodeLoad, Policy, WantedLine
from shared.domain.sourcing.sources import Source, survey
from shared.domain.waves.generation import plan_wave
from shared.domain.waves.models import Wave, WaveOrder, WaveRules
from tests.support.sourcing import line, node, order, rates, snapshot
from tests.support.waves import least_cost

EXACT = WaveRules(change_minor=0, gap_target=0, branches=10_000)
#: The first days of a node in New York, a Wednesday to a Friday; the day after them has no limit.
FIRST = date(2026, 3, 4)
LIMITED_DAYS = 3
SERVICES = (ServiceLevel.STANDARD, ServiceLevel.EXPEDITED)


def limited_wave(seed: int, *, orders: int = 4, several: bool = False) -> Wave:
    """Orders of one or two items that all wait, at two nodes whose first days have room for few orders.

    Args:
        several: A day may have limits of both kinds, of all orders and of those of one service.
    """
    rng = random.Random(seed)
    nodes = [node("a", order_minor=rng.randint(0, 90)), node("b", city=9, order_minor=rng.randint(0, 90))]
    stock = {(at, sku): rng.randint(0, 4) for at in ("a", "b") for sku in ("x", "y")}
    days = _limited_variously if several else _limited
    loads = tuple(NodeLoad(node_id=at.node_id, days=tuple(days(rng))) for at in nodes)
    world = snapshot(nodes, stock, rates=rates()).model_copy(update={"loads": loads})
    baskets = [rng.choice(("x", "y", "xy")) for _ in range(orders)]
    came = [order(*map(line, range(1, 3), skus), service=rng.choice(SERVICES)) for skus in baskets]
    policy = Policy(wait_day_minor=rng.choice((40, 400)), split_penalty_minor=100)
    waiting = (
        WaveOrder(order=one.model_copy(update={"order_id": f"o{n}"}), policy=policy) for n, one in enumerate(came)
    )
    return Wave(orders=tuple(waiting), snapshot=world, rules=EXACT)


def _limited(rng: random.Random) -> Iterator[DayLoad]:
    """Days limited in orders, together or for one service."""
    service = rng.choice((None, None, ServiceLevel.EXPEDITED))
    for later in range(LIMITED_DAYS):
        most, used = rng.randint(0, 3), rng.randint(0, 1)
        day = FIRST + timedelta(days=later)
        yield DayLoad(day=day, service=service, limit=None, order_limit=most, used_orders=used)


def _limited_variously(rng: random.Random) -> Iterator[DayLoad]:
    for later, service in product(range(LIMITED_DAYS), (None, ServiceLevel.EXPEDITED)):
        units, most = rng.choice((None, 0, 1, 2, 3, 4)), rng.choice((None, 0, 1, 2, 3))
        yield DayLoad(day=FIRST + timedelta(days=later), service=service, limit=units, order_limit=most)


class Option(NamedTuple):
    """A plan of one order: what it costs, the stock it takes and what it asks of the nodes' days."""

    cost: int
    taken: Counter[tuple[str, str]]
    works: tuple[Work, ...]


def options(one: WaveOrder, whole: Wave) -> list[Option]:
    """Every plan of an order, by every day it could be handed over on."""
    offers = {
        (at.node.node_id, later): at for later in range(LIMITED_DAYS + 1) for at in _handing_over(later, one, whole)
    }
    found: dict[object, Option] = {}
    for chosen in product([None, *offers], repeat=len(one.order.lines)):
        used = {key for key in chosen if key is not None}
        if len({node_id for node_id, _ in used}) == len(used):
            shipments = [
                (offers[key], [each for each, at in zip(one.order.lines, chosen, strict=True) if at == key])
                for key in sorted(used)
            ]
            option = _priced(one, shipments, chosen.count(None) * whole.rules.short_unit_minor, whole)
            if option is not None:
                found[chosen] = option
    return list(found.values())


def _handing_over(later: int, one: WaveOrder, whole: Wave) -> Sequence[Source]:
    """Nodes that hand over so many working days later, without limits."""
    nodes = tuple(at.model_copy(update={"handling_days": later}) for at in whole.snapshot.nodes)
    free = whole.snapshot.model_copy(update={"nodes": nodes, "loads": ()})
    return survey(one.order, free, one.policy).sources


def _priced(
    one: WaveOrder, shipments: list[tuple[Source, list[WantedLine]]], short_minor: int, whole: Wave
) -> Option | None:
    cost = short_minor + one.policy.split_penalty_minor * max(0, len(shipments) - 1)
    taken = Counter((source.node.node_id, each.sku) for source, lines in shipments for each in lines)
    works = []
    for source, lines in shipments:
        if any(taken[source.node.node_id, each.sku] > source.holds(each.sku) for each in lines):
            return None
        priced = source.price([(each, 1) for each in lines], one.policy.dim_divisor)
        assert priced is not None
        cost += priced.terms.total
        days = working_days(_node(whole, source.node.node_id), whole.snapshot.as_of, priced.quote.way.ship_by)
        works.append(Work(0, source.node.node_id, one.order.service, len(lines), days))
    return Option(cost, taken, tuple(works))


def _node(whole: Wave, node_id: str) -> Node:
    return next(at for at in whole.snapshot.nodes if at.node_id == node_id)


def rooms(whole: Wave) -> dict[Day, Room]:
    return {
        Day(load.node_id, day.day, day.service or ALL): Room(
            left(day.limit, day.used), left(day.order_limit, day.used_orders)
        )
        for load in whole.snapshot.loads
        for day in load.days or ()
    }


def cheapest(whole: Wave) -> int:
    """The least cost of all combinations whose stock is there and whose works have room."""
    held = {(row.node_id, row.sku): row.available for row in whole.snapshot.stock}
    room = rooms(whole)

    def go_together(chosen: Sequence[Option]) -> bool:
        taken = sum((option.taken for option in chosen), Counter[tuple[str, str]]())
        works = [work for option in chosen for work in option.works]
        return all(units <= held.get(key, 0) for key, units in taken.items()) and lay(works, room) is not None

    return least_cost([options(one, whole) for one in whole.orders], go_together)


@pytest.mark.parametrize("seed", range(60))
def test_a_small_wave_on_limited_days_is_the_best_there_is(seed: int) -> None:
    whole = limited_wave(seed)
    found = plan_wave(whole)
    assert found.after_minor == cheapest(whole)
    assert found.bound_minor <= found.after_minor


def test_several_limits_of_a_day_are_kept_together() -> None:
    """But for what services that are limited differently would take from each other, which is refused when moved."""
    overrun = []
    for seed in range(20):
        whole = limited_wave(seed, several=True)
        found, best = plan_wave(whole), cheapest(whole)
        assert found.bound_minor <= found.after_minor <= best
        overrun += [seed] * (found.after_minor < best)
    assert len(overrun) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_what_larger_waves_plan_has_room_on_the_days(seed: int) -> None:
    whole = limited_wave(seed, orders=15)
    found = plan_wave(whole)
    services = {one.order.order_id: one.order.service for one in whole.orders}
    works = []
    for each in found.reassignments:
        for one in each.shipments:
            days = working_days(_node(whole, one.node_id), whole.snapshot.as_of, one.ship_by)
            works.append(Work(0, one.node_id, services[each.order_id], len(one.lines), days))
    assert works
    assert lay(works, rooms(whole)) is not None
