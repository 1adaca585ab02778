"""Supply, quarantine and counts in the model of single units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.stock_model import Key, StockModel


@dataclass
class Delivery:
    """What is expected, and has not come."""

    to: str
    origin: str
    open: Counter[str]
    departed: bool = False
    closed: bool = False
    cancelled: bool = False


@dataclass
class Entry:
    """A change of a position. A count's is of the moment it was counted, whenever it is booked.

    Attributes:
        corrects: It brings the record to what somebody found, counted or, when ``fed``, was told.
    """

    moment: int
    booked: int
    key: Key
    units: int
    corrects: bool
    counts: bool = False
    fed: bool = False


@dataclass
class SupplyModel(StockModel):
    """What the database should hold, of supply and counts, too. Its clock is the number of what was done."""

    quarantined: Counter[Key] = field(default_factory=Counter)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    clock: int = 0

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def _enter(self, key: Key, units: int, *, corrects: bool = False) -> None:
        now = self.tick()
        self.on_hand[key] += units
        self.entries.append(Entry(now, now, key, units, corrects))

    def move(self, reference: str, cause: str, key: Key, quantity: int) -> bool:
        before = self.on_hand[key]
        allowed = super().move(reference, cause, key, quantity)
        now, units = self.tick(), self.on_hand[key] - before
        if units:
            self.entries.append(Entry(now, now, key, units, cause == "adjust"))
        return allowed

    def ship(self, owner: str, quantities: dict[int, int]) -> None:
        before = self.on_hand.copy()
        super().ship(owner, quantities)
        now = self.tick()
        for key in self.on_hand:
            if units := self.on_hand[key] - before[key]:
                self.entries.append(Entry(now, now, key, units, False))

    def cancel(self, order_id: str, wanted: dict[int, int] | None) -> int:
        """An order that waits for nothing any more gives back what its cart still holds of its items."""
        cancelled = super().cancel(order_id, wanted)
        cart = self.carts.get(self.cart_of.get(order_id, ""))
        if cart is None or self.of(order_id, "unallocated", "backordered"):
            return cancelled
        skus = {unit.sku for unit in self.units if unit.order_id == order_id}
        if any(units and sku in skus for (_, sku), units in cart.held.items()) or self._others_wait(order_id, skus):
            cart.held.clear()
        return cancelled

    def _others_wait(self, order_id: str, skus: set[str]) -> bool:
        """Whether others wait for what is to come of these items."""
        coming = {sku for one in self.deliveries.values() for sku, units in one.open.items() if units}
        return any(
            unit.state == "backordered" and unit.sku in skus & coming and unit.order_id != order_id
            for unit in self.units
        )

    # --- supply -------------------------------------------------------------------------------------------

    def expect(self, name: str, to: str, origin: str, lines: Mapping[str, int]) -> None:
        self.deliveries[name] = Delivery(to, origin, Counter(lines))

    def depart(self, name: str) -> bool | None:
        """Whether it leaves now; ``None`` when that is refused."""
        one = self.deliveries[name]
        if not one.origin:
            return None
        if one.departed:
            return False
        there = {sku: self.free((one.origin, sku)) for sku in one.open}
        if one.closed or any(there[sku] < units for sku, units in one.open.items()):
            return None
        for sku, units in one.open.items():
            if units:
                self._enter((one.origin, sku), -units)
        one.departed = True
        return True

    def deliver(self, name: str, sku: str, good: int, damaged: int, *, short: bool) -> bool:
        one = self.deliveries[name]
        if one.origin and not one.departed and not one.cancelled:
            return False
        if good:
            self._enter((one.to, sku), good)
        self.quarantined[one.to, sku] += damaged
        one.open[sku] = 0 if short else max(0, one.open[sku] - good - damaged)
        one.closed = one.closed or not one.open.total()
        return True

    def give_up(self, name: str) -> bool | None:
        one = self.deliveries[name]
        if one.cancelled:
            return False
        if one.closed or one.departed:
            return None
        one.open.clear()
        one.closed = one.cancelled = True
        return True

    def inspect(self, reference: str, key: Key, units: int, *, sound: bool) -> bool | None:
        """Whether it is done now; ``None`` when fewer are quarantined."""
        applied = (reference, "sound" if sound else "scrap", *key)
        if applied in self.applied:
            return False
        if self.quarantined[key] < units:
            return None
        self.applied.add(applied)
        self.quarantined[key] -= units
        if sound:
            self._enter(key, units)
        return True

    # --- counts -------------------------------------------------------------------------------------------

    def count(self, key: Key, counted: int, moment: int) -> int:
        """The units that are booked for a count of a moment; what moved since is kept."""
        later = [entry for entry in self.entries if entry.key == key and entry.moment > moment]
        known = any(entry.counts and entry.moment > moment for entry in later)
        outdated = known or any(entry.corrects and not entry.counts and entry.booked > moment for entry in later)
        recorded = self.on_hand[key] - sum(entry.units for entry in later)
        claimed = self.reserved(key) + self.held(key)
        booked = 0 if outdated else max(counted - recorded, claimed - self.on_hand[key])
        self.on_hand[key] += booked
        self.entries.append(Entry(moment, self.tick(), key, booked, corrects=True, counts=True))
        return booked
