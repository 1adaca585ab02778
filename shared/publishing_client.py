"""The process that tells a channel what it may sell: started once, left alone when it runs."""

from __future__ import annotations

from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy

from shared.contracts import CHANNELS_QUEUE
from shared.messages import PublishInput


class Followers:
    """Starts the followers of channels."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    async def __call__(self, channel: str) -> None:
        """See to it that a channel is followed."""
        await self._temporal.start_workflow(
            "Publishing",
            PublishInput(channel=channel),
            id=f"publishing/{channel}",
            task_queue=CHANNELS_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"tell {channel} what it may sell, as it changes",
            priority=Priority(priority_key=4),
        )
