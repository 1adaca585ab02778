"""Heartbeats of an activity that works through statements or calls that may be long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import activity

from shared.contracts import LONG_CALL_BEAT


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Heartbeats while the block works, so that a dead worker is noticed and a long statement is not."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(LONG_CALL_BEAT.total_seconds() / 3)

    beats = asyncio.create_task(beat())
    try:
        yield
    finally:
        beats.cancel()
