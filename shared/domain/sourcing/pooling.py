"""Plans that leave what is kept for other channels: a total over nodes, which stock told by node cannot say.

A plan is made as if each node gave all it could by itself. If it leaves what is kept, no plan is better: it was made
under weaker rules. If it does not, what is kept is laid down at nodes, where that plan wants units least, and the order
is planned on the rest; how far that may be from the best is told by the plan under weaker rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

from shared.domain.pools import Pooled, place
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder, Stock
from shared.domain.sourcing.plans import Plan

Planner = Callable[[SourcingOrder, Snapshot, Policy], Plan]
#: Units by node and SKU.
Wanted = Mapping[tuple[str, str], int]


def plan_beside_pools(order: SourcingOrder, snapshot: Snapshot, policy: Policy, planner: Planner) -> Plan:
    """The planner's answer, with all that is kept for other channels left."""
    found = planner(order, snapshot, policy)
    wanted = _units_of(found)
    if all(item.may_take(_free(snapshot, item), _taken(snapshot, item, wanted)) for item in snapshot.pooled):
        return found
    return _measured(planner(order, lay_down(snapshot, wanted), policy), found)


def lay_down(snapshot: Snapshot, wanted: Wanted = MappingProxyType({})) -> Snapshot:
    """The snapshot with what is kept laid down at nodes: whatever is taken of it leaves that.

    Args:
        wanted: Units to be left free where possible.
    """
    stays: dict[tuple[str, str], int] = {}
    for item in snapshot.pooled:
        stock = _free(snapshot, item)
        laid = place(stock, item.kept_from(stock), _taken(snapshot, item, wanted))
        stays |= {(node_id, item.sku): laid.get(node_id, 0) for node_id in stock}
    rows = (_less(row, stays.get((row.node_id, row.sku))) for row in snapshot.stock)
    return snapshot.model_copy(update={"stock": tuple(rows), "pooled": ()})


def _less(row: Stock, stays: int | None) -> Stock:
    if stays is None:
        return row
    return row.model_copy(update={"available": row.available + row.protected - stays, "protected": stays})


def _free(snapshot: Snapshot, item: Pooled) -> dict[str, int]:
    """Units by node that are nobody's yet."""
    return {row.node_id: row.available + row.protected - row.own for row in snapshot.stock if row.sku == item.sku}


def _taken(snapshot: Snapshot, item: Pooled, wanted: Wanted) -> Mapping[str, int]:
    """Units by node that are wanted beside the order's own."""
    rows = (row for row in snapshot.stock if row.sku == item.sku)
    return {row.node_id: units for row in rows if (units := wanted.get((row.node_id, row.sku), 0) - row.own) > 0}


def _units_of(found: Plan) -> Wanted:
    units = Counter[tuple[str, str]]()
    for shipment in found.shipments:
        for line in shipment.lines:
            units[shipment.node_id, line.sku] += line.quantity
    return units


def _measured(found: Plan, weaker: Plan) -> Plan:
    """The plan with how far it may be from the best, by what no plan can cost less than."""
    least = _cost(weaker) - weaker.gap_minor if _by_line(weaker) == _by_line(found) else 0
    gap = max(0, _cost(found) - least)
    return found.model_copy(update={"gap_minor": gap, "optimal": not gap})


def _cost(found: Plan) -> int:
    return found.total_minor if found.weighed_minor is None else found.weighed_minor


def _by_line(found: Plan) -> Counter[int]:
    units = Counter[int]()
    for shipment in found.shipments:
        for line in shipment.lines:
            units[line.line_no] += line.quantity
    return units
