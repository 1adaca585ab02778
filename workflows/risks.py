"""The scheduled assessment of how often nodes fail what they are asked to ship."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shared.contracts import RiskActivities
    from shared.messages.risks import RiskInput, RiskResult, RiskStep
    from workflows.kit import long_call


@workflow.defn(name="RiskAssessment")
class RiskAssessmentWorkflow:
    """Learns from what became of fulfillment orders."""

    @workflow.run
    async def run(self, request: RiskInput) -> RiskResult:
        """One assessment of every node."""
        step = RiskStep(as_of=workflow.now())
        result = await long_call(RiskActivities.assess, step, "learn how often nodes reject or hand over late")
        workflow.set_current_details(f"{result.nodes} nodes assessed, {result.changed} with other figures than before")
        return result
