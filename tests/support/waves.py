"""Waves to plan: orders on one small or large network, as they stand after each was planned when it came."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from shared.domain.network import NodeType
from shared.domain.sourcing import plan
from shared.domain.sourcing.models import NodeLoad, Policy, Snapshot, SourcingOrder, Stock
from shared.domain.sourcing.plans import PlannedShipment
from shared.domain.waves.models import Wave, WaveOrder, WaveRules
from tests.support.sourcing import CITIES, line, node, rates, snapshot
from tests.support.sourcing import order as an_order


def order_by_order(
    orders: Iterable[SourcingOrder], world: Snapshot, policy: Policy, *, recipients: Sequence[str] = ()
) -> list[WaveOrder]:
    """Each order planned by itself when it came, on what those before it left."""
    standing = []
    for place, order in enumerate(orders):
        found = plan(order, world, policy)
        world = less(world, found.shipments)
        recipient = recipients[place] if recipients else ""
        promised = found.promised_at if not found.shortages else None
        standing.append(
            WaveOrder(order=order, policy=policy, standing=found.shipments, promised_at=promised, recipient=recipient)
        )
    return standing


def less(world: Snapshot, shipments: Iterable[PlannedShipment]) -> Snapshot:
    """The world after these were reserved."""
    taken: Counter[tuple[str, str]] = Counter()
    loads = Counter({load.node_id: load.units for load in world.loads})
    for shipment in shipments:
        for one in shipment.lines:
            taken[shipment.node_id, one.sku] += one.quantity
            loads[shipment.node_id] += one.quantity
    if not taken:
        return world
    stock = tuple(_less(row, taken[row.node_id, row.sku]) for row in world.stock)
    return world.model_copy(
        update={
            "stock": tuple(row for row in stock if row.available),
            "loads": tuple(NodeLoad(node_id=node_id, units=units) for node_id, units in sorted(loads.items())),
        }
    )


class Priced(Protocol):
    """A plan of one order."""

    @property
    def cost(self) -> int: ...


P = TypeVar("P", bound=Priced)


def least_cost(plans: Iterable[Sequence[P]], go_together: Callable[[Sequence[P]], bool]) -> int:
    """What the cheapest choice of one plan of each order costs, of all choices whose plans go together."""
    ranked = [sorted(of_order, key=lambda one: one.cost) for of_order in plans]
    least = [sum(each[0].cost for each in ranked[place:]) for place in range(len(ranked) + 1)]
    best = 10**12

    def go(chosen: tuple[P, ...], cost: int) -> None:
        nonlocal best
        if cost + least[len(chosen)] >= best or not go_together(chosen):
            return
        if len(chosen) == len(ranked):
            best = cost
            return
        for one in ranked[len(chosen)]:
            go((*chosen, one), cost + one.cost)

    go((), 0)
    return best


def _less(row: Stock, units: int) -> Stock:
    return row.model_copy(update={"available": row.available - units}) if units else row


def network(
    rng: random.Random, *, nodes: int, supply: Mapping[str, int], density: float = 0.4, daily: int | None = None
) -> Snapshot:
    """Warehouses and stores in cities, with so many units of each item in all, each at some of the nodes."""
    kinds = [NodeType.WAREHOUSE if rng.random() < 0.1 else NodeType.STORE for _ in range(nodes)]
    places = [
        node(
            f"n{n:03d}",
            city=rng.randrange(len(CITIES)),
            node_type=kind,
            order_minor=rng.randint(50, 200) + (0 if kind is NodeType.WAREHOUSE else 100),
            unit_minor=rng.randint(20, 150),
            daily_units=daily,
        )
        for n, kind in enumerate(kinds)
    ]
    stock: Counter[tuple[str, str]] = Counter()
    for sku, units in sorted(supply.items()):
        holders = [at.node_id for at in places if rng.random() < density] or [places[0].node_id]
        for _ in range(units):
            stock[rng.choice(holders), sku] += 1
    return snapshot(places, stock, rates=rates())


def demand(rng: random.Random, *, orders: int, skus: int, lines: int = 4, most: int = 2) -> list[SourcingOrder]:
    """Orders of one to ``lines`` lines, popular items first."""
    weights = [1 / (1 + n) ** 0.7 for n in range(skus)]
    found = []
    for n in range(orders):
        wanted = sorted(set(rng.choices(range(skus), weights, k=rng.randint(1, lines))))
        chosen = [
            line(number, f"sku-{sku}", rng.randint(1, most), weight_g=300 + 137 * (sku % 20))
            for number, sku in enumerate(wanted, start=1)
        ]
        order = an_order(*chosen, city=rng.randrange(len(CITIES)))
        found.append(order.model_copy(update={"order_id": f"o-{n:05d}"}))
    return found


def wave(
    seed: int,
    *,
    orders: int,
    nodes: int,
    skus: int,
    tightness: float,
    busy: float | None = None,
    rules: WaveRules | None = None,
    lines: int = 4,
    most: int = 2,
    recipients: int = 0,
    policy: Policy | None = None,
) -> Wave:
    """A seeded wave whose orders stand as they came.

    Args:
        tightness: Demand over supply of each item.
        busy: Demand over what all nodes together can ship in a day; ``None`` for nodes without a limit.
        recipients: Customers the orders are from; 0 for orders that may not travel together.
    """
    rng = random.Random(seed)
    came = demand(rng, orders=orders, skus=skus, lines=lines, most=most)
    wanted = Counter[str]()
    for order in came:
        for line_ in order.lines:
            wanted[line_.sku] += line_.quantity
    supply = {sku: max(1, round(units / tightness)) for sku, units in wanted.items()}
    daily = max(1, round(sum(wanted.values()) / busy / nodes)) if busy else None
    world = network(rng, nodes=nodes, supply=supply, daily=daily)
    who = [f"customer-{rng.randrange(recipients)}" for _ in came] if recipients else []
    if who:
        came = [
            each.model_copy(update={"ship_to": came[who.index(name)].ship_to})
            for each, name in zip(came, who, strict=True)
        ]
    return Wave(
        orders=tuple(order_by_order(came, world, policy or Policy(), recipients=who)),
        snapshot=world,
        rules=rules or WaveRules(),
    )
