"""Histories of real runs: replayed after every acceptance test, and kept for the versions to come."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer, WorkflowReplayResult

from shared.codec import data_converter
from workers.runner import PlainPayloadRunner
from workflows.registry import EVERY_WORKFLOW

#: What must hold in every history of every test.
MAX_EVENTS = 10_240
MAX_EVENT_BYTES = 256 * 1024


async def histories(client: Client) -> AsyncIterator[WorkflowHistory]:
    """Every history of a client's namespace, closed and open."""
    async for execution in client.list_workflows():
        yield await client.get_workflow_handle(execution.id, run_id=execution.run_id).fetch_history()


async def replay_everything(client: Client) -> int:
    """Replay every history of the namespace against today's code; returns how many.

    Raises:
        AssertionError: one does not replay, or breaks a bound on its size.
    """
    replayed = 0
    async with replaying(histories(client)) as results:
        async for result in results:
            history = result.history
            assert result.replay_failure is None, f"{history.workflow_id}: {result.replay_failure}"
            assert len(history.events) <= MAX_EVENTS, f"{history.workflow_id} has {len(history.events)} events"
            largest = max(event.ByteSize() for event in history.events)
            assert largest <= MAX_EVENT_BYTES, f"{history.workflow_id} has an event of {largest} bytes"
            replayed += 1
    return replayed


def replaying(
    these: AsyncIterator[WorkflowHistory],
) -> AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]]:
    """Replay histories as workers run them, all by one replayer, whose preparation costs more than a history does."""
    replayer = Replayer(workflows=EVERY_WORKFLOW, data_converter=data_converter(), workflow_runner=PlainPayloadRunner())
    return replayer.workflow_replay_iterator(these)


async def keep_new_shapes(client: Client, folder: Path) -> int:
    """Store the histories whose sequence of events no stored one has; returns how many are new."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {path.name.partition(".")[0].rpartition("-")[2] for path in folder.glob("*.json.gz")}
    added = 0
    async for history in histories(client):
        shape = shape_of(history)
        if shape not in known and history.events:
            known.add(shape)
            kind = history.workflow_id.partition("/")[0]
            save(history, folder / f"{kind}-{shape}.json.gz")
            added += 1
    return added


def shape_of(history: WorkflowHistory) -> str:
    """A digest of what happened in which order: event types, activities, signals, updates."""
    steps = [f"{EventType.Name(event.event_type)} {_name(event)}" for event in history.events]
    return hashlib.sha256("\n".join(steps).encode()).hexdigest()[:10]


def _name(event: object) -> str:
    for field, name in (
        ("activity_task_scheduled_event_attributes", "activity_type"),
        ("workflow_execution_signaled_event_attributes", "signal_name"),
        ("marker_recorded_event_attributes", "marker_name"),
    ):
        attributes = getattr(event, field)
        value = getattr(attributes, name)
        if str(value):
            return str(getattr(value, "name", value))
    return ""


def save(history: WorkflowHistory, path: Path) -> None:
    # No time stamp inside, so that the same history makes the same file.
    path.write_bytes(gzip.compress(history.to_json().encode(), mtime=0))


def load(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.name, gzip.decompress(path.read_bytes()).decode())
