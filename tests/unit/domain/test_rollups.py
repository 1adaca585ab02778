"""The payment and return roll-ups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.orders import UnitCount
from shared.domain.rollups import Money, Payment, Return, payment_of, return_of

AMOUNTS = st.integers(0, 3)


def money(**amounts: int) -> Money:
    return Money.model_validate({"authorized": True} | {f"{name}_minor": minor for name, minor in amounts.items()})


@pytest.mark.parametrize(
    ("given_money", "expected"),
    [
        # nothing asked yet
        (Money(), Payment.PENDING),
        # the provider said no
        (Money(declined=True), Payment.FAILED),
        # an order worth nothing is authorised all the same
        (money(), Payment.AUTHORIZED),
        (money(authorized=100), Payment.AUTHORIZED),
        # a parcel has left and its capture is under way: covered, so nothing is owed to us
        (money(authorized=100, due=60), Payment.AUTHORIZED),
        (money(authorized=100, captured=60, due=60), Payment.PARTIALLY_CAPTURED),
        # the rest was cancelled and voided
        (money(authorized=100, captured=60, voided=40, due=60), Payment.CAPTURED),
        (money(authorized=100, captured=100, due=100), Payment.CAPTURED),
        (money(authorized=100, voided=100), Payment.VOIDED),
        # what left is worth more than what is covered
        (money(authorized=100, captured=60, voided=40, due=80), Payment.BALANCE_DUE),
        # units came back and the refund is not there yet
        (money(authorized=100, captured=100, due=100, owed=50), Payment.CREDIT_OWED),
        (money(authorized=100, captured=100, due=100, owed=50, refunded=50), Payment.PARTIALLY_REFUNDED),
        (money(authorized=100, captured=100, due=100, owed=100, refunded=100), Payment.REFUNDED),
        # a second return waits for its refund
        (money(authorized=100, captured=100, due=100, owed=80, refunded=50), Payment.CREDIT_OWED),
    ],
)
def test_payment(given_money: Money, expected: Payment) -> None:
    assert payment_of(given_money) is expected


@given(
    st.builds(
        Money,
        authorized_minor=AMOUNTS,
        captured_minor=AMOUNTS,
        voided_minor=AMOUNTS,
        refunded_minor=AMOUNTS,
        due_minor=AMOUNTS,
        owed_minor=AMOUNTS,
        authorized=st.booleans(),
        declined=st.booleans(),
    )
)
def test_payment_is_total(any_money: Money) -> None:
    assert payment_of(any_money) in Payment


@pytest.mark.parametrize(
    ("units", "statuses", "expected"),
    [
        (UnitCount(delivered=2), [], Return.NONE),
        (UnitCount(delivered=2), ["declined", "expired"], Return.NONE),
        (UnitCount(delivered=2), ["requested"], Return.REQUESTED),
        # one that runs shows before one that waits, and before what is over
        (UnitCount(delivered=2), ["requested", "approved"], Return.IN_PROGRESS),
        (UnitCount(delivered=1, returned=1), ["closed", "received"], Return.IN_PROGRESS),
        (UnitCount(delivered=1, returned=1), ["closed"], Return.PARTIALLY_RETURNED),
        (UnitCount(shipped=1, returned=1), ["closed"], Return.PARTIALLY_RETURNED),
        # what was cancelled could not come back
        (UnitCount(cancelled=1, returned=2), ["closed"], Return.RETURNED),
    ],
)
def test_return(units: UnitCount, statuses: list[str], expected: Return) -> None:
    assert return_of(units, statuses) is expected
