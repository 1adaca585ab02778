"""What other policies would have made of the same orders."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from workers.cli.output import Answer, table, when
from workers.connect import doms_client

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.domain.sourcing.simulation import Comparison, Replay
    from shared.domain.sourcing.tally import PolicyResult


async def simulate(
    *,
    policy: Annotated[tuple[str, ...], Parameter(negative="")],
    orders: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    since: datetime | None = None,
    limit: int = 10_000,
) -> Answer:
    """Replay orders under several policies and compare cost, splits, lateness, load and shortages. Changes nothing.

    Stored orders meet the stock of their day, as the ledger tells it, and what has arrived since. Orders of a
    file meet the stock of now. Money is what is paid; amounts are minor units.

    ```
    doms simulate --policy default/1 --policy cheapest --since 2026-11-20
    doms --json simulate --policy balanced --policy fastest --orders orders.jsonl | jq '.policies[].paid_minor'
    ```

    Args:
        policy: A version, a name or a preset; give several. The first is what the others are compared with.
        orders: A file of order documents, or - for standard input.
        since: Replay the stored orders received from this time (UTC) on.
        limit: At most so many stored orders.
    """
    from shared.database.policies import find_policy
    from shared.database.snapshots import AGREEING
    from shared.domain.sourcing.simulation import compare
    from shared.errors import Fault, InvalidInput

    if bool(orders) == (since is not None):
        raise InvalidInput([Fault(pointer="/orders", code="one_of", message="give either --orders or --since")])
    body = await _body(orders)
    async with doms_client() as doms, doms.database.transaction() as connection:
        await connection.execute(AGREEING)
        policies = [(await find_policy(connection, each)).sourcing for each in policy]
        replay = await _replay(connection, body, since, limit)
    found = compare(replay, policies)
    return Answer(found, show=lambda: drawn(found))


async def _body(orders: str) -> bytes:
    if orders == "-":
        return sys.stdin.buffer.read()
    return await asyncio.to_thread(Path(orders).read_bytes) if orders else b""


async def _replay(connection: AsyncConnection, body: bytes, since: datetime | None, limit: int) -> Replay:
    from shared.database import replays
    from shared.intake import read_orders

    if since is None:
        return await replays.documents(connection, read_orders(body, source="auto"), datetime.now(UTC))
    aware = since if since.tzinfo else since.replace(tzinfo=UTC)
    return await replays.stored_orders(connection, aware, limit)


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


_ROWS = ("paid_minor", "paid_per_order_minor", "paid_per_unit_minor", "filled_orders", "units", "short_units",
         "shipments", "parcels", "split_orders", "split_rate", "days_to_deliver", "late_orders", "late_days",
         "unproven")  # fmt: skip


def _figures(policies: tuple[PolicyResult, ...]) -> list[tuple[object, ...]]:
    rows = [(name.replace("_", " "), [getattr(each, name) for each in policies]) for name in _ROWS]
    rows[3:3] = [(f"  {term.replace('_', ' ')}", [each.paid_by_term[term] for each in policies])
                 for term in policies[0].paid_by_term]  # fmt: skip
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
