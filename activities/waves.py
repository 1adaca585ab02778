"""Waves planned and carried out. Imported only by workers of the planning queue."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from temporalio import activity

from activities.beating import beating
from shared.client import Doms
from shared.contracts import WaveActivities
from shared.database import wave_groups, wave_runs, waves
from shared.database.engine import Database, around_faults
from shared.database.wave_groups import GroupResult
from shared.domain.waves.generation import plan_wave
from shared.domain.waves.moves import group_moves
from shared.domain.waves.results import WaveSummary
from shared.messages.waves import WaveStep
from shared.wakes_client import REPLANNED, tell


class Waves(WaveActivities):
    """The wave activities over the database; ``doms`` tells the processes of the orders that moved."""

    def __init__(self, database: Database, doms: Doms) -> None:
        self._database = database
        self._doms = doms

    @activity.defn(name="waves.due")
    async def due(self, as_of: datetime) -> tuple[str, ...]:
        async with self._database.reading() as connection:
            return await waves.due(connection, as_of)

    @activity.defn(name="waves.plan")
    async def plan(self, step: WaveStep) -> None:
        """Plan the channel's orders together and keep the plan.

        Raises:
            Unsolved: the solver gave up.
        """
        async with beating():
            async with self._database.reading() as connection:
                if await wave_runs.is_kept(connection, step.wave_id):
                    return
            # Not when the wave began: whoever goes on with one that was left behind plans from then on.
            as_of = datetime.now(UTC)
            async with self._database.transaction() as connection:
                wave = await waves.read_wave(connection, step.channel, as_of, rules=step.rules, limit=step.limit)
            began = time.monotonic()
            found = await asyncio.to_thread(plan_wave, wave)
            seconds = time.monotonic() - began
            groups = group_moves(step.wave_id, wave, found)
            async with self._database.transaction() as connection:
                await wave_runs.keep(
                    connection, step.wave_id, step.channel, found, groups, started_at=step.started_at, seconds=seconds
                )

    @activity.defn(name="waves.carry_out")
    async def carry_out(self, step: WaveStep) -> WaveSummary:
        """Move every group that is still as it was planned, and tell the processes of its orders."""
        async with beating():
            async with self._database.reading() as connection:
                open_groups = await wave_runs.open_groups(connection, step.wave_id)
            for number in open_groups:
                result = await self._group(step.wave_id, number)
                await tell(self._database, self._doms, result.moved, wake=REPLANNED)
                await tell(self._database, self._doms, result.served)
            async with self._database.reading() as connection:
                return await wave_runs.read_summary(connection, step.wave_id)

    async def _group(self, wave_id: str, number: int) -> GroupResult:
        async for attempt in around_faults():
            with attempt:
                async with self._database.transaction() as connection:
                    return await wave_groups.carry_out(connection, wave_id, number, now=datetime.now(UTC))
        raise AssertionError("a retry either returns or raises")
