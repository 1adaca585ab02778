"""Columns: whole plans of one order, or of several that travel together, of which the wave chooses."""

from __future__ import annotations

from typing import NamedTuple

from shared.domain.sourcing.plans import PlannedShipment
from shared.domain.waves.limits import Uses


class Column(NamedTuple):
    """A plan of its members.

    Attributes:
        members: Places of the orders in the wave.
        cost: Thousandths of a minor unit, with units without a source and the price of changes.
        shipments: Of each member.
        standing: Everything stays as it is.
        missing: Stands for a plan not found yet, dearer than any; never chosen.
        shared_minor: What its shared shipments cost less than one for each order.
    """

    members: tuple[int, ...]
    cost: int
    uses: Uses
    shipments: tuple[tuple[PlannedShipment, ...], ...]
    standing: bool = False
    shared_minor: int = 0
    missing: bool = False
