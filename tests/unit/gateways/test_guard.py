from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from shared.errors import PartnerRefused, PartnerUnavailable
from shared.gateways.guard import Guard, Limits

LIMITS = Limits(in_flight=2, failures=3, pause=5.0, max_pause=30.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(clock: Clock) -> Guard:
    return Guard("acme", LIMITS, clock=clock)


def call(guard: Guard, outcome: Callable[[], BaseException | None] = lambda: None) -> None:
    error = outcome()
    with guard.call():
        if error is not None:
            raise error


def fail(guard: Guard, times: int = 1, *, retry_after: float | None = None) -> None:
    for _ in range(times):
        with pytest.raises(PartnerUnavailable, match="no answer"):
            call(guard, lambda: PartnerUnavailable("no answer", retry_after=retry_after))


def test_consecutive_failures_open_the_breaker(guard: Guard) -> None:
    fail(guard, 2)
    assert not guard.is_open
    fail(guard)
    assert guard.is_open
    with pytest.raises(PartnerUnavailable, match="nothing was sent") as turned_away:
        call(guard)
    assert turned_away.value.retry_after is not None
    assert 5.0 <= turned_away.value.retry_after <= 7.5


def test_a_success_between_failures_keeps_it_closed(guard: Guard) -> None:
    for _ in range(5):
        fail(guard, 2)
        call(guard)
    assert not guard.is_open


def test_a_refusal_is_an_answer(guard: Guard) -> None:
    for _ in range(10):
        with pytest.raises(PartnerRefused):
            call(guard, lambda: PartnerRefused("no such thing"))
    assert not guard.is_open


def test_one_probe_after_the_pause_and_success_closes(guard: Guard, clock: Clock) -> None:
    fail(guard, 3)
    clock.now += 5.1
    with guard.call(), pytest.raises(PartnerUnavailable, match="nothing was sent"):
        call(guard)
    assert not guard.is_open
    call(guard)


def test_failed_probes_double_the_pause_up_to_a_limit(guard: Guard, clock: Clock) -> None:
    fail(guard, 3)
    for pause in (5.0, 10.0, 20.0, 30.0, 30.0):
        clock.now += pause - 0.1
        with pytest.raises(PartnerUnavailable, match="nothing was sent"):
            call(guard)
        clock.now += 0.2
        fail(guard)


def test_a_dead_partner_sees_at_most_three_calls_a_minute(guard: Guard, clock: Clock) -> None:
    fail(guard, 3)
    seen: list[float] = []
    for second in range(600):
        clock.now += 1
        try:
            with guard.call():
                seen.append(second)
                raise PartnerUnavailable("no answer")
        except PartnerUnavailable:
            pass
    assert max(sum(start <= at < start + 60 for at in seen) for start in range(600)) <= 3


def test_retry_after_holds_the_breaker_open(guard: Guard, clock: Clock) -> None:
    fail(guard, 3, retry_after=45.0)
    clock.now += 44
    with pytest.raises(PartnerUnavailable, match="nothing was sent"):
        call(guard)


def test_a_cancelled_probe_lets_the_next_one_try(guard: Guard, clock: Clock) -> None:
    fail(guard, 3)
    clock.now += 5.1
    with pytest.raises(asyncio.CancelledError):
        call(guard, asyncio.CancelledError)
    assert guard.is_open
    call(guard)
    assert not guard.is_open


def test_a_straggler_does_not_close_an_open_breaker(guard: Guard) -> None:
    with guard.call():
        fail(guard, 3)
    assert guard.is_open


def test_bulkhead_turns_away_what_is_too_much(guard: Guard) -> None:
    with ExitStack() as in_flight:
        for _ in range(LIMITS.in_flight):
            in_flight.enter_context(guard.call())
        with pytest.raises(PartnerUnavailable, match="too many") as turned_away:
            call(guard)
    assert turned_away.value.retry_after is not None
    assert turned_away.value.retry_after < 1
    call(guard)


def test_being_turned_away_is_not_a_failure(guard: Guard) -> None:
    with ExitStack() as in_flight:
        for _ in range(LIMITS.in_flight):
            in_flight.enter_context(guard.call())
        for _ in range(10):
            with pytest.raises(PartnerUnavailable, match="too many"):
                call(guard)
    assert not guard.is_open
