"""The processes that tell channels what they may sell, one each, and the scheduled one that sees that they run."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from shared.contracts import CALL_TIMEOUT, LONG_CALL_BEAT, STEP_RETRY, PublishingActivities
    from shared.messages import PublishInput, PublishResult

#: A channel that is away is tried again soon: what it sells meanwhile may not be there.
_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=1.5, maximum_interval=timedelta(seconds=10)
)
#: Activities of one run of the process: some hours.
_ROUNDS = 50


@workflow.defn(name="Publishing")
class PublishingWorkflow:
    """Tells one channel what changes of its availability, for as long as the channel has a partner."""

    @workflow.run
    async def run(self, request: PublishInput) -> PublishResult:
        """Follow the channel, round after round."""
        told = request.told
        ended = False
        for _ in range(_ROUNDS):
            result = await workflow.execute_activity_method(
                PublishingActivities.follow,
                request,
                start_to_close_timeout=2 * request.lasts + timedelta(minutes=1),
                heartbeat_timeout=LONG_CALL_BEAT,
                retry_policy=_RETRY,
                summary=f"tell {request.channel} what it may sell",
            )
            told += result.told
            workflow.set_current_details(f"{request.channel} was told {told} figures")
            ended = result.ended
            if ended:
                break
        if not ended:
            workflow.continue_as_new(request.model_copy(update={"told": told}))
        return PublishResult(told=told, ended=True)


@workflow.defn(name="StartPublishing")
class StartPublishingWorkflow:
    """Sees to it that every channel with a partner has its process."""

    @workflow.run
    async def run(self) -> int:
        """Start what does not run."""
        return await workflow.execute_activity_method(
            PublishingActivities.start_followers, start_to_close_timeout=4 * CALL_TIMEOUT, retry_policy=STEP_RETRY
        )
