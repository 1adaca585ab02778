"""What a pricing of stock and capacity starts with, takes, and comes to."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from shared.domain.base import Instant, Model

#: A planner ignores prices that were not worked out again for so many of their intervals.
STALE_AFTER = 4


class PriceInput(Model):
    """A pricing of everything that may run short.

    Attributes:
        every: How often prices are worked out; they are stale after ``STALE_AFTER`` times that.
        horizon_days: Demand counts this far, or to the next supply where that comes sooner.
        history_days: Orders of so many days say what is expected.
    """

    every: timedelta = timedelta(minutes=15)
    horizon_days: Annotated[int, Field(ge=1, le=365)] = 14
    history_days: Annotated[int, Field(ge=7, le=365)] = 56


class PriceStep(PriceInput):
    """One run. Repeated, it answers with the version it kept."""

    run_id: str
    started_at: Instant


class PriceResult(Model):
    """The version that was kept, and how much of stock and of shipping days has a price in it."""

    version: str
    stock_prices: int
    shipping_prices: int
    doubted: int
