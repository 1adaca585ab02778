"""Discrepancies put into a running system on purpose, each of a kind that reconciliation has to find."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import text
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.service import RPCError

from shared.contracts import BATCH_QUEUE
from shared.messages import ReconcileInput, ReconcileResult, order_workflow_id
from tests.support.system import System
from workflows.reconciliation import ReconciliationWorkflow

_HOLDS = "SELECT node, sku, sum(units) FROM node_stock GROUP BY node, sku"
#: What is left as if the database were restored to a point before the order.
_FORGET_ORDER = (
    "SET LOCAL session_replication_role = replica",
    """
    WITH gone AS (
        DELETE FROM reservation WHERE order_id = :order_id RETURNING node_id, sku, open
    ), moved AS (
        DELETE FROM stock_move WHERE reference IN (
            SELECT fulfillment_order_id FROM fulfillment_order WHERE order_id = :order_id)
    )
    UPDATE stock_position p SET reserved = p.reserved - g.open FROM gone g WHERE (p.node_id, p.sku) = (g.node_id, g.sku)
    """,
    "DELETE FROM fulfillment_order WHERE order_id = :order_id",
    "DELETE FROM order_line WHERE order_id = :order_id",
    "DELETE FROM payment_operation WHERE order_id = :order_id",
    "DELETE FROM payment WHERE order_id = :order_id",
    "DELETE FROM message_out WHERE order_id = :order_id",
    "DELETE FROM timeline WHERE order_id = :order_id",
    "DELETE FROM decision WHERE order_id = :order_id",
    "DELETE FROM orders WHERE order_id = :order_id",
)
#: By kind of case: statements about an order that is over, or about a position of its own.
IN_THE_DATABASE: Mapping[str, Sequence[str]] = {
    "recon.stock_moves": ("UPDATE stock_position SET on_hand = on_hand + 1 WHERE (node_id, sku) = (:node_id, :sku)",),
    "recon.stock_reserved": (
        "UPDATE stock_position SET reserved = reserved + 1 WHERE (node_id, sku) = (:node_id, :sku)",
        """
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, reference, actor)
        VALUES (:node_id, :sku, 'reserve', 0, 1, 'seed/' || :order_id, 'test')
        """,
    ),
    "recon.payment_operations": (
        "UPDATE payment SET voided_minor = voided_minor + 1, authorized_minor = authorized_minor + 1 "
        "WHERE order_id = :order_id",
    ),
    "recon.closed_order_money": (
        "UPDATE payment_operation SET amount_minor = amount_minor + 1 "
        "WHERE order_id = :order_id AND kind = 'authorize'",
        "UPDATE payment SET authorized_minor = authorized_minor + 1 WHERE order_id = :order_id",
    ),
    "recon.line_units": (
        "UPDATE order_line SET cancelled = cancelled + delivered, delivered = 0 WHERE order_id = :order_id",
    ),
    "recon.messages_unanswered": (
        """
        INSERT INTO message_out (message_key, partner_id, order_id, intended_at)
        VALUES ('seed/' || :order_id, 'wh-columbus', :order_id, now() - interval '1 hour')
        """,
    ),
    "recon.payments_unanswered": (
        """
        INSERT INTO payment_operation (reference, order_id, kind, amount_minor, intended_at)
        VALUES ('seed/' || :order_id, :order_id, 'void', 0, now() - interval '1 hour')
        """,
    ),
    "recon.messages_unmatched": (
        """
        INSERT INTO message_in (partner_id, message_id, type, reference, body, received_at)
        VALUES ('parcelpost', 'seed/' || :order_id, 'tracking.updated', 'TRK-unknown', '{}', now() - interval '1 hour')
        """,
    ),
    "recon.ended_reservations": (
        """
        UPDATE reservation SET open = open + 1, quantity = quantity + 1 WHERE order_id = :order_id
        """,
        "UPDATE stock_position SET reserved = reserved + 1 WHERE (node_id, sku) = (:node_id, :sku)",
        """
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, reference, actor)
        VALUES (:node_id, :sku, 'reserve', 0, 1, 'seed/' || :order_id, 'test')
        """,
    ),
}


async def reconcile(shop: System, *, resend_after: timedelta = timedelta(seconds=1)) -> ReconcileResult:
    """Run the reconciliation once; what nobody has heard of for so long is told again."""
    result: ReconcileResult = await shop.temporal.execute_workflow(
        ReconciliationWorkflow.run,
        ReconcileInput(resend_after=resend_after),
        id=f"reconciliation/test/{uuid.uuid4().hex[:8]}",
        task_queue=BATCH_QUEUE,
    )
    return result


async def put(shop: System, shelves: Sequence[tuple[str, str, int]]) -> None:
    """Change what nodes really hold, of ``(node, SKU, units)``, without telling DOMS."""
    body = [{"node_id": node_id, "sku": sku, "units": units} for node_id, sku, units in shelves]
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{shop.sandbox_url}/control/stock", json=body)
        assert answer.is_success, answer.text


async def agree(shop: System) -> None:
    """Have every node hold what the ledger says."""
    with closing(sqlite3.connect(f"file:{shop.log}?mode=ro", uri=True)) as books:
        holds = {(node, sku): units for node, sku, units in books.execute(_HOLDS)}
    rows = await shop.rows("SELECT node_id, sku, on_hand FROM stock_position")
    await put(shop, [(row.node_id, row.sku, row.on_hand - holds.get((row.node_id, row.sku), 0)) for row in rows])


async def run(shop: System, statements: Sequence[str], **values: Any) -> None:
    async with shop.database.transaction() as connection:
        for statement in statements:
            asked = {name: value for name, value in values.items() if f":{name}" in statement}
            await connection.execute(text(statement), asked)


# --- processes, each of an order that waits for its node ---------------------------------------------------


async def lose_process(shop: System, order_id: str) -> None:
    """Temporal forgets the order's process."""
    await forget_workflow(shop, order_workflow_id(order_id))


async def forget_workflow(shop: System, workflow_id: str) -> None:
    """Temporal forgets a process."""
    execution = WorkflowExecution(workflow_id=workflow_id)
    request = DeleteWorkflowExecutionRequest(namespace=shop.temporal.namespace, workflow_execution=execution)
    await shop.temporal.workflow_service.delete_workflow_execution(request)

    async def gone() -> bool:
        try:
            await shop.temporal.get_workflow_handle(workflow_id).describe()
        except RPCError:
            return True
        return False

    await shop.until(gone)


async def terminate_process(shop: System, order_id: str) -> None:
    await shop.handle(order_id).terminate("by a test")


async def close_order(shop: System, order_id: str) -> None:
    """The order is over, its process is not."""
    await run(
        shop,
        ("UPDATE orders SET closed_at = now() - interval '1 hour', lifecycle = 'closed' WHERE order_id = :order_id",),
        order_id=order_id,
    )


async def forget_order(shop: System, order_id: str) -> None:
    """The database is restored to a point before the order, the process goes on."""
    await run(shop, _FORGET_ORDER, order_id=order_id)


OF_PROCESSES: Mapping[str, Callable[[System, str], Awaitable[None]]] = {
    "recon.process_missing": lose_process,
    "recon.process_ended": terminate_process,
    "recon.process_left": close_order,
    "recon.process_unknown": forget_order,
}
