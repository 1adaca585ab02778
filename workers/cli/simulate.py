"""What other policies would have made of the same orders."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from workers.cli.history import history_body, read_history
from workers.cli.output import Answer, table, when
from workers.connect import doms_client

if TYPE_CHECKING:
    from shared.domain.sourcing.simulation import Comparison
    from shared.domain.sourcing.tally import PolicyResult


async def simulate(
    *,
    policy: Annotated[tuple[str, ...], Parameter(negative="")],
    orders: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    since: datetime | None = None,
    limit: int = 10_000,
    html: Path | None = None,
) -> Answer:
    """Replay orders under several policies and compare cost, splits, lateness, load and shortages. Changes nothing.

    Stored orders meet the stock of their day, as the ledger tells it, and what has arrived since. They go by what
    carriers quoted when each came (known for 30 days, and by rate cards before that), and by the limits that were
    recorded of days of nodes which are past; of all others, and where nothing was taken of a day, by those set now.
    Orders of a file meet the stock, the quotes and the limits of now. Scarce units and busy days have the prices that
    planners saw when each order came, or those of now for orders of a file; a policy that weighs them nothing does
    without (doms prices). Nodes, rate cards and what is kept for channels are as they are now. Money is what is paid;
    amounts are minor units.

    ```
    doms simulate --policy default/1 --policy cheapest --since 2026-11-20
    doms simulate --policy balanced --policy cheapest --orders orders.jsonl --html report.html
    doms --json simulate --policy balanced --policy fastest --orders orders.jsonl | jq '.policies[].paid_minor'
    ```

    Args:
        policy: A version, a name or a preset; give several. The first is what the others are compared with.
        orders: A file of order documents, or - for standard input.
        since: Replay only the stored orders received from this time (UTC) on; all of them when not given.
        limit: At most so many stored orders.
        html: Write a report with charts and a map to this file as well; it needs no network to be read.
    """
    from shared.database.policies import find_policy
    from shared.database.snapshots import AGREEING
    from shared.domain.sourcing.simulation import compare

    body = await history_body(orders, since)
    async with doms_client() as doms, doms.database.transaction() as connection:
        await connection.execute(AGREEING)
        policies = [(await find_policy(connection, each)).sourcing for each in policy]
        replay = await read_history(connection, body, since, limit)
    found = compare(replay, policies)
    if html is not None:
        from workers.report.pages import simulation_page

        await asyncio.to_thread(html.write_text, simulation_page(found, replay), encoding="utf-8")
    return Answer(found, show=lambda: drawn(found))


def drawn(found: Comparison) -> Any:
    """Three tables: the figures, the nodes' loads, the shortages; a column for each policy."""
    from rich.console import Group

    names = [f"{each.policy_version}#" for each in found.policies]
    title = f"{found.orders} order(s) replayed, {when(found.begins)} to {when(found.ends)}"
    nodes = sorted({node.node_id for each in found.policies for node in each.nodes})
    reasons = sorted({reason for each in found.policies for reason in each.short_by_reason})
    shorts = [(reason, *(each.short_by_reason.get(reason, 0) for each in found.policies)) for reason in reasons]
    parts = [
        table(title, ("", *names), _figures(found.policies)),
        table(
            "units by node",
            ("node", *names),
            [(node, *(_units(each, node) for each in found.policies)) for node in nodes],
        ),
    ]
    return Group(*parts, *([table("units short, by reason", ("because", *names), shorts)] if shorts else []))


_ROWS = ("paid_minor", "paid_per_order_minor", "paid_per_unit_minor", "revenue_minor", "profit_minor",
         "profit_per_order_minor", "filled_orders", "units", "short_units",
         "shipments", "parcels", "split_orders", "split_rate", "days_to_deliver", "late_orders", "late_days",
         "unproven")  # fmt: skip


def _figures(policies: tuple[PolicyResult, ...]) -> list[tuple[object, ...]]:
    rows = [(name.replace("_", " "), [getattr(each, name) for each in policies]) for name in _ROWS]
    terms = dict.fromkeys(term for each in policies for term in each.paid_by_term)
    rows[3:3] = [(f"  {term.replace('_', ' ')}", [each.paid_by_term.get(term, 0) for each in policies])
                 for term in terms]  # fmt: skip
    return [(name, *_compared(values)) for name, values in rows]


def _compared(values: list[Any]) -> list[str]:
    """Each value, and by how much it differs from the first."""
    first = values[0]
    return [str(first), *(f"{value} ({_change(first, value)})" for value in values[1:])]


def _change(first: float, value: float) -> str:
    if value == first:
        return "="
    return f"{100 * (value - first) / first:+.1f} %" if first else f"{value - first:+g}"


def _units(result: PolicyResult, node_id: str) -> int:
    return next((node.units for node in result.nodes if node.node_id == node_id), 0)
