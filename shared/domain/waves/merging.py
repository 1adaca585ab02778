"""Orders of one recipient as one: planned together, shipped in one parcel where that is cheaper, and told apart again.

They are compatible when they came by one channel, ask for the same service under the same policy, and no staff chose
nodes for one of them. Together they keep the earliest of their promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from shared.domain.money import allocate
from shared.domain.sourcing.plans import CostTerms, PlannedLine, PlannedShipment
from shared.domain.sourcing.solution import Parts
from shared.domain.waves.columns import Column
from shared.domain.waves.limits import Limits
from shared.domain.waves.models import WaveOrder
from shared.domain.waves.pricing import APART, Chosen, Pricer
from shared.domain.waves.rows import Row, shipments_of
from shared.domain.waves.standing import short_units

#: Orders that are looked at as one.
MOST = 4


@dataclass(frozen=True)
class Union:
    """Orders looked at as one order."""

    members: tuple[int, ...]
    order: WaveOrder
    pricer: Pricer

    def column(self, chosen: Chosen, change: int, limits: Limits) -> Column | None:
        """This plan of theirs, if any of its shipments carries more than one of them."""
        together = tuple(shipments_of(self.pricer.rows, self.pricer.scale, chosen, self.order.policy))
        shipments = tuple(tuple(_part_of(turn, together)) for turn in range(len(self.members)))
        if sum(map(len, shipments)) == len(together):
            return None
        cost = self.pricer.cost_of(chosen) + short_units(self.order, together) * self.pricer.short_milli + change
        uses = limits.uses(chain.from_iterable(shipments), self.order.order.service)
        return Column(self.members, cost, uses, shipments, shared_minor=self._saved(chosen))

    def _saved(self, chosen: Chosen) -> int:
        """What the shared shipments cost less than one for each order, in minor units."""
        saved = 0
        for place, parts in chosen:
            by_order: dict[int, Parts] = {}
            for line, units in parts:
                by_order.setdefault(line.line_no // APART, []).append((line, units))
            if len(by_order) > 1:
                saved += sum(self._price(place, alone) for alone in by_order.values()) - self._price(place, parts)
        return saved

    def _price(self, place: int, parts: Parts) -> int:
        priced = self.pricer.scale.judged.price(place, self.pricer.rows[place].source, parts)
        assert priced is not None, "a part of a shipment has the way out that all of it has"
        return priced.terms.total


def packing_together(rows: Iterable[Row]) -> list[Row]:
    """The rows whose nodes ship on labels that we buy: others pack each order as they please."""
    return [row for row in rows if row.source.node.node_type.ships_on_our_label]


def unions(orders: Sequence[WaveOrder]) -> Iterator[tuple[tuple[int, ...], WaveOrder]]:
    """Orders that may travel together, with the order they come to."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for place, order in enumerate(orders):
        if order.recipient and not order.order.only:
            key = (order.recipient, order.order.channel, order.order.service, order.policy)
            alike.setdefault(key, []).append(place)
    for places in alike.values():
        for first in range(0, len(places), MOST):
            members = tuple(places[first : first + MOST])
            if len(members) > 1:
                yield members, _united([orders[place] for place in members])


def _united(orders: Sequence[WaveOrder]) -> WaveOrder:
    lines = tuple(
        line.model_copy(update={"line_no": line.line_no + turn * APART})
        for turn, order in enumerate(orders)
        for line in order.order.lines
    )
    excluded = {node_id for order in orders for node_id in order.order.excluded}
    standing = tuple(_moved(shipment, turn) for turn, order in enumerate(orders) for shipment in order.standing)
    first = orders[0]
    return first.model_copy(
        update={
            "order": first.order.model_copy(update={"lines": lines, "excluded": tuple(sorted(excluded))}),
            "standing": standing,
            "promised_at": min((order.promised_at for order in orders if order.promised_at), default=None),
        }
    )


def _moved(shipment: PlannedShipment, turn: int) -> PlannedShipment:
    lines = tuple(line.model_copy(update={"line_no": line.line_no + turn * APART}) for line in shipment.lines)
    return shipment.model_copy(update={"lines": lines})


def _part_of(turn: int, together: Iterable[PlannedShipment]) -> Iterator[PlannedShipment]:
    """What one order ships of them, with its share of the cost."""
    for shipment in together:
        lines = [line for line in shipment.lines if line.line_no // APART == turn]
        if lines:
            yield shipment.model_copy(
                update={
                    "lines": tuple(
                        PlannedLine(line_no=line.line_no % APART, sku=line.sku, quantity=line.quantity)
                        for line in lines
                    ),
                    "cost": _share(shipment, turn),
                }
            )


def _share(shipment: PlannedShipment, turn: int) -> CostTerms:
    """The order's share of every term, by units, so that the shares add up."""
    units: dict[int, int] = {}
    for line in shipment.lines:
        units[line.line_no // APART] = units.get(line.line_no // APART, 0) + line.quantity
    turns = sorted(units)
    place, weights = turns.index(turn), [units[each] for each in turns]
    terms = shipment.cost.by_term()
    return CostTerms.of_terms({name: allocate(amount, weights)[place] for name, amount in terms.items()})
