"""Sourcing: which node ships which units of an order, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.domain.sourcing.engine import plan

__all__ = ["plan"]


def __getattr__(name: str) -> Any:
    """Load the engine when it is asked for: workflows read the models and must not load numpy."""
    if name != "plan":
        raise AttributeError(name)
    from shared.domain.sourcing.engine import plan

    return plan
