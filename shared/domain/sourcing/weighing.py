"""The network as a policy's weights see it: every amount times its term's weight, in exact integers.

Solvers minimise weighed amounts and know nothing of weights; what they choose is told in true money. Weights
that are all alike change no choice, and then nothing is weighed at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

from shared.domain.kept import Same
from shared.domain.network import Node
from shared.domain.sourcing.cartonising import Cartons
from shared.domain.sourcing.freight import Load, Quote, Tariff, Way, cheapest
from shared.domain.sourcing.models import Policy, Stock
from shared.domain.sourcing.solution import Parts, units_of
from shared.domain.sourcing.sources import Priced, Source, dropship_fee
from shared.domain.sourcing.weights import Weights

#: Amounts of a unit of stock, and the terms that weigh them.
_OF_ITEMS = {
    "unit_cost_minor": "item_cost",
    "scarcity_minor": "scarcity",
    "clearance_minor": "clearance",
    "customs_minor": "customs",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """Sources and rules with weighed amounts.

    Attributes:
        sources: As many as there are true ones, in their order, each with its ways in their order.
        unit: Percent of a minor unit that one of a weighed amount stands for; ``None`` when nothing is weighed.
    """

    sources: tuple[Source, ...]
    policy: Policy
    unit: int | None = None

    def price(self, index: int, source: Source, parts: Parts) -> Priced | None:
        """What these units truly cost by the way that is best as the policy weighs it."""
        units = units_of(parts)
        quote = self.quote(index, source, parts, units, self.load(index, parts))
        return None if quote is None else source.priced(parts, units, quote)

    def load(self, index: int, parts: Parts) -> Load:
        """These units as a weighed source sends them."""
        return self.sources[index].load(parts, self.policy.dim_divisor)

    def quote(self, index: int, source: Source, parts: Parts, units: int, load: Load) -> Quote | None:
        """The true source's way that is best for these units as the policy weighs it.

        Args:
            units, load: Of these parts.
        """
        weighed = self.sources[index].ways
        found = cheapest(weighed, load, units)
        if found is None or self.unit is None:
            return found
        way = source.ways[weighed.index(found.way)]
        true = source.load(parts, self.policy.dim_divisor)
        return Quote(way, true.as_packed(found.carriage, way.tariff))

    def minor(self, weighed: int) -> int:
        """A weighed amount in minor units, rounded down."""
        return weighed if self.unit is None else weighed * self.unit // 100


def judge(sources: tuple[Source, ...], policy: Policy) -> Judged:
    """The sources as the policy weighs them."""
    weights = policy.weights.by_term()
    if len(set(weights.values())) > 1:
        unpriced = _without_prices(sources, policy.weights.criteria)
        weights = {name: percent for name, percent in weights.items() if name not in unpriced}
    if len(set(weights.values())) == 1:
        return Judged(sources, policy)
    unit = gcd(*weights.values())
    reduced = Weights.of_terms({name: percent // unit for name, percent in weights.items()})
    rules = policy.model_copy(update={"split_penalty_minor": policy.split_penalty_minor * reduced.split_penalty})
    weighing = _Weighing(reduced)
    return Judged(tuple(weighing.weighed(source) for source in sources), rules, unit)


def _without_prices(sources: tuple[Source, ...], criteria: Iterable[str]) -> set[str]:
    """Terms that are zero in every plan, as no source has a price: what they weigh says nothing."""
    rows = [row for source in sources for row in source.stock.values()]
    priced = {
        "scarcity": any(row.scarcity_minor for row in rows),
        "capacity": any(
            way.capacity_unit for ways in {id(one.ways): one.ways for one in sources}.values() for way in ways
        ),
        "clearance": any(row.clearance_minor for row in rows),
        "risk": any(source.risk for source in sources),
        "customs": any(row.customs_minor for row in rows),
        "packaging": any(source.cartons is not None for source in sources),
    }
    priced |= {name: any(row.criteria[name] for row in rows) for name in criteria}
    return {name for name, is_priced in priced.items() if not is_priced}


class _Weighing:
    """Weighs what sources have in common once: their ways, and what weighs nothing more than it is."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._of_items = {name: getattr(weights, term) for name, term in _OF_ITEMS.items()}
        self._handles = weights.handling != 1 or weights.dropship_fee != 1
        self._tariffs: dict[Tariff, Tariff] = {}
        self._ways: dict[Same[tuple[Way, ...]], tuple[Way, ...]] = {}
        self._cartons: dict[Cartons, Cartons] = {}

    def weighed(self, source: Source) -> Source:
        node = self._node(source.node) if self._handles else source.node
        stock = {sku: self._row(row) for sku, row in source.stock.items()}
        ways = self._ways.get(Same(source.ways))
        if ways is None:
            ways = self._ways[Same(source.ways)] = tuple(self._way(way) for way in source.ways)
        risk = source.risk * self._weights.risk
        fixed = node.handling_order_minor + dropship_fee(node) + risk
        return Source(node, ways, stock, fixed, source.capacity, risk, self._packed(source.cartons))

    def _packed(self, cartons: Cartons | None) -> Cartons | None:
        if cartons is not None and cartons not in self._cartons:
            self._cartons[cartons] = cartons.weighed(self._weights.packaging)
        return None if cartons is None else self._cartons[cartons]

    def _node(self, node: Node) -> Node:
        return node.model_copy(
            update={
                "handling_order_minor": node.handling_order_minor * self._weights.handling,
                "handling_unit_minor": node.handling_unit_minor * self._weights.handling,
                "dropship_fee_minor": node.dropship_fee_minor * self._weights.dropship_fee,
            }
        )

    def _row(self, row: Stock) -> Stock:
        amounts: dict[str, Any] = {
            name: amount * weight
            for name, weight in self._of_items.items()
            if weight != 1 and (amount := getattr(row, name))
        }
        if row.criteria:
            weights = self._weights.criteria
            amounts["criteria"] = {name: minor * weights.get(name, 1) for name, minor in row.criteria.items()}
        return row.model_copy(update=amounts) if amounts else row

    def _way(self, way: Way) -> Way:
        tariff = self._tariffs.get(way.tariff)
        if tariff is None:
            prices = tuple(price * self._weights.freight for price in way.tariff.price)
            tariff = self._tariffs[way.tariff] = replace(way.tariff, price=prices)
        return way._replace(
            tariff=tariff,
            late_unit=way.late_unit * self._weights.lateness,
            capacity_unit=way.capacity_unit * self._weights.capacity,
        )
