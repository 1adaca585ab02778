"""The linear program of the instance, by the program that prices the live planner, and the planner on it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from shared.domain.geo import distance_km
from shared.domain.network import Calendar, Node, NodeType, Place
from shared.domain.orders import ServiceLevel
from shared.domain.pricing.forecast import trust
from shared.domain.pricing.program import Answer, Carry, Flow, Option, Program
from shared.domain.sourcing import plan
from shared.domain.sourcing.models import Policy, RateBreak, ServiceRate, Snapshot, SourcingOrder, Stock, WantedLine
from shared.domain.sourcing.plans import Plan
from tests.benchmarks.jasin_sinha.instance import (
    CENTRE_PLACES,
    CENTRES,
    FIXED_COST,
    ITEMS,
    METRO_PLACES,
    SIZES,
    UNIT_COST,
    Arrival,
    Floats,
    Instance,
    Ints,
    J,
    K,
)

#: The planner counts in whole units of money; here a millionth of a dollar.
SCALE = 1_000_000
AS_OF = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
NODES = [*CENTRES, "supplier"]
#: Further from every metro than any centre, so that no zone of a centre is its own.
_SUPPLIER = Place(latitude=-25.0, longitude=130.0)
_PLENTY = 1_000_000


class Lookahead:
    """The linear program over all (type, metro) of an instance."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.keys = [(kind, metro) for kind in range(len(instance.types)) for metro in range(J)]
        self.program = Program([self._flow(*key) for key in self.keys], K * ITEMS)

    def _flow(self, kind: int, metro: int) -> Flow:
        items = self.instance.types[kind]
        return Flow(
            tuple(
                Option(
                    FIXED_COST[node],
                    tuple(
                        Carry(UNIT_COST[node, metro], ((node * ITEMS + item, 1.0),) if node < K else ())
                        for item in items
                    ),
                )
                for node in range(K + 1)
            )
        )

    def solve(self, expected: Floats, stock: Ints) -> Answer:
        """For so many orders by type and metro."""
        return self.program.solve(expected.ravel(), stock.ravel().astype(np.float64))

    def shares(self, answer: Answer) -> dict[tuple[int, int], Floats]:
        """How often each item of (type, metro) goes to each node."""
        found = {key: np.zeros((K + 1, len(self.instance.types[key[0]]))) for key in self.keys}
        for (flow, node, item), orders in answer.carried.items():
            found[self.keys[flow]][node, item] = orders
        return {key: share / share.sum(axis=0) for key, share in found.items()}


def realised(instance: Instance, orders: Sequence[Arrival]) -> Floats:
    """Orders by type and metro."""
    counts = Counter((kind, metro) for kind, metro, _ in orders)
    return np.array([[counts[kind, metro] for metro in range(J)] for kind in range(len(instance.types))], dtype=float)


def _rates(metro: int) -> tuple[ServiceRate, ...]:
    """A tariff whose price is linear in units, into a zone for each node: every unit weighs a gram."""
    places = [*CENTRE_PLACES, _SUPPLIER]
    reach = [int(distance_km(place, METRO_PLACES[metro])) + 1 for place in places]
    assert len(set(reach)) == len(reach), "every node needs a zone of its own"
    return tuple(
        ServiceRate(
            carrier="carrier",
            service="ground",
            level=ServiceLevel.STANDARD,
            max_distance_km=reach[node],
            transit_days=1,
            breaks=tuple(
                RateBreak(up_to_g=units, price_minor=round(SCALE * (FIXED_COST[node] + units * UNIT_COST[node, metro])))
                for units in range(1, SIZES + 1)
            ),
        )
        for node in range(K + 1)
    )


def _node(index: int) -> Node:
    kind = NodeType.WAREHOUSE if index < K else NodeType.VENDOR
    place = [*CENTRE_PLACES, _SUPPLIER][index]
    always = Calendar(working_days=(1, 2, 3, 4, 5, 6, 7))
    name = NODES[index]
    return Node(node_id=name, name=name, node_type=kind, partner_id=name, place=place, calendar=always)


