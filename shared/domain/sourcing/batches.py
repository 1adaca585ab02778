"""In which sequence orders take their turn, wherever a pool of them is served from the same stock."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from shared.domain.sourcing.conditions import ConditionFailed, condition
from shared.domain.sourcing.facts import of_order
from shared.domain.sourcing.models import Policy, SourcingOrder
from shared.domain.sourcing.stages import Batch, SortBy, SortKey

#: What an order's place among others is kept as, compared from the left: the number of its batch, then what the batch
#: sorts by. ``None`` stands for its promise, which changes after it was planned, NaN for the later promise first.
Place = tuple[float | None, ...]

_LAST = datetime.max.replace(tzinfo=UTC)
#: What each key sorts by, in ascending order; what has no date comes last.
_KEYS: dict[SortBy, Callable[[SourcingOrder], float]] = {
    SortBy.PRIORITY: lambda order: order.priority,
    SortBy.PROMISED_AT: lambda order: (order.promised_at or _LAST).timestamp(),
    SortBy.RECEIVED_AT: lambda order: (order.received_at or _LAST).timestamp(),
    SortBy.VALUE_MINOR: lambda order: sum(line.value_minor for line in order.lines),
    SortBy.UNITS: lambda order: sum(line.quantity for line in order.lines),
}


def in_sequence(orders: Iterable[SourcingOrder], policy: Policy, now: datetime) -> list[SourcingOrder]:
    """The orders, first the one that goes first; what is equal goes by priority, when it was received, and its id."""

    def turn(order: SourcingOrder) -> tuple[Any, ...]:
        promised_at = _KEYS[SortBy.PROMISED_AT](order)
        place = tuple(_with_promise(key, promised_at) for key in place_of(order, policy, now))
        return place, order.priority, order.received_at or _LAST, order.order_id

    return sorted(orders, key=turn)


def _with_promise(key: float | None, promised_at: float) -> float:
    if key is None:
        return promised_at
    return -promised_at if math.isnan(key) else key


def place_of(order: SourcingOrder, policy: Policy, now: datetime) -> Place:
    """The order's place among those that wait.

    It goes with the first batch whose condition holds for it; one that cannot be answered does not hold. Those of no
    batch come last.
    """
    if not policy.batches:
        return ()
    for n, batch in enumerate(policy.batches):
        if _holds(batch, order, now):
            return n, *(_kept(key, order) for key in batch.sequence)
    return (len(policy.batches),)


def _kept(key: SortKey, order: SourcingOrder) -> float | None:
    if key.by is SortBy.PROMISED_AT:
        return math.nan if key.descending else None
    return -_KEYS[key.by](order) if key.descending else _KEYS[key.by](order)


def _holds(batch: Batch, order: SourcingOrder, now: datetime) -> bool:
    try:
        return not batch.when or condition(batch.when).holds(of_order(order, now))
    except ConditionFailed:
        return False
