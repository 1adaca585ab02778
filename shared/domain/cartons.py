"""What goods are packed in: cartons of a merchant or a node, and the packages a plan asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from shared.domain.base import Identifier, Minor, Model, Quantity

Side = Annotated[int, Field(ge=1, le=10_000)]
Grams = Annotated[int, Field(ge=0, le=1_000_000)]


class Carton(Model):
    """A size of carton.

    Attributes:
        node_id: The node that packs in it; empty for every node that has none of its own.
        length_mm, width_mm, height_mm: Inside; goods may be turned any way up.
        max_weight_g: Goods it carries.
        tare_g: Its own weight.
        cost_minor: What one costs.
        in_use: Whether goods are packed in it.
    """

    name: Identifier
    node_id: Annotated[str, Field(max_length=64)] = ""
    length_mm: Side
    width_mm: Side
    height_mm: Side
    max_weight_g: Annotated[int, Field(ge=1, le=1_000_000)]
    tare_g: Grams = 0
    cost_minor: Minor = 0
    in_use: bool = True

    @property
    def volume_mm3(self) -> int:
        return self.length_mm * self.width_mm * self.height_mm


class PackedLine(Model):
    """Units of one order line in one package."""

    line_no: int
    quantity: Quantity


class PlannedPackage(Model):
    """One package as it was planned; a node that packs otherwise says so, and its figures count.

    Attributes:
        carton: Its name; ``None`` for a unit that goes as it is.
        weight_g: Goods and carton.
        dim_weight_g: Its volume as carriers weigh it.
        billable_g: What the carrier charges for, the larger of both.
        price_minor: Freight. ``cost_minor`` is the carton's.
    """

    carton: str | None
    lines: tuple[PackedLine, ...]
    length_mm: int
    width_mm: int
    height_mm: int
    weight_g: int
    dim_weight_g: int
    billable_g: int
    price_minor: Minor
    cost_minor: Minor = 0


def cartons_by_node(cartons: Iterable[Carton]) -> dict[str, tuple[Carton, ...]]:
    """Each node's cartons by name; those of every other node under the empty name."""
    found: dict[str, list[Carton]] = {}
    for carton in sorted(cartons, key=lambda carton: carton.name):
        found.setdefault(carton.node_id, []).append(carton)
    return {node_id: tuple(those) for node_id, those in found.items()}


def contents(packages: Iterable[PlannedPackage]) -> Counter[int]:
    """Units of each line in these packages."""
    units = Counter[int]()
    for package in packages:
        for line in package.lines:
            units[line.line_no] += line.quantity
    return units
