"""Stock and orders as a list of single units, moved one after the other: slow, and too simple to be wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.support.stock import Line, Part

Key = tuple[str, str]


@dataclass(eq=False)
class Unit:
    """One unit of an order line. ``owner`` is the fulfillment order that holds or shipped it."""

    order_id: str
    line_no: int
    sku: str
    state: str = "unallocated"
    owner: str = ""


@dataclass
class Planned:
    """A fulfillment order."""

    order_id: str
    n: int
    node_id: str
    told: bool = False
    over: bool = False


@dataclass
class StockModel:
    """What the database should hold."""

    on_hand: Counter[Key] = field(default_factory=Counter)
    units: list[Unit] = field(default_factory=list)
    fulfillments: dict[str, Planned] = field(default_factory=dict)
    applied: set[tuple[str, ...]] = field(default_factory=set)

    # --- what it says -------------------------------------------------------------------------------------

    def reserved(self, key: Key) -> int:
        return sum(
            unit.state in ("allocated", "released") and (self.fulfillments[unit.owner].node_id, unit.sku) == key
            for unit in self.units
        )

    def of(self, order_id: str, *states: str, line_no: int = 0, owner: str = "") -> list[Unit]:
        return [
            unit
            for unit in self.units
            if unit.order_id == order_id
            and unit.state in states
            and line_no in (0, unit.line_no)
            and owner in ("", unit.owner)
        ]

    def lines(self) -> dict[tuple[str, int, str], int]:
        """Units by order, line and state."""
        return dict(Counter((unit.order_id, unit.line_no, unit.state) for unit in self.units))

    # --- what happens to it -------------------------------------------------------------------------------

    def move(self, reference: str, cause: str, key: Key, quantity: int) -> bool:
        """Returns whether it is allowed; a repeat is, and does nothing."""
        if (reference, cause, *key) in self.applied:
            return True
        if self.on_hand[key] + quantity < self.reserved(key):
            return False
        self.on_hand[key] += quantity
        self.applied.add((reference, cause, *key))
        return True

    def place(self, order_id: str, lines: Iterable[Line]) -> None:
        self.units += [Unit(order_id, line_no, sku) for line_no, sku, quantity in lines for _ in range(quantity)]

    def reserve(self, order_id: str, parts: Sequence[Part]) -> bool:
        taken: list[tuple[Unit, str]] = []
        for node_id, line_no, sku, quantity in parts:
            for _ in range(quantity):
                waiting = self.of(order_id, "unallocated", "backordered", line_no=line_no)
                free = [unit for unit in waiting if unit not in [u for u, _ in taken]]
                claimed = sum((node, unit.sku) == (node_id, sku) for unit, node in taken)
                if not free or self.on_hand[node_id, sku] - self.reserved((node_id, sku)) <= claimed:
                    return False
                taken.append((free[0], node_id))
        first = 1 + sum(planned.order_id == order_id for planned in self.fulfillments.values())
        numbers = {node_id: n for n, node_id in enumerate(dict.fromkeys(part[0] for part in parts), start=first)}
        for node_id, n in numbers.items():
            self.fulfillments[f"{order_id}/f{n}"] = Planned(order_id, n, node_id)
        for unit, node_id in taken:
            unit.state, unit.owner = "allocated", f"{order_id}/f{numbers[node_id]}"
        for unit in self.of(order_id, "unallocated"):
            unit.state = "backordered"
        return True

    def tell(self, owner: str) -> None:
        planned = self.fulfillments[owner]
        if not planned.over:
            planned.told = True
            for unit in self.of(planned.order_id, "allocated", owner=owner):
                unit.state = "released"

    def take_back(self, owner: str, *, told: bool) -> None:
        planned = self.fulfillments[owner]
        if planned.told == told and not planned.over:
            planned.over = True
            for unit in self.of(planned.order_id, "allocated", "released", owner=owner):
                unit.state, unit.owner = "unallocated", ""

    def ship(self, owner: str, quantities: dict[int, int]) -> None:
        planned = self.fulfillments[owner]
        if planned.over:
            return
        planned.over = True
        left = dict(quantities)
        for unit in self.of(planned.order_id, "released", owner=owner):
            if left.get(unit.line_no, 0):
                left[unit.line_no] -= 1
                unit.state = "shipped"
                self.on_hand[planned.node_id, unit.sku] -= 1
            else:
                unit.state, unit.owner = "unallocated", ""

    def cancel(self, order_id: str, wanted: dict[int, int] | None) -> int:
        """What waits goes first, then what no node was told of; returns the units cancelled."""
        cancelled = 0
        for line_no in {unit.line_no for unit in self.of(order_id, "unallocated", "backordered", "allocated")}:
            waiting = self.of(order_id, "backordered", line_no=line_no)
            waiting += self.of(order_id, "unallocated", line_no=line_no)
            untold = self.of(order_id, "allocated", line_no=line_no)
            untold.sort(key=lambda unit: self.fulfillments[unit.owner].n)
            taken = (waiting + untold)[: None if wanted is None else wanted.get(line_no, 0)]
            for unit in taken:
                unit.state, unit.owner = "cancelled", unit.owner
            cancelled += len(taken)
        for owner, planned in self.fulfillments.items():
            if planned.order_id == order_id and not self.of(order_id, "allocated", "released", owner=owner):
                planned.over = True
        return cancelled
