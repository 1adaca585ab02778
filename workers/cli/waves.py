"""Orders that no node was told of yet, planned again together.

Each order is planned when it comes, on what those before it left. Planned again together, one may give way where
another saves a parcel, or where units that wait find a source. What was promised is kept: no order loses units it
has, or is delivered later.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cyclopts import App

from workers.cli.output import Answer, table
from workers.connect import doms_client

if TYPE_CHECKING:
    from shared.domain.waves.models import WavePlan

app = App(name="waves", help=__doc__)
#: Rows shown to people; programs get all of them.
_ROWS = 40


@app.command
async def plan(channel: str, *, limit: int = 2000, change: int = 50, short: int = 10_000) -> Answer:
    """Show what a wave of a channel's orders would change and save now. Changes nothing.

    Looks at orders that are held, and at units that wait for stock: everything no node was told of. Orders under a
    policy with stages, or that keeps bundles together, are only counted. The gap says how far the plan may be from
    the best there is. Amounts are minor units, as each order's policy weighs costs.

    ```
    doms waves plan webshop
    doms waves plan webshop --change 200
    doms --json waves plan webshop | jq '.reassignments[].order_id'
    ```

    Args:
        channel: Whose orders; what is kept for other channels stays theirs.
        limit: At most so many orders, by priority and then by age.
        change: What it must save to move an order.
        short: What a unit without a source counts.
    """
    from shared.database.waves import read_wave
    from shared.domain.waves.generation import plan_wave
    from shared.domain.waves.models import WaveRules

    rules = WaveRules(change_minor=change, short_unit_minor=short)
    async with doms_client() as doms, doms.database.transaction() as connection:
        wave = await read_wave(connection, channel, datetime.now(UTC), rules=rules, limit=limit)
    found = await asyncio.to_thread(plan_wave, wave)
    return Answer(found, show=lambda: drawn(found))


def drawn(found: WavePlan) -> Any:
    """The figures, the orders that would move, and those that would share a shipment."""
    from rich.console import Group

    saved = found.before_minor - found.after_minor
    title = (
        f"{found.orders} order(s), {found.frozen} not planned; {found.before_minor} as they stand, "
        f"{found.after_minor} as a wave: {saved} saved; bound {found.bound_minor}, gap {found.gap:.2%}; "
        f"units without a source {found.short_before}, then {found.short_after}"
    )
    moves = [
        (
            each.order_id,
            " + ".join(f"{sum(line.quantity for line in one.lines)} at {one.node_id}" for one in each.shipments),
            each.filled_units,
            each.saved_minor,
            each.group,
        )
        for each in found.reassignments[:_ROWS]
    ]
    shared = [
        (" + ".join(each.order_ids), ", ".join(each.node_ids), each.saved_minor)
        for each in found.consolidations[:_ROWS]
    ]
    more = f"; {len(found.reassignments) - _ROWS} more move" if len(found.reassignments) > _ROWS else ""
    return Group(
        table(title, ("order", "would ship", "found units#", "saves#", "group#"), moves),
        table(f"would share a shipment{more}", ("orders", "nodes", "saves#"), shared),
    )
