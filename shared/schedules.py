"""Workflows that start by the clock: one at a time, after everything that somebody waits for."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import Priority
from temporalio.service import RPCError, RPCStatusCode


def every(interval: timedelta, workflow: str, *args: object, name: str, queue: str, summary: str) -> Schedule:
    """A workflow at each interval; what was missed is caught up with once.

    Args:
        name: The workflow's id.
        summary: What people read of it in Temporal's Web UI.
    """
    return Schedule(
        action=ScheduleActionStartWorkflow(
            workflow,
            args=args,
            id=name,
            task_queue=queue,
            static_summary=summary,
            priority=Priority(priority_key=5),
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=interval)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=10)),
    )


async def keep_schedule(temporal: Client, name: str, schedule: Schedule) -> None:
    """Create a schedule, or bring the one of this name to what is wanted now."""
    try:
        await temporal.create_schedule(name, schedule)
    except ScheduleAlreadyRunningError:

        def changed(_: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(schedule=schedule)

        await temporal.get_schedule_handle(name).update(changed)


async def drop_schedule(temporal: Client, name: str) -> None:
    """Delete a schedule, if it is there."""
    try:
        await temporal.get_schedule_handle(name).delete()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
