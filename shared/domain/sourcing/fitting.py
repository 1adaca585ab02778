"""Whether units fit a carton: proofs in arrays for many sets of units at once, and a packer where those say nothing.

Goods are boxes that may be turned any way up and stand on nothing. What is proven to fit can be stacked along one
side of the carton, or laid in a grid of equal cells; what is proven not to fit is too heavy, too large, or holds two
units that do not fit together. Two boxes that fit at all fit side by side, so of two units everything is proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from shared.domain.cartons import Carton
from shared.domain.sourcing.freight import volume_mm3
from shared.domain.sourcing.models import WantedLine

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Sides = tuple[int, int, int]
#: Units that are placed one by one; of more together, a carton takes this share of its volume, in percent.
PLACED_UNITS, FILLED_PERCENT = 40, 70
#: Positions the packer may try for one carton, some tens of milliseconds: counted work, so that answers never differ.
EFFORT = 6_000
#: More than any side, and small enough that sums of it are exact.
_NEVER = float(1 << 40)


class Fit(IntEnum):
    NO = 0
    OPEN = 1
    YES = 2


class Fitting:
    """Lines of one order against one set of cartons.

    Attributes:
        single: Units that go as packages of their own, by line: in their own container, or too large for every carton.
    """

    def __init__(self, lines: Sequence[WantedLine], cartons: Sequence[Carton]) -> None:
        self.sides = [sides_of(line.length_mm, line.width_mm, line.height_mm) for line in lines]
        self.inner = [sides_of(one.length_mm, one.width_mm, one.height_mm) for one in cartons]
        self._sides = np.array(self.sides, dtype=np.int64).reshape(-1, 3)
        self._inner = np.array(self.inner, dtype=np.int64)
        self._weight = np.array([max(0, line.weight_g) for line in lines], dtype=np.float64)
        self._volume = np.array([volume_mm3(line) for line in lines], dtype=np.float64)
        self._most_g = np.array([carton.max_weight_g for carton in cartons], dtype=np.float64)
        self._most_mm3 = np.array([carton.volume_mm3 for carton in cartons], dtype=np.float64)
        reach = [_reach(sides, tuple(self.inner)) for sides in self.sides]
        self._reach = np.array(reach, dtype=np.float64).reshape(-1, len(cartons), 3)
        self.alone = (self._reach < _NEVER).any(axis=2) & (self._weight[:, None] <= self._most_g)
        self.single = np.array([line.own_container for line in lines], dtype=bool) | ~self.alone.any(axis=1)

    def verdicts(self, lines: Ints, taken: Ints) -> NDArray[np.int8]:
        """For each row of units of these lines and each carton a ``Fit``.

        Args:
            lines: Places of the columns' lines, none of which are packages of their own.
        """
        units = taken.astype(np.float64)
        count, volume = units.sum(axis=1), (units @ self._volume[lines])[:, None]
        weight = (units @ self._weight[lines])[:, None]
        barred = (units > 0).astype(np.float64) @ ~self.alone[lines] > 0.5
        may = np.asarray((weight <= self._most_g) & (volume <= self._most_mm3) & ~barred)
        filled = may & (volume * 100 <= self._most_mm3 * FILLED_PERCENT)
        many = count > PLACED_UNITS
        if many.all():
            return np.where(filled, np.int8(Fit.YES), np.int8(Fit.NO))
        fits = may & (self._stacks(lines, units) | self._in_cells(lines, taken, count))
        may &= ~self._clash(lines, units)
        found = np.where(fits, np.int8(Fit.YES), np.where(may, np.int8(Fit.OPEN), np.int8(Fit.NO)))
        found[many] = np.where(filled[many], np.int8(Fit.YES), np.int8(Fit.NO))
        return found

    def _stacks(self, lines: Ints, units: Floats) -> NDArray[np.bool_]:
        """Whether all units fit in a row along one side of the carton."""
        high = units @ self._reach[lines].reshape(len(lines), -1)
        fits = np.asarray(high <= self._inner.ravel()).reshape(len(units), -1, 3)
        return np.asarray(fits.any(axis=2))

    def _in_cells(self, lines: Ints, taken: Ints, count: Floats) -> NDArray[np.bool_]:
        """Whether each unit fits a cell as large as any of them, and the carton has as many cells."""
        cell = np.where(taken[:, :, None] > 0, self._sides[lines], 1).max(axis=1)
        fits = np.zeros((len(taken), len(self._inner)), dtype=bool)
        for turn in permutations(range(3)):
            fits |= (self._inner // cell[:, None, list(turn)]).prod(axis=2) >= count[:, None]
        return fits

    def _clash(self, lines: Ints, units: Floats) -> NDArray[np.bool_]:
        """Whether two of the units do not fit side by side."""
        reach = self._reach[lines]
        together = (reach[:, None] + reach[None, :] <= self._inner).any(axis=3)
        if together.all():
            return np.zeros((len(units), len(self._inner)), dtype=bool)
        there = units > 0
        both = there[:, :, None] & there[:, None, :]
        both[:, range(len(lines)), range(len(lines))] = units > 1
        pairs = both.reshape(len(units), -1).astype(np.float64)
        clash: NDArray[np.bool_] = pairs @ ~together.reshape(len(lines) ** 2, -1) > 0.5
        return clash


def sides_of(length_mm: int, width_mm: int, height_mm: int) -> Sides:
    """Sides ascending; what has none takes a millimetre."""
    least, middle, longest = sorted(max(1, side) for side in (length_mm, width_mm, height_mm))
    return least, middle, longest


@lru_cache(maxsize=4096)
def _reach(sides: Sides, inner: tuple[Sides, ...]) -> Floats:
    """How far a unit reaches along each side (column) of a carton (row), turned so that it reaches least."""
    return np.array([[_least_along(along, sides, room) for along in range(3)] for room in inner])


def _least_along(along: int, sides: Sides, room: Sides) -> float:
    return min(
        (
            float(turned[along])
            for turned in permutations(sides)
            if all(side <= most for side, most in zip(turned, room, strict=True))
        ),
        default=_NEVER,
    )


@lru_cache(maxsize=65_536)
def placed(kinds: tuple[tuple[Sides, int], ...], inner: Sides) -> tuple[int, ...]:
    """Units of each kind that the packer places in one carton of these sides."""
    from packvium import Container, Dimensions, EffortBudget, Item, Packer, PackingConfig

    effort = EffortBudget(max_candidates_evaluated=EFFORT)  # type: ignore[call-arg]  # a dataclass mypy does not see
    # The time limit is a fuse only: counted work ends the search long before.
    config = PackingConfig.fast(time_limit_ms=60_000, max_containers=1, effort_budget=effort)
    items = [Item.create(str(n), Dimensions.mm(*sides), quantity=units) for n, (sides, units) in enumerate(kinds)]
    result = Packer(config).pack(items, [Container.create("carton", Dimensions.mm(*inner))])
    inside = [0] * len(kinds)
    for carton in result.containers:
        for placement in carton.placements:
            inside[int(placement.instance.item.id)] += 1
    return tuple(inside)
