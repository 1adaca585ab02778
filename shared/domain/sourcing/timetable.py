"""When a customer would have units that are still to come to a node: the planner, asked as if they were there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from shared.domain.network import Node
from shared.domain.sourcing.engine import plan
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder, Stock, WantedLine

#: Orders whose dates are remembered: who waits is asked about again whenever supply of the item changes.
_REMEMBERED = 20_000
#: Dates of one order, by node and by when its units are there.
Known = dict[tuple[str, datetime], datetime | None]


class Coming(NamedTuple):
    """Supply of one item: where it comes to, and when."""

    inbound_id: str
    node_id: str
    expected_at: datetime


class Timetable:
    """Dates of delivery by the network's calendars, hand-over times and services.

    Args:
        network: What is known of it; its stock and loads are not looked at, as both will be others by then.
    """

    def __init__(self, network: Snapshot) -> None:
        self._network = network
        self._nodes = {node.node_id: node for node in network.nodes}
        self._known = lru_cache(maxsize=_REMEMBERED)(self._nothing_known)

    def dates(
        self, order: SourcingOrder, line: WantedLine, policy: Policy, coming: Iterable[Coming], *, as_of: datetime
    ) -> dict[str, datetime]:
        """When the customer would have the line's units, by inbound; without those from which they cannot be shipped.

        Args:
            as_of: Now; supply that is overdue is taken to come at once.
        """
        one = line.model_copy(update={"line_no": 1})
        asked = order.model_copy(update={"order_id": "", "lines": (one,), "needed_by": None})
        known = self._known(asked, policy)
        found: dict[str, datetime] = {}
        for supply in coming:
            if promised := self._date(known, asked, policy, supply, as_of):
                found[supply.inbound_id] = promised
        return found

    def _date(
        self, known: Known, asked: SourcingOrder, policy: Policy, supply: Coming, as_of: datetime
    ) -> datetime | None:
        there = (supply.node_id, supply.expected_at)
        if supply.expected_at <= as_of:  # another moment every time: not worth remembering
            return self._work_out(asked, policy, supply.node_id, as_of)
        if there not in known:
            known[there] = self._work_out(asked, policy, *there)
        return known[there]

    @staticmethod
    def _nothing_known(asked: SourcingOrder, policy: Policy) -> Known:
        return {}

    def _work_out(self, asked: SourcingOrder, policy: Policy, node_id: str, there_at: datetime) -> datetime | None:
        node = self._nodes.get(node_id)
        if node is None:
            return None
        return plan(asked, self._there(node, asked.lines[0], there_at), policy).promised_at

    def _there(self, node: Node, line: WantedLine, as_of: datetime) -> Snapshot:
        stock = Stock(node_id=node.node_id, sku=line.sku, available=line.quantity)
        there = {"as_of": as_of, "nodes": (node,), "stock": (stock,), "loads": (), "pooled": ()}
        return self._network.model_copy(update=there)
