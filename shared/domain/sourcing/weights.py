"""How much each cost term counts when plans are compared."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.domain.base import Identifier, unused
from shared.domain.sourcing.terms import Terms

Percent = Annotated[int, Field(strict=True, ge=0, le=10_000)]


class Weights(Terms):
    """How much each cost term counts when plans are compared, in percent; only their ratio matters.

    A plan is always told in the money it costs, whatever its terms weigh. A policy for which scarcity or capacity
    weighs nothing does not look at such prices at all.

    Attributes:
        criteria: Of packages that are installed; one that weighs nothing is told but does not count.
    """

    criteria: dict[Identifier, Percent] = Field(default_factory=dict, max_length=20, exclude_if=unused)

    freight: Percent = 100
    handling: Percent = 100
    dropship_fee: Percent = 100
    item_cost: Percent = 100
    split_penalty: Percent = 100
    lateness: Percent = 100
    scarcity: Percent = 100
    capacity: Percent = 100
    clearance: Percent = 100
    risk: Annotated[Percent, Field(exclude_if=lambda percent: percent == 100)] = 100
    customs: Annotated[Percent, Field(exclude_if=lambda percent: percent == 100)] = 100
    packaging: Annotated[Percent, Field(exclude_if=lambda percent: percent == 100)] = 100
