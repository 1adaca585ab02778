"""What a policy adds to stock that is not to be cleared first: there is less of it than elsewhere, or it sells."""

from __future__ import annotations

from collections.abc import Iterable

from shared.domain.sourcing.models import IdleStock, Policy, Stock

#: Days of lying after which stock is not told apart any more: a season.
AGED_DAYS = 90

Held = dict[str, dict[str, Stock]]


def cleared(held: Held, idle: Iterable[IdleStock], policy: Policy) -> Held:
    """Stock by node and SKU, with what taking a unit adds where less of its item lies, or for a shorter time.

    Amounts are minor units, each rounded down.
    """
    days = {(row.node_id, row.sku): min(row.days, AGED_DAYS) for row in idle}
    most: dict[str, int] = {}
    longest: dict[str, int] = {}
    for node_id, stock in held.items():
        for sku, row in stock.items():
            most[sku] = max(most.get(sku, 0), row.available)
            longest[sku] = max(longest.get(sku, 0), days.get((node_id, sku), 0))

    def added(node_id: str, sku: str, row: Stock) -> int:
        shorter = longest[sku] - days.get((node_id, sku), 0)
        fewer = most[sku] - row.available
        return policy.clear_unit_minor * fewer // most[sku] + policy.clear_aged_minor * shorter // AGED_DAYS

    return {
        node_id: {
            sku: row.model_copy(update={"clearance_minor": added(node_id, sku, row)}) for sku, row in stock.items()
        }
        for node_id, stock in held.items()
    }
