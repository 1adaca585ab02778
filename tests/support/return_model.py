"""What customers send back, in the model of single units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.feed_model import FeedModel


@dataclass
class Return:
    """Units of an order that come back, by line; ``came`` are those that did, and those of them as new."""

    order_id: str
    lines: Mapping[int, int]
    status: str = "requested"
    node_id: str = ""
    came: dict[int, tuple[int, int]] = field(default_factory=dict)


@dataclass
class ReturnModel(FeedModel):
    """What the database should hold, of returns, too."""

    returns: dict[str, Return] = field(default_factory=dict)

    def hand_over(self, owner: str) -> None:
        """The carrier has brought the parcel."""
        for unit in self.of(self.fulfillments[owner].order_id, "shipped", owner=owner):
            unit.state = "delivered"

    def ask_return(self, order_id: str, lines: Mapping[int, int]) -> str | None:
        """The name of the return; ``None`` when more is to come back than was delivered."""
        under_way = ("requested", "approved", "received")
        open_ones = [one for one in self.returns.values() if one.order_id == order_id and one.status in under_way]
        for line_no, units in lines.items():
            coming = sum(one.lines.get(line_no, 0) for one in open_ones)
            if units > len(self.of(order_id, "delivered", line_no=line_no)) - coming:
                return None
        name = f"{order_id}/r{1 + sum(one.order_id == order_id for one in self.returns.values())}"
        self.returns[name] = Return(order_id, dict(lines))
        return name

    def decide(self, name: str, status: str, node_id: str) -> None:
        if self.returns[name].status == "requested":
            self.returns[name].status, self.returns[name].node_id = status, node_id

    def inspect_return(self, name: str, came: Mapping[int, tuple[int, int]]) -> None:
        """Units by line that came back as new and otherwise; no more count than were asked for."""
        one = self.returns[name]
        if one.status != "approved":
            return
        one.status = "received"
        for line_no, (as_new, worn) in came.items():
            if asked := one.lines.get(line_no, 0):
                one.came[line_no] = (min(as_new + worn, asked), min(as_new, asked))

    def settle(self, name: str) -> int:
        """What came back is the order's no longer, and as new it is stock again; returns the units."""
        one = self.returns[name]
        if one.status != "received":
            return 0
        one.status = "closed"
        restocked: dict[str, int] = {}
        for line_no, (units, as_new) in one.came.items():
            back = self.of(one.order_id, "delivered", line_no=line_no)[:units]
            for unit in back:
                unit.state = "returned"
            for unit in back[:as_new]:
                restocked[unit.sku] = restocked.get(unit.sku, 0) + 1
        for sku, units in restocked.items():
            self.move(name, "restock", (one.node_id, sku), units)
        return sum(units for units, _ in one.came.values())
