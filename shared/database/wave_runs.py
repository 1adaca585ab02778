"""Waves on record: what was planned, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.waves.models import WavePlan
from shared.domain.waves.moves import GroupMove
from shared.domain.waves.results import GroupFate, WaveStory, WaveSummary
from shared.errors import NotFound

_KEEP = text("""
    INSERT INTO wave (wave_id, channel, started_at, seconds, orders, frozen, before_minor, after_minor, bound_minor,
                      short_before, short_after)
    VALUES (:wave_id, :channel, :started_at, :seconds, :orders, :frozen, :before_minor, :after_minor, :bound_minor,
            :short_before, :short_after)
    ON CONFLICT DO NOTHING
""")
_KEEP_GROUP = text("""
    INSERT INTO wave_group (wave_id, number, orders, saved_minor, parcels, moves)
    VALUES (:wave_id, :number, :orders, :saved_minor, :parcels, CAST(:moves AS jsonb))
""")
_IS_KEPT = text("SELECT EXISTS (SELECT FROM wave WHERE wave_id = :wave_id)")
_OPEN_GROUPS = text("SELECT number FROM wave_group WHERE wave_id = :wave_id AND outcome IS NULL ORDER BY number")
_SUMMARY = """
    SELECT w.*, coalesce(sum(g.saved_minor) FILTER (WHERE g.outcome = 'moved'), 0) AS saved_minor,
           coalesce(sum(g.orders) FILTER (WHERE g.outcome = 'moved'), 0) AS moved,
           coalesce(sum(g.parcels) FILTER (WHERE g.outcome = 'moved'), 0) AS shared_parcels,
           coalesce(sum(g.orders) FILTER (WHERE g.outcome <> 'moved'), 0) AS refused,
           coalesce(sum(g.orders) FILTER (WHERE g.outcome IS NULL), 0) AS open
    FROM wave w LEFT JOIN wave_group g USING (wave_id) WHERE %s
    GROUP BY w.wave_id ORDER BY w.started_at DESC, w.wave_id LIMIT :limit
"""
_LIST = text(_SUMMARY % "(:channel = '' OR w.channel = :channel)")
_ONE = text(_SUMMARY % "w.wave_id = :wave_id")
_GROUPS = text("""
    SELECT number, saved_minor, outcome, because,
           ARRAY(SELECT m ->> 'order_id' FROM jsonb_array_elements(moves -> 'orders') AS m) AS order_ids
    FROM wave_group WHERE wave_id = :wave_id ORDER BY number
""")


async def keep(
    connection: AsyncConnection,
    wave_id: str,
    channel: str,
    found: WavePlan,
    groups: Sequence[GroupMove],
    *,
    started_at: datetime,
    seconds: float,
) -> None:
    """Keep what was planned, once."""
    values = found.model_dump(
        include={"orders", "frozen", "before_minor", "after_minor", "bound_minor", "short_before", "short_after"}
    )
    values |= {"wave_id": wave_id, "channel": channel, "started_at": started_at, "seconds": seconds}
    if (await connection.execute(_KEEP, values)).rowcount and groups:
        await connection.execute(_KEEP_GROUP, [_row(wave_id, group) for group in groups])


def _row(wave_id: str, group: GroupMove) -> dict[str, Any]:
    return {
        "wave_id": wave_id,
        "number": group.number,
        "orders": len(group.orders),
        "saved_minor": group.saved_minor,
        "parcels": len(group.parcels),
        "moves": group.model_dump_json(),
    }


async def is_kept(connection: AsyncConnection, wave_id: str) -> bool:
    return bool((await connection.execute(_IS_KEPT, {"wave_id": wave_id})).scalar_one())


async def open_groups(connection: AsyncConnection, wave_id: str) -> Sequence[int]:
    """Groups that were neither moved nor refused yet."""
    return (await connection.execute(_OPEN_GROUPS, {"wave_id": wave_id})).scalars().all()


async def list_waves(connection: AsyncConnection, *, channel: str = "", limit: int = 20) -> list[WaveSummary]:
    """The latest waves, the last one first.

    Args:
        channel: Only of this one; empty for all.
    """
    rows = await connection.execute(_LIST, {"channel": channel, "limit": limit})
    return [WaveSummary.model_validate(dict(row._mapping)) for row in rows]


async def read_summary(connection: AsyncConnection, wave_id: str) -> WaveSummary:
    """One wave's figures.

    Raises:
        NotFound: there is no such wave.
    """
    row = (await connection.execute(_ONE, {"wave_id": wave_id, "limit": 1})).first()
    if row is None:
        raise NotFound(f"there is no wave {wave_id}; see `doms waves list`", wave_id=wave_id)
    return WaveSummary.model_validate(dict(row._mapping))


async def read_story(connection: AsyncConnection, wave_id: str) -> WaveStory:
    """One wave and what became of each of its groups.

    Raises:
        NotFound: there is no such wave.
    """
    summary = await read_summary(connection, wave_id)
    groups = await connection.execute(_GROUPS, {"wave_id": wave_id})
    fates = [GroupFate.model_validate(dict(group._mapping)) for group in groups]
    return WaveStory.model_validate({**dict(summary), "groups": fates})
