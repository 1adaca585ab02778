"""What a reconciliation starts with, takes, and comes to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pydantic import Field

from shared.domain.base import Instant, Model


class ReconcileInput(Model):
    """A scheduled comparison of the facts with themselves and with the running processes."""

    resend_after: timedelta = timedelta(seconds=30)


class ReconcileStep(Model):
    """One run of one group of checks."""

    run_id: str
    started_at: Instant
    resend_after: timedelta


class ReconcileResult(Model):
    """What was compared and what did not agree."""

    run_id: str
    checked: dict[str, int] = Field(default_factory=dict)
    breaks: int = 0
    repaired: int = 0

    @classmethod
    def of(cls, run_id: str, results: Sequence[ReconcileResult]) -> ReconcileResult:
        """What the parts of a run come to."""
        return cls(
            run_id=run_id,
            checked={name: count for result in results for name, count in result.checked.items()},
            breaks=sum(result.breaks for result in results),
            repaired=sum(result.repaired for result in results),
        )
