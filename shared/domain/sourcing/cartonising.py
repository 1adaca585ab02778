"""What shipments cost in cartons: each package in the carton that comes cheapest by the tariff, carton included.

``CartonLoad.by`` prices what is truly packed. ``Cartons.least`` says for a whole grid what no packing undercuts, and
that is the price itself wherever the packing is proven or was found before: who minimises it, packs what is chosen, and
asks again until nothing changes, has minimised the true cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.domain.sourcing.fitting import Fit, Ints
from shared.domain.sourcing.freight import Carriage, Packed, Tariff, volume_mm3
from shared.domain.sourcing.models import WantedLine
from shared.domain.sourcing.packing import Group, Packer, Units
from shared.domain.sourcing.price_table import least_prices, prices

#: More than any package costs.
_NONE = 1 << 59
#: Rows of grids that are kept while plans are looked for.
_KEPT = 20_000


class _Grid(NamedTuple):
    """What is known of sets of units before any of them is packed.

    Attributes:
        proven: A ``Fit`` for each set and carton.
        cost: In one carton, by tariff, set and carton.
        several: What no packing in two packages or more undercuts, by tariff and set.
    """

    proven: NDArray[np.int8]
    cost: Ints
    several: Ints


class _Box(NamedTuple):
    """A group of units in a carton; one unit that goes as it is has no ``carton``.

    Attributes:
        packaging: What the carton costs, weighed.
    """

    packed: Packed
    billable_g: int
    packaging: int
    volume: int = 0
    carton: int = 0


class _Package(NamedTuple):
    """Units that go together, and the boxes of which one is the cheapest by any tariff."""

    boxes: tuple[_Box, ...]
    group: Group


@dataclass(frozen=True, eq=False)
class Cartons:
    """An order's lines in one set of cartons.

    Attributes:
        weight: What a minor unit of a carton counts where plans are compared.
    """

    packer: Packer
    dim_divisor: int
    weight: int = 1
    _loads: dict[Units, CartonLoad] = field(default_factory=dict)
    _grids: dict[tuple[tuple[Tariff, ...], bytes, bytes], _Grid] = field(default_factory=dict)

    def weighed(self, weight: int) -> Cartons:
        """The same packings, whose cartons count for more or less."""
        return Cartons(self.packer, self.dim_divisor, weight)

    def load(self, parts: Sequence[tuple[WantedLine, int]]) -> CartonLoad:
        units: dict[int, int] = {}
        for line, count in parts:
            place = self.packer.places[line.line_no]
            units[place] = units.get(place, 0) + count
        return self._load(tuple(sorted(units.items())))

    def cheapest(self, tariff: Tariff, package: _Package) -> _Box:
        """The box that costs least; on a tie the smaller one, then the first by name."""
        if len(package.boxes) == 1:
            return package.boxes[0]
        offers = sorted(
            (tariff.cost(box.billable_g)[0] + box.packaging, box.volume, box.carton, turn)
            for turn, box in enumerate(package.boxes)
        )
        return next(package.boxes[turn] for *_, k, turn in offers if self.packer.takes(package.group, k))

    def least(self, tariffs: tuple[Tariff, ...], lines: Sequence[WantedLine], taken: Ints) -> Ints:
        """What every row of units of these lines costs at least, in a column, by every tariff, in a row."""
        places, taken = self._by_place(lines, taken)
        single = self.packer.fitting.single[places]
        boxed, inside = places[~single], taken[:, ~single]
        least = self._least_boxed(tariffs, boxed, inside) if len(boxed) else np.zeros((len(tariffs), len(taken)), int)
        if single.any():
            weights = [self._as_it_is(place).billable_g for place in places[single].tolist()]
            least = least + prices(tariffs, np.maximum(np.array(weights, dtype=np.int64), 1)) @ taken[:, single].T
        return least

    def dearest(self, tariff: Tariff, grams: int, units: int) -> int:
        """More than so many units, of a billable weight together, can cost."""
        dims = self._dim_weight(self.packer.roomiest_mm3)
        heaviest = max(grams + self.packer.most_tare_g, dims)
        return units * (tariff.cost(heaviest)[0] + self.packer.most_cost_minor * self.weight)

    def _load(self, units: Units) -> CartonLoad:
        if units not in self._loads:
            self._loads[units] = CartonLoad(self, tuple(self._packages(units)), {})
        return self._loads[units]

    def _packages(self, units: Units) -> Iterator[_Package]:
        single = self.packer.fitting.single
        if boxed := tuple(each for each in units if not single[each[0]]):
            for group in self.packer.groups(boxed):
                yield _Package(tuple(self._boxes(group)), group)
        for place, count in units:
            if single[place]:
                alone = self._as_it_is(place)
                package = _Package((_Box(alone, alone.billable_g, 0),), Group(alone.units))
                yield from (package for _ in range(count))

    def _boxes(self, group: Group) -> Iterator[_Box]:
        """The group in each carton that may come cheapest.

        None that bills and costs as much as a smaller one does that is known to take it.
        """
        goods = sum(count * max(0, self.packer.lines[place].weight_g) for place, count in group.units)
        sure: list[_Box] = []
        for volume, k in sorted((volume, k) for k, volume in enumerate(self.packer.volumes)):
            known = self.packer.verdict(group, k)
            if known == Fit.NO:
                continue
            carton = self.packer.cartons[k]
            packed = Packed(carton, group.units, goods + carton.tare_g, self._dim_weight(volume))
            box = _Box(packed, packed.billable_g, carton.cost_minor * self.weight, volume, k)
            if any(one.billable_g <= box.billable_g and one.packaging <= box.packaging for one in sure):
                continue
            if known == Fit.YES:
                sure.append(box)
            yield box

    def _least_boxed(self, tariffs: tuple[Tariff, ...], places: Ints, taken: Ints) -> Ints:
        grid = self._grid_of(tariffs, places, taken)
        verdicts = self.packer.as_found(grid.proven, places, taken)
        least: Ints = np.where(verdicts == Fit.NO, _NONE, grid.cost).min(axis=2)
        least = np.where((verdicts == Fit.YES).any(axis=1), least, np.minimum(least, grid.several))
        for state, units in self.packer.divided(places, taken):
            load = self._load(units)
            least[:, state] = [load.cost(tariff) for tariff in tariffs]
        least[:, taken.sum(axis=1) == 0] = 0
        return least

    def _grid_of(self, tariffs: tuple[Tariff, ...], places: Ints, taken: Ints) -> _Grid:
        """Plans are looked for again with what was packed meanwhile: all else of the last small grid is kept."""
        if len(taken) > _KEPT:
            return self._grid(tariffs, places, taken)
        key = (tariffs, places.tobytes(), taken.tobytes())
        if key not in self._grids:
            self._grids.clear()
            self._grids[key] = self._grid(tariffs, places, taken)
        return self._grids[key]

    def _grid(self, tariffs: tuple[Tariff, ...], places: Ints, taken: Ints) -> _Grid:
        cartons = self.packer.cartons
        lines = [self.packer.lines[place] for place in places.tolist()]
        goods = taken @ np.array([max(0, line.weight_g) for line in lines], dtype=np.int64)
        volume = taken @ np.array([volume_mm3(line) for line in lines], dtype=np.int64)
        dims = np.array([self._dim_weight(each) for each in self.packer.volumes], dtype=np.int64)
        billable = np.maximum(goods[:, None] + np.array([carton.tare_g for carton in cartons]), dims)
        cost = prices(tariffs, np.maximum(billable, 1).ravel()).reshape(len(tariffs), *billable.shape)
        cost = cost + np.array([carton.cost_minor * self.weight for carton in cartons])
        return _Grid(self.packer.proven(places, taken), cost, self._least_in_several(tariffs, goods, volume))

    def _least_in_several(self, tariffs: tuple[Tariff, ...], goods: Ints, volume: Ints) -> Ints:
        """What goods cost at least in two packages or more: no gram is cheaper than at the tariff's best rate."""
        cartons = self.packer.cartons
        room, most = self.packer.roomiest_mm3, max(carton.max_weight_g for carton in cartons)
        packages = np.maximum(np.maximum(-(-volume // room), -(-goods // most)), 2)
        grams = np.maximum(goods + packages * min(carton.tare_g for carton in cartons), -(-volume // self.dim_divisor))
        rate, first = least_prices(tariffs)
        # Floats lose less than a part in a billion here, and a bound must not be too high.
        freight = np.maximum((rate * grams * (1 - 1e-9)).astype(np.int64), first * packages)
        least: Ints = freight + packages * min(carton.cost_minor for carton in cartons) * self.weight
        return least

    def _by_place(self, lines: Sequence[WantedLine], taken: Ints) -> tuple[Ints, Ints]:
        """Columns of the same line as one."""
        columns = np.array([self.packer.places[line.line_no] for line in lines], dtype=np.int64)
        places, at = np.unique(columns, return_inverse=True)
        if len(places) == len(columns):
            return columns, taken
        return places, taken @ np.eye(len(places), dtype=np.int64)[at]

    def _as_it_is(self, place: int) -> Packed:
        line = self.packer.lines[place]
        return Packed(None, ((place, 1),), max(0, line.weight_g), self._dim_weight(volume_mm3(line)))

    def _dim_weight(self, volume: int) -> int:
        return -(-volume // self.dim_divisor)


class CartonLoad(NamedTuple):
    """Units as they are packed for carriers; what they cost is kept for each tariff."""

    cartons: Cartons
    packages: tuple[_Package, ...]
    costs: dict[Tariff, int]

    def cost(self, tariff: Tariff) -> int:
        found = self.costs.get(tariff)
        if found is None:
            boxes = [self.cartons.cheapest(tariff, package) for package in self.packages]
            found = self.costs[tariff] = sum([tariff.cost(box.billable_g)[0] + box.packaging for box in boxes])
        return found

    def by(self, tariff: Tariff) -> Carriage:
        return self._sent([self.cartons.cheapest(tariff, package).packed for package in self.packages], tariff)

    def as_packed(self, carriage: Carriage, tariff: Tariff) -> Carriage:
        """The same packages, by another tariff."""
        return self._sent(carriage.packages, tariff)

    def _sent(self, packages: Sequence[Packed], tariff: Tariff) -> Carriage:
        freight = sum(tariff.cost(package.billable_g)[0] for package in packages)
        packaging = sum(package.carton.cost_minor for package in packages if package.carton is not None)
        return Carriage(freight, len(packages), packaging * self.cartons.weight, tuple(packages))
