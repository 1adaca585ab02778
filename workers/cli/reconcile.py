"""Run the reconciliation now instead of waiting for its schedule."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from workers.cli.output import Answer, table
from workers.connect import settings_in_effect, temporal_client

if TYPE_CHECKING:
    from shared.messages import ReconcileResult


async def reconcile(*, resend_after: float = 30.0) -> Answer:
    """Compare the facts with themselves, with Temporal's processes and with the partners' own books of stock.

    What a crash left behind is resumed, a break opens a case (`doms cases list`) and is mended where that is safe: a
    lost process is started again, an ended order gives back what it reserved, and stock that a partner tells to be
    other than the ledger is corrected by a move, when the difference is known exactly and was the same in two runs.
    The exit code is 4 when anything does not agree.

    ```
    doms reconcile
    doms --json reconcile | jq .breaks
    ```

    Args:
        resend_after: Seconds after which a message or an order without an answer counts as left behind.
    """
    from shared.contracts import BATCH_QUEUE
    from shared.messages import ReconcileInput
    from workflows.reconciliation import ReconciliationWorkflow

    client = await temporal_client(settings_in_effect(), program="doms-reconcile")
    result = await client.execute_workflow(
        ReconciliationWorkflow.run,
        ReconcileInput(resend_after=timedelta(seconds=resend_after)),
        id=f"reconciliation/by-hand/{uuid.uuid4().hex[:8]}",
        task_queue=BATCH_QUEUE,
        execution_timeout=timedelta(minutes=15),
    )
    return Answer(result, show=lambda: _drawn(result), code=4 if result.breaks else 0)


def _drawn(result: ReconcileResult) -> Any:
    title = f"{result.breaks} breaks, {result.repaired} mended or resumed"
    return table(title, ("check", "rows compared#"), sorted(result.checked.items()))
