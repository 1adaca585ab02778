"""The processes of orders."""

from __future__ import annotations

from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from shared.contracts import CHANNEL, ORDER_ID, ORDERS_QUEUE, STATUS
from shared.database import inbox, lives, orders
from shared.errors import Conflict, NotFound
from shared.messages import order_workflow_id
from shared.processes import Processes


class OrderProcesses(Processes):
    """The processes of orders."""

    workflow = "Order"
    prefix = order_workflow_id("")
    kind = "process"
    lives = lives.ORDERS

    async def restart(self, subject: str) -> None:
        workflow_id = order_workflow_id(subject)
        async with self._database.transaction() as connection:
            known = await orders.find_order(connection, subject)
            if known is None:
                raise NotFound(f"there is no order {subject}", order_id=subject)
            if known.closed:
                raise Conflict(f"{subject} is over: it needs no process", order_id=subject)
            await inbox.tell_again(connection, subject, workflow_id)
            start = await orders.read_start(connection, subject)
        await self._temporal.start_workflow(
            self.workflow,
            start.input(),
            id=workflow_id,
            task_queue=ORDERS_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            priority=Priority(priority_key=start.priority),
            static_summary=start.summary(),
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(CHANNEL, start.channel),
                    SearchAttributePair(ORDER_ID, start.order_id),
                    SearchAttributePair(STATUS, "placed"),
                ]
            ),
        )

    @staticmethod
    def order_of(subject: str) -> str:
        return subject
