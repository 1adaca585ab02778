"""What the planner would pay to serve a kind of order from each node, as the linear program needs it.

The program wants a cost for each shipment and one for each item in it, the planner's costs are any function of
what is shipped. A shipment of a gram is the fixed part; an item's part is what it costs alone beyond that, all
of them scaled so that the whole order from one node costs what the planner says. So orders of one line, and
those that are not split, are priced exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from shared.domain.catalogue import Item
from shared.domain.pricing.models import Kind
from shared.domain.sourcing.freight import Weight, cheapest
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder, Stock, WantedLine
from shared.domain.sourcing.sources import Source, survey
from shared.domain.sourcing.weighing import judge

#: Nodes looked at for one kind of order, the cheapest for it; orders seldom go further down the list.
NODES = 12


class Offer(NamedTuple):
    """One node for one kind of order, in minor units as the policy weighs them; ``None`` for what it does not hold."""

    node_id: str
    fixed: float
    items: tuple[float | None, ...]

    @property
    def dearest(self) -> float:
        return self.fixed + max(cost for cost in self.items if cost is not None)


class Costs:
    """Offers of the network as a snapshot shows it."""

    def __init__(self, snapshot: Snapshot, policy: Policy, items: Mapping[str, Item]) -> None:
        self._policy, self._items = policy, items
        # What orders already planned occupy says nothing of those to come.
        self._empty = snapshot.model_copy(update={"loads": (), "stock": ()})
        self._stock: dict[str, list[Stock]] = {}
        for row in snapshot.stock:
            self._stock.setdefault(row.sku, []).append(row)

    def offers(self, kind: Kind) -> list[Offer]:
        """What every node that can give any of it would cost, the cheapest ``NODES`` of each item."""
        lines = [self._line(n, *wanted) for n, wanted in enumerate(kind.items, start=1)]
        order = SourcingOrder.model_construct(order_id="expected", channel="", ship_to=kind.place, lines=tuple(lines))
        stock = tuple(row for sku, _ in kind.items for row in self._stock.get(sku, ()))
        sources = survey(order, self._empty.model_copy(update={"stock": stock}), self._policy).sources
        judged = judge(sources, self._policy)
        unit = 1.0 if judged.unit is None else judged.unit / 100
        found = [offer for source in judged.sources for offer in _offer(source, lines, judged.policy, unit)]
        return sorted(_cheapest(found, len(lines)))

    def _line(self, line_no: int, sku: str, quantity: int) -> WantedLine:
        item = self._items[sku]
        return WantedLine.model_construct(
            line_no=line_no,
            sku=sku,
            quantity=quantity,
            weight_g=item.weight_g,
            length_mm=item.length_mm,
            width_mm=item.width_mm,
            height_mm=item.height_mm,
            unit_price_minor=item.price_minor,
            own_container=item.own_container,
        )


def _offer(source: Source, lines: list[WantedLine], policy: Policy, unit: float) -> Iterator[Offer]:
    held = [line for line in lines if source.holds(line.sku)]
    lightest = cheapest(source.ways, Weight(1), 1)
    whole = _price(source, held, policy)
    if lightest is None or whole is None:
        return
    fixed = source.fixed + lightest.carriage.freight
    alone = {line.line_no: (_price(source, [line], policy) or whole) - fixed for line in held}
    apart = sum(alone.values())
    scale = (whole - fixed) / apart if apart > 0 else 0.0
    yield Offer(
        node_id=source.node.node_id,
        fixed=(fixed + policy.split_penalty_minor) * unit,
        items=tuple(alone[line.line_no] * scale * unit if line.line_no in alone else None for line in lines),
    )


def _price(source: Source, lines: list[WantedLine], policy: Policy) -> int | None:
    priced = source.price([(line, line.quantity) for line in lines], policy.dim_divisor)
    return None if priced is None else priced.terms.total


def _cheapest(offers: list[Offer], items: int) -> set[Offer]:
    kept: set[Offer] = set()
    for item in range(items):
        holding = [(offer.fixed + cost, offer) for offer in offers if (cost := offer.items[item]) is not None]
        kept |= {offer for _, offer in sorted(holding)[:NODES]}
    return kept
