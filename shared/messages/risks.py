"""What an assessment of nodes' risks starts with and comes to."""

from __future__ import annotations

from shared.domain.base import Instant, Model


class RiskInput(Model):
    """A scheduled assessment of every node."""


class RiskStep(Model):
    """The assessment, as of the moment it began."""

    as_of: Instant


class RiskResult(Model):
    """What was assessed.

    Attributes:
        changed: Nodes whose figures are others now.
    """

    nodes: int = 0
    changed: int = 0
