"""The processes of orders as Temporal knows them: which run, what became of one, and starting it once more."""

from __future__ import annotations

from collections.abc import AsyncIterator

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError, RPCStatusCode

from shared.contracts import CHANNEL, ORDER_ID, ORDERS_QUEUE, STATUS
from shared.database import orders, reconciliation
from shared.database.engine import Database
from shared.errors import Conflict, NotFound
from shared.messages import order_workflow_id

_PREFIX = order_workflow_id("")
_RUNNING = "WorkflowType = 'Order' AND ExecutionStatus = 'Running'"


class OrderProcesses:
    """Reads and restarts the processes of orders."""

    def __init__(self, temporal: Client, database: Database) -> None:
        self._temporal = temporal
        self._database = database

    async def running(self) -> AsyncIterator[str]:
        """Orders whose process runs, as far as the list of processes knows: it may be seconds behind."""
        async for execution in self._temporal.list_workflows(_RUNNING):
            yield execution.id.removeprefix(_PREFIX)

    async def status(self, order_id: str) -> WorkflowExecutionStatus | None:
        """What an order's process is at, exactly; ``None`` when there is none."""
        try:
            return (await self._temporal.get_workflow_handle(order_workflow_id(order_id)).describe()).status
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    async def restart(self, order_id: str) -> None:
        """Start the process of an order that has none, or whose process did not come to its end; a running one goes on.

        Its steps answer with their first results and its calls look up what was done, so that it goes on where the
        facts are. What it was told before, it is told again by the next resumption of wake-ups.

        Raises:
            NotFound: there is no such order.
            Conflict: the order is over.
        """
        async with self._database.transaction() as connection:
            known = await orders.find_order(connection, order_id)
            if known is None:
                raise NotFound(f"there is no order {order_id}", order_id=order_id)
            if known.closed:
                raise Conflict(f"{order_id} is over: it needs no process", order_id=order_id)
            await reconciliation.tell_again(connection, order_id)
            start = await orders.read_start(connection, order_id)
        await self._temporal.start_workflow(
            "Order",
            start.input(),
            id=order_workflow_id(order_id),
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
