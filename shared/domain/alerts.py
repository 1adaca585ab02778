"""When a level of stock is worth an alert, and when that is over.

An alert is raised when a level crosses its threshold, once: it is over only when the level has come back to another,
farther one. A level that wavers between the two raises nothing (a Schmitt trigger's hysteresis).
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from shared.domain.availability import Units
from shared.domain.base import Identifier, Model, Sku

Days = Annotated[int, Field(ge=0, le=3650)]


class AlertKind(StrEnum):
    """What is wrong with a level of stock."""

    LOW = "low"  #: fewer units may be sold than the floor
    EXCESS = "excess"  #: more units than wanted
    AGED = "aged"  #: there is stock, and none of it left for days
    SHORTAGE = "shortage"  #: what is here and comes in time does not last until a new delivery could come


class Threshold(Model):
    """The levels of one item at a node, in a channel, or everywhere.

    Attributes:
        low: Fewer available units raise an alert; it is over at ``low_clear`` or more.
        high: More available units raise an alert; it is over at ``high_clear`` or fewer.
        aged_days: Stock of which none was shipped for so many days raises an alert.
        lead_days: How long a new delivery takes; a projected shortage within that and ``safety_days`` raises an alert.
        target: What a replenishment brings available and expected units up to.
    """

    sku: Sku
    node_id: Identifier | None = None
    channel: Identifier | None = None
    low: Units | None = None
    low_clear: Units | None = None
    high: Units | None = None
    high_clear: Units | None = None
    aged_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    lead_days: Days | None = None
    safety_days: Days | None = None
    target: Units | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Threshold:
        if self.node_id is not None and self.channel is not None:
            raise ValueError("is of a node or of a channel, not of both: use two rows")
        if self.channel is not None and (self.aged_days, self.lead_days, self.target) != (None, None, None):
            raise ValueError("a channel has no aged_days, lead_days or target: they are of nodes or of all stock")
        if self.low_clear is not None and (self.low is None or self.low_clear < self.low):
            raise ValueError("low_clear needs a low that is not above it")
        if self.high_clear is not None and (self.high is None or self.high_clear > self.high):
            raise ValueError("high_clear needs a high that is not below it")
        if self.target is not None and self.low is not None and self.target < self.low:
            raise ValueError("target must not be below low")
        if self.safety_days is not None and self.lead_days is None:
            raise ValueError("safety_days needs lead_days")
        return self


class Level(Model):
    """Where stock stands against one threshold.

    Attributes:
        available: Units that may be sold.
        idle_days: Whole days in which there was stock and none was shipped; ``None`` when there is no stock.
        daily_demand: Units that left or were reserved a day, on average.
        inbound: Units expected within the lead time and safety days.
    """

    available: int
    idle_days: int | None = None
    daily_demand: float = 0.0
    inbound: int = 0


class Limits(Model):
    """A level of one kind, where it raises an alert and where that is over.

    Attributes:
        falling: Whether low levels are the bad ones: raised below ``on``, over at ``off`` or above. Otherwise it is
            raised above ``on``, and over at ``off`` or below.
    """

    level: int
    on: int
    off: int
    falling: bool

    @property
    def crossed(self) -> bool:
        return self.level < self.on if self.falling else self.level > self.on

    @property
    def back(self) -> bool:
        return self.level >= self.off if self.falling else self.level <= self.off


def raised(before: bool, limits: Limits | None) -> bool:
    """Whether an alert stands after a look at its level. Without limits nothing is watched, and none stands."""
    if limits is None:
        return False
    return not limits.back if before else limits.crossed


def limits(threshold: Threshold, level: Level) -> dict[AlertKind, Limits]:
    """What is watched of a threshold, by kind."""
    watched: dict[AlertKind, Limits] = {}
    if threshold.low is not None:
        off = threshold.low if threshold.low_clear is None else threshold.low_clear
        watched[AlertKind.LOW] = Limits(level=level.available, on=threshold.low, off=off, falling=True)
    if threshold.high is not None:
        off = threshold.high if threshold.high_clear is None else threshold.high_clear
        watched[AlertKind.EXCESS] = Limits(level=level.available, on=threshold.high, off=off, falling=False)
    if threshold.aged_days is not None:
        last = threshold.aged_days - 1
        watched[AlertKind.AGED] = Limits(level=level.idle_days or 0, on=last, off=last, falling=False)
    if threshold.lead_days is not None:
        margin = math.ceil(level.daily_demand)
        watched[AlertKind.SHORTAGE] = Limits(level=projected(threshold, level), on=0, off=margin, falling=True)
    return watched


def projected(threshold: Threshold, level: Level) -> int:
    """Units left when a delivery ordered now could come: available + inbound - demand x (lead + safety days).

    The reorder point turned round: R. G. Brown, *Statistical Forecasting for Inventory Control*, 1959. An alert is
    over when a day's demand is left.
    """
    days = (threshold.lead_days or 0) + (threshold.safety_days or 0)
    return math.floor(level.available + level.inbound - level.daily_demand * days)


def replenishment(threshold: Threshold, level: Level) -> int:
    """Units to order: up to the target, once available and expected units are below ``low`` (an (s, S) policy).

    Without ``low`` every unit below the target is ordered again (a base-stock policy).
    """
    position = level.available + level.inbound
    if threshold.target is None or (threshold.low is not None and position >= threshold.low):
        return 0
    return max(0, threshold.target - position)
