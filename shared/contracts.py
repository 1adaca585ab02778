"""What workflows may know of activities: their names, signatures, queues and retry policies.

Names here are wire format: a running order replays against them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import activity
from temporalio.common import RetryPolicy, SearchAttributeKey

from shared.domain.waves.results import WaveSummary
from shared.messages import (
    AskCancel,
    CallOutcome,
    CancelledUnits,
    CancelUnits,
    CartSweepResult,
    CartSweepStep,
    CatchUp,
    CaughtUp,
    CloseOrder,
    CommandOutcome,
    FulfillmentCall,
    OrderOutcome,
    PaymentOutcome,
    PaymentRequest,
    PriceResult,
    PriceStep,
    PublishInput,
    PublishResult,
    RaiseCase,
    ReconcileResult,
    ReconcileStep,
    RecordHold,
    ReturnOutcome,
    ReturnStep,
    ReturnVerdict,
    Separate,
    SourceRequest,
    SourceResult,
    TryReroute,
    WatchResult,
    WatchStep,
    Withdraw,
    Withdrawn,
)
from shared.messages.feeds import (
    FeedPollInput,
    FeedRun,
    FeedRunInput,
    FeedWatchInput,
    FeedWatchResult,
    FetchedFile,
    FetchedFiles,
)
from shared.messages.quotes import QuoteRefreshResult, QuoteRefreshStep
from shared.messages.risks import RiskResult, RiskStep
from shared.messages.transfers import AdviceResult
from shared.messages.waves import WaveStep

# --- names ------------------------------------------------------------------------------------------------

ORDERS_QUEUE = "orders"
BATCH_QUEUE = "batch"
PLANNING_QUEUE = "planning"
CHANNELS_QUEUE = "channels"

CHANNEL = SearchAttributeKey.for_keyword("DomsChannel")
ORDER_ID = SearchAttributeKey.for_keyword("DomsOrderId")
STATUS = SearchAttributeKey.for_keyword("DomsStatus")
EXCEPTION = SearchAttributeKey.for_keyword("DomsException")
NODES = SearchAttributeKey.for_keyword_list("DomsNodes")
PROMISED_AT = SearchAttributeKey.for_datetime("DomsPromisedAt")
SEARCH_ATTRIBUTES = (CHANNEL, ORDER_ID, STATUS, EXCEPTION, NODES, PROMISED_AT)


# --- policies of calls ------------------------------------------------------------------------------------

#: A step in our own database. It succeeds or the database is away; then it waits for the database.
STEP_RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
STEP_TIMEOUT = timedelta(seconds=60)

#: An outside party: slower, and with room for it to recover.
#: What a solver gives up on is left to the next run, which looks at another day.
CALL_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(minutes=1),
    non_retryable_error_types=["Unsolved"],
)
CALL_TIMEOUT = timedelta(seconds=15)
#: A call that loops over many parcels beats, so that a dead worker is noticed before its time is up.
LONG_CALL_TIMEOUT = timedelta(minutes=10)
LONG_CALL_BEAT = timedelta(seconds=15)
#: A wave that is not carried out by then is left as it is: the next one plans what has become of its orders.
WAVE_TIMEOUT = timedelta(minutes=15)

# --- activities -------------------------------------------------------------------------------------------


class OrderActivities:
    """An order's facts. Each is one transaction under its key: repeated, it answers with its first result."""

    @activity.defn(name="orders.source")
    async def source(self, request: SourceRequest) -> SourceResult:
        raise NotImplementedError

    @activity.defn(name="orders.cancel")
    async def cancel(self, request: CancelUnits) -> CancelledUnits:
        raise NotImplementedError

    @activity.defn(name="orders.withdraw")
    async def withdraw(self, request: Withdraw) -> Withdrawn:
        raise NotImplementedError

    @activity.defn(name="orders.catch_up")
    async def catch_up(self, request: CatchUp) -> CaughtUp:
        raise NotImplementedError

    @activity.defn(name="orders.try_reroute")
    async def try_reroute(self, request: TryReroute) -> CommandOutcome:
        raise NotImplementedError

    @activity.defn(name="orders.separate")
    async def separate(self, request: Separate) -> CommandOutcome:
        raise NotImplementedError

    @activity.defn(name="orders.record_hold")
    async def record_hold(self, request: RecordHold) -> None:
        raise NotImplementedError

    @activity.defn(name="orders.close")
    async def close(self, request: CloseOrder) -> OrderOutcome:
        raise NotImplementedError

    @activity.defn(name="orders.raise_case")
    async def raise_case(self, request: RaiseCase) -> None:
        raise NotImplementedError


class PaymentActivities:
    """The payment provider, and the money facts."""

    @activity.defn(name="payments.authorize")
    async def authorize(self, request: PaymentRequest) -> PaymentOutcome:
        raise NotImplementedError

    @activity.defn(name="payments.capture")
    async def capture(self, request: PaymentRequest) -> PaymentOutcome:
        raise NotImplementedError

    @activity.defn(name="payments.void")
    async def void(self, request: PaymentRequest) -> PaymentOutcome:
        raise NotImplementedError

    @activity.defn(name="payments.refund")
    async def refund(self, request: PaymentRequest) -> PaymentOutcome:
        raise NotImplementedError


