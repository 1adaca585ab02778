"""What sources say of their stock, in the model of single units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.stock_model import Key
from tests.support.supply_model import Entry, SupplyModel


@dataclass
class Told:
    """One unit of ours that a node was told to ship, from then until it shipped it or gave it back.

    Attributes:
        missing: It turned out not to be there.
    """

    key: Key
    owner: str
    since: int
    until: int | None = None
    missing: bool = False


@dataclass
class FeedModel(SupplyModel):
    """What the database should hold, of figures of sources, too.

    Attributes:
        figures_of: The moment of the figures that were applied last, by node.
    """

    told: list[Told] = field(default_factory=list)
    figures_of: dict[str, int] = field(default_factory=dict)

    # --- what a node that takes our orders off has taken off ----------------------------------------------

    def tell(self, owner: str) -> None:
        first = not self.fulfillments[owner].told
        super().tell(owner)
        now, planned = self.tick(), self.fulfillments[owner]
        if first and planned.told:
            mine = self.of(planned.order_id, "released", owner=owner)
            self.told += [Told((planned.node_id, unit.sku), owner, now) for unit in mine]

    def take_back(self, owner: str, *, told: bool) -> None:
        super().take_back(owner, told=told)
        if self.fulfillments[owner].over:
            self._end(owner, self.tick())

    def ship(self, owner: str, quantities: dict[int, int]) -> None:
        super().ship(owner, quantities)
        now, planned = self.tick(), self.fulfillments[owner]
        for unit in self.of(planned.order_id, "shipped", owner=owner):
            left = (one for one in self._open(owner) if one.key == (planned.node_id, unit.sku))
            if one := next(left, None):
                one.until = now
        for one in self._open(owner):
            one.missing = True
        self._end(owner, now)

    def _open(self, owner: str) -> list[Told]:
        return [one for one in self.told if one.owner == owner and one.until is None]

    def _end(self, owner: str, now: int) -> None:
        for one in self._open(owner):
            one.until = now

    def _deducted(self, key: Key, moment: int) -> int:
        standing = (one for one in self.told if one.key == key and one.since <= moment and not one.missing)
        return sum(one.until is None or one.until > moment for one in standing)

    # --- its figures --------------------------------------------------------------------------------------

    def feed(
        self,
        node_id: str,
        figures: Mapping[str, int],
        moment: int,
        *,
        delta: bool = False,
        deducted: bool = False,
        whole: bool = False,
    ) -> bool:
        """Bring a node's positions to figures of a moment; false when later ones are applied already.

        Args:
            deducted: The figures are without what the node was told to ship for us.
            whole: There is none of what they do not name.
        """
        if not delta and moment < self.figures_of.get(node_id, 0):
            return False
        there = [sku for (node, sku), units in self.on_hand.items() if node == node_id and units]
        named = dict.fromkeys(there, 0) | dict(figures) if whole else figures
        for sku, quantity in named.items():
            self._bring((node_id, sku), quantity, moment, delta=delta, deducted=deducted)
        self.figures_of[node_id] = max(self.figures_of.get(node_id, 0), moment)
        return True

    def _bring(self, key: Key, quantity: int, moment: int, *, delta: bool, deducted: bool) -> None:
        """A count or an adjustment since stands; all else that moved since is added to what was there."""
        since = [one for one in self.entries if one.key == key and one.booked > moment and one.units and not one.fed]
        if any(one.corrects for one in since) or (delta and not quantity):
            return
        there = self.on_hand[key] if delta else sum(one.units for one in since)
        figure = quantity + there + (self._deducted(key, moment) if deducted else 0)
        units = max(figure, 0, self.reserved(key) + self.held(key)) - self.on_hand[key]
        if units:
            now = self.tick()
            self.on_hand[key] += units
            self.entries.append(Entry(now, now, key, units, corrects=True, fed=True))
