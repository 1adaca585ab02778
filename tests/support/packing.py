"""Cartons to plan with, and a check of packages that shares nothing with what packs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shared.domain.cartons import Carton, contents
from shared.domain.sourcing.models import WantedLine
from shared.domain.sourcing.plans import PlannedShipment


def carton(name: str, *sides: int, most_g: int = 30_000, tare_g: int = 0, minor: int = 0, node: str = "") -> Carton:
    length, width, height = sides
    return Carton(
        name=name, node_id=node, length_mm=length, width_mm=width, height_mm=height, max_weight_g=most_g,
        tare_g=tare_g, cost_minor=minor,
    )  # fmt: skip


#: Of a merchant of small goods.
CARTONS = (
    carton("s", 220, 160, 110, most_g=5_000, tare_g=90, minor=35),
    carton("m", 310, 220, 160, most_g=10_000, tare_g=180, minor=55),
    carton("l", 420, 310, 260, most_g=20_000, tare_g=350, minor=95),
    carton("xl", 600, 400, 400, most_g=30_000, tare_g=700, minor=170),
)


def check_packages(shipment: PlannedShipment, lines: Sequence[WantedLine], cartons: Sequence[Carton]) -> None:
    """What any packing keeps: every unit once, no carton overloaded, and figures that add up."""
    by_number = {line.line_no: line for line in lines}
    by_name = {one.name: one for one in cartons if one.node_id in {"", shipment.node_id}}
    assert contents(shipment.packages) == Counter({one.line_no: one.quantity for one in shipment.lines})
    for package in shipment.packages:
        goods = sum(one.quantity * by_number[one.line_no].weight_g for one in package.lines)
        volume = package.length_mm * package.width_mm * package.height_mm
        inside = sum(one.quantity * _volume(by_number[one.line_no]) for one in package.lines)
        assert inside <= volume
        if package.carton is None:
            assert sum(one.quantity for one in package.lines) == 1
            assert (package.weight_g, package.cost_minor) == (goods, 0)
        else:
            box = by_name[package.carton]
            assert goods <= box.max_weight_g
            assert (package.weight_g, package.cost_minor) == (goods + box.tare_g, box.cost_minor)
        assert package.billable_g == max(package.weight_g, package.dim_weight_g)
    assert shipment.parcels == len(shipment.packages)
    assert shipment.cost.freight == sum(package.price_minor for package in shipment.packages)
    assert shipment.cost.packaging == sum(package.cost_minor for package in shipment.packages)


def _volume(line: WantedLine) -> int:
    return line.length_mm * line.width_mm * line.height_mm
