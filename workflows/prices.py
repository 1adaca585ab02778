"""The scheduled pricing of what may run short."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shared.contracts import PriceActivities
    from shared.messages import PriceInput, PriceResult, PriceStep
    from workflows.kit import long_call


@workflow.defn(name="Pricing")
class PricingWorkflow:
    """Prices stock and shipping days by the orders expected until the next supply."""

    @workflow.run
    async def run(self, request: PriceInput) -> PriceResult:
        """Work the prices out anew."""
        info = workflow.info()
        step = PriceStep(**dict(request), run_id=f"{info.workflow_id}/{info.run_id}", started_at=workflow.now())
        result = await long_call(PriceActivities.solve, step, "price what may run short")
        told = f"{result.stock_prices} stock prices, {result.shipping_prices} of days, {result.doubted} doubted"
        workflow.set_current_details(f"{result.version}: {told}")
        return result
