"""The scheduled process that tells warehouses of transfers on their way to them."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shared.contracts import LONG_CALL_BEAT, LONG_CALL_TIMEOUT, STEP_RETRY, TransferActivities
    from shared.messages.transfers import AdviceResult


@workflow.defn(name="TransferAdvices")
class TransferAdvicesWorkflow:
    """Sends what has left our nodes ahead, as X12 943."""

    @workflow.run
    async def run(self) -> AdviceResult:
        """Tell of everything that was not told yet."""
        result = await workflow.execute_activity_method(
            TransferActivities.advise,
            start_to_close_timeout=LONG_CALL_TIMEOUT,
            heartbeat_timeout=LONG_CALL_BEAT,
            retry_policy=STEP_RETRY,
            summary="tell warehouses of transfers on their way",
        )
        workflow.set_current_details(f"{result.told} transfers told, {result.left} left")
        return result
