"""Planning a wave: column generation, with the planner's own dynamic programs to price.

Every order's plans are columns of one program (``master``). Its duals price what orders share; at those prices each
order is asked for its cheapest plan, which becomes a column when it is cheaper than what the program knows. The sum
of the cheapest plans, less what the prices say all limits are worth, is a bound that no plan of the wave undercuts
(Lagrangian relaxation; Gilmore and Gomory, Operations Research 9(6), 1961, for the scheme). What is chosen at the
end is whole: a dive through the linear program, improved by the integer program over the columns that can matter.

Pure and deterministic: work is limited by counts, never by a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from shared.domain.sourcing.grid import Ints
from shared.domain.sourcing.models import Stock
from shared.domain.waves.columns import Column
from shared.domain.waves.diving import dive
from shared.domain.waves.limits import Limit, Limits, StockLimit
from shared.domain.waves.master import Master, Relaxed
from shared.domain.waves.merging import Union, packing_together, unions
from shared.domain.waves.models import Wave, WavePlan
from shared.domain.waves.pricing import Chosen, Pricer, Quoted
from shared.domain.waves.rows import MILLI, Network, shipments_of
from shared.domain.waves.standing import short_units, standing_column
from shared.domain.waves.telling import told


def plan_wave(wave: Wave) -> WavePlan:
    """The cheapest way found to fill all orders together, with the proof of how far it may be from the best.

    Raises:
        highs.Unsolved: the solver gave up.
    """
    return _Generation(wave).plan() if wave.orders else WavePlan(orders=0)


#: Factors on the optimal prices at which more plans are looked for.
VARIED = (0.5, 0.75, 1.25, 1.5, 2.0, 3.0)

#: A plan not found yet costs so many times what the dearest order costs as it stands.
DEAREST = 10


class Offer(NamedTuple):
    """The cheapest plan of one order, or of several together, at some prices; ``change`` is the price of changing."""

    members: tuple[int, ...]
    quoted: Quoted
    change: int

    @property
    def value(self) -> int:
        return self.quoted.value + self.change


class _Generation:
    def __init__(self, wave: Wave) -> None:
        self.wave, self.rules = wave, wave.rules
        self.limits = Limits(wave)
        self.index = {limit: place for place, limit in enumerate(self.limits.most)}
        self.most = np.array(list(self.limits.most.values()), dtype=np.int64)
        self.days = [
            [self.index[limit] for limit in limits]
            for node in wave.snapshot.nodes
            for limits in self.limits.by_day(node.node_id)
        ]
        network = Network(wave.snapshot, self.limits)
        self.pricers = [Pricer(order, network.rows(order), self.index, self.rules) for order in wave.orders]
        self.standing = [
            standing_column(place, order, pricer, self.limits)
            for place, (order, pricer) in enumerate(zip(wave.orders, self.pricers, strict=True))
        ]
        self.unions = {
            members: Union(members, order, Pricer(order, packing_together(network.rows(order)), self.index, self.rules))
            for members, order in unions(wave.orders)
        }
        self.master = Master(len(wave.orders), self.limits.most)
        self.master.add(self.standing)
        self.master.add(self._missing())
        self.bound = -float("inf")
        self.rounds = 0

    def plan(self) -> WavePlan:
        relaxed = self._generate()
        chosen = self._filled([self.master.columns[place] for place in self._choose(relaxed)])
        return told(self.wave, self.limits, self.standing, chosen).model_copy(
            update={
                "frozen": sum(not pricer.able for pricer in self.pricers),
                "bound_minor": min(round(self.bound), sum(column.cost for column in chosen)) // MILLI,
                "plans": len(self.master.columns),
                "rounds": self.rounds,
            }
        )

    # --- columns ------------------------------------------------------------------------------------------

    def _missing(self) -> Iterator[Column]:
        """A plan of each order that is dearer than any, so that a dive can go on and ask what it calls for."""
        dearest = DEAREST * max(column.cost for column in self.standing) + MILLI
        for place in range(len(self.standing)):
            yield Column((place,), dearest, {}, ((),), missing=True)

    def _generate(self) -> Relaxed:
        """Price until no plan would help, the bound is close enough, or the rounds are spent."""
        self.master.add(self._columns(offer for offer in self._cheapest(self._prices({}))))
        while True:
            relaxed = self.master.relax()
            if self.rounds >= self.rules.rounds or self._close(relaxed.cost):
                return relaxed
            self.rounds += 1
            if not self._price(relaxed):
                return relaxed

    def _close(self, cost: float) -> bool:
        # A tenth of the target is left for the columns, the rest for choosing whole ones.
        return cost - self.bound <= self.rules.gap_target / 10 * max(cost, 1.0)

    def _price(self, relaxed: Relaxed) -> int:
        """One round: the bound at these prices, and the columns they call for; returns how many are new."""
        prices = self._prices(relaxed.limits)
        offers = list(self._cheapest(prices))
        # The bound holds at any prices, those of a dive too.
        self.bound = max(self.bound, self._bound(offers, prices))
        worth = relaxed.orders
        return self.master.add(
            self._columns(offer for offer in offers if offer.value < sum(worth[n] for n in offer.members) - 1)
        )

    def _prices(self, limits: dict[Limit, float]) -> Ints:
        """By place in the index, whole thousandths of a minor unit."""
        prices = np.zeros(len(self.index) + 1, dtype=np.int64)
        for limit, price in limits.items():
            prices[self.index[limit]] = round(price)
        return prices

    def _handed_over(self, prices: Ints) -> Ints:
        """As ``prices``, but a day's is what a unit handed over then takes of it and of all later days."""
        prices = prices.copy()
        for days in self.days:
            prices[days] = np.cumsum(prices[days][::-1])[::-1]
        return prices

    def _cheapest(self, prices: Ints) -> Iterator[Offer]:
        """Every order's and every union's cheapest plan at these prices."""
        by_place = self._handed_over(prices)
        for place, pricer in enumerate(self.pricers):
            if pricer.able:
                yield self._offer((place,), pricer.quote(by_place))
        for union in self.unions.values():
            if union.pricer.able:
                yield self._offer(union.members, union.pricer.quote(by_place))

    def _offer(self, members: tuple[int, ...], quoted: Quoted) -> Offer:
        moved = sum(bool(self.wave.orders[member].standing) for member in members)
        change = MILLI * self.rules.change_minor * moved
        return Offer(members, quoted, change)

    def _columns(self, offers: Iterable[Offer]) -> Iterator[Column]:
        for offer in offers:
            if offer.quoted.chosen is not None:
                found = self._column(offer, offer.quoted.chosen)
                if found is not None:
                    yield found

    def _column(self, offer: Offer, chosen: Chosen) -> Column | None:
        if len(offer.members) > 1:
            return self.unions[offer.members].column(chosen, offer.change, self.limits)
        (place,) = offer.members
        return self._column_of(place, self.pricers[place], chosen, offer.change)

    def _column_of(self, place: int, pricer: Pricer, chosen: Chosen, change: int) -> Column:
        order = self.wave.orders[place]
        shipments = tuple(shipments_of(pricer.rows, pricer.scale, chosen, order.policy))
        cost = pricer.cost_of(chosen) + short_units(order, shipments) * pricer.short_milli
        return Column((place,), cost + change, self.limits.uses(shipments, order.order.service), (shipments,))

    # --- the bound ----------------------------------------------------------------------------------------

    def _bound(self, offers: list[Offer], prices: Ints) -> float:
        """What all orders cost at least at these prices, less what the limits are worth."""
        least = [float(column.cost + self._taken(column, prices)) for column in self.standing]
        together = 0.0
        for offer in offers:
            if len(offer.members) == 1:
                least[offer.members[0]] = min(least[offer.members[0]], offer.value)
            else:
                together += min(0.0, offer.value - sum(least[member] for member in offer.members))
        return sum(least) + together - float(prices[:-1] @ self.most)

    def _taken(self, column: Column, prices: Ints) -> int:
        return sum(units * int(prices[self.index[limit]]) for limit, units in column.uses.items())

    # --- the choice ---------------------------------------------------------------------------------------

    def _choose(self, relaxed: Relaxed) -> list[int]:
        """Whole plans: the better of the dive and of all as it stands, improved by the integer program."""
        self._vary(relaxed)
        relaxed = self.master.relax()
        stay = list(range(len(self.standing)))
        start = min((stay, dive(self.master, relaxed, self._price) or stay), key=self._cost)
        room = self._cost(start) - self.bound
        if room <= self.rules.gap_target * max(self.bound, 1.0):
            return sorted(start)
        # A plan that costs more than this beyond the optimum is in no better choice.
        reduced = self.master.relax().reduced
        among = {n for n, column in enumerate(self.master.columns) if reduced[n] <= room and not column.missing}
        chosen = self.master.choose(sorted(among | set(start)), start, self.rules.branches, self.rules.gap_target / 2)
        return sorted(chosen)

    def _filled(self, chosen: list[Column]) -> list[Column]:
        """The choice with orders that are short planned once more, on what the others leave.

        At any price a unit pays, or none of its line does: no price calls for the plan that takes what is left of one.
        """
        left = Counter(self.limits.most)
        for column in chosen:
            left.subtract(column.uses)
        stock: dict[str, list[Stock]] = {}
        for row in self.wave.snapshot.stock:
            stock.setdefault(row.sku, []).append(row)
        for turn, column in enumerate(chosen):
            if len(column.members) == 1 and short_units(self.wave.orders[column.members[0]], column.shipments[0]):
                left.update(column.uses)
                chosen[turn] = self._on_what_is_left(column, stock, left)
                left.subtract(chosen[turn].uses)
        return chosen

    def _on_what_is_left(
        self, column: Column, by_sku: Mapping[str, Sequence[Stock]], left: Mapping[Limit, int]
    ) -> Column:
        (place,) = column.members
        order = self.wave.orders[place]
        skus = sorted({line.sku for line in order.order.lines})
        stock = tuple(each for sku in skus for row in by_sku.get(sku, ()) for each in _left_of(row, left))
        if all(row.available <= column.uses.get(StockLimit(row.node_id, row.sku), 0) for row in stock):
            return column
        seen = self.wave.snapshot.model_copy(update={"stock": stock})
        pricer = Pricer(order, Network(seen, self.limits).rows(order), self.index, self.rules)
        offer = pricer.able and self._offer((place,), pricer.quote(self._prices({})))
        if not offer or offer.quoted.chosen is None:
            return column
        found = self._column_of(place, pricer, offer.quoted.chosen, offer.change)
        fits = all(units <= left.get(limit, 0) for limit, units in found.uses.items())
        return found if fits and found.cost < column.cost else column

    def _vary(self, relaxed: Relaxed) -> None:
        """Plans for prices around the optimal ones: whole choices need some that no fraction does."""
        for factor in VARIED:
            prices = self._prices({limit: price * factor for limit, price in relaxed.limits.items()})
            self.master.add(self._columns(self._cheapest(prices)))

    def _cost(self, places: list[int]) -> int:
        return sum(self.master.columns[place].cost for place in places)


def _left_of(row: Stock, left: Mapping[Limit, int]) -> Iterator[Stock]:
    units = left.get(StockLimit(row.node_id, row.sku), 0)
    if units > 0:
        yield row.model_copy(update={"available": units})
