"""A policy's stages and batches, as data: which rules hold for which orders, and what follows when they are not enough.

Conditions are expressions in the Common Expression Language (https://cel.dev) over the variables that
``shared.domain.sourcing.facts`` documents; ``shared.domain.sourcing.conditions`` checks and evaluates them.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from shared.domain.base import Identifier, Instant, Minor, Model
from shared.domain.sourcing.weights import Weights

#: An expression; empty holds for everything.
Expression = Annotated[str, Field(max_length=1000)]


class Limits(Model):
    """What every plan of a stage keeps.

    Attributes:
        max_distance_km: Nodes further from the customer do not ship.
        max_shipments: Of the order, with those that earlier stages took.
        min_part_value_minor: Least merchandise value of each shipment that is only a part of the order, and of what
            is left without a source, when anything is.
        floor_units: Units of an item that stay at its node.
        whole_lines: A line comes whole from one node or not at all.
    """

    max_distance_km: Annotated[int, Field(strict=True, ge=1)] | None = None
    max_shipments: Annotated[int, Field(strict=True, ge=1)] | None = None
    min_part_value_minor: Minor = 0
    floor_units: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0
    whole_lines: bool = False


class SoftLimits(Limits):
    """Limits that may be broken, each at this price, beside which plans are compared; nobody pays it.

    Attributes:
        price_minor: For each shipment from too far, each shipment too many, each part or remainder that is worth too
            little, each unit below the floor, and once for a plan that splits lines.
    """

    price_minor: Annotated[int, Field(strict=True, ge=1, le=10**9)]


class Then(StrEnum):
    """What becomes of units a stage found no source for."""

    NEXT_STAGE = "next_stage"  #: the next stage is tried; after the last one they are backordered
    BACKORDER = "backorder"  #: they wait for stock
    QUEUE = "queue"  #: they wait for a person: a hold and a case
    CANCEL_AFTER = "cancel_after"  #: they wait for stock, but only so long


class After(Model):
    """What follows when a stage finds nothing.

    Attributes:
        after: How long units wait for stock before they are cancelled, since they were first told to.
    """

    then: Then = Then.NEXT_STAGE
    after: timedelta | None = None

    @model_validator(mode="after")
    def _only_waiting_has_an_end(self) -> After:
        if (self.then is Then.CANCEL_AFTER) != (self.after is not None):
            raise ValueError("cancel_after needs a duration in 'after', and nothing else has one")
        if self.after is not None and self.after <= timedelta(0):
            raise ValueError("'after' must be longer than nothing")
        return self


class AfterPart(After):
    """What follows when a stage finds a part.

    Attributes:
        take: Whether the part is taken, and only the rest goes on.
    """

    take: bool = True

    @model_validator(mode="after")
    def _what_is_left_lying_goes_on(self) -> AfterPart:
        if not self.take and self.then is not Then.NEXT_STAGE:
            raise ValueError("a part is only left lying for the next stage")
        return self


class Stage(Model):
    """Rules tried in their turn, for the orders and the time they are meant for.

    Attributes:
        when: Condition on ``order`` and ``now``.
        nodes: Condition on ``node``, ``order`` and ``now``: which nodes may ship.
        effective_from, effective_until: The stage is passed over before and from these moments on.
        weights, split_penalty_minor, late_day_minor, wait_day_minor: Instead of the policy's.
    """

    name: Identifier
    when: Expression = ""
    nodes: Expression = ""
    effective_from: Instant | None = None
    effective_until: Instant | None = None
    hard: Limits = Limits()
    soft: Annotated[tuple[SoftLimits, ...], Field(max_length=5)] = ()
    weights: Weights | None = None
    split_penalty_minor: Minor | None = None
    late_day_minor: Minor | None = None
    wait_day_minor: Minor | None = None
    on_none: After = After()
    on_part: AfterPart = AfterPart()

    @property
    def ends_always(self) -> bool:
        """Whether no stage comes after this one once it applies."""
        return Then.NEXT_STAGE not in (self.on_none.then, self.on_part.then)


class SortBy(StrEnum):
    """What orders that take turns are sorted by."""

    PRIORITY = "priority"
    PROMISED_AT = "promised_at"
    RECEIVED_AT = "received_at"
    VALUE_MINOR = "value_minor"
    UNITS = "units"


class SortKey(Model):
    by: SortBy
    descending: bool = False


class Batch(Model):
    """Orders that take their turn together, before those of later batches.

    Attributes:
        when: Condition on ``order`` and ``now``; an order belongs to the first batch whose condition holds.
        sequence: The first key decides; what is equal goes by when it was received, then by order.
    """

    name: Identifier
    when: Expression = ""
    sequence: Annotated[tuple[SortKey, ...], Field(min_length=1, max_length=6)]


class Tried(StrEnum):
    """How far an order came with a stage."""

    PASSED_OVER = "passed_over"
    FOUND_NOTHING = "found_nothing"
    LEFT_PART = "left_part"
    TOOK_PART = "took_part"
    TOOK_ALL = "took_all"


class StageTried(Model):
    """One stage, as an order met it.

    Attributes:
        because: Why it was passed over or did not find everything.
        units: Units that it took.
        broken_minor: What its plan pays for the soft limits it breaks, in minor units as the policy weighs them.
    """

    name: str
    outcome: Tried
    because: str = ""
    units: int = 0
    broken_minor: int = 0


class Rest(Model):
    """What becomes of the units that no stage found a source for, and which stage said so."""

    then: Then
    stage: str = ""
    after: timedelta | None = None
