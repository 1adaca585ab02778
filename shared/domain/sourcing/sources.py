"""Who may give: the snapshot reduced to the nodes that can ship some of this order, priced and dated.

Every other node leaves with the reason it fell out. A node whose next shipping day is full is not lost: its
hand-over moves to the next working day with room, up to ``CAPACITY_DAYS`` of them, and what it can have ready grows
with each. Where loads are not told by day, those of later days count as none. A later day is never priced below an
earlier one: prices choose between nodes, they never make a customer wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from shared.domain.calendars import days_late, deliver_by, local_day, ready_by
from shared.domain.capacity import UNLIMITED, Days
from shared.domain.geo import distance_km
from shared.domain.network import Node, NodeType
from shared.domain.sourcing.freight import Quote, Tariff, Way, billable_g, cheapest, services_for, zone_at
from shared.domain.sourcing.lanes import Lanes
from shared.domain.sourcing.models import (
    Because,
    CostTerms,
    NodeLoad,
    NodeRisk,
    Policy,
    Snapshot,
    SourcingOrder,
    Stock,
    WantedLine,
)

#: Shipping days with room over which a node's capacity is looked at.
CAPACITY_DAYS = 5
#: Shipping days, the next one included, among which room is looked for where loads are told by day.
DAYS_AHEAD = 20


class Priced(NamedTuple):
    """A shipment with its cost, before the split penalty."""

    terms: CostTerms
    quote: Quote


@dataclass(frozen=True, slots=True)
class Source:
    """One node that can give something.

    Attributes:
        stock: What it holds of the order's SKUs, none of it zero.
        fixed: Cost of one shipment whatever is in it: handling per order, a vendor's fee and the node's risk.
        capacity: Units it can ship within ``CAPACITY_DAYS``.
    """

    node: Node
    ways: tuple[Way, ...]
    stock: dict[str, Stock]
    fixed: int
    capacity: int
    risk: int = 0

    def holds(self, sku: str) -> int:
        held = self.stock.get(sku)
        return held.available if held is not None else 0

    def unit_cost(self, sku: str) -> int:
        """What taking one unit costs beside its handling: the goods, their duty, what later orders lose, clearance."""
        held = self.stock.get(sku)
        if held is None:
            return 0
        return held.unit_cost_minor + held.customs_minor + held.scarcity_minor + held.clearance_minor

    def price(self, parts: list[tuple[WantedLine, int]], dim_divisor: int) -> Priced | None:
        """What shipping these units costs, or ``None`` when there are more than the node can ship."""
        units = sum(quantity for _, quantity in parts)
        quote = cheapest(self.ways, billable_g(parts, dim_divisor), units)
        return None if quote is None else self.priced(parts, units, quote)

    def priced(self, parts: list[tuple[WantedLine, int]], units: int, quote: Quote) -> Priced:
        """These units, ``units`` in all, by this way."""
        rows = [(self.stock[line.sku], quantity) for line, quantity in parts]
        terms = CostTerms.model_construct(
            freight=quote.freight,
            handling=self.node.handling_order_minor + units * self.node.handling_unit_minor,
            dropship_fee=dropship_fee(self.node),
            item_cost=sum(quantity * row.unit_cost_minor for row, quantity in rows),
            split_penalty=0,
            lateness=units * quote.way.late_unit,
            scarcity=sum(quantity * row.scarcity_minor for row, quantity in rows),
            capacity=units * quote.way.capacity_unit,
            clearance=sum(quantity * row.clearance_minor for row, quantity in rows),
            risk=self.risk,
            customs=sum(quantity * row.customs_minor for row, quantity in rows),
        )
        return Priced(terms, quote)


@dataclass(frozen=True, slots=True)
class Survey:
    """The network as one order sees it.

    Attributes:
        wanted: Units of each SKU, lines of the same SKU summed.
        sources: By ``node_id``.
        fallen: Why each other node cannot give anything.
        held: Stock of the order's SKUs at every node, the fallen ones too.
        protected: SKUs at nodes where all there is of them is kept for other channels.
        restricted: Why trade rules keep an item at some node that has it, by SKU.
    """

    wanted: Counter[str]
    sources: tuple[Source, ...]
    fallen: dict[str, Because]
    held: dict[str, dict[str, Stock]]
    protected: dict[str, set[str]]
    restricted: dict[str, Because]


def dropship_fee(node: Node) -> int:
    return node.dropship_fee_minor if node.node_type is NodeType.VENDOR else 0


def risk_minor(risk: NodeRisk, policy: Policy) -> int:
    """What the node's failures cost a shipment on average, rounded down."""
    millionths = risk.rejection_ppm * policy.rejection_minor + risk.lateness_ppm * policy.late_shipment_minor
    return millionths // 1_000_000


