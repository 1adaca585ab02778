"""Figures by cost term: the planner's own terms are fields, those of installed criteria have their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field

from shared.domain.base import Model, unused


class Terms(Model):
    """A figure for each cost term.

    Attributes:
        criteria: By name, those of criteria that packages bring (``shared.domain.sourcing.criteria``).
    """

    criteria: dict[str, int] = Field(default_factory=dict, exclude_if=unused)

    def by_term(self) -> dict[str, int]:
        """All of them by name."""
        return {name: figure for name, figure in self if name != "criteria"} | self.criteria

    @classmethod
    def of_terms(cls, figures: Mapping[str, int]) -> Self:
        """Of figures by name; those that are missing are as if nothing was said of them."""
        values: dict[str, Any] = {name: figure for name, figure in figures.items() if name in cls.model_fields}
        criteria = {name: figure for name, figure in figures.items() if name not in cls.model_fields}
        return cls.model_validate(values | {"criteria": criteria})

    def __hash__(self) -> int:
        return hash(tuple(self.by_term().items()))
