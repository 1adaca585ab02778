"""What the processes, the database and the doors say to each other: plain values, no behaviour.

Names here are wire format: a running order replays against them. Fields are added, never renamed.
"""

from shared.messages.alerts import WatchInput, WatchResult, WatchStep
from shared.messages.calls import AskCancel, CallOutcome, FulfillmentCall, PaymentOutcome, PaymentRequest
from shared.messages.carts import CartSweepInput, CartSweepResult, CartSweepStep
from shared.messages.commands import (
    CancelOrder,
    Command,
    CommandOutcome,
    LineQuantity,
    PlaceHold,
    ReleaseHold,
    Reroute,
    Unmerge,
)
from shared.messages.ids import (
    fulfillment_order_id,
    order_id_of,
    order_of_return,
    order_workflow_id,
    return_id_of,
    return_workflow_id,
    wave_workflow_id,
)
from shared.messages.prices import PriceInput, PriceResult, PriceStep
from shared.messages.processes import FulfillmentState, HoldState, OrderInput, OrderOutcome, OrderState, Wake
from shared.messages.publishing import PublishInput, PublishResult
from shared.messages.reconciliation import ReconcileInput, ReconcileResult, ReconcileStep
from shared.messages.returns import DecideReturn, ReturnInput, ReturnOutcome, ReturnRequest, ReturnStep, ReturnVerdict
from shared.messages.steps import (
    CancelledUnits,
    CancelUnits,
    CatchUp,
    CaughtUp,
    CloseOrder,
    RaiseCase,
    RecordHold,
    Separate,
    SourceRequest,
    SourceResult,
    TryReroute,
    Withdraw,
    Withdrawn,
)

__all__ = [
    "AskCancel",
    "CallOutcome",
    "CancelOrder",
    "CancelUnits",
    "CancelledUnits",
    "CartSweepInput",
    "CartSweepResult",
    "CartSweepStep",
    "CatchUp",
    "CaughtUp",
    "CloseOrder",
    "Command",
    "CommandOutcome",
    "DecideReturn",
    "FulfillmentCall",
    "FulfillmentState",
    "HoldState",
    "LineQuantity",
    "OrderInput",
    "OrderOutcome",
    "OrderState",
    "PaymentOutcome",
    "PaymentRequest",
    "PlaceHold",
    "PriceInput",
    "PriceResult",
    "PriceStep",
    "PublishInput",
    "PublishResult",
    "RaiseCase",
    "ReconcileInput",
    "ReconcileResult",
    "ReconcileStep",
    "RecordHold",
    "ReleaseHold",
    "Reroute",
    "ReturnInput",
    "ReturnOutcome",
    "ReturnRequest",
    "ReturnStep",
    "ReturnVerdict",
    "Separate",
    "SourceRequest",
    "SourceResult",
    "TryReroute",
    "Unmerge",
    "Wake",
    "WatchInput",
    "WatchResult",
    "WatchStep",
    "Withdraw",
    "Withdrawn",
    "fulfillment_order_id",
    "order_id_of",
    "order_of_return",
    "order_workflow_id",
    "return_id_of",
    "return_workflow_id",
    "wave_workflow_id",
]