def survey(order: SourcingOrder, snapshot: Snapshot, policy: Policy) -> Survey:
    wanted: Counter[str] = Counter()
    for line in order.lines:
        wanted[line.sku] += line.quantity
    held: dict[str, dict[str, Stock]] = {node.node_id: {} for node in snapshot.nodes}
    protected: dict[str, set[str]] = {}
    for row in snapshot.stock:
        if row.protected and not row.available and row.sku in wanted:
            protected.setdefault(row.node_id, set()).add(row.sku)
        if row.available and row.sku in wanted and row.node_id in held:
            held[row.node_id][row.sku] = row if policy.weights.scarcity or not row.scarcity_minor else _unpriced(row)
    if policy.clear_unit_minor:
        held = _cleared(held, policy.clear_unit_minor)
    lanes = Lanes(order, snapshot.trade)
    stays = _restrict(lanes, snapshot, held)
    roads = _Roads(order, snapshot, policy, lanes)
    sources: list[Source] = []
    fallen: dict[str, Because] = {}
    ineligible = snapshot.ineligible.get(order.channel, ())
    for node in sorted(snapshot.nodes, key=lambda node: node.node_id):
        found = _barred(node, order, policy, ineligible) or roads.source(node, held[node.node_id], wanted)
        if isinstance(found, Source):
            sources.append(found)
        elif found is Because.NO_STOCK and node.node_id in stays:
            fallen[node.node_id] = stays[node.node_id]
        elif found is Because.NO_STOCK and node.node_id in protected:
            fallen[node.node_id] = Because.PROTECTED
        else:
            fallen[node.node_id] = found
    return Survey(wanted, tuple(sources), fallen, held, protected, lanes.restricted)


def _restrict(lanes: Lanes, snapshot: Snapshot, held: dict[str, dict[str, Stock]]) -> dict[str, Because]:
    """Leave in ``held`` what trade rules let go to the customer; returns the nodes that keep something, with why."""
    stays: dict[str, Because] = {}
    for node in snapshot.nodes if snapshot.trade.rules.bind else ():
        held[node.node_id], why = lanes.passing(node, held[node.node_id])
        if why is not None:
            stays[node.node_id] = why
    return stays


def _unpriced(row: Stock) -> Stock:
    return row.model_copy(update={"scarcity_minor": 0})


