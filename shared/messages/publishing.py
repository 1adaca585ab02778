"""What the process that tells a channel what it may sell starts with, takes, and comes to."""

from __future__ import annotations

from datetime import timedelta

from shared.domain.base import Identifier, Model


class PublishInput(Model):
    """A channel to be told what it may sell, for as long as it has a partner.

    Attributes:
        lasts: How long one activity follows the channel before it reports.
        told: Units of items told in earlier runs.
    """

    channel: Identifier
    lasts: timedelta = timedelta(minutes=5)
    told: int = 0


class PublishResult(Model):
    """What one activity told. ``ended``: the channel is to be told no more."""

    told: int = 0
    ended: bool = False
