"""The workflows a worker serves, by queue."""

from workflows.order import OrderWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.returns import ReturnWorkflow

ORDER_WORKFLOWS = (OrderWorkflow, ReturnWorkflow)
SCHEDULED_WORKFLOWS = (ReconciliationWorkflow,)
