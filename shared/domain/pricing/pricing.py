"""Prices of stock and shipping days: the duals of the expected demand's linear program, damped where it is doubtful.

Demand counts until the horizon, and an item's at a node only until the node's next supply. Days ahead are told
apart only where a node's capacity may bind. What no node gives costs twice the dearest way of shipping it, as in
the literature; what a day has no room for leaves a day later, for what the policy says a late day costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from shared.domain.pricing.flows import Costs, Offer
from shared.domain.pricing.forecast import daily_rate, trust_in
from shared.domain.pricing.models import MILLI, Kind, Outlook, PriceList, ShippingPrice, StockPrice
from shared.domain.pricing.program import Answer, Carry, Flow, Option, Program
from shared.domain.pricing.scarcity import DAYS_AHEAD, busy_days, days_until_supply, scarce_stock, shipping_days

#: Kinds of orders told apart in all periods together, those of most units; what is left is counted as single
#: units by region and item. So many take some seconds to price.
KINDS = 2_000
SHORT_FACTOR = 2.0


class Period(NamedTuple):
    """Days from now on; demand is alike on each."""

    start: float
    days: float


class Expected(NamedTuple):
    """A kind of order and how many of it come in a day."""

    kind: Kind
    rate: float


def price(outlook: Outlook) -> PriceList:
    """The prices of everything that may run short; the same outlook always has the same prices.

    Raises:
        highs.Unsolved: the solver gave up.
    """
    return _Pricing(outlook).prices()


class _Pricing:
    def __init__(self, outlook: Outlook) -> None:
        self.outlook = outlook
        self.as_of = outlook.snapshot.as_of
        seen = {"history_days": outlook.history_days, "horizon_days": outlook.horizon_days}
        self.stock = scarce_stock(outlook.snapshot, outlook.units, outlook.supply, **seen)
        #: What a unit costs that leaves a day later. Where that is nothing, no day is worth anything either.
        self.late = outlook.policy.late_day_minor * outlook.policy.weights.lateness / 100
        self.days = busy_days(outlook.snapshot, outlook.units, outlook.history_days) if self.late else {}
        limits: list[tuple[str, str | date]] = [*sorted(self.stock), *sorted(self.days)]
        self.limit = {key: index for index, key in enumerate(limits)}
        self.ships = {
            node.node_id: list(shipping_days(node, self.as_of))
            for node in outlook.snapshot.nodes
            if any(node.node_id == node_id for node_id, _ in self.days)
        }
        self.periods = _periods(outlook.horizon_days, apart=bool(self.days))
        self.costs = Costs(outlook.snapshot, outlook.policy, outlook.items)

    def prices(self) -> PriceList:
        if not self.limit:
            return PriceList()
        expected, merged = told_apart(self.outlook, KINDS // len(self.periods))
        flows: list[Flow] = []
        orders: list[float] = []
        for each in expected:
            offers = self.costs.offers(each.kind)
            for number, period in enumerate(self.periods):
                if (flow := self._flow(each.kind, offers, number)) is not None:
                    flows.append(flow)
                    orders.append(each.rate * period.days)
        if not flows:
            return PriceList()
        answer = Program(flows, len(self.limit)).solve(orders, [*self._stock_limits(), *self._day_limits()])
        days = self.outlook.horizon_days
        return PriceList(
            **self._told(answer),
            orders=round(sum(each.rate for each in expected) * days, 3),
            kinds=len(expected),
            merged=round(merged * days, 3),
            cost_minor=round(answer.cost),
        )

    def _stock_limits(self) -> Iterator[float]:
        """Units, at the pace of the first period: what comes after the next supply costs this stock nothing."""
        return (self.stock[key] / self._share(*key, 0) for key in sorted(self.stock))

    def _day_limits(self) -> Iterator[float]:
        return (float(self.days[key]) for key in sorted(self.days))

    def _flow(self, kind: Kind, offers: list[Offer], period: int) -> Flow | None:
        held = [any(offer.items[i] is not None for offer in offers) for i in range(len(kind.items))]
        if not any(held):
            return None
        short = SHORT_FACTOR * max(offer.dearest for offer in offers)
        options = [option for offer in offers for option in self._options(kind, offer, period)]
        missing = tuple(Carry(short) for _ in kind.items)
        return Flow((*options, Option(0.0, missing)))

    def _options(self, kind: Kind, offer: Offer, period: int) -> Iterator[Option]:
        day = self._day_limit(offer.node_id, period)
        yield Option(offer.fixed, self._carries(kind, offer, period, day, 0.0))
        if day is not None:
            yield Option(offer.fixed, self._carries(kind, offer, period, None, self.late))

    def _day_limit(self, node_id: str, period: int) -> int | None:
        days = self.ships.get(node_id)
        if days is None or period >= len(days) or (day := days[period]) is None:
            return None
        return self.limit.get((node_id, day))

    def _carries(self, kind: Kind, offer: Offer, period: int, day: int | None, late: float) -> tuple[Carry | None, ...]:
        return tuple(
            None
            if cost is None
            else Carry(cost + late * quantity, tuple(self._uses(offer.node_id, sku, quantity, period, day)))
            for (sku, quantity), cost in zip(kind.items, offer.items, strict=True)
        )

    def _uses(self, node_id: str, sku: str, quantity: int, period: int, day: int | None) -> Iterator[tuple[int, float]]:
        if (node_id, sku) in self.stock and (share := self._share(node_id, sku, period)):
            yield self.limit[node_id, sku], quantity * share / self._share(node_id, sku, 0)
        if day is not None:
            yield day, float(quantity)

    def _share(self, node_id: str, sku: str, period: int) -> float:
        """How much of a period passes before the node's next supply of the item."""
        lasts = days_until_supply(self.outlook.supply, node_id, sku, self.as_of, self.outlook.horizon_days)
        start, days = self.periods[period]
        return min(max((lasts - start) / days, 0.0), 1.0)

    def _told(self, answer: Answer) -> dict[str, object]:
        seen = self.outlook.history_days
        total: Counter[int] = Counter()
        for by_age in self.outlook.units.values():
            total.update(by_age)
        trusted = {sku: trust_in(self.outlook.units[sku], seen) for sku in {sku for _, sku in self.stock}}
        overall = trust_in(total, seen)
        stock = {key: round(answer.prices[self.limit[key]] * MILLI * trusted[key[1]]) for key in self.stock}
        days = {key: round(answer.prices[self.limit[key]] * MILLI * overall) for key in self.days}
        return {
            "stock": tuple(
                StockPrice(node_id=node_id, sku=sku, unit_milli=milli)
                for (node_id, sku), milli in sorted(stock.items())
                if milli > 0
            ),
            "days": tuple(
                ShippingPrice(node_id=node_id, day=day, unit_milli=milli)
                for (node_id, day), milli in sorted(days.items())
                if milli > 0
            ),
            "doubted": tuple(sorted(sku for sku, share in trusted.items() if share < 1.0)),
        }


