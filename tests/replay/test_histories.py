"""Every stored history, closed and open, replays against today's code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from temporalio.client import WorkflowHistory

from tests.support.histories import load, replaying

STORED = sorted((Path(__file__).parent / "histories").glob("*.json.gz"))


async def _stored() -> AsyncIterator[WorkflowHistory]:
    for path in STORED:
        yield load(path)


async def test_stored_histories_replay() -> None:
    failures = {}
    replayed = 0
    async with replaying(_stored()) as results:
        async for result in results:
            replayed += 1
            if result.replay_failure:
                failures[result.history.workflow_id] = result.replay_failure
    assert not failures
    assert replayed == len(STORED) >= 50
