"""What a job comes to: for people a table, for programs one object."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from rich.table import Table

from shared.domain.base import Model

_LABELS = {
    "orders": "orders accepted",
    "refused": "refused at the door",
    "delivered": "delivered",
    "split": "split over several shipments",
    "backordered": "waited for stock",
    "resourced": "sourced again (rejected, silent or short)",
    "cancelled": "cancelled",
    "returned": "units returned",
    "stuck": "stuck",
    "oversold": "oversold positions",
}


class Summary(Model):
    """The result of a job.

    Attributes:
        orders: Orders accepted; each is delivered, cancelled or stuck when the job ends.
        refused: Orders turned away at the door.
        stuck: Orders that were not over when the job gave up waiting.
        oversold: Stock positions that promise more than there is or do not equal the sum of their moves.
        cpu_ms_per_order: Workers, Temporal, Postgres and API together; ``cpu_ms`` has each.
        cost_per_order_minor: Freight, handling, fees and goods of an order that shipped, on average.
    """

    orders: int
    delivered: int
    split: int
    backordered: int
    cancelled: int
    resourced: int
    refused: int
    stuck: int
    oversold: int
    seconds: float
    cpu_ms_per_order: float
    cpu_ms: dict[str, float] = Field(default_factory=dict)
    cost_per_order_minor: int = 0
    currency: str = "USD"
    verdict_p50_ms: float = 0.0
    verdict_p95_ms: float = 0.0
    returned: int = 0
    extra: dict[str, Any] = Field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Nothing stuck, nothing oversold."""
        return not self.stuck and not self.oversold


def table_of(summary: Summary) -> Table:
    """The summary for people."""
    table = Table(title="What became of the orders", show_header=False, title_justify="left")
    for name, label in _LABELS.items():
        table.add_row(label, f"{getattr(summary, name):,}")
    table.add_row("cost of an order that shipped", f"{summary.cost_per_order_minor / 100:,.2f} {summary.currency}")
    table.add_row("verdict to the channel", f"p50 {summary.verdict_p50_ms:.0f} ms, p95 {summary.verdict_p95_ms:.0f} ms")
    table.add_row("CPU per order", _cpu(summary))
    table.add_row("wall time", f"{summary.seconds:.1f} s ({summary.orders / max(summary.seconds, 0.001):.1f} orders/s)")
    return table


def _cpu(summary: Summary) -> str:
    parts = ", ".join(f"{kind} {spent:.0f}" for kind, spent in summary.cpu_ms.items())
    return f"{summary.cpu_ms_per_order:.0f} ms ({parts})"
