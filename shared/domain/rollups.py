"""The payment and return roll-ups of an order, read off amounts and units, never set.

The lifecycle and fulfilment roll-ups are with the unit states, in ``shared.domain.orders``.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from shared.domain.base import Model
from shared.domain.orders import UnitCount


class Payment(StrEnum):
    """The payment roll-up of an order."""

    PENDING = "pending"
    AUTHORIZED = "authorized"
    PARTIALLY_CAPTURED = "partially_captured"
    CAPTURED = "captured"
    BALANCE_DUE = "balance_due"  #: what has left is worth more than what was authorised
    CREDIT_OWED = "credit_owed"  #: units came back and are not refunded yet
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    VOIDED = "voided"
    FAILED = "failed"  #: the last authorisation was declined


class Return(StrEnum):
    """The return roll-up of an order."""

    NONE = "none"
    REQUESTED = "requested"
    IN_PROGRESS = "in_progress"
    PARTIALLY_RETURNED = "partially_returned"
    RETURNED = "returned"


class Money(Model):
    """An order's amounts in minor units.

    Attributes:
        due_minor: What the units that have left are worth, with shipping.
        owed_minor: What the units that came back are worth.
        authorized: The provider has agreed, be it to nothing: a free order is authorised too.
        declined: The provider's last answer to an authorisation was no.
    """

    authorized_minor: int = 0
    captured_minor: int = 0
    voided_minor: int = 0
    refunded_minor: int = 0
    due_minor: int = 0
    owed_minor: int = 0
    authorized: bool = False
    declined: bool = False

    @property
    def covered_minor(self) -> int:
        """What was taken or still can be."""
        return self.authorized_minor - self.voided_minor


def payment_of(money: Money) -> Payment:
    """Roll amounts up; total over every combination. What needs doing comes before what was done."""
    if not money.authorized:
        return Payment.FAILED if money.declined else Payment.PENDING
    if money.owed_minor > money.refunded_minor:
        return Payment.CREDIT_OWED
    if money.due_minor > money.covered_minor:
        return Payment.BALANCE_DUE
    if money.refunded_minor:
        return Payment.REFUNDED if money.refunded_minor >= money.captured_minor else Payment.PARTIALLY_REFUNDED
    return _before_refund(money)


def _before_refund(money: Money) -> Payment:
    open_minor = money.covered_minor - money.captured_minor
    if money.captured_minor:
        return Payment.PARTIALLY_CAPTURED if open_minor else Payment.CAPTURED
    return Payment.VOIDED if money.voided_minor and not open_minor else Payment.AUTHORIZED


def return_of(units: UnitCount, statuses: Collection[str]) -> Return:
    """Roll returns up.

    Args:
        statuses: The status of each return of the order; one that runs shows before those that are over.
    """
    if {"approved", "received"} & set(statuses):
        return Return.IN_PROGRESS
    if "requested" in statuses:
        return Return.REQUESTED
    if not units.returned:
        return Return.NONE
    return Return.RETURNED if units.returned == units.left else Return.PARTIALLY_RETURNED
