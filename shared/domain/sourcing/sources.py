"""Who may give: the snapshot reduced to the nodes that can ship some of this order, priced and dated.

Every other node leaves with the reason it fell out; ``roads`` tells by which ways the others ship.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from shared.domain.cartons import cartons_by_node
from shared.domain.kept import Same
from shared.domain.network import Node, NodeType
from shared.domain.sourcing.cartonising import Cartons
from shared.domain.sourcing.clearing import cleared
from shared.domain.sourcing.criteria import valued
from shared.domain.sourcing.freight import Load, Quote, Way, Weight, billable_g, cheapest
from shared.domain.sourcing.lanes import Lanes
from shared.domain.sourcing.models import NodeRisk, Policy, Snapshot, SourcingOrder, Stock
from shared.domain.sourcing.packing import Packer
from shared.domain.sourcing.plans import Because, CostTerms
from shared.domain.sourcing.roads import Roads, Ways, sites_of
from shared.domain.sourcing.solution import Parts, units_of


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
        cartons: What it packs in; ``None`` where that is not known, and shipments are priced by weight.
    """

    node: Node
    ways: tuple[Way, ...]
    stock: dict[str, Stock]
    fixed: int
    capacity: int
    risk: int = 0
    cartons: Cartons | None = None

    def holds(self, sku: str) -> int:
        held = self.stock.get(sku)
        return held.available if held is not None else 0

    def unit_cost(self, sku: str) -> int:
        """What taking one unit costs beside its handling: the goods, their duty, what later orders lose, ..."""
        held = self.stock.get(sku)
        return 0 if held is None else held.unit_minor

    def load(self, parts: Parts, dim_divisor: int) -> Load:
        """These units as carriers price them from here."""
        return Weight(billable_g(parts, dim_divisor)) if self.cartons is None else self.cartons.load(parts)

    def price(self, parts: Parts, dim_divisor: int) -> Priced | None:
        """What shipping these units costs, or ``None`` when there are more than the node can ship."""
        units = units_of(parts)
        quote = cheapest(self.ways, self.load(parts, dim_divisor), units)
        return None if quote is None else self.priced(parts, units, quote)

    def priced(self, parts: Parts, units: int, quote: Quote) -> Priced:
        """These units, ``units`` in all, by this way."""
        item_cost = scarcity = clearance = customs = 0
        criteria: dict[str, int] = {}
        for line, quantity in parts:
            row = self.stock[line.sku]
            item_cost += quantity * row.unit_cost_minor
            scarcity += quantity * row.scarcity_minor
            clearance += quantity * row.clearance_minor
            customs += quantity * row.customs_minor
            for name, minor in row.criteria.items():
                criteria[name] = criteria.get(name, 0) + quantity * minor
        terms = CostTerms.made(
            criteria=criteria,
            freight=quote.carriage.freight,
            handling=self.node.handling_order_minor + units * self.node.handling_unit_minor,
            dropship_fee=dropship_fee(self.node),
            item_cost=item_cost,
            split_penalty=0,
            lateness=units * quote.way.late_unit,
            scarcity=scarcity,
            capacity=units * quote.way.capacity_unit,
            clearance=clearance,
            risk=self.risk,
            customs=customs,
            packaging=quote.carriage.packaging,
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
    """Who may give, as the policy has it.

    Raises:
        CriterionFailed: one of the policy's own criteria cannot be asked.
    """
    wanted: Counter[str] = Counter()
    for line in order.lines:
        wanted[line.sku] += line.quantity
    held, protected = _held(snapshot, wanted, policy)
    if policy.clear_unit_minor or policy.clear_aged_minor:
        held = cleared(held, snapshot.idle, policy)
    if policy.weights.criteria:
        held = valued(held, order, snapshot.nodes, policy.weights.criteria)
    lanes = Lanes(order, snapshot.trade)
    stays = _restrict(lanes, snapshot, held)
    roads = Roads(order, snapshot, policy, lanes)
    cartons = _cartons(order, snapshot, policy)
    risks = {risk.node_id: risk_minor(risk, policy) for risk in snapshot.risks}
    sources: list[Source] = []
    fallen: dict[str, Because] = {}
    ineligible = snapshot.ineligible.get(order.channel, ())
    for site in sites_of(Same(snapshot.nodes)):
        node_id = site.node.node_id
        found = _barred(site.node, order, policy, ineligible) or roads.lead_from(site, held[node_id], wanted)
        if not isinstance(found, Because):
            packs_in = cartons.get(node_id) or cartons.get("")
            sources.append(_source(site.node, *found, risks.get(node_id, 0), packs_in))
        elif found is Because.NO_STOCK and node_id in stays:
            fallen[node_id] = stays[node_id]
        elif found is Because.NO_STOCK and node_id in protected:
            fallen[node_id] = Because.PROTECTED
        else:
            fallen[node_id] = found
    return Survey(wanted, tuple(sources), fallen, held, protected, lanes.restricted)


def _held(
    snapshot: Snapshot, wanted: Collection[str], policy: Policy
) -> tuple[dict[str, dict[str, Stock]], dict[str, set[str]]]:
    """What each node holds of these SKUs, and where all there is of one is kept for other channels."""
    held: dict[str, dict[str, Stock]] = {node.node_id: {} for node in snapshot.nodes}
    protected: dict[str, set[str]] = {}
    for row in snapshot.stock:
        if row.sku not in wanted:
            continue
        if not row.available:
            if row.protected:
                protected.setdefault(row.node_id, set()).add(row.sku)
        elif row.node_id in held:
            held[row.node_id][row.sku] = row if not row.scarcity_minor or policy.weights.scarcity else _unpriced(row)
    return held, protected


def _source(node: Node, found: Ways, stock: dict[str, Stock], risk: int, cartons: Cartons | None) -> Source:
    fixed = node.handling_order_minor + dropship_fee(node) + risk
    return Source(node, found.ways, stock, fixed, found.capacity, risk, cartons)


def _cartons(order: SourcingOrder, snapshot: Snapshot, policy: Policy) -> dict[str, Cartons]:
    """The order's lines in the cartons of each node that has its own, and of all others under the empty name."""
    if not snapshot.cartons:
        return {}
    by_node = cartons_by_node(snapshot.cartons)
    return {node_id: Cartons(Packer(order.lines, those), policy.dim_divisor) for node_id, those in by_node.items()}


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
