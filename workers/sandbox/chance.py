"""Chance that does not depend on timing: every draw is a hash of the seed, a purpose and a reference."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from workers.sandbox.config import Behaviour, Rates
from workers.sandbox.packing import Pick


def digest(*parts: object) -> str:
    """A stable name for the parts, 64 hexadecimal digits."""
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


def draw(seed: int, purpose: str, reference: str) -> float:
    """A number in [0, 1), the same for the same arguments."""
    return int(digest(seed, purpose, reference)[:12], 16) / 16**12


def behaviour_for(
    seed: int, rates: Rates, overrides: Mapping[str, Behaviour], *, node: str, reference: str
) -> Behaviour:
    """What a node does with a request.

    An override may name the reference, any leading part of it up to a slash (the order, say), or the node.
    """
    name = reference
    while name:
        if name in overrides:
            return overrides[name]
        name = name.rpartition("/")[0]
    if node in overrides:
        return overrides[node]
    return _drawn(draw(seed, "behaviour", reference), rates)


def _drawn(u: float, rates: Rates) -> Behaviour:
    for odds, behaviour in (
        (rates.reject, Behaviour.REJECT),
        (rates.silent, Behaviour.SILENT),
        (rates.late, Behaviour.LATE),
        (rates.short, Behaviour.SHORT),
    ):
        if u < odds:
            return behaviour
        u -= odds
    return Behaviour.ACCEPT


def shorten(seed: int, reference: str, picks: Sequence[Pick]) -> list[Pick]:
    """Take units away from about a third of the lines, and from one at least; a line may lose all of them."""
    victim = int(draw(seed, "victim", reference) * len(picks))
    short: list[Pick] = []
    for i, pick in enumerate(picks):
        here = f"{reference}/{pick.line_no}"
        loses = i == victim or draw(seed, "short", here) < 1 / 3
        left = int(draw(seed, "left", here) * pick.quantity) if loses else pick.quantity
        if left:
            short.append(pick._replace(quantity=left))
    return short


def grade_for(seed: int, rates: Rates, reference: str) -> str:
    """In what condition a returned line is."""
    u = draw(seed, "grade", reference)
    for odds, grade in ((rates.grade_d, "D"), (rates.grade_c, "C"), (rates.grade_b, "B")):
        if u < odds:
            return grade
        u -= odds
    return "A"
