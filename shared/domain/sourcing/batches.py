"""In which sequence orders take their turn, wherever a pool of them is served from the same stock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from shared.domain.sourcing.conditions import ConditionFailed, condition
from shared.domain.sourcing.facts import of_order
from shared.domain.sourcing.models import Policy, SourcingOrder
from shared.domain.sourcing.stages import Batch, SortBy

_LAST = datetime.max.replace(tzinfo=UTC)
#: What each key sorts by, in ascending order; what has no date comes last.
_KEYS: dict[SortBy, Callable[[SourcingOrder], Any]] = {
    SortBy.PRIORITY: lambda order: order.priority,
    SortBy.PROMISED_AT: lambda order: (order.promised_at or _LAST).timestamp(),
    SortBy.RECEIVED_AT: lambda order: (order.received_at or _LAST).timestamp(),
    SortBy.VALUE_MINOR: lambda order: sum(line.value_minor for line in order.lines),
    SortBy.UNITS: lambda order: sum(line.quantity for line in order.lines),
}


def in_sequence(orders: Iterable[SourcingOrder], policy: Policy, now: datetime) -> list[SourcingOrder]:
    """The orders, first the one that goes first.

    Each goes with the first batch whose condition holds for it; one that cannot be answered does not hold. Those of
    no batch come last, and what is equal goes by priority, by when it was received, and by its id.
    """

    def turn(order: SourcingOrder) -> tuple[Any, ...]:
        place = next((n for n, batch in enumerate(policy.batches) if _holds(batch, order, now)), len(policy.batches))
        keys = policy.batches[place].sequence if place < len(policy.batches) else ()
        sorted_by = tuple(-_KEYS[key.by](order) if key.descending else _KEYS[key.by](order) for key in keys)
        return place, sorted_by, order.priority, order.received_at or _LAST, order.order_id

    return sorted(orders, key=turn)


def _holds(batch: Batch, order: SourcingOrder, now: datetime) -> bool:
    try:
        return not batch.when or condition(batch.when).holds(of_order(order, now))
    except ConditionFailed:
        return False
