"""Putting units into packages of a bounded weight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shared.gateways.protocol import Package, ShippedLine


class Pick(NamedTuple):
    """Units of one line, taken from the shelf."""

    line_no: int
    sku: str
    quantity: int
    unit_g: int


def pack(picks: Iterable[Pick], *, max_g: int) -> list[Package]:
    """Fill one package after the other in line order; a unit that is too heavy travels alone."""
    packages: list[Package] = []
    lines: list[ShippedLine] = []
    weight = 0

    def close() -> None:
        nonlocal lines, weight
        packages.append(Package(package_no=len(packages) + 1, weight_g=weight, lines=tuple(lines)))
        lines, weight = [], 0

    for pick in picks:
        left = pick.quantity
        unit = max(pick.unit_g, 1)
        while left:
            fit = min(left, (max_g - weight) // unit)
            if fit <= 0 and lines:
                close()
                continue
            take = max(fit, 1)
            lines.append(ShippedLine(line_no=pick.line_no, sku=pick.sku, quantity=take))
            weight += take * unit
            left -= take
    if lines:
        close()
    return packages
