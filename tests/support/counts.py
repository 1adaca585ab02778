"""What the database works out of counts, said once more."""

from __future__ import annotations

from shared.domain.counts import WHOLE


def shortfall(recorded: int, counted: int) -> int:
    """The share of the record that was not there, in basis points; none when there was more."""
    if counted >= recorded:
        return 0
    return min(WHOLE, -(-(recorded - counted) * WHOLE // recorded)) if recorded > 0 else 0


def count_buffer(on_hand: int, doubt: int) -> int:
    """Units not to be sold of a position doubted so far, rounded up."""
    return -(-on_hand * doubt // WHOLE)
