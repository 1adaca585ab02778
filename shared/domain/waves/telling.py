"""What the chosen columns mean: which orders move, which of them only together, and what that saves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.domain.waves.columns import Column
from shared.domain.waves.limits import Limit, Limits, Uses
from shared.domain.waves.models import Consolidation, Reassignment, Wave, WavePlan
from shared.domain.waves.rows import MILLI
from shared.domain.waves.standing import short_units


def told(wave: Wave, limits: Limits, standing: Sequence[Column], chosen: Sequence[Column]) -> WavePlan:
    """The wave's outcome, without what only its search knows."""
    moved = [column for column in chosen if not column.standing]
    groups = _groups(moved, standing, limits)
    before, after = (sum(column.cost for column in columns) // MILLI for columns in (standing, chosen))
    shipped = {
        member: shipments
        for column in chosen
        for member, shipments in zip(column.members, column.shipments, strict=True)
    }
    return WavePlan(
        orders=len(wave.orders),
        reassignments=tuple(
            each for group, column in zip(groups, moved, strict=True) for each in _moves(column, group, wave, standing)
        ),
        consolidations=tuple(_consolidation(column, wave) for column in moved if len(column.members) > 1),
        before_minor=before,
        after_minor=after,
        short_before=sum(short_units(order, order.standing) for order in wave.orders),
        short_after=sum(short_units(order, shipped[place]) for place, order in enumerate(wave.orders)),
    )


def _moves(column: Column, group: int, wave: Wave, standing: Sequence[Column]) -> Iterator[Reassignment]:
    """The column's orders; what they save together is told of the first."""
    saved = (sum(standing[member].cost for member in column.members) - column.cost) // MILLI
    for member, shipments in zip(column.members, column.shipments, strict=True):
        order = wave.orders[member]
        yield Reassignment(
            order_id=order.order_id,
            shipments=shipments,
            saved_minor=saved if member == column.members[0] else 0,
            filled_units=short_units(order, order.standing) - short_units(order, shipments),
            group=group,
        )


def _consolidation(column: Column, wave: Wave) -> Consolidation:
    of_node: dict[str, int] = {}
    for shipments in column.shipments:
        for shipment in shipments:
            of_node[shipment.node_id] = of_node.get(shipment.node_id, 0) + 1
    orders = [wave.orders[member] for member in column.members]
    return Consolidation(
        recipient=orders[0].recipient,
        order_ids=tuple(order.order_id for order in orders),
        node_ids=tuple(sorted(node_id for node_id, count in of_node.items() if count > 1)),
        saved_minor=column.shared_minor,
    )


def _groups(moved: Sequence[Column], standing: Sequence[Column], limits: Limits) -> list[int]:
    """A number for each column, alike for those that need what others of them give up."""
    leader = list(range(len(moved)))

    def lead(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    free = dict(limits.most)
    for column in standing:
        for limit, units in column.uses.items():
            free[limit] -= units
    gives, takes = _changes(moved, standing)
    for limit, takers in takes.items():
        # Where there is enough free for all who take, nobody depends on who gives up.
        if sum(units for _, units in takers) > free.get(limit, 0):
            together = [place for place, _ in takers] + gives.get(limit, [])
            for place in together[1:]:
                leader[lead(place)] = lead(together[0])
    names: dict[int, int] = {}
    return [names.setdefault(lead(place), len(names) + 1) for place in range(len(moved))]


def _changes(
    moved: Sequence[Column], standing: Sequence[Column]
) -> tuple[dict[Limit, list[int]], dict[Limit, list[tuple[int, int]]]]:
    """By stock or day: columns that give units up, and columns that take so many more."""
    gives: dict[Limit, list[int]] = {}
    takes: dict[Limit, list[tuple[int, int]]] = {}
    for place, column in enumerate(moved):
        before: Uses = {}
        for member in column.members:
            for limit, units in standing[member].uses.items():
                before[limit] = before.get(limit, 0) + units
        for limit in dict.fromkeys([*before, *column.uses]):
            change = column.uses.get(limit, 0) - before.get(limit, 0)
            if change < 0:
                gives.setdefault(limit, []).append(place)
            elif change > 0:
                takes.setdefault(limit, []).append((place, change))
    return gives, takes
