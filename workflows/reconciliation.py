"""The scheduled comparison of the facts with themselves and with the running processes."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shared.contracts import ReconciliationActivities
    from shared.messages import ReconcileInput, ReconcileResult, ReconcileStep
    from workflows.kit import long_call


@workflow.defn(name="Reconciliation")
class ReconciliationWorkflow:
    """Checks invariants over all facts, opens a case for each break, and resumes what a crash left behind."""

    @workflow.run
    async def run(self, request: ReconcileInput) -> ReconcileResult:
        """Check the facts, then the processes."""
        info = workflow.info()
        run = ReconcileStep(
            run_id=f"{info.workflow_id}/{info.run_id}",
            started_at=workflow.now(),
            resend_after=request.resend_after,
        )
        resumed = await long_call(ReconciliationActivities.resume_stragglers, run, "resume what a crash left behind")
        checked = await long_call(ReconciliationActivities.check_facts, run, "compare the facts with themselves")
        result = checked.model_copy(update={"repaired": resumed.repaired})
        workflow.set_current_details(f"{result.breaks} breaks, {result.repaired} resumed; checked {result.checked}")
        return result
