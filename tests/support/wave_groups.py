"""A wave of a real Postgres, step by step as the activities take it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.database import wave_groups, wave_runs
from shared.database.wave_groups import GroupResult
from shared.database.waves import read_wave
from shared.domain.waves.generation import plan_wave
from shared.domain.waves.models import WaveRules
from shared.domain.waves.moves import group_moves
from shared.domain.waves.results import WaveStory
from tests.support.books import books_agree
from tests.support.facts import Facts
from tests.support.stock import residuals


async def check_books(shop: Facts) -> None:
    """Nothing is left over, and no fact contradicts another."""
    async with shop.database.reading() as connection:
        assert await residuals(connection) == {}
    await books_agree(shop.database, but=("messages", "payments"))


async def placed(shop: Facts, *lines: tuple[str, int], **changes: Any) -> str:
    """An order as it is after it was sourced by itself."""
    order_id = await shop.keep(*lines, **changes)
    await shop.source(order_id)
    return order_id


async def planned(shop: Facts) -> str:
    """A wave of the channel, planned and kept; returns its id."""
    wave_id = f"webshop/w{uuid.uuid4().hex[:8]}"
    now = datetime.now(UTC)
    async with shop.database.transaction() as connection:
        wave = await read_wave(connection, "webshop", now, rules=WaveRules(), limit=100_000)
    found = plan_wave(wave)
    groups = group_moves(wave_id, wave, found)
    async with shop.database.transaction() as connection:
        await wave_runs.keep(connection, wave_id, "webshop", found, groups, started_at=now, seconds=0.1)
    return wave_id


async def carried_out(shop: Facts, wave_id: str, number: int = 1, *, after: timedelta = timedelta(0)) -> GroupResult:
    async with shop.database.transaction() as connection:
        return await wave_groups.carry_out(connection, wave_id, number, now=datetime.now(UTC) + after)


async def story(shop: Facts, wave_id: str) -> WaveStory:
    async with shop.database.reading() as connection:
        return await wave_runs.read_story(connection, wave_id)


async def where(shop: Facts, order_id: str) -> dict[int, str]:
    """The nodes of the fulfillment orders that are not over."""
    return {each.n: each.node_id for each in await shop.live(order_id)}
