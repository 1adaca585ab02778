"""The workflow of one order. Its story is in ``order_story``, its commands in ``order_commands``.

It holds nothing of its own: workers share it between orders, where the sandbox would build it anew for each.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shared.messages import OrderInput, OrderOutcome
    from workflows.order_story import OrderStory


@workflow.defn(name="Order")
class OrderWorkflow(OrderStory):
    """One order. Staff steer it with updates; recorded partner messages wake it with signals."""

    @workflow.init
    def __init__(self, order: OrderInput) -> None:
        super().__init__(order)

    @workflow.run
    async def run(self, order: OrderInput) -> OrderOutcome:
        """From the channel's call to the last parcel's delivery."""
        return await self.live()
