"""The network as a policy's weights see it: every amount times its term's weight, in exact integers.

Solvers minimise weighed amounts and know nothing of weights; what they choose is told in true money. Weights
that are all alike change no choice, and then nothing is weighed at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

from shared.domain.sourcing.freight import Quote, Tariff, Way, billable_g
from shared.domain.sourcing.models import Policy, Weights
from shared.domain.sourcing.solution import Parts
from shared.domain.sourcing.sources import Priced, Source, dropship_fee


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
        weighed = self.sources[index].price(parts, self.policy.dim_divisor)
        if weighed is None or self.unit is None:
            return weighed
        way = source.ways[self.sources[index].ways.index(weighed.quote.way)]
        units = sum(quantity for _, quantity in parts)
        freight, parcels = way.tariff.cost(billable_g(parts, self.policy.dim_divisor))
        return source.priced(parts, units, Quote(way, parcels, freight))

    def minor(self, weighed: int) -> int:
        """A weighed amount in minor units, rounded down."""
        return weighed if self.unit is None else weighed * self.unit // 100


def judge(sources: tuple[Source, ...], policy: Policy) -> Judged:
    """The sources as the policy weighs them."""
    unpriced = _without_prices(sources)
    weights = {name: percent for name, percent in policy.weights if name not in unpriced}
    if len(set(weights.values())) == 1:
        return Judged(sources, policy)
    unit = gcd(*weights.values())
    reduced = Weights.model_construct(**{name: percent // unit for name, percent in weights.items()})
    rules = policy.model_copy(update={"split_penalty_minor": policy.split_penalty_minor * reduced.split_penalty})
    tariffs: dict[Tariff, Tariff] = {}
    return Judged(tuple(_weighed(source, reduced, tariffs) for source in sources), rules, unit)


def _without_prices(sources: tuple[Source, ...]) -> set[str]:
    """Terms that are zero in every plan, as no source has a price: what they weigh says nothing."""
    scarce = any(row.scarcity_minor for source in sources for row in source.stock.values())
    busy = any(way.capacity_unit for source in sources for way in source.ways)
    cleared = any(row.clearance_minor for source in sources for row in source.stock.values())
    risky = any(source.risk for source in sources)
    abroad = any(row.customs_minor for source in sources for row in source.stock.values())
    priced = {"scarcity": scarce, "capacity": busy, "clearance": cleared, "risk": risky, "customs": abroad}
    return {name for name, is_priced in priced.items() if not is_priced}


def _weighed(source: Source, weights: Weights, tariffs: dict[Tariff, Tariff]) -> Source:
    node = source.node.model_copy(
        update={
            "handling_order_minor": source.node.handling_order_minor * weights.handling,
            "handling_unit_minor": source.node.handling_unit_minor * weights.handling,
            "dropship_fee_minor": source.node.dropship_fee_minor * weights.dropship_fee,
        }
    )
    stock = {
        sku: row.model_copy(
            update={
                "unit_cost_minor": row.unit_cost_minor * weights.item_cost,
                "scarcity_minor": row.scarcity_minor * weights.scarcity,
                "clearance_minor": row.clearance_minor * weights.clearance,
                "customs_minor": row.customs_minor * weights.customs,
            }
        )
        for sku, row in source.stock.items()
    }
    ways = tuple(_way(way, weights, tariffs) for way in source.ways)
    risk = source.risk * weights.risk
    fixed = node.handling_order_minor + dropship_fee(node) + risk
    return replace(source, node=node, ways=ways, stock=stock, fixed=fixed, risk=risk)


def _way(way: Way, weights: Weights, tariffs: dict[Tariff, Tariff]) -> Way:
    tariff = tariffs.get(way.tariff)
    if tariff is None:
        prices = tuple(price * weights.freight for price in way.tariff.price)
        tariff = tariffs[way.tariff] = way.tariff._replace(price=prices)
    return way._replace(
        tariff=tariff,
        late_unit=way.late_unit * weights.lateness,
        capacity_unit=way.capacity_unit * weights.capacity,
    )
