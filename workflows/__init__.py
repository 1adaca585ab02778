"""The processes. ``run()`` of each reads as the business story."""

from workflows.order import OrderWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.returns import ReturnWorkflow

ORDER_WORKFLOWS = (OrderWorkflow, ReturnWorkflow)
SCHEDULED_WORKFLOWS = (ReconciliationWorkflow,)

__all__ = ["ORDER_WORKFLOWS", "SCHEDULED_WORKFLOWS"]
