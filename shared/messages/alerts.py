"""What a look at the levels of stock starts with and comes to."""

from __future__ import annotations

from shared.domain.base import Instant, Model


class WatchInput(Model):
    """A scheduled look at the levels of stock."""


class WatchStep(Model):
    """One part of a look, as of the moment it began."""

    as_of: Instant


class WatchResult(Model):
    """What was looked at and what came of it.

    Attributes:
        levels: Levels that have a threshold.
        raised: Alerts raised; ``cleared`` are those whose level is back.
        buffers: Positions of which more or fewer units are held back because of their counts.
    """

    levels: int = 0
    raised: int = 0
    cleared: int = 0
    buffers: int = 0
