"""The scheduled sweep of carts whose time is up."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shared.contracts import CartActivities
    from shared.messages import CartSweepInput, CartSweepResult, CartSweepStep
    from workflows.kit import long_call


@workflow.defn(name="CartSweep")
class CartSweepWorkflow:
    """Gives back what carts hold beyond their time, and makes the orders that wait for it look again."""

    @workflow.run
    async def run(self, request: CartSweepInput) -> CartSweepResult:
        """One sweep; an order never waits for it, since it takes overdue units by itself."""
        step = CartSweepStep(as_of=workflow.now())
        result = await long_call(CartActivities.sweep, step, "give back what carts hold beyond their time")
        workflow.set_current_details(f"{result.items} items given back, {result.orders_woken} orders woken")
        return result
