"""What a stage's limits, and lines that belong together, ask of plans beside stock, capacity and the policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.domain.sourcing.models import WantedLine
from shared.domain.sourcing.solution import Parts, Solution, units_of
from shared.domain.sourcing.sources import Source
from shared.domain.sourcing.stages import SoftLimits


@dataclass(frozen=True, slots=True)
class Confines:
    """Limits of one stage for the lines it is to find sources for.

    Attributes:
        least_part_minor: Merchandise value that each part, and the remainder, has at least.
        floor_units: What was taken off every position's stock already, to stay there.
        whole: The lines are all the order wants: a shipment of all of them is no part.
        together: Lines of one group come from one node in one shipment, whole.
        earlier: Shipments that earlier stages took.
        far: Kilometres to the customer by node.
        scale: What a minor unit of a soft limit's price is where plans are compared, over 100.
    """

    lines: tuple[WantedLine, ...] = ()
    least_part_minor: int = 0
    floor_units: int = 0
    soft: tuple[SoftLimits, ...] = ()
    whole: bool = True
    together: bool = False
    earlier: int = 0
    far: Mapping[str, float] = field(default_factory=dict)
    scale: int = 100

    @property
    def bind(self) -> bool:
        """Whether they ask for more than the policy does."""
        grouped = self.together and any(line.group is not None for line in self.lines)
        return bool(self.least_part_minor or self.soft or grouped)

    @property
    def units(self) -> int:
        return sum(line.quantity for line in self.lines)

    def price(self, limit: SoftLimits, times: int = 1) -> int:
        """What breaking a soft limit costs where plans are compared, rounded down."""
        return times * limit.price_minor * self.scale // 100

    def may_ship(self, parts: Parts) -> bool:
        """Whether a shipment is worth enough."""
        return self._is_everything(parts) or value_of(parts) >= self.least_part_minor

    def may_leave(self, shipments: Iterable[Parts]) -> bool:
        """Whether what these shipments leave is nothing, everything, or worth enough."""
        parts = [each for shipment in shipments for each in shipment]
        left = self.units - units_of(parts)
        return not parts or not left or self._left_value(parts) >= self.least_part_minor

    def broken(self, solution: Solution, sources: Sequence[Source]) -> int:
        """What a plan pays for the soft limits it breaks."""
        shipped = [(sources[index], parts) for index, parts in solution.shipments]
        return sum(self._broken(limit, shipped) for limit in self.soft)

    def _broken(self, limit: SoftLimits, shipped: Sequence[tuple[Source, Parts]]) -> int:
        parts = [each for _, shipment in shipped for each in shipment]
        times = sum(self.far_by(limit, source) + self._worthless(limit, parts) for source, parts in shipped)
        times += sum(below_floor(limit, self.floor_units, source, parts) for source, parts in shipped)
        if parts and self.units > units_of(parts):
            times += self._left_value(parts) < limit.min_part_value_minor
        return self.price(limit, times) + self.plan_price(limit, [parts for _, parts in shipped])

    def plan_price(self, limit: SoftLimits, shipments: Sequence[Parts]) -> int:
        """What a plan as a whole pays: for shipments too many, and for lines that are split."""
        most = limit.max_shipments
        times = max(0, len(shipments) + self.earlier - most) if most is not None and shipments else 0
        return self.price(limit, times + (limit.whole_lines and self._splits(shipments)))

    def far_by(self, limit: SoftLimits, source: Source) -> int:
        reach = limit.max_distance_km
        return int(reach is not None and self.far[source.node.node_id] > reach)

    def _worthless(self, limit: SoftLimits, parts: Parts) -> int:
        return int(not self._is_everything(parts) and value_of(parts) < limit.min_part_value_minor)

    def _splits(self, shipments: Sequence[Parts]) -> bool:
        taken = Counter[int]()
        for parts in shipments:
            taken.update({line.line_no for line, _ in parts})
        short = Counter[int]()
        for parts in shipments:
            for line, quantity in parts:
                short[line.line_no] += quantity
        wanted = {line.line_no: line.quantity for line in self.lines}
        return any(count > 1 or short[line_no] < wanted[line_no] for line_no, count in taken.items())

    def _is_everything(self, parts: Parts) -> bool:
        return self.whole and units_of(parts) == self.units

    def _left_value(self, parts: Parts) -> int:
        return sum(line.value_minor for line in self.lines) - value_of(parts)


def value_of(parts: Parts) -> int:
    """Merchandise value in minor units, without discount and tax."""
    return sum(quantity * line.unit_price_minor for line, quantity in parts)


def below_floor(limit: SoftLimits, floor_units: int, source: Source, parts: Parts) -> int:
    """Units of a shipment that a soft floor would have left at the node."""
    if limit.floor_units <= floor_units:
        return 0
    taken = Counter[str]()
    for line, quantity in parts:
        taken[line.sku] += quantity
    lower = limit.floor_units - floor_units
    return sum(max(0, units - max(0, source.holds(sku) - lower)) for sku, units in taken.items())