class Planner:
    """The planner that routes live orders, order by order, with the prices of the linear program or none.

    Attributes:
        seconds, calls: Time spent in ``plan``, for the table.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.nodes = tuple(_node(index) for index in range(K + 1))
        self.rates = [_rates(metro) for metro in range(J)]
        self.orders = {
            (kind, metro): self._order(kind, metro) for kind in range(len(instance.types)) for metro in range(J)
        }
        self.policy = Policy(split_penalty_minor=0, late_day_minor=0)
        self.seconds, self.calls = 0.0, 0

    def _order(self, kind: int, metro: int) -> SourcingOrder:
        lines = [
            WantedLine(line_no=n, sku=f"i{item}", quantity=1, weight_g=1, length_mm=1, width_mm=1, height_mm=1)
            for n, item in enumerate(self.instance.types[kind], start=1)
        ]
        return SourcingOrder(order_id=f"{kind}/{metro}", channel="bench", ship_to=METRO_PLACES[metro], lines=lines)

    def run(self, orders: Sequence[Arrival], resolve: Resolver | None = None) -> tuple[float, int]:
        """(dollars, shipments) of the orders in turn."""
        stock = self.instance.stock.copy()
        prices = np.zeros((K, ITEMS), dtype=np.int64)
        dollars, shipments = 0, 0
        for turn, (kind, metro, period) in enumerate(orders):
            if resolve is not None and resolve.due(period):
                prices = np.round(SCALE * resolve.prices(period, orders[:turn], stock)).astype(np.int64)
            found = self._plan(kind, metro, stock, prices)
            for shipment in found.shipments:
                dollars += shipment.cost.paid
                node = NODES.index(shipment.node_id)
                for line in shipment.lines if node < K else ():
                    stock[node, int(line.sku[1:])] -= 1
            shipments += len(found.shipments)
        return dollars / SCALE, shipments

    def _plan(self, kind: int, metro: int, stock: Ints, prices: Ints) -> Plan:
        rows = [
            Stock.model_construct(
                node_id=NODES[node],
                sku=f"i{item}",
                available=int(stock[node, item]) if node < K else _PLENTY,
                unit_cost_minor=0,
                scarcity_minor=int(prices[node, item]) if node < K else 0,
            )
            for item in self.instance.types[kind]
            for node in range(K + 1)
        ]
        snapshot = Snapshot.model_construct(
            as_of=AS_OF, nodes=self.nodes, stock=tuple(rows), rates=self.rates[metro], price_version="dlp"
        )
        began = time.process_time()
        found = plan(self.orders[kind, metro], snapshot, self.policy)
        self.seconds += time.process_time() - began
        self.calls += 1
        assert found.optimal
        assert not found.shortages
        return found


class Resolver:
    """Prices from the linear program, solved again ``times`` times over the sequence.

    Attributes:
        forecast: Rate by type and metro that the program believes in.
        belief: How many observed periods the forecast weighs as much as; ``None`` never looks at what comes. Else
            the forecast is corrected by it, and an item's prices are lowered as the live ones are when it is far off.
    """

    def __init__(self, lookahead: Lookahead, forecast: Floats, times: int, belief: float | None = None) -> None:
        self.lookahead, self.forecast, self.times, self.belief = lookahead, forecast, times, belief
        self._solved = 0

    def due(self, period: int) -> bool:
        return period * self.times >= self._solved * self.lookahead.instance.periods

    def prices(self, period: int, seen: Sequence[Arrival], stock: Ints) -> Floats:
        """Dollars by centre and item, from the stock left and the orders expected from this period on."""
        instance = self.lookahead.instance
        self._solved = period * self.times // instance.periods + 1
        left = instance.periods - period
        if self.belief is None:
            return self.lookahead.solve(self.forecast * left, stock).prices.reshape(K, ITEMS)
        came = realised(instance, seen)
        rate = (self.belief * self.forecast + came) / (self.belief + period)
        prices = self.lookahead.solve(rate * left, stock).prices.reshape(K, ITEMS)
        expected, ordered = (self._units(orders) for orders in (self.forecast * period, came))
        doubted: Floats = prices * [trust(*each) for each in zip(expected, ordered, strict=True)]
        return doubted

    def _units(self, orders: Floats) -> list[float]:
        """Units of each item in orders by type and metro."""
        units = np.zeros(ITEMS)
        for items, count in zip(self.lookahead.instance.types, orders.sum(axis=1), strict=True):
            units[list(items)] += count
        return [float(each) for each in units]
