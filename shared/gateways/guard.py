"""What keeps one sick partner from hurting the others: a bulkhead and a circuit breaker per partner.

Both answer at once instead of queueing: a caller that may not go is told when to come back, and its worker
slot is free for another partner's work meanwhile.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.domain.base import Model
from shared.errors import PartnerUnavailable


class Limits(Model):
    """How much one partner may take of us.

    Attributes:
        deadline: Seconds one call may take in all, however slowly the answer drips in.
        in_flight: Calls to the partner at one time; more are turned away, not queued.
        max_answer: Bytes of an answer that are read before it is thrown away.
        max_retry_after: The longest wait a partner may ask of us, in seconds.
        failures: Consecutive failures that open the breaker.
        pause: Seconds the breaker stays open at first; doubles with each failed probe up to ``max_pause``.
    """

    deadline: float = 10.0
    connect: float = 3.0
    in_flight: int = 32
    max_answer: int = 1 << 20
    max_retry_after: float = 60.0
    failures: int = 5
    pause: float = 5.0
    max_pause: float = 30.0


class Guard:
    """Lets calls through to one partner, or raises ``PartnerUnavailable`` before a byte is sent.

    A failure is ``PartnerUnavailable`` raised inside :meth:`call`. Any other outcome but a cancellation proves
    that the partner is alive and closes the breaker.
    """

    def __init__(self, partner_id: str, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._partner_id = partner_id
        self._limits = limits
        self._clock = clock
        self._in_flight = 0
        self._failures = 0
        self._pause = limits.pause
        self._open_until: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open; it stays so until a probe succeeds."""
        return self._open_until is not None

    @contextmanager
    def call(self) -> Iterator[None]:
        probe = self._enter()
        self._in_flight += 1
        try:
            yield
        except PartnerUnavailable as error:
            self._failed(error.retry_after or 0.0, probe=probe)
            raise
        except Exception:
            self._succeeded(probe=probe)
            raise
        else:
            self._succeeded(probe=probe)
        finally:
            self._in_flight -= 1
            if probe:
                self._probing = False

    def _enter(self) -> bool:
        """Whether this call is the one probe of an open breaker."""
        if self._open_until is not None:
            wait = self._open_until - self._clock()
            if wait > 0 or self._probing:
                raise self._turned_away("is not answering", max(wait, self._limits.pause / 4))
        if self._in_flight >= self._limits.in_flight:
            raise self._turned_away("has too many calls in flight", 0.5)
        self._probing = self.is_open
        return self._probing

    def _turned_away(self, why: str, wait: float) -> PartnerUnavailable:
        # Jitter, so that callers turned away together do not come back together.
        wait *= 1 + random.random() / 2
        return PartnerUnavailable(
            f"partner {self._partner_id} {why}; nothing was sent", retry_after=wait, partner=self._partner_id
        )

    def _failed(self, retry_after: float, *, probe: bool) -> None:
        self._failures += 1
        if probe:
            self._pause = min(self._pause * 2, self._limits.max_pause)
        elif self.is_open or self._failures < self._limits.failures:
            return
        self._open_until = self._clock() + max(self._pause, retry_after)

    def _succeeded(self, *, probe: bool) -> None:
        # A straggler that was sent before the breaker opened says nothing of the partner's health now.
        if self.is_open and not probe:
            return
        self._failures = 0
        self._pause = self._limits.pause
        self._open_until = None
