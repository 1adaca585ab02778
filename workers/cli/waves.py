"""Orders that no node was told of yet, planned again together and moved.

Each order is planned when it comes, on what those before it left. Planned again together, one may give way where
another saves a parcel, or where units that wait find a source. What was promised is kept: no order loses units it
has, or is delivered later. What a node was told of, and what staff sent to a node of their choice, stays where it is.

Orders wait for waves when their policy says so: `release_after` in its `process` keeps them from their nodes for a
while. Waves of the channels where it does run by themselves, every ten minutes.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cyclopts import App

from workers.cli.output import Answer, table, when
from workers.connect import doms_client, settings_in_effect, temporal_client

if TYPE_CHECKING:
    from shared.domain.waves.models import WavePlan, WaveRules
    from shared.domain.waves.results import WaveStory, WaveSummary

app = App(name="waves", help=__doc__)
#: Rows shown to people; programs get all of them.
_ROWS = 40


@app.command
async def run(
    channel: str, *, dry_run: bool = False, limit: int = 2000, change: int = 50, short: int = 10_000
) -> Answer:
    """Plan a channel's orders again together now, and move those that it pays to move.

    Orders that need what others give up move together or not at all. A group is refused when one of its orders was
    told to its node, cancelled or sourced meanwhile, when somebody else was faster at the stock or the day, or when
    the cut-off of a node has passed since; the others go on. `doms explain ORDER` says which wave replanned an order
    and what that saved.

    A worker of the planning queue does it: one is part of `doms up`, elsewhere it is `doms worker --queue planning`.
    Orders under a policy with stages, or that keeps bundles together, are only counted. The gap says how far the plan
    may be from the best there is. Amounts are minor units, as each order's policy weighs costs.

    ```
    doms waves run webshop --dry-run
    doms waves run webshop
    doms --json waves run webshop --dry-run --change 200 | jq '.reassignments[].order_id'
    ```

    Args:
        channel: Whose orders; what is kept for other channels stays theirs.
        dry_run: Show what would move and what it would save; change nothing.
        limit: At most so many orders, the first in their order of service.
        change: What it must save to move an order.
        short: What a unit without a source counts.
    """
    from shared.domain.waves.models import WaveRules
    from shared.messages.waves import WaveInput
    from shared.waves_client import run_wave

    rules = WaveRules(change_minor=change, short_unit_minor=short)
    if dry_run:
        found = await _look(channel, limit, rules)
        return Answer(found, show=lambda: drawn(found))
    temporal = await temporal_client(settings_in_effect(), program="doms-waves")
    done = await run_wave(temporal, WaveInput(channel=channel, limit=limit, rules=rules))
    told = (
        f"{done.moved} of {done.orders} order(s) moved, {done.saved_minor} saved, "
        f"{done.shared_parcels} parcel(s) shared; {done.refused} refused"
    )
    return Answer(done, text=f"{done.wave_id}: {told}; `doms waves show {done.wave_id}` tells each")


async def _look(channel: str, limit: int, rules: WaveRules) -> WavePlan:
    from shared.database.waves import read_wave
    from shared.domain.waves.generation import plan_wave

    async with doms_client() as doms, doms.database.transaction() as connection:
        wave = await read_wave(connection, channel, datetime.now(UTC), rules=rules, limit=limit)
    return await asyncio.to_thread(plan_wave, wave)


@app.command(name="list")
async def list_(*, channel: str = "", limit: int = 20) -> Answer:
    """List the latest waves with what they saved, the last one first.

    ```
    doms waves list
    doms --json waves list --channel webshop | jq '.[] | {wave_id, moved, saved_minor}'
    ```

    Args:
        channel: Only waves of this channel.
        limit: At most so many.
    """
    from shared.database.wave_runs import list_waves

    async with doms_client() as doms, doms.database.reading() as connection:
        waves = await list_waves(connection, channel=channel, limit=limit)
    return Answer(waves, show=lambda: table("waves", _COLUMNS, map(_row, waves)))


@app.command
async def show(wave_id: str) -> Answer:
    """Show one wave: each of its groups, what moving it saved, or why it was refused.

    ```
    doms waves show webshop/20261120T141500-3f9a
    doms --json waves show webshop/20261120T141500-3f9a | jq '.groups[] | select(.outcome != "moved")'
    ```

    Args:
        wave_id: As `doms waves list` names it.
    """
    from shared.database.wave_runs import read_story

    async with doms_client() as doms, doms.database.transaction() as connection:
        story = await read_story(connection, wave_id)
    return Answer(story, show=lambda: told(story))


_COLUMNS = (
    "wave",
    "began",
    "orders#",
    "moved#",
    "refused#",
    "shared#",
    "saved#",
    "before#",
    "after#",
    "bound#",
    "gap#",
    "seconds#",
)


def _row(wave: WaveSummary) -> tuple[object, ...]:
    return (
        wave.wave_id, when(wave.started_at), wave.orders, wave.moved, wave.refused, wave.shared_parcels,
        wave.saved_minor, wave.before_minor, wave.after_minor, wave.bound_minor, f"{wave.gap:.2%}",
        f"{wave.seconds:.1f}",
    )  # fmt: skip


def told(story: WaveStory) -> Any:
    """The wave's figures and the fate of each group."""
    from rich.console import Group

    groups = [
        (
            each.number,
            " + ".join(each.order_ids),
            each.saved_minor,
            (each.outcome or "not yet").replace("_", " "),
            each.because,
        )
        for each in story.groups[:_ROWS]
    ]
    more = f"; {len(story.groups) - _ROWS} more" if len(story.groups) > _ROWS else ""
    found = f"units without a source {story.short_before}, then {story.short_after} as planned"
    return Group(
        table(f"{story.frozen} order(s) not planned; {found}", _COLUMNS, [_row(story)]),
        table(f"groups{more}", ("group#", "orders", "saves#", "outcome", "because"), groups),
    )


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
