"""The processes of returns."""

from __future__ import annotations

from temporalio.client import Client
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from shared.contracts import ORDER_ID, ORDERS_QUEUE, STATUS
from shared.database import inbox, lives, returns
from shared.messages import ReturnInput, order_of_return, return_workflow_id
from shared.processes import Processes


class ReturnProcesses(Processes):
    """The processes of returns."""

    workflow = "Return"
    prefix = return_workflow_id("")
    kind = "return_process"
    lives = lives.RETURNS

    async def restart(self, subject: str) -> None:
        async with self._database.transaction() as connection:
            opened = await returns.read_start(connection, subject)
            await inbox.tell_again(connection, opened.order_id, return_workflow_id(subject))
        await start_return(self._temporal, opened, reuse=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY)

    @staticmethod
    def order_of(subject: str) -> str:
        return order_of_return(subject)


async def start_return(temporal: Client, opened: ReturnInput, *, reuse: WorkflowIDReusePolicy) -> None:
    """Start a return's process; a running one goes on.

    Raises:
        temporalio.exceptions.WorkflowAlreadyStartedError: it had one before, and ``reuse`` allows no other.
    """
    await temporal.start_workflow(
        "Return",
        opened,
        id=return_workflow_id(opened.return_id),
        task_queue=ORDERS_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=reuse,
        static_summary=f"{opened.units} units of {opened.order_id} come back",
        search_attributes=TypedSearchAttributes(
            [SearchAttributePair(ORDER_ID, opened.order_id), SearchAttributePair(STATUS, "requested")]
        ),
    )
