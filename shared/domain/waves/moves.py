"""What carrying a wave out changes, order by order: whoever does it needs to know nothing else of the wave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from shared.domain.base import Instant, Model
from shared.domain.capacity import Work, works_of
from shared.domain.network import Node
from shared.domain.releasing import cutoff_of, last_call
from shared.domain.sourcing.criteria import versions
from shared.domain.sourcing.plans import Because, Plan, PlannedShipment, Replanned, Shortage
from shared.domain.waves.models import Consolidation, Reassignment, Wave, WaveOrder, WavePlan


class Stood(Model):
    """A fulfillment order as the wave saw it, with its units by line."""

    n: int
    node_id: str
    units: dict[int, int]


class Opening(Model):
    """A fulfillment order to be opened.

    Attributes:
        release_at: When its node is told; ``None`` is at once.
        cutoff: Opened then or later, it would not be handed over as planned.
        works: What it asks of its node, where days are limited.
    """

    shipment: PlannedShipment
    release_at: Instant | None = None
    cutoff: Instant | None = None
    works: tuple[Work, ...] = ()


class OrderMove(Model):
    """What becomes of one order, provided that it is still as the wave saw it.

    Attributes:
        stood: Every fulfillment order that its node was not told of.
        waiting: Units without a source, by line.
        ends: Numbers of those that stood and are replaced; the others stay as they are.
        plan: All shipments it then has that were not told, and the units that still wait.
    """

    order_id: str
    stood: tuple[Stood, ...]
    waiting: dict[int, int]
    ends: tuple[int, ...]
    opens: tuple[Opening, ...]
    plan: Plan

    @property
    def filled(self) -> dict[int, int]:
        """Units that find a source, by line."""
        planned = Counter[int]()
        for shipment in self.plan.shipments:
            planned.update({line.line_no: line.quantity for line in shipment.lines})
        for stood in self.stood:
            planned.subtract(stood.units)
        return {line_no: units for line_no, units in planned.items() if units}


class Parcel(Model):
    """What orders of one recipient ship from a node together."""

    node_id: str
    order_ids: tuple[str, ...]


class GroupMove(Model):
    """Orders that need what others of them give up: all of them move, or none.

    Attributes:
        parcels: Those they share then.
    """

    number: int
    saved_minor: int
    orders: tuple[OrderMove, ...]
    parcels: tuple[Parcel, ...] = ()


class _Knows(NamedTuple):
    """What all moves of a wave go by."""

    wave_id: str
    wave: Wave
    nodes: dict[str, Node]
    limited: frozenset[str]


def group_moves(wave_id: str, wave: Wave, found: WavePlan) -> tuple[GroupMove, ...]:
    """The groups of a plan, with everything that carrying them out takes."""
    snapshot = wave.snapshot
    limited = frozenset(load.node_id for load in snapshot.loads if load.days is not None)
    knows = _Knows(wave_id, wave, {node.node_id: node for node in snapshot.nodes}, limited)
    orders = {order.order_id: order for order in wave.orders}
    by_group = groupby(sorted(found.reassignments, key=lambda each: each.group), key=lambda each: each.group)
    return tuple(
        _group(number, [(orders[each.order_id], each) for each in group], found.consolidations, knows)
        for number, group in by_group
    )


def _group(
    number: int, moved: list[tuple[WaveOrder, Reassignment]], shared: Iterable[Consolidation], knows: _Knows
) -> GroupMove:
    saved = sum(each.saved_minor for _, each in moved)
    moves = []
    for order, each in moved:
        why = Replanned(
            wave_id=knows.wave_id,
            group=number,
            orders=len(moved),
            saved_minor=each.saved_minor,
            group_saved_minor=saved,
        )
        moves.append(_move(order, each, why, knows))
    ours = {order.order_id for order, _ in moved}
    parcels = tuple(parcel for each in shared if ours.issuperset(each.order_ids) for parcel in _parcels(each, moved))
    return GroupMove(number=number, saved_minor=saved, orders=tuple(moves), parcels=parcels)


def _parcels(shared: Consolidation, moved: list[tuple[WaveOrder, Reassignment]]) -> Iterator[Parcel]:
    for node_id in shared.node_ids:
        from_there = tuple(
            order.order_id
            for order, each in moved
            if order.order_id in shared.order_ids and any(one.node_id == node_id for one in each.shipments)
        )
        yield Parcel(node_id=node_id, order_ids=from_there)


def _move(order: WaveOrder, each: Reassignment, why: Replanned, knows: _Knows) -> OrderMove:
    snapshot = knows.wave.snapshot
    plan = Plan(
        order_id=order.order_id,
        policy_version=order.policy.version,
        as_of=snapshot.as_of,
        shipments=each.shipments,
        shortages=tuple(_shortages(order, each)),
        optimal=False,
        price_version=snapshot.price_version,
        replanned=why,
        criteria=versions(order.policy),
    )
    stays = [shipment for shipment in order.standing if any(_alike(shipment, other) for other in each.shipments)]
    works = works_of(plan, snapshot.nodes, knows.limited, order.order.service)
    return OrderMove(
        order_id=order.order_id,
        stood=tuple(_stood(n, shipment) for n, shipment in zip(order.numbers, order.standing, strict=True)),
        waiting=dict(_waiting(order, order.standing)),
        ends=tuple(n for n, shipment in zip(order.numbers, order.standing, strict=True) if shipment not in stays),
        opens=tuple(
            Opening(
                shipment=shipment,
                release_at=_release_at(order, knows.nodes[shipment.node_id], snapshot.as_of),
                cutoff=cutoff_of(knows.nodes[shipment.node_id], snapshot.as_of),
                works=tuple(work for work in works if work.n == place),
            )
            for place, shipment in enumerate(each.shipments)
            if not any(_alike(shipment, other) for other in stays)
        ),
        plan=plan,
    )


def _alike(one: PlannedShipment, other: PlannedShipment) -> bool:
    """Whether the customer and the node would not know them apart."""
    return (one.node_id, one.carrier, one.service, one.ship_by, one.lines) == (
        other.node_id, other.carrier, other.service, other.ship_by, other.lines,
    )  # fmt: skip


def _stood(n: int, shipment: PlannedShipment) -> Stood:
    return Stood(n=n, node_id=shipment.node_id, units={line.line_no: line.quantity for line in shipment.lines})


def _release_at(order: WaveOrder, node: Node, as_of: datetime) -> datetime | None:
    """The order waits no longer than it would have, and for no node past its cut-off."""
    last = last_call(node, as_of)
    if order.release_at is None or last is None:
        return None
    moment = min(order.release_at, last)
    return moment if moment > as_of else None


def _waiting(order: WaveOrder, shipments: tuple[PlannedShipment, ...]) -> Iterator[tuple[int, int]]:
    """Units that none of these shipments has, by line."""
    planned = Counter[int]()
    for shipment in shipments:
        planned.update({line.line_no: line.quantity for line in shipment.lines})
    for line in order.order.lines:
        if units := line.quantity - planned[line.line_no]:
            yield line.line_no, units


def _shortages(order: WaveOrder, each: Reassignment) -> Iterator[Shortage]:
    skus = {line.line_no: line.sku for line in order.order.lines}
    for line_no, units in _waiting(order, each.shipments):
        yield Shortage(line_no=line_no, sku=skus[line_no], quantity=units, because=Because.NO_STOCK)
