"""Trade rules as one order meets them: which items may leave which node, by which services, at what duty.

They hold for everybody, also where staff chose the node. A service that takes no dangerous goods is not used from a
node that would ship some of the order's; where no other is left, these stay, and the rest goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.network import Node
from shared.domain.sourcing.freight import Tariff
from shared.domain.sourcing.models import SourcingOrder, Stock
from shared.domain.sourcing.plans import Because
from shared.domain.trade import CustomsRule, Goods, ItemTrade, LaneRule, Trade


class Lanes:
    """The lanes to one destination.

    Attributes:
        restricted: Why an item may not leave some node that has it, by SKU.
    """

    def __init__(self, order: SourcingOrder, trade: Trade) -> None:
        self._to = order.ship_to
        self._items = {item.sku: item for item in trade.items}
        closed = [rule for rule in trade.rules.lanes if rule.reaches(self._to) and rule.closed_to is not Goods.NOTHING]
        self._closed = [rule for rule in closed if rule.of_any_service]
        self._by_service = [rule for rule in closed if not rule.of_any_service]
        customs = [rule for rule in trade.rules.customs if rule.country == self._to.country]
        self._customs = sorted(customs, key=lambda rule: len(rule.hs_prefix), reverse=True)
        self._price: dict[str, int] = {}
        for line in order.lines:
            self._price[line.sku] = max(self._price.get(line.sku, 0), line.unit_price_minor)
        self.restricted: dict[str, Because] = {}

    def passing(self, node: Node, stock: dict[str, Stock]) -> tuple[dict[str, Stock], Because | None]:
        """What of a node's stock may leave for the destination, with its duty, and why other of it may not."""
        may: dict[str, Stock] = {}
        why: Because | None = None
        for sku, row in stock.items():
            barred = self._barred(node, self._item(sku))
            if barred is not None:
                why = self.restricted[sku] = barred
            else:
                duty = self._duty(node, sku)
                may[sku] = row.model_copy(update={"customs_minor": duty}) if duty else row
        return may, why

    def by_service(
        self, node: Node, tariffs: tuple[Tariff, ...], stock: dict[str, Stock]
    ) -> tuple[tuple[Tariff, ...], dict[str, Stock]]:
        """Services that may be used from a node, and the stock that may go by them; nothing when none may."""
        rules = [rule for rule in self._by_service if rule.leaves(node)]
        if not rules:
            return tariffs, stock
        usable = _open_to(tariffs, [rule for rule in rules if rule.closed_to is Goods.EVERYTHING])
        hazmat = [sku for sku in stock if self._item(sku).hazmat]
        if hazmat and usable:
            safe = _open_to(usable, rules)
            if safe:
                return safe, stock
        if hazmat or not usable:
            stays = stock if not usable else hazmat
            self.restricted |= dict.fromkeys(stays, Because.RESTRICTED_LANE)
            stock = {sku: row for sku, row in stock.items() if sku not in stays}
        return (usable, stock) if stock else ((), {})

    def _item(self, sku: str) -> ItemTrade:
        return self._items.get(sku) or ItemTrade(sku=sku)

    def _barred(self, node: Node, item: ItemTrade) -> Because | None:
        if self._to.country in item.banned_countries:
            return Because.RESTRICTED_LANE
        for rule in self._closed:
            if rule.leaves(node) and (item.hazmat or rule.closed_to is Goods.EVERYTHING):
                return Because.RESTRICTED_LANE
        return Because.MISSING_CUSTOMS_DATA if self._customs_of(node) and not item.declared else None

    def _customs_of(self, node: Node) -> Sequence[CustomsRule]:
        return self._customs if node.place.country != self._to.country else ()

    def _duty(self, node: Node, sku: str) -> int:
        """Of one unit, rounded down; lines of one item are declared at their highest price."""
        code = self._item(sku).hs_code
        rule = next((rule for rule in self._customs_of(node) if code.startswith(rule.hs_prefix)), None)
        return self._price[sku] * rule.duty_bp // 10_000 if rule else 0


def _open_to(tariffs: Sequence[Tariff], rules: Sequence[LaneRule]) -> tuple[Tariff, ...]:
    return tuple(tariff for tariff in tariffs if not any(rule.is_of(tariff.carrier, tariff.service) for rule in rules))
