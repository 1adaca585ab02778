"""What a wave starts with, and the step it takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.domain.base import Instant, Model
from shared.domain.waves.models import WaveRules


class WaveInput(Model):
    """A wave of one channel's orders.

    Attributes:
        limit: At most so many orders, the first in their order of service.
    """

    channel: str
    limit: Annotated[int, Field(ge=1)] = 2000
    rules: WaveRules = WaveRules()


class WaveStep(WaveInput):
    """One wave. Repeated, it goes on with what it planned before."""

    wave_id: str
    started_at: Instant
