"""Putting units into packages: as they were planned, or of a bounded weight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shared.gateways.partner_messages import Package, ShippedLine
from shared.gateways.protocol import SuggestedPackage


class Pick(NamedTuple):
    """Units of one line, taken from the shelf."""

    line_no: int
    sku: str
    quantity: int
    unit_g: int


class SharedParcel(NamedTuple):
    """A parcel that others have begun to fill."""

    parcel_no: int
    weight_g: int


def pack_as_suggested(picks: Iterable[Pick], suggested: Iterable[SuggestedPackage]) -> list[Package]:
    """Pack what goes together into the cartons it was planned for, at the weights that were planned."""
    skus = {pick.line_no: pick.sku for pick in picks}
    return [
        Package(
            package_no=number,
            weight_g=package.weight_g,
            lines=tuple(
                ShippedLine(line_no=line.line_no, sku=skus[line.line_no], quantity=line.quantity)
                for line in package.lines
            ),
        )
        for number, package in enumerate(suggested, start=1)
    ]


def pack(picks: Iterable[Pick], *, max_g: int, begun: SharedParcel | None = None) -> list[Package]:
    """Fill one package after the other in line order; a unit that is too heavy travels alone.

    Args:
        begun: The shared parcel to go on with, and then its next ones.
    """
    packages: list[Package] = []
    lines: list[ShippedLine] = []
    weight = 0
    parcel_no, filled = begun or SharedParcel(0, 0)

    def close() -> None:
        nonlocal lines, weight, parcel_no, filled
        if lines:
            number = len(packages) + 1
            packages.append(Package(package_no=number, parcel_no=parcel_no, weight_g=weight, lines=tuple(lines)))
        lines, weight, filled = [], 0, 0
        parcel_no += bool(parcel_no)

    for pick in picks:
        left = pick.quantity
        unit = max(pick.unit_g, 1)
        while left:
            fit = min(left, (max_g - filled - weight) // unit)
            if fit <= 0 and (lines or filled):
                close()
                continue
            take = max(fit, 1)
            lines.append(ShippedLine(line_no=pick.line_no, sku=pick.sku, quantity=take))
            weight += take * unit
            left -= take
    if lines:
        close()
    return packages
