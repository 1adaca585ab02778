"""A partner's figure of stock compared with ours of the same moment, while orders are under way.

The partner counts what left its door; we book it when its ship confirm comes. So a difference is known only within
bounds, as long as it is not known what of the units under way had left by then: bounds that hold 0 explain it.
"""

from __future__ import annotations

from enum import StrEnum

from shared.domain.base import Instant, Model


class Compared(Model):
    """One position at the moment of the partner's figure.

    Attributes:
        theirs: Units by the partner's books.
        ours: Units by the ledger, less those whose ship confirm came later and says that they had left.
        may_have_left: Units of which it is not known yet whether they had left.
        may_have_come: Units of which it is not known yet whether they were there already.
        corrected: The ledger was corrected since: the comparison is of the past.
    """

    node_id: str
    sku: str
    as_of: Instant
    theirs: int
    ours: int
    may_have_left: int
    may_have_come: int
    corrected: bool = False

    @property
    def least(self) -> int:
        """The least that theirs may be more than ours; both bounds are negative when it is fewer."""
        return self.theirs - self.ours - self.may_have_come

    @property
    def most(self) -> int:
        return self.theirs - self.ours + self.may_have_left

    @property
    def exact(self) -> bool:
        return self.least == self.most

    @property
    def explained(self) -> bool:
        return self.least <= 0 <= self.most

    def may_be(self, difference: int) -> bool:
        return self.least <= difference <= self.most


class Finding(StrEnum):
    """What a comparison comes to."""

    AGREES = "agrees"
    WATCH = "watch"  #: a difference seen first, or one that orders under way may explain: look again
    BREAK = "break"  #: nothing explains it, twice
    REPAIR = "repair"  #: nothing explains it, and it is known exactly and the same twice


def judge(earlier: Compared | None, now: Compared) -> Finding:
    """What to make of a figure, given the one of an earlier run that did not agree, compared again.

    A difference must show in two runs before anything is said of it: a figure and a ledger read a moment apart
    may well differ. It is repaired only when the earlier one is exact by now and today's may be the same.
    """
    if earlier is None or earlier.corrected or (earlier.exact and earlier.explained):
        return Finding.AGREES if now.theirs == now.ours else Finding.WATCH
    if now.exact and now.explained:
        return Finding.AGREES
    if earlier.explained:
        return Finding.WATCH
    return Finding.REPAIR if earlier.exact and now.may_be(earlier.least) else Finding.BREAK
