"""What telling warehouses of transfers comes to."""

from __future__ import annotations

from shared.domain.base import Model


class AdviceResult(Model):
    """Transfers whose warehouse was told, and those left for the next time."""

    told: int = 0
    left: int = 0
