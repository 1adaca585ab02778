"""Which units a cancellation takes: first what waits, then what no node was told of, last what a node must agree to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.domain.base import Model


class CancellableLine(Model):
    """Units of one line that no node holds, and those that have left or ended."""

    line_no: int
    unallocated: int = 0
    backordered: int = 0
    gone: int = 0


class CancellableClaim(Model):
    """Open units of one line at one fulfillment order; ``told`` when its node knows of them."""

    n: int
    line_no: int
    open: int
    told: bool


class TakenUnits(Model):
    """Units to cancel of one line, by where they are."""

    line_no: int
    unallocated: int = 0
    backordered: int = 0
    claims: tuple[tuple[int, int], ...] = ()  #: (fulfillment order, units)

    @property
    def units(self) -> int:
        return self.unallocated + self.backordered + sum(units for _, units in self.claims)


class Cancellation(Model):
    """The decision.

    Attributes:
        taken: What is cancelled at once.
        ask: Fulfillment orders whose nodes must agree before the rest can be.
        wanted: Units still to cancel by line, if those nodes agree.
        too_late: Units asked for that have left.
    """

    taken: tuple[TakenUnits, ...] = ()
    ask: tuple[int, ...] = ()
    wanted: tuple[tuple[int, int], ...] = ()
    too_late: int = 0

    @property
    def units(self) -> int:
        return sum(line.units for line in self.taken)


def decide_cancellation(
    lines: Sequence[CancellableLine],
    claims: Sequence[CancellableClaim],
    wanted: Mapping[int, int] | None,
    *,
    only_waiting: bool = False,
) -> Cancellation:
    """Choose the units to cancel.

    Args:
        wanted: Units to cancel by line; ``None`` cancels everything that can still be.
        only_waiting: Take only units that no node holds.
    """
    taken: list[TakenUnits] = []
    ask: set[int] = set()
    still: list[tuple[int, int]] = []
    too_late = 0
    for line in lines:
        of_line = [claim for claim in claims if claim.line_no == line.line_no]
        want = _wanted_of(line, of_line, wanted)
        units = _take(line, [] if only_waiting else [claim for claim in of_line if not claim.told], want)
        if units.units:
            taken.append(units)
        left = want - units.units
        told = 0 if only_waiting else sum(claim.open for claim in of_line if claim.told)
        if left and told:
            ask.update(_holders(of_line, left))
            still.append((line.line_no, min(left, told)))
        too_late += max(left - told, 0) if wanted is not None and not only_waiting else 0
    return Cancellation(taken=tuple(taken), ask=tuple(sorted(ask)), wanted=tuple(still), too_late=too_late)


def _wanted_of(line: CancellableLine, claims: Sequence[CancellableClaim], wanted: Mapping[int, int] | None) -> int:
    if wanted is not None:
        return wanted.get(line.line_no, 0)
    return line.unallocated + line.backordered + sum(claim.open for claim in claims)


def _take(line: CancellableLine, untold: Sequence[CancellableClaim], want: int) -> TakenUnits:
    backordered = min(line.backordered, want)
    unallocated = min(line.unallocated, want - backordered)
    left = want - backordered - unallocated
    claims: list[tuple[int, int]] = []
    for claim in untold:
        units = min(claim.open, left)
        if units:
            claims.append((claim.n, units))
            left -= units
    return TakenUnits(line_no=line.line_no, backordered=backordered, unallocated=unallocated, claims=tuple(claims))


def _holders(claims: Sequence[CancellableClaim], left: int) -> list[int]:
    """The fewest told fulfillment orders, the fullest first, that together hold ``left`` units."""
    holders: list[int] = []
    for claim in sorted((claim for claim in claims if claim.told), key=lambda claim: (-claim.open, claim.n)):
        if left <= 0:
            break
        holders.append(claim.n)
        left -= claim.open
    return holders
