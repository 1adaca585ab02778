"""Cycle counts: what to count next, how right the records were, and how far they are to be doubted.

Classes and frequencies follow the ABC method of cycle counting (R. Piasecki, *Inventory Accuracy: People,
Processes & Technology*, 2003, ch. 6): few items make most of the value that moves, and those are counted more often.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from shared.domain.base import Identifier, Instant, Model, Sku

#: Cumulated shares of the value that moves at which class A and class B end.
_CLASS_A, _CLASS_B = 0.80, 0.95
#: Own counts that say enough of a position; fewer are judged together with its node.
ENOUGH_COUNTS = 3
#: Counts that say enough of a node.
ENOUGH_AT_NODE = 10
#: The share of a node's counts whose shortfall its buffer covers.
_COVERED = 0.9
#: Shares are kept in basis points, so that a buffer is the same wherever it is worked out.
WHOLE = 10_000


class CountReason(StrEnum):
    """Why a count was not what the record said, as far as it is known."""

    UNKNOWN = "unknown"
    DAMAGED = "damaged"
    LOST = "lost"  #: shrinkage: theft included
    FOUND = "found"
    MISPLACED = "misplaced"
    RECEIVING_ERROR = "receiving_error"
    SHIPPING_ERROR = "shipping_error"
    WRONG_ITEM = "wrong_item"
    WRONG_UNIT = "wrong_unit"  #: cases counted for pieces


class Count(Model):
    """Units somebody counted of an item at a node, reserved ones included, quarantined ones not.

    Attributes:
        counted_at: When; what moved afterwards is kept. ``None`` is the moment it is booked.
    """

    node_id: Identifier
    sku: Sku
    counted: Annotated[int, Field(ge=0, le=10**9)]
    counted_at: Instant | None = None
    reason: CountReason = CountReason.UNKNOWN


class CountClass(StrEnum):
    """How often a position is counted, by its share of the value that moves."""

    A = "A"
    B = "B"
    C = "C"

    @property
    def every_days(self) -> int:
        return {"A": 30, "B": 90, "C": 180}[self.value]


def count_classes(values: Sequence[int]) -> list[CountClass]:
    """The class of each position, by the value that moved of it in some time.

    From the most valuable down, those that make the first 80 % are A, the next 15 % B, the rest C; what did not
    move is C.
    """
    total = sum(values)
    classes = [CountClass.C] * len(values)
    before = 0
    for place in sorted(range(len(values)), key=lambda place: (-values[place], place)):
        if values[place] > 0:
            share = before / total
            classes[place] = CountClass.A if share < _CLASS_A else CountClass.B if share < _CLASS_B else CountClass.C
        before += values[place]
    return classes


def within_tolerance(recorded: int, counted: int, tolerance: float) -> bool:
    """Whether a record counts as right. ``tolerance`` is in percent of what was counted."""
    return abs(recorded - counted) * 100 <= tolerance * counted


def unit_accuracy(variances: Iterable[tuple[int, int]]) -> float | None:
    """Accuracy in units, 1 - sum |recorded - counted| / sum counted, never below 0, of (recorded, counted) pairs.

    ``None`` when nothing was counted. Piasecki, ch. 4: it weighs how much is wrong, where the share of positions
    that are right only says how many are.
    """
    pairs = list(variances)
    counted = sum(pair[1] for pair in pairs)
    wrong = sum(abs(recorded - units) for recorded, units in pairs)
    if not counted:
        return None if not wrong else 0.0
    return max(0.0, 1 - wrong / counted)


def node_doubt(shortfalls: Sequence[int]) -> int:
    """The share of a node's records to doubt, in basis points: what nine of ten counts did not exceed.

    The nearest-rank quantile: the smallest shortfall that at least 90 % of the counts do not exceed. Too few counts
    say nothing of a node.
    """
    if len(shortfalls) < ENOUGH_AT_NODE:
        return 0
    return sorted(shortfalls)[math.ceil(_COVERED * len(shortfalls)) - 1]


def position_doubt(own: Sequence[int], node: int) -> int:
    """The share of a position to doubt, in basis points.

    The worst of its latest three counts; a position with fewer is doubted as much as its node, too. So three exact
    counts in a row take a buffer away, and one wrong count brings it back.

    Args:
        own: Shortfalls of its counts, the latest first.
        node: ``node_doubt`` of where it lies.
    """
    latest = own[:ENOUGH_COUNTS]
    return max([*latest, 0 if len(latest) == ENOUGH_COUNTS else node])
