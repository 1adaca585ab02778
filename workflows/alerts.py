"""The scheduled look at the levels of stock: how far records are doubted, then what is worth an alert."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shared.contracts import AlertActivities
    from shared.messages import WatchInput, WatchResult, WatchStep
    from workflows.kit import long_call


@workflow.defn(name="StockWatch")
class StockWatchWorkflow:
    """Holds back what counts give reason to doubt, and raises an alert for each level that crossed its threshold."""

    @workflow.run
    async def run(self, request: WatchInput) -> WatchResult:
        """Doubt first: what is held back is not there to be sold."""
        step = WatchStep(as_of=workflow.now())
        doubted = await long_call(AlertActivities.widen_buffers, step, "hold back what counts give reason to doubt")
        looked = await long_call(AlertActivities.evaluate, step, "compare levels with their thresholds")
        result = looked.model_copy(update={"buffers": doubted.buffers})
        workflow.set_current_details(f"{result.raised} raised, {result.cleared} cleared; {result.levels} levels")
        return result
