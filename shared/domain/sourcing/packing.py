"""How the units of a shipment are packed: as few packages as are found, each in a carton that holds it.

Which units go together does not depend on what carriers ask. One carton holds all of them where any does. Otherwise
the largest units are put into the roomiest carton that takes the first of them, as many as fit, until one carton holds
the rest; more than ``PLACED_UNITS`` are divided by volume and weight alone. Every answer is worked out once for an
order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.domain.cartons import Carton
from shared.domain.sourcing.fitting import FILLED_PERCENT, PLACED_UNITS, Fit, Fitting, Ints, Sides, placed
from shared.domain.sourcing.freight import volume_mm3
from shared.domain.sourcing.models import WantedLine

#: Units by place of their line, ascending; none are zero.
Units = tuple[tuple[int, int], ...]
#: What is proven of the sets of units of a grid no larger than this is kept for each of them.
_REMEMBERED = 256


class Group(NamedTuple):
    """Units that go together.

    Attributes:
        filled: The carton they were chosen to fill; ``None`` when one carton holds whatever there is.
        placed: They were placed one by one.
    """

    units: Units
    filled: int | None = None
    placed: bool = True


class Packer:
    """The lines of one order, and one set of cartons.

    Attributes:
        places: Of the lines, by their number.
        volumes: Of the cartons, cubic millimetres.
        roomiest_mm3, most_tare_g, most_cost_minor: The most that any of the cartons has, weighs and costs.
    """

    def __init__(self, lines: Sequence[WantedLine], cartons: Sequence[Carton]) -> None:
        self.lines, self.cartons = tuple(lines), tuple(cartons)
        self.fitting = Fitting(self.lines, self.cartons)
        self._proven: dict[Units, list[int]] = {}
        self._found: dict[Units, list[int]] = {}
        self._groups: dict[Units, tuple[Group, ...]] = {}
        self.places = {line.line_no: place for place, line in enumerate(lines)}
        self.volumes = [carton.volume_mm3 for carton in cartons]
        self.roomiest_mm3 = max(self.volumes)
        self.most_tare_g = max(carton.tare_g for carton in cartons)
        self.most_cost_minor = max(carton.cost_minor for carton in cartons)
        self._roomiest = sorted(range(len(cartons)), key=lambda k: (-self.volumes[k], -cartons[k].max_weight_g, k))
        self._largest = sorted(range(len(lines)), key=lambda n: (-volume_mm3(lines[n]), -lines[n].weight_g, n))
        self._turn = {place: turn for turn, place in enumerate(self._largest)}

    def groups(self, units: Units) -> tuple[Group, ...]:
        """The packages of these units, none of which go as packages of their own."""
        if units not in self._groups:
            self._groups[units] = tuple(self._divided(dict(units)))
        return self._groups[units]

    def takes(self, group: Group, carton: int) -> bool:
        """Whether a group may go in a carton."""
        known = self.verdict(group, carton)
        return self.holds(group.units, carton) if known == Fit.OPEN else known == Fit.YES

    def verdict(self, group: Group, carton: int) -> int:
        """What is known of that before any more is packed."""
        if carton == group.filled:
            return Fit.YES
        known = self._verdicts_of(group.units)[carton]
        return known if group.placed or known == Fit.YES else Fit.NO

    def holds(self, units: Units, carton: int) -> bool:
        """Whether one carton holds the units."""
        known = self._verdicts_of(units)
        if known[carton] == Fit.OPEN:
            known = self._found.setdefault(units, list(known))
            known[carton] = Fit.YES if all(n == units[at][1] for at, n in self._place(units, carton)) else Fit.NO
        return known[carton] == Fit.YES

    def proven(self, places: Ints, taken: Ints) -> NDArray[np.int8]:
        """``Fitting.verdicts``, kept for each set of units where there are few."""
        found = self.fitting.verdicts(places, taken)
        if len(taken) <= _REMEMBERED:
            order = np.argsort(places).tolist()
            named = places.tolist()
            for counts, verdicts in zip(taken.tolist(), found.tolist(), strict=True):
                units = tuple((named[column], counts[column]) for column in order if counts[column])
                self._proven.setdefault(units, verdicts)
        return found

    def as_found(self, proven: NDArray[np.int8], places: Ints, taken: Ints) -> NDArray[np.int8]:
        """What is proven of these sets of units, with what the packer has found since."""
        found = proven.copy()
        for units, known in self._found.items():
            for state in _states(units, places, taken):
                found[state] = known
        return found

    def divided(self, places: Ints, taken: Ints) -> Iterator[tuple[int, Units]]:
        """The states, and their units, that are known to take several packages."""
        for units, groups in self._groups.items():
            if len(groups) > 1:
                yield from ((state, units) for state in _states(units, places, taken))

    def _verdicts_of(self, units: Units) -> list[int]:
        known = self._found.get(units) or self._proven.get(units)
        if known is None:
            places = np.array([place for place, _ in units], dtype=np.int64)
            taken = np.array([[count for _, count in units]], dtype=np.int64)
            known = self._proven[units] = self.fitting.verdicts(places, taken)[0].tolist()
        return known

    def _divided(self, left: dict[int, int]) -> Iterator[Group]:
        few = sum(left.values()) <= PLACED_UNITS
        while left:
            rest = tuple(sorted(left.items()))
            if any(self.holds(rest, carton) for carton in self._roomiest):
                yield Group(rest)
                return
            group = self._filled(left, few=few)
            yield group
            for place, count in group.units:
                left[place] -= count
            left = {place: count for place, count in left.items() if count}

    def _filled(self, left: dict[int, int], *, few: bool) -> Group:
        """What goes into the roomiest carton that takes the largest unit."""
        largest = min(left, key=self._turn.__getitem__)
        carton = next(k for k in self._roomiest if self.fitting.alone[largest, k])
        units = self._by_size(left, carton, 100 if few else FILLED_PERCENT)
        if few:
            units = tuple((units[at][0], count) for at, count in sorted(self._place(units, carton)) if count)
        return Group(units or ((largest, 1),), carton, few)

    def _by_size(self, left: dict[int, int], carton: int, percent: int) -> Units:
        """The largest units that together are no heavier and no larger than the carton, or this share of it, holds."""
        limit = self.cartons[carton]
        room, grams, units = self.volumes[carton] * percent // 100, limit.max_weight_g, list[tuple[int, int]]()
        for place in sorted(left, key=self._turn.__getitem__):
            if not self.fitting.alone[place, carton]:
                continue
            volume, weight = volume_mm3(self.lines[place]), max(0, self.lines[place].weight_g)
            count = min(
                left[place], room // volume if volume else left[place], grams // weight if weight else left[place]
            )
            if count:
                units.append((place, count))
                room, grams = room - count * volume, grams - count * weight
        return tuple(sorted(units))

    def _place(self, units: Units, carton: int) -> Iterator[tuple[int, int]]:
        """Units of each line that the packer places; lines of one shape are asked about together."""
        shapes: dict[Sides, list[int]] = {}
        for at, (place, _) in enumerate(units):
            shapes.setdefault(self.fitting.sides[place], []).append(at)
        kinds = tuple((sides, sum(units[at][1] for at in shapes[sides])) for sides in sorted(shapes))
        for (sides, _), inside in zip(kinds, placed(kinds, self.fitting.inner[carton]), strict=True):
            left = inside
            for at in shapes[sides]:
                yield at, min(left, units[at][1])
                left -= min(left, units[at][1])


def _states(units: Units, places: Ints, taken: Ints) -> list[int]:
    """Rows that take exactly these units."""
    wanted = dict(units)
    if not wanted.keys() <= set(places.tolist()):
        return []
    row = np.array([wanted.get(place, 0) for place in places.tolist()], dtype=np.int64)
    return list(np.flatnonzero((taken == row).all(axis=1)).tolist())