class FulfillmentActivities:
    """The nodes and the carriers."""

    @activity.defn(name="fulfillment.release")
    async def release(self, call: FulfillmentCall) -> CallOutcome:
        raise NotImplementedError

    @activity.defn(name="fulfillment.ask_cancel")
    async def ask_cancel(self, call: AskCancel) -> CallOutcome:
        raise NotImplementedError

    @activity.defn(name="fulfillment.buy_labels")
    async def buy_labels(self, call: FulfillmentCall) -> CallOutcome:
        raise NotImplementedError

    @activity.defn(name="fulfillment.leave_parcel")
    async def leave_parcel(self, call: FulfillmentCall) -> None:
        raise NotImplementedError

    @activity.defn(name="fulfillment.void_labels")
    async def void_labels(self, call: FulfillmentCall) -> CallOutcome:
        raise NotImplementedError


class ReturnActivities:
    """A return's facts, and the node that receives it."""

    @activity.defn(name="returns.judge")
    async def judge(self, step: ReturnStep) -> ReturnVerdict:
        raise NotImplementedError

    @activity.defn(name="returns.approve")
    async def approve(self, step: ReturnStep) -> ReturnVerdict:
        raise NotImplementedError

    @activity.defn(name="returns.decline")
    async def decline(self, step: ReturnStep) -> ReturnVerdict:
        raise NotImplementedError

    @activity.defn(name="returns.announce")
    async def announce(self, step: ReturnStep) -> CallOutcome:
        raise NotImplementedError

    @activity.defn(name="returns.settle")
    async def settle(self, step: ReturnStep) -> CallOutcome:
        raise NotImplementedError

    @activity.defn(name="returns.close")
    async def close(self, step: ReturnStep) -> ReturnOutcome:
        raise NotImplementedError


class CartActivities:
    """Carts that hold stock."""

    @activity.defn(name="carts.sweep")
    async def sweep(self, step: CartSweepStep) -> CartSweepResult:
        raise NotImplementedError


class ReconciliationActivities:
    """Checks over all facts."""

    @activity.defn(name="reconciliation.check_facts")
    async def check_facts(self, step: ReconcileStep) -> ReconcileResult:
        raise NotImplementedError

    @activity.defn(name="reconciliation.resume_stragglers")
    async def resume_stragglers(self, step: ReconcileStep) -> ReconcileResult:
        raise NotImplementedError


class ComparisonActivities:
    """The facts compared with what others know."""

    @activity.defn(name="comparisons.compare_processes")
    async def compare_processes(self, step: ReconcileStep) -> ReconcileResult:
        raise NotImplementedError

    @activity.defn(name="comparisons.compare_partners")
    async def compare_partners(self, step: ReconcileStep) -> ReconcileResult:
        raise NotImplementedError


class AlertActivities:
    """Levels of stock: what counts hold back of them, and the alerts they are worth."""

    @activity.defn(name="alerts.widen_buffers")
    async def widen_buffers(self, step: WatchStep) -> WatchResult:
        raise NotImplementedError

    @activity.defn(name="alerts.evaluate")
    async def evaluate(self, step: WatchStep) -> WatchResult:
        raise NotImplementedError


class TransferActivities:
    """Warehouses told of transfers on their way to them."""

    @activity.defn(name="transfers.advise")
    async def advise(self) -> AdviceResult:
        raise NotImplementedError


class RiskActivities:
    """How often nodes fail what they are asked to ship."""

    @activity.defn(name="risks.assess")
    async def assess(self, step: RiskStep) -> RiskResult:
        raise NotImplementedError


class QuoteActivities:
    """Carriers asked what lanes cost."""

    @activity.defn(name="quotes.refresh")
    async def refresh(self, step: QuoteRefreshStep) -> QuoteRefreshResult:
        raise NotImplementedError


class PublishingActivities:
    """Channels, and what they are told they may sell."""

    @activity.defn(name="publishing.follow")
    async def follow(self, request: PublishInput) -> PublishResult:
        raise NotImplementedError

    @activity.defn(name="publishing.start_followers")
    async def start_followers(self) -> int:
        raise NotImplementedError


class PriceActivities:
    """Prices of what may run short. They need a solver, so they have a queue and processes of their own."""

    @activity.defn(name="prices.solve")
    async def solve(self, step: PriceStep) -> PriceResult:
        raise NotImplementedError


class WaveActivities:
    """Waves. They need a solver, so they run where prices are worked out."""

    @activity.defn(name="waves.due")
    async def due(self, as_of: datetime) -> tuple[str, ...]:
        raise NotImplementedError

    @activity.defn(name="waves.plan")
    async def plan(self, step: WaveStep) -> None:
        raise NotImplementedError

    @activity.defn(name="waves.carry_out")
    async def carry_out(self, step: WaveStep) -> WaveSummary:
        raise NotImplementedError


class FeedActivities:
    """What sources say of their stock. A file's run is in the database: each call goes on where the last one ended."""

    @activity.defn(name="feeds.stage")
    async def stage(self, request: FeedRunInput) -> FeedRun:
        raise NotImplementedError

    @activity.defn(name="feeds.apply")
    async def apply(self, request: FeedRunInput) -> FeedRun:
        raise NotImplementedError

    @activity.defn(name="feeds.finish")
    async def finish(self, request: FeedRunInput) -> FeedRun:
        raise NotImplementedError

    @activity.defn(name="feeds.fetch")
    async def fetch(self, request: FeedPollInput) -> FetchedFiles:
        raise NotImplementedError

    @activity.defn(name="feeds.put_away")
    async def put_away(self, fetched: FetchedFile) -> None:
        raise NotImplementedError

    @activity.defn(name="feeds.check_freshness")
    async def check_freshness(self, request: FeedWatchInput) -> FeedWatchResult:
        raise NotImplementedError
