"""The workflows a worker serves, by queue."""

from workflows.alerts import StockWatchWorkflow
from workflows.carts import CartSweepWorkflow
from workflows.feeds import FeedPollWorkflow, FeedRunWorkflow, FeedWatchWorkflow
from workflows.order import OrderWorkflow
from workflows.prices import PricingWorkflow
from workflows.publishing import PublishingWorkflow, StartPublishingWorkflow
from workflows.quotes import QuoteRefreshWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.returns import ReturnWorkflow
from workflows.risks import RiskAssessmentWorkflow
from workflows.transfers import TransferAdvicesWorkflow
from workflows.waves import StartWavesWorkflow, WaveWorkflow

ORDER_WORKFLOWS = (OrderWorkflow, ReturnWorkflow)
SCHEDULED_WORKFLOWS = (
    CartSweepWorkflow,
    FeedPollWorkflow,
    FeedRunWorkflow,
    FeedWatchWorkflow,
    QuoteRefreshWorkflow,
    ReconciliationWorkflow,
    RiskAssessmentWorkflow,
    StockWatchWorkflow,
    TransferAdvicesWorkflow,
)
CHANNEL_WORKFLOWS = (PublishingWorkflow, StartPublishingWorkflow)
PLANNING_WORKFLOWS = (PricingWorkflow, StartWavesWorkflow, WaveWorkflow)

#: Of every queue.
EVERY_WORKFLOW = (*ORDER_WORKFLOWS, *SCHEDULED_WORKFLOWS, *CHANNEL_WORKFLOWS, *PLANNING_WORKFLOWS)
