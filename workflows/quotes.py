"""The scheduled refresh of carriers' quotes."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shared.contracts import QuoteActivities
    from shared.messages.quotes import QuoteRefreshInput, QuoteRefreshResult, QuoteRefreshStep
    from workflows.kit import long_call


@workflow.defn(name="QuoteRefresh")
class QuoteRefreshWorkflow:
    """Keeps the quotes fresh that plans go by."""

    @workflow.run
    async def run(self, request: QuoteRefreshInput) -> QuoteRefreshResult:
        """One refresh of every lane that is planned for."""
        step = QuoteRefreshStep(**request.model_dump(), as_of=workflow.now())
        result = await long_call(QuoteActivities.refresh, step, "ask carriers for quotes that end soon")
        told = f"{result.lanes} lanes asked about, {result.quotes} quotes, {result.unanswered} lanes unanswered"
        workflow.set_current_details(told)
        return result