def _periods(horizon_days: int, *, apart: bool) -> list[Period]:
    if not apart:
        return [Period(0.0, float(horizon_days))]
    near = [Period(float(day), 1.0) for day in range(min(DAYS_AHEAD, horizon_days))]
    rest = horizon_days - len(near)
    return [*near, Period(float(len(near)), float(rest))] if rest else near


def told_apart(outlook: Outlook, most: int) -> tuple[list[Expected], float]:
    """The kinds of most units, the others taken apart into single units, and the daily orders that were."""
    rated = [Expected(kind, daily_rate(kind.by_age, outlook.history_days)) for kind in outlook.kinds]
    ranked = sorted((each for each in rated if each.rate > 0), key=lambda each: (-_units(each), _name(each)))
    kept, rest = ranked[:most], ranked[most:]
    single: dict[tuple[str, str], Expected] = {}
    for each in rest:
        for sku, quantity in each.kind.items:
            key = (each.kind.region, sku)
            before = single.get(key)
            kind = before.kind if before else each.kind._replace(items=((sku, 1),))
            single[key] = Expected(kind, (before.rate if before else 0.0) + each.rate * quantity)
    apart = sorted(single.values(), key=lambda each: (-each.rate, _name(each)))[:most]
    return sorted([*kept, *apart], key=_name), sum(each.rate for each in rest)


def _units(each: Expected) -> float:
    return each.rate * sum(quantity for _, quantity in each.kind.items)


def _name(each: Expected) -> tuple[str, tuple[tuple[str, int], ...]]:
    return each.kind.region, each.kind.items
