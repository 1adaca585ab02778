"""Orders replayed through the planner on a snapshot whose stock they consume, to compare policies.

Pure, and the same planner that routes orders. What is not replayed: nodes that reject or ship short, and units
that wait for stock: what has no source when its order comes is counted as short.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from shared.domain.availability import NO_RULES, Rules
from shared.domain.base import Instant, Model
from shared.domain.capacity import NodeCapacity
from shared.domain.cartons import Carton
from shared.domain.network import Node
from shared.domain.orders import ServiceLevel
from shared.domain.pools import Pooled, takeable_alone
from shared.domain.pricing.models import PriceSpan
from shared.domain.quotes import LaneQuote
from shared.domain.sourcing.agenda import Agenda
from shared.domain.sourcing.batches import in_sequence
from shared.domain.sourcing.engine import plan
from shared.domain.sourcing.models import (
    IdleStock,
    NodeRisk,
    Policy,
    ServiceRate,
    Snapshot,
    SourcingOrder,
    Stock,
    ZoneChart,
)
from shared.domain.sourcing.plans import Plan
from shared.domain.sourcing.tally import PolicyResult, Tally
from shared.domain.trade import NO_TRADE, Trade


class ReplayedOrder(NamedTuple):
    """An order and when it came.

    Attributes:
        promised_at: What its customer was told; ``None`` when it was never placed.
        quotes: What carriers asked then to where it goes.
    """

    order: SourcingOrder
    at: datetime
    promised_at: datetime | None = None
    quotes: tuple[LaneQuote, ...] = ()


class Arrival(NamedTuple):
    """Units that came to a node, or went where negative, for another reason than these orders."""

    at: datetime
    node_id: str
    sku: str
    units: int


class Leaving(NamedTuple):
    """Units of earlier orders that occupy a node until they leave it."""

    at: datetime
    node_id: str
    units: int


class Replay(NamedTuple):
    """What is replayed.

    Attributes:
        stock: What the orders meet; negative where more is promised than there is.
        idle: For how long stock has lain when the first of them comes.
        limits: What holds, or held, on single days of nodes; on others the standing figure does.
        prices: What later orders were expected to lose, as planners saw it, by time; spans do not overlap.
        ineligible: Nodes each channel does not sell from, as it is now.
        rules: What is kept for which channel, as it is now.
    """

    nodes: tuple[Node, ...]
    rates: tuple[ServiceRate, ...]
    stock: dict[tuple[str, str], int]
    unit_cost: dict[tuple[str, str], int]
    orders: tuple[ReplayedOrder, ...]
    arrivals: tuple[Arrival, ...] = ()
    leaving: tuple[Leaving, ...] = ()
    zones: tuple[ZoneChart, ...] = ()
    risks: tuple[NodeRisk, ...] = ()
    trade: Trade = NO_TRADE
    cartons: tuple[Carton, ...] = ()
    ineligible: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    rules: Rules = NO_RULES
    idle: tuple[IdleStock, ...] = ()
    limits: tuple[NodeCapacity, ...] = ()
    prices: tuple[PriceSpan, ...] = ()


class Comparison(Model):
    """The same orders under several policies, the first one being what the others are compared with."""

    orders: int
    begins: Instant | None
    ends: Instant | None
    policies: tuple[PolicyResult, ...]


def compare(replay: Replay, policies: Sequence[Policy]) -> Comparison:
    """Replay the orders under each policy.

    An order is late when it would be delivered after what its customer was told; for orders that were never
    placed that is what the first policy promises.
    """
    orders = sorted(replay.orders, key=lambda each: (each.at, each.order.order_id))
    told = {each.order.order_id: each.promised_at for each in orders if each.promised_at is not None}
    results: list[PolicyResult] = []
    for policy in policies:
        tally = Tally(policy.version)
        for each, found in _plans(replay, _in_turn(orders, policy), policy):
            if found.promised_at is not None:
                told.setdefault(each.order.order_id, found.promised_at)
            tally.add(each.order, each.at, found, told.get(each.order.order_id))
        results.append(tally.result())
    begins, ends = (orders[0].at, orders[-1].at) if orders else (None, None)
    return Comparison(orders=len(orders), begins=begins, ends=ends, policies=tuple(results))


def _in_turn(orders: Iterable[ReplayedOrder], policy: Policy) -> Iterator[ReplayedOrder]:
    """Orders as they came; those of one moment in the sequence of the policy's batches."""
    if not policy.batches:
        yield from orders
        return
    for at, group in itertools.groupby(orders, key=lambda each: each.at):
        come = list(group)
        turn = {order.order_id: n for n, order in enumerate(in_sequence((each.order for each in come), policy, at))}
        yield from sorted(come, key=lambda each: turn[each.order.order_id])


