"""What the refreshing of carriers' quotes starts with and comes to."""

from __future__ import annotations

from datetime import timedelta

from shared.domain.base import Instant, Model


class QuoteRefreshInput(Model):
    """A scheduled refresh of the quotes of every lane that is planned for.

    Attributes:
        every: How often it is done; a quote that would not last until the run after next is asked for anew.
        asked_within: Lanes nobody has planned for in this time are forgotten.
        limit: Lanes asked about in one run, those planned for most recently.
    """

    every: timedelta = timedelta(minutes=5)
    asked_within: timedelta = timedelta(days=3)
    limit: int = 5000


class QuoteRefreshStep(QuoteRefreshInput):
    """The refresh, as of the moment it began."""

    as_of: Instant


class QuoteRefreshResult(Model):
    """What was asked.

    Attributes:
        lanes: Lanes asked about.
        quotes: Quotes that were answered.
        unanswered: Lanes on which the carrier gave none.
        expired: Quotes that were deleted.
    """

    lanes: int = 0
    quotes: int = 0
    unanswered: int = 0
    expired: int = 0
