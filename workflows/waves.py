"""Waves: a channel's orders that no node was told of are planned again together, and moved."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from shared.contracts import WAVE_TIMEOUT, WaveActivities
    from shared.domain.waves.results import WaveSummary
    from shared.messages import wave_workflow_id
    from shared.messages.waves import WaveInput, WaveStep
    from workflows.kit import call, long_call


@workflow.defn(name="Wave")
class WaveWorkflow:
    """One wave of one channel: planned whole, then carried out group by group."""

    @workflow.run
    async def run(self, request: WaveInput) -> WaveSummary:
        """Plan, keep the plan, and move what is still as it was."""
        now = workflow.now()
        # The end of a run's id is random; one channel has one wave at a time.
        wave_id = f"{request.channel}/{now:%Y%m%dT%H%M%S}-{workflow.info().run_id[-4:]}"
        step = WaveStep(**dict(request), wave_id=wave_id, started_at=now)
        await long_call(WaveActivities.plan, step, f"plan the orders of {request.channel} together")
        result = await long_call(WaveActivities.carry_out, step, "move what is still as it was")
        workflow.set_current_details(
            f"{result.wave_id}: {result.moved} of {result.orders} orders moved, {result.refused} refused"
        )
        return result


@workflow.defn(name="StartWaves")
class StartWavesWorkflow:
    """The scheduled waves: one after the other, of every channel that keeps orders from their nodes for a while."""

    @workflow.run
    async def run(self) -> int:
        """Run the waves that are due; returns how many came to their end."""
        channels = await call(WaveActivities.due, workflow.now(), "which channels keep orders back")
        return sum([await self._wave(channel) for channel in channels])

    async def _wave(self, channel: str) -> bool:
        """Whether the wave came to its end. One that fails keeps no other channel from its own."""
        try:
            await workflow.execute_child_workflow(
                WaveWorkflow.run,
                WaveInput(channel=channel),
                id=wave_workflow_id(channel),
                execution_timeout=WAVE_TIMEOUT,
                static_summary=f"orders of {channel} planned again together",
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("a wave of %s runs already", channel)
            return False
        except ChildWorkflowError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.error("the wave of %s failed: %s", channel, error.cause)
            return False
        return True
