"""The calls a process makes to outside parties, as it needs them."""

from __future__ import annotations

from shared.domain.base import Instant, Model


class PaymentRequest(Model):
    """One payment operation of an order. What is due is worked out from the facts, not passed in.

    Attributes:
        reference: The operation's key at the provider, the same on every retry.
    """

    order_id: str
    reference: str


class PaymentOutcome(Model):
    """The provider's answer, as the process needs it."""

    succeeded: bool
    amount_minor: int = 0
    reason: str = ""


class FulfillmentCall(Model):
    """One fulfillment order, towards its node."""

    order_id: str
    n: int


class AskCancel(FulfillmentCall):
    """Ask a node to give a fulfillment order back; if it agrees its units need a source again.

    Attributes:
        unanswered_only: Only when the node has said nothing yet.
        exclude: Do not ask this node again for this order for a while.
    """

    step_key: str
    because: str
    actor: str = "doms"
    unanswered_only: bool = False
    exclude: bool = True


class CallOutcome(Model):
    """``done`` is false when the facts or the partner did not allow it; ``reason`` says which.

    Attributes:
        replanned: A wave has planned the units again: there is nothing to tell the node.
    """

    done: bool
    reason: str = ""
    units: int = 0
    wait_until: Instant | None = None  #: not yet: look again then, or when something has changed
    replanned: bool = False
