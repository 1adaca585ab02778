"""What a solver answers, before it is written out as a plan."""

from __future__ import annotations

from typing import NamedTuple

from shared.domain.sourcing.models import WantedLine

#: Units of lines that go together.
Parts = list[tuple[WantedLine, int]]


def units_of(parts: Parts) -> int:
    return sum(quantity for _, quantity in parts)


class Solution(NamedTuple):
    """Shipments as (index of the source, what it ships), sources ascending and each at most once.

    Attributes:
        units: Units that are shipped.
        cost: Minor units, split penalties included.
        runner_up: Cost of the best plan found that fills as much from another set of nodes.
        gap: Bound on how much cheaper another plan as full can be; zero when proven.
    """

    shipments: tuple[tuple[int, Parts], ...] = ()
    units: int = 0
    cost: int = 0
    runner_up: int | None = None
    proven: bool = True
    gap: int = 0

    @property
    def nodes(self) -> frozenset[int]:
        return frozenset(index for index, _ in self.shipments)
