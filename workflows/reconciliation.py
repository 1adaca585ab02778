"""The scheduled comparison of the facts with themselves, with the running processes and with the partners."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shared.contracts import ComparisonActivities, ReconciliationActivities
    from shared.messages import ReconcileInput, ReconcileResult, ReconcileStep
    from workflows.kit import long_call


@workflow.defn(name="Reconciliation")
class ReconciliationWorkflow:
    """Checks invariants over all facts, opens a case for each break, and resumes what a crash left behind."""

    @workflow.run
    async def run(self, request: ReconcileInput) -> ReconcileResult:
        """Check the facts, then the processes, then what partners say."""
        info = workflow.info()
        run = ReconcileStep(
            run_id=f"{info.workflow_id}/{info.run_id}",
            started_at=workflow.now(),
            resend_after=request.resend_after,
        )
        resumed = await long_call(ReconciliationActivities.resume_stragglers, run, "resume what a crash left behind")
        checked = await long_call(ReconciliationActivities.check_facts, run, "compare the facts with themselves")
        results = [resumed.model_copy(update={"checked": {}}), checked]
        if workflow.patched("2026-11-compare-with-others"):
            results += [
                await long_call(ComparisonActivities.compare_processes, run, "compare orders with their processes"),
                await long_call(ComparisonActivities.compare_partners, run, "compare stock with the partners' books"),
            ]
        result = ReconcileResult.of(run.run_id, results)
        workflow.set_current_details(f"{result.breaks} breaks, {result.repaired} mended; checked {result.checked}")
        return result
