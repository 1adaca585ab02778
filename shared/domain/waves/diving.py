"""From shares of plans to whole ones: the linear program is solved again and again with ever more plans fixed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from shared.domain import highs
from shared.domain.waves.master import WHOLE, Master, Relaxed

#: Share of the plans that are still divided which are fixed at a time.
AT_ONCE = 0.2
#: Rounds after which a dive is given up.
ROUNDS = 200
_FREE, _YES, _NO = (0.0, float("inf")), (1.0, float("inf")), (0.0, 0.0)


def dive(master: Master, relaxed: Relaxed, price: Callable[[Relaxed], int]) -> list[int] | None:
    """A choice of whole columns, or ``None`` when the dive ends without one. No column is left fixed.

    Args:
        price: Adds the columns that are called for when others are fixed; returns how many.
    """
    fixed: set[int] = set()
    try:
        for _ in range(ROUNDS):
            divided = np.flatnonzero((relaxed.chosen > WHOLE) & (relaxed.chosen < 1 - WHOLE))
            if not len(divided):
                return master.mend([int(place) for place in np.flatnonzero(relaxed.chosen > 0.5)])
            ranked = [int(place) for place in divided[np.argsort(-relaxed.chosen[divided], kind="stable")]]
            # What is whole now stays so, or each round would divide again what the last one made whole.
            whole = [int(place) for place in np.flatnonzero(relaxed.chosen >= 1 - WHOLE)]
            _fix(master, whole, _most_whole(master, ranked))
            fixed.update(whole, ranked)
            relaxed = master.relax()
            if price(relaxed):
                relaxed = master.relax()
    except highs.Unsolved:
        return None
    finally:
        master.restrict(dict.fromkeys(sorted(fixed), _FREE))
    return None


def _fix(master: Master, whole: list[int], several: list[int]) -> None:
    """Fix several plans; where they do not go together only the first; where even that does not, rule it out."""
    master.restrict(dict.fromkeys([*whole, *several], _YES))
    if master.feasible():
        return
    master.restrict(dict.fromkeys(several, _FREE) | {several[0]: _YES})
    if not master.feasible():
        master.restrict({several[0]: _NO})


def _most_whole(master: Master, ranked: list[int]) -> list[int]:
    """The plans that are nearest to whole, one of each order."""
    taken: set[int] = set()
    chosen: list[int] = []
    for place in ranked[: max(1, round(len(ranked) * AT_ONCE))]:
        members = master.columns[place].members
        if taken.isdisjoint(members):
            taken.update(members)
            chosen.append(place)
    return chosen
