"""Which units a cancellation takes: first what waits, then what no node was told of, last what a node must agree to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from shared.domain.base import Model


class CancellableLine(Model):
    """Units of one line that no node holds, and those that have left."""

    line_no: int
    unallocated: int = 0
    backordered: int = 0
    left: int = 0


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
        missing: Units asked for that the order does not have, or has cancelled before.
    """

    taken: tuple[TakenUnits, ...] = ()
    ask: tuple[int, ...] = ()
    wanted: tuple[tuple[int, int], ...] = ()
    too_late: int = 0
    missing: int = 0

    @property
    def units(self) -> int:
        return sum(line.units for line in self.taken)


def decide_cancellation(
    lines: Sequence[CancellableLine],
    claims: Sequence[CancellableClaim],
    wanted: Mapping[int, int] | None,
    *,
    keep: Collection[int] = (),
) -> Cancellation:
    """Choose the units to cancel.

    Args:
        wanted: Units to cancel by line; ``None`` cancels everything that can still be.
        keep: Fulfillment orders whose nodes have refused to give them back.
    """
    claimed: dict[int, list[CancellableClaim]] = {}
    for claim in claims:
        claimed.setdefault(claim.line_no, []).append(claim)
    chosen = [_choose(line, claimed.get(line.line_no, []), wanted, keep) for line in lines]
    unknown = sum((wanted or {}).values()) - sum((wanted or {}).get(line.line_no, 0) for line in lines)
    return Cancellation(
        taken=tuple(choice.taken for choice in chosen if choice.taken.units),
        ask=tuple(sorted({n for choice in chosen for n in choice.ask})),
        wanted=tuple((choice.taken.line_no, choice.held) for choice in chosen if choice.held),
        too_late=sum(choice.too_late for choice in chosen),
        missing=sum(choice.missing for choice in chosen) + unknown,
    )


class _Choice(NamedTuple):
    taken: TakenUnits
    ask: list[int]
    held: int  #: units to cancel that nodes must agree to
    too_late: int
    missing: int


def _choose(
    line: CancellableLine, claims: Sequence[CancellableClaim], wanted: Mapping[int, int] | None, keep: Collection[int]
) -> _Choice:
    all_open = line.unallocated + line.backordered + sum(claim.open for claim in claims)
    want = all_open + line.left if wanted is None else wanted.get(line.line_no, 0)
    taken = _take(line, [claim for claim in claims if not claim.told], want)
    told = [claim for claim in claims if claim.told]
    rest = want - taken.units
    askable = [claim for claim in told if claim.n not in keep]
    held = min(rest, sum(claim.open for claim in askable))
    beyond = max(rest - sum(claim.open for claim in told), 0)
    too_late = min(beyond, line.left)
    return _Choice(taken, _holders(askable, held), held, too_late, beyond - too_late)


def decide_waiting(lines: Sequence[CancellableLine]) -> Cancellation:
    """Cancel every unit that no node holds, and nothing else."""
    waiting = (_take(line, (), line.unallocated + line.backordered) for line in lines)
    return Cancellation(taken=tuple(line for line in waiting if line.units))


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
    """The fewest of these fulfillment orders, the fullest first, that together hold ``left`` units."""
    holders: list[int] = []
    for claim in sorted(claims, key=lambda claim: (-claim.open, claim.n)):
        if left <= 0:
            break
        holders.append(claim.n)
        left -= claim.open
    return holders