def _plans(replay: Replay, orders: Iterable[ReplayedOrder], policy: Policy) -> Iterator[tuple[ReplayedOrder, Plan]]:
    world = World(replay)
    for each in orders:
        found = plan(each.order, world.seen(each), policy)
        world.consume(found, each.order.service)
        yield each, found


class World:
    """Stock and loads as one policy leaves them for the next order."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._held: dict[str, dict[str, int]] = {}
        for (node_id, sku), units in replay.stock.items():
            self._held.setdefault(sku, {})[node_id] = units
        self._arrivals = sorted(replay.arrivals, reverse=True)
        self._leaving = list(replay.leaving)
        heapq.heapify(self._leaving)
        self._loads: Counter[str] = Counter()
        self._days = Agenda(replay.nodes, replay.limits)
        for one in self._leaving:
            self._loads[one.node_id] += one.units
            self._days.promise(one.node_id, one.at, one.units)

    def seen(self, each: ReplayedOrder) -> Snapshot:
        """What the planner may know when this order comes."""
        order, at = each.order, each.at
        self._until(at)
        skus = sorted({line.sku for line in order.lines})
        pooled = {sku: item for sku in skus if (item := self._replay.rules.pooled(order.channel, sku))}
        seen = Snapshot.model_construct(
            as_of=at,
            nodes=self._replay.nodes,
            rates=self._replay.rates,
            zones=self._replay.zones,
            quotes=each.quotes,
            risks=self._replay.risks,
            trade=self._replay.trade,
            cartons=self._replay.cartons,
            ineligible=dict(self._replay.ineligible),
            stock=tuple(row for sku in skus for row in self._stock(sku, pooled.get(sku))),
            pooled=tuple(pooled.values()),
            loads=tuple(self._days.loads(self._loads)),
            idle=tuple(row for row in self._replay.idle if row.sku in skus),
        )
        turn = bisect_right(self._replay.prices, at, key=lambda span: span.begins) - 1
        span = self._replay.prices[turn] if turn >= 0 else None
        return seen if span is None or at >= span.ends else span.prices.put_on(seen)

    def _stock(self, sku: str, pooled: Pooled | None) -> Iterator[Stock]:
        free = {node_id: units for node_id, units in self._held.get(sku, {}).items() if units > 0}
        most = takeable_alone(free, pooled.kept_from(free)) if pooled else free
        for node_id, units in free.items():
            available, cost = most[node_id], self._cost(node_id, sku)
            yield Stock.model_construct(
                node_id=node_id, sku=sku, available=available, protected=units - available, unit_cost_minor=cost
            )

    def _cost(self, node_id: str, sku: str) -> int:
        return self._replay.unit_cost.get((node_id, sku), 0)

    def _until(self, at: datetime) -> None:
        while self._arrivals and self._arrivals[-1].at <= at:
            arrived = self._arrivals.pop()
            held = self._held.setdefault(arrived.sku, {})
            held[arrived.node_id] = held.get(arrived.node_id, 0) + arrived.units
        while self._leaving and self._leaving[0].at <= at:
            left = heapq.heappop(self._leaving)
            self._loads[left.node_id] -= left.units

    def consume(self, found: Plan, service: ServiceLevel) -> None:
        self._days.take(found, service)
        for shipment in found.shipments:
            units = sum(line.quantity for line in shipment.lines)
            heapq.heappush(self._leaving, Leaving(shipment.ship_by, shipment.node_id, units))
            self._loads[shipment.node_id] += units
            for line in shipment.lines:
                self._held[line.sku][shipment.node_id] -= line.quantity
