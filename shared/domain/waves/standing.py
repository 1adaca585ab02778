"""What it costs to leave an order as it is, at today's prices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.domain.sourcing.freight import Quote
from shared.domain.sourcing.plans import PlannedShipment
from shared.domain.sourcing.solution import Parts
from shared.domain.waves.columns import Column
from shared.domain.waves.limits import Limits
from shared.domain.waves.models import WaveOrder
from shared.domain.waves.pricing import Pricer
from shared.domain.waves.rows import MILLI, Row


def standing_column(place: int, order: WaveOrder, pricer: Pricer, limits: Limits) -> Column:
    """The order as it stands: feasible together with all others as they stand, whatever has changed since."""
    cost = sum(max(0, _milli(turn, shipment, order, pricer)) for turn, shipment in enumerate(order.standing))
    cost += short_units(order, order.standing) * pricer.short_milli
    uses = limits.uses(order.standing, order.order.service)
    return Column((place,), cost, uses, (order.standing,), standing=True)


def short_units(order: WaveOrder, shipments: Sequence[PlannedShipment]) -> int:
    planned = sum(line.quantity for shipment in shipments for line in shipment.lines)
    return sum(line.quantity for line in order.order.lines) - planned


def _milli(turn: int, shipment: PlannedShipment, order: WaveOrder, pricer: Pricer) -> int:
    """The shipment priced as others are; as it was planned, without prices of that time, where it no longer can be."""
    split = pricer.scale.split if turn else 0
    for place in _rows_of(shipment, pricer.rows):
        row = pricer.rows[place]
        parts = _parts(shipment, order)
        for weighed, way in zip(pricer.scale.judged.sources[place].ways, row.source.ways, strict=True):
            same = (way.tariff.carrier, way.tariff.service, way.ship_by)
            if same == (shipment.carrier, shipment.service, shipment.ship_by):
                source = pricer.scale.judged.sources[place]
                if any(source.holds(line.sku) < units for line, units in parts):
                    break
                units = sum(quantity for _, quantity in parts)
                carriage = source.load(parts, order.policy.dim_divisor).by(weighed.tariff)
                priced = source.priced(parts, units, Quote(weighed, carriage))
                return pricer.scale.milli(priced.terms.total) + split
    kept = shipment.cost.model_copy(update={"split_penalty": 0, "scarcity": 0, "capacity": 0, "clearance": 0})
    return _weighed(kept.by_term(), order, pricer) + split


def _weighed(terms: dict[str, int], order: WaveOrder, pricer: Pricer) -> int:
    if pricer.scale.judged.unit is None:
        return sum(terms.values()) * MILLI
    weights = order.policy.weights.by_term()
    return sum(amount * weights.get(name, 0) * MILLI // 100 for name, amount in terms.items())


def _rows_of(shipment: PlannedShipment, rows: Sequence[Row]) -> Iterator[int]:
    return (place for place, row in enumerate(rows) if row.source.node.node_id == shipment.node_id)


def _parts(shipment: PlannedShipment, order: WaveOrder) -> Parts:
    lines = {line.line_no: line for line in order.order.lines}
    return [(lines[planned.line_no], planned.quantity) for planned in shipment.lines]
