"""What one order of a wave can choose from: a node, on one of its days if days are shared, with what it costs.

The planner's own survey and prices, so that a wave never sees a network that the planner does not. A node whose days
are shared is looked at once for each of them, as a node that takes so many days longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from shared.domain.calendars import at, local_day, ready_by
from shared.domain.network import Node
from shared.domain.sourcing.models import Policy, Snapshot
from shared.domain.sourcing.once import shipment_of
from shared.domain.sourcing.plans import PlannedShipment
from shared.domain.sourcing.solution import Parts
from shared.domain.sourcing.sources import Source, survey
from shared.domain.sourcing.weighing import Judged, judge
from shared.domain.waves.limits import Limits
from shared.domain.waves.models import WaveOrder

#: Costs are compared in thousandths of a minor unit, so that prices and weights are exact enough as integers.
MILLI = 1000


class Row(NamedTuple):
    """One node for one order; ``nth`` is its shipping day where days are shared."""

    source: Source
    nth: int | None


class Network:
    """A snapshot, once as it is and once for each further day of the nodes whose days are shared."""

    def __init__(self, snapshot: Snapshot, limits: Limits) -> None:
        shared = [node for node in snapshot.nodes if limits.days_of(node.node_id)]
        alone = tuple(node for node in snapshot.nodes if not limits.days_of(node.node_id))
        self._alone = snapshot.model_copy(update={"nodes": alone})
        turns = max((len(limits.days_of(node.node_id)) for node in shared), default=0)
        self._by_day = [
            snapshot.model_copy(update={"nodes": tuple(_handing_over(shared, limits, nth)), "loads": ()})
            for nth in range(turns)
        ]
        self._ready = [_soonest(seen) for seen in self._by_day]
        self._nodes = {node.node_id: node for node in snapshot.nodes}
        self._stock: dict[str, list[int]] = {}
        for place, row in enumerate(snapshot.stock):
            self._stock.setdefault(row.sku, []).append(place)

    def rows(self, order: WaveOrder) -> list[Row]:
        """Every node and day that keeps what the order was promised, nodes by name and days in turn."""
        ends = _end_of_promise(order)
        skus = sorted({line.sku for line in order.order.lines})
        places = [place for sku in skus for place in self._stock.get(sku, ())]
        found = [Row(source, None) for source in self._survey(order, self._alone, places)]
        dearest: dict[str, int] = {}
        for nth, snapshot in enumerate(self._by_day):
            if order.promised_at is not None and self._ready[nth] > order.promised_at:
                break
            for source in self._survey(order, snapshot, places):
                node_id = source.node.node_id
                # As the planner has it, a later day is never priced below an earlier one.
                dearest[node_id] = max(dearest.get(node_id, 0), *(way.capacity_unit for way in source.ways))
                ways = source.ways
                if dearest[node_id]:
                    ways = tuple(way._replace(capacity_unit=dearest[node_id]) for way in ways)
                found.append(Row(replace(source, node=self._nodes[node_id], ways=ways), nth))
        in_time = (Row(kept, row.nth) for row in found if (kept := _in_time(row.source, ends)) is not None)
        return sorted(in_time, key=lambda row: (row.source.node.node_id, row.nth or 0))

    def _survey(self, order: WaveOrder, snapshot: Snapshot, places: Sequence[int]) -> tuple[Source, ...]:
        stock = tuple(snapshot.stock[place] for place in places)
        seen = snapshot.model_copy(update={"stock": stock, "quotes": order.quotes})
        return survey(order.order, seen, order.policy).sources if snapshot.nodes else ()


def _handing_over(shared: Iterable[Node], limits: Limits, nth: int) -> Iterator[Node]:
    """Nodes that take until their ``nth`` day, without limits of their own: the wave counts what days have room for."""
    for node in shared:
        for day in limits.days_of(node.node_id)[nth : nth + 1]:
            yield node.model_copy(update={"handling_days": node.handling_days + day.later, "daily_units": None})


def _soonest(snapshot: Snapshot) -> datetime:
    """When the first of these nodes is ready."""
    ready = (ready_by(node, snapshot.as_of) for node in snapshot.nodes)
    return min((instant for instant in ready if instant is not None), default=datetime.max.replace(tzinfo=UTC))


def _end_of_promise(order: WaveOrder) -> datetime | None:
    """When the day ends that the order is promised for, where the customer is."""
    if order.promised_at is None:
        return None
    zone = order.order.ship_to.time_zone
    return at(local_day(order.promised_at, zone) + timedelta(days=1), time(0), zone)


def _in_time(source: Source, ends: datetime | None) -> Source | None:
    """The source with the ways that deliver before then, if there are any."""
    if ends is None:
        return source
    ways = tuple(way for way in source.ways if way.deliver_by < ends)
    if len(ways) == len(source.ways):
        return source
    return replace(source, ways=ways, capacity=max(way.capacity for way in ways)) if ways else None


class Scale:
    """The planner's weighed amounts of one order in thousandths of a minor unit."""

    def __init__(self, rows: Sequence[Row], policy: Policy) -> None:
        self.judged: Judged = judge(tuple(row.source for row in rows), policy)
        self._percent = 100 if self.judged.unit is None else self.judged.unit
        self.split = self.milli(self.judged.policy.split_penalty_minor)

    def milli(self, weighed: int) -> int:
        return weighed * self._percent * MILLI // 100

    @property
    def factor(self) -> int:
        """Thousandths of a minor unit that a weighed amount of one stands for."""
        return self._percent * MILLI // 100


def shipments_of(
    rows: Sequence[Row], scale: Scale, chosen: Sequence[tuple[int, Parts]], policy: Policy
) -> Iterator[PlannedShipment]:
    """The chosen rows as the planner would tell them."""
    for turn, (place, parts) in enumerate(chosen):
        source = rows[place].source
        yield shipment_of(source, scale.judged.price(place, source, parts), parts, policy, turn)