def _cleared(held: dict[str, dict[str, Stock]], unit_minor: int) -> dict[str, dict[str, Stock]]:
    """Stock with what taking a unit adds where less of its item lies than at the node that has most."""
    most: dict[str, int] = {}
    for stock in held.values():
        for sku, row in stock.items():
            most[sku] = max(most.get(sku, 0), row.available)
    return {
        node_id: {
            sku: row.model_copy(update={"clearance_minor": unit_minor * (most[sku] - row.available) // most[sku]})
            for sku, row in stock.items()
        }
        for node_id, stock in held.items()
    }


def _barred(node: Node, order: SourcingOrder, policy: Policy, ineligible: Collection[str]) -> Because | None:
    if not node.ship_enabled:
        return Because.DISABLED
    if node.node_id in order.excluded:
        return Because.EXCLUDED
    if order.only and node.node_id not in order.only:
        return Because.NOT_CHOSEN_BY_STAFF
    if node.node_id in ineligible and node.node_id not in order.only:
        return Because.NOT_ELIGIBLE
    if node.node_id in policy.exclude_nodes and node.node_id not in order.only:
        return Because.NOT_IN_POLICY
    return None


class _Roads:
    """The ways from nodes to one destination; dates are worked out once."""

    def __init__(self, order: SourcingOrder, snapshot: Snapshot, policy: Policy, lanes: Lanes) -> None:
        self.order = order
        self.lanes = lanes
        self.as_of = snapshot.as_of
        self.policy = policy
        self.services = services_for(snapshot.rates, order.service)
        self.charts = {(chart.carrier, chart.origin): chart.zones for chart in snapshot.zones}
        self.loads = {load.node_id: load for load in snapshot.loads}
        prices = snapshot.day_prices if policy.weights.capacity else ()
        self.day_prices = {(price.node_id, price.day): price.unit_minor for price in prices}
        self.risks = {risk.node_id: risk_minor(risk, policy) for risk in snapshot.risks}
        self.delivery: dict[tuple[str, datetime, int], tuple[datetime, int] | None] = {}

    def source(self, node: Node, stock: dict[str, Stock], wanted: Counter[str]) -> Source | Because:
        if not stock:
            return Because.NO_STOCK
        km = distance_km(node.place, self.order.ship_to)
        if self._too_far(node, km):
            return Because.TOO_FAR
        tariffs = [tariff for zones in self.services if (tariff := self._tariff(node, zones, km)) is not None]
        if not tariffs:
            return Because.NO_SERVICE
        tariffs, stock = self.lanes.by_service(node, tariffs, stock)
        if not tariffs:
            return Because.RESTRICTED_LANE
        units = sum(min(wanted[sku], row.available) for sku, row in stock.items())
        ways = tuple(way for hand in self._hand_overs(node, units) for way in self._ways(node, tariffs, *hand))
        if not ways:
            return Because.NO_CAPACITY
        risk = self.risks.get(node.node_id, 0)
        fixed = node.handling_order_minor + dropship_fee(node) + risk
        return Source(node, ways, stock, fixed, max(way.capacity for way in ways), risk)

    def _tariff(self, node: Node, zones: list[Tariff], km: float) -> Tariff | None:
        """A service's tariff from the node to the customer: by the carrier's chart, or by distance."""
        to = self.order.ship_to
        chart = self.charts.get((zones[0].carrier, node.place.postal_code[:3])) if self.charts else None
        number = chart.get(to.postal_code[:3], 0) if chart and node.place.country == to.country else 0
        return zone_at(zones, km, number)

    def _too_far(self, node: Node, km: float) -> bool:
        reach = self.policy.max_distance_km
        return reach is not None and km > reach and node.node_id not in self.order.only

    def _hand_overs(self, node: Node, units: int) -> Iterator[tuple[datetime, int, int]]:
        """Days to hand over on, with the units that can be ready and the price of each; none later than is of use."""
        ready = price = 0
        for handed_over, room in islice(self._days_with_room(node), CAPACITY_DAYS):
            ready += room
            if self.day_prices:
                day = local_day(handed_over, node.place.time_zone)
                price = max(price, self.day_prices.get((node.node_id, day), 0))
            yield handed_over, ready, price
            if ready >= units:
                return

    def _days_with_room(self, node: Node) -> Iterator[tuple[datetime, int]]:
        """The node's next hand-overs, and the units that could be made ready for each beside those promised already."""
        load = self.loads.get(node.node_id) or NodeLoad.model_construct(node_id=node.node_id)
        told = load.days is not None
        days = Days(node.daily_units, load.days or (), self.order.service)
        undated = max(0, load.units - load.dated)
        for later in range(DAYS_AHEAD if told else CAPACITY_DAYS):
            handed_over = ready_by(node, self.as_of, later=later)
            if handed_over is None:
                return
            room = days.room(local_day(handed_over, node.place.time_zone)) if told else days.standing
            if room == UNLIMITED:
                yield handed_over, room
                return
            taken = min(undated, room)
            undated = undated - taken if told else 0
            if room > taken:
                yield handed_over, room - taken

    def _ways(self, node: Node, tariffs: list[Tariff], handed_over: datetime, room: int, price: int) -> Iterator[Way]:
        for tariff in tariffs:
            key = (node.place.time_zone, handed_over, tariff.transit_days)
            if key not in self.delivery:
                self.delivery[key] = self._dated(node, handed_over, tariff.transit_days)
            if (dated := self.delivery[key]) is not None:
                yield Way(tariff, handed_over, dated[0], dated[1], room, price)

    def _dated(self, node: Node, handed_over: datetime, transit_days: int) -> tuple[datetime, int] | None:
        """When it is delivered, and what the wait for it costs per unit."""
        to = self.order.ship_to
        delivered = deliver_by(handed_over, node.place, to, transit_days)
        if delivered is None:
            return None
        needed = self.order.needed_by
        late = days_late(delivered, needed, to.time_zone) if needed is not None else 0
        cost = late * self.policy.late_day_minor
        if self.policy.wait_day_minor:
            cost += days_late(delivered, self.as_of, to.time_zone) * self.policy.wait_day_minor
        return delivered, cost
