"""When a customer would have units that are still to come to a node: the planner, asked as if they were there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from shared.domain.network import Node
from shared.domain.sourcing.engine import plan
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder, Stock, WantedLine


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

    def dates(
        self, order: SourcingOrder, line: WantedLine, policy: Policy, coming: Iterable[Coming], *, as_of: datetime
    ) -> dict[str, datetime]:
        """When the customer would have the line's units, by inbound; without those from which they cannot be shipped.

        Args:
            as_of: Now; supply that is overdue is taken to come at once.
        """
        asked = order.model_copy(update={"lines": (line,), "needed_by": None})
        found: dict[str, datetime] = {}
        for supply in coming:
            node = self._nodes.get(supply.node_id)
            promised = node and plan(asked, self._there(node, line, max(supply.expected_at, as_of)), policy).promised_at
            if promised:
                found[supply.inbound_id] = promised
        return found

    def _there(self, node: Node, line: WantedLine, as_of: datetime) -> Snapshot:
        stock = Stock(node_id=node.node_id, sku=line.sku, available=line.quantity)
        there = {"as_of": as_of, "nodes": (node,), "stock": (stock,), "loads": (), "pooled": ()}
        return self._network.model_copy(update=there)
