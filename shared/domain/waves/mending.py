"""A choice that does not go together made one that does: orders go back to where they stand until all fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from shared.domain.waves.columns import Column
from shared.domain.waves.limits import Limit


def mended(columns: Sequence[Column], chosen: Sequence[int], most: Mapping[Limit, int]) -> list[int]:
    """The choice with as many of its changes as go together. As all stands is a choice, so there always is one.

    Args:
        columns: Those of all orders as they stand come first, each at its order's place.
    """
    kept = dict.fromkeys(chosen)
    taken: Counter[Limit] = Counter()
    for place in kept:
        taken.update(columns[place].uses)

    def undo(place: int) -> None:
        del kept[place]
        taken.subtract(columns[place].uses)
        for member in columns[place].members:
            kept[member] = None
            taken.update(columns[member].uses)

    for place in [place for place in chosen if columns[place].missing]:
        undo(place)
    while over := next((limit for limit, units in taken.items() if units > most.get(limit, 0)), None):
        moved = [place for place in kept if not columns[place].standing and columns[place].uses.get(over)]
        # The one whose change saves least for what it takes.
        undo(min(moved, key=lambda place: (_saved(columns, place) / columns[place].uses[over], place)))
    return list(kept)


def _saved(columns: Sequence[Column], place: int) -> int:
    return sum(columns[member].cost for member in columns[place].members) - columns[place].cost
