"""Stock and orders as a list of single units, moved one after the other: slow, and too simple to be wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
class Cart:
    """What a cart holds. ``overdue`` when its time is up."""

    held: Counter[Key]
    first: Counter[Key]
    overdue: bool = False

    @property
    def stands(self) -> bool:
        return self.held == self.first and not self.overdue


@dataclass
class StockModel:
    """What the database should hold."""

    on_hand: Counter[Key] = field(default_factory=Counter)
    units: list[Unit] = field(default_factory=list)
    fulfillments: dict[str, Planned] = field(default_factory=dict)
    applied: set[tuple[str, ...]] = field(default_factory=set)
    carts: dict[str, Cart] = field(default_factory=dict)
    cart_of: dict[str, str] = field(default_factory=dict)

    # --- what it says -------------------------------------------------------------------------------------

    def reserved(self, key: Key) -> int:
        return sum(
            unit.state in ("allocated", "released") and (self.fulfillments[unit.owner].node_id, unit.sku) == key
            for unit in self.units
        )

    def held(self, key: Key) -> int:
        return sum(cart.held[key] for cart in self.carts.values())

    def free(self, key: Key) -> int:
        return self.on_hand[key] - self.reserved(key) - self.held(key)

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
        if self.on_hand[key] + quantity < self.reserved(key) + self.held(key):
            return False
        self.on_hand[key] += quantity
        self.applied.add((reference, cause, *key))
        return True

    def place(self, order_id: str, lines: Iterable[Line]) -> None:
        self.units += [Unit(order_id, line_no, sku) for line_no, sku, quantity in lines for _ in range(quantity)]

    # --- carts --------------------------------------------------------------------------------------------

    def hold(self, name: str, claims: dict[Key, int], *, partial: bool) -> dict[Key, int] | None:
        """What is held, or ``None`` when nothing is: the cart is known, or there is too little."""
        taken = self._fitting(claims)
        if sum(taken.values()) < sum(claims.values()) and self._overdue_at(claims):
            self._give_back_at(claims)
            taken = self._fitting(claims)
        enough = taken.total() > 0 if partial else taken == Counter(claims)
        if name in self.carts or not enough:
            return None
        self.carts[name] = Cart(Counter(taken), Counter(taken))
        return dict(taken)

    def _fitting(self, claims: dict[Key, int]) -> Counter[Key]:
        return +Counter({key: min(units, self.free(key)) for key, units in claims.items()})

    def _overdue_at(self, keys: Iterable[Key]) -> bool:
        return any(cart.overdue and any(cart.held[key] for key in keys) for cart in self.carts.values())

    def _give_back_at(self, keys: Iterable[Key], *, but: Iterable[str] = ()) -> None:
        wanted = set(keys)
        for name, cart in self.carts.items():
            if cart.overdue and name not in but:
                cart.held = Counter({key: units for key, units in cart.held.items() if key not in wanted})

    def extend(self, name: str) -> bool:
        return name in self.carts and self.carts[name].stands

    def expire(self, name: str) -> None:
        self.carts[name].overdue = True

    def sweep(self) -> None:
        for cart in self.carts.values():
            if cart.overdue:
                cart.held.clear()

    def release(self, name: str) -> None:
        self.carts[name].held.clear()

    # --- orders -------------------------------------------------------------------------------------------

    def reserve(self, plans: Mapping[str, Sequence[Part]]) -> dict[str, bool]:
        """Which plans of a batch become true: each whole or not, the earlier first. What a cart gives back because
        its order does not want it is nobody's before the batch is over."""
        sound = {name: parts for name, parts in plans.items() if self._still_wanted(name, parts)}
        won = self._allot(sound)
        if len(won) < len(sound):
            carts = {self.cart_of[name] for name, parts in sound.items() if parts and name in self.cart_of}
            own = {key for cart in carts if cart in self.carts for key in self.carts[cart].held}
            claimed = {(node_id, sku) for parts in sound.values() for node_id, _, sku, _ in parts}
            self._give_back_at(claimed | own, but=carts)
            won = self._allot(sound)
        for name in won:
            self._assign(name, sound[name])
        for name in won:
            if sound[name] and self.cart_of.get(name) in self.carts:
                self.carts[self.cart_of[name]].held.clear()
        return {name: name in won for name in plans}

    def _still_wanted(self, order_id: str, parts: Sequence[Part]) -> bool:
        planned = Counter[int]()
        for _, line_no, _, quantity in parts:
            planned[line_no] += quantity
        return all(
            units <= len(self.of(order_id, "unallocated", "backordered", line_no=line_no))
            for line_no, units in planned.items()
        )

    def _allot(self, plans: Mapping[str, Sequence[Part]]) -> list[str]:
        free = Counter({key: self.free(key) for key in list(self.on_hand)})
        own = {name: Counter(cart.held) for name, cart in self.carts.items()}
        won = []
        for name, parts in plans.items():
            mine = own.get(self.cart_of.get(name, ""), Counter())
            need = Counter[Key]()
            for node_id, _, sku, quantity in parts:
                need[node_id, sku] += quantity
            rest = Counter({key: units - min(units, mine[key]) for key, units in need.items()})
            if all(free[key] >= units for key, units in rest.items()):
                free.subtract(rest)
                mine.subtract({key: units - rest[key] for key, units in need.items()})
                won.append(name)
        return won

    def _assign(self, order_id: str, parts: Sequence[Part]) -> None:
        first = 1 + sum(planned.order_id == order_id for planned in self.fulfillments.values())
        numbers = {node_id: n for n, node_id in enumerate(dict.fromkeys(part[0] for part in parts), start=first)}
        for node_id, n in numbers.items():
            self.fulfillments[f"{order_id}/f{n}"] = Planned(order_id, n, node_id)
        for node_id, line_no, _, quantity in parts:
            for unit in self.of(order_id, "unallocated", "backordered", line_no=line_no)[:quantity]:
                unit.state, unit.owner = "allocated", f"{order_id}/f{numbers[node_id]}"
        for unit in self.of(order_id, "unallocated"):
            unit.state = "backordered"

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
