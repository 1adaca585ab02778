"""What conditions may ask about: the variables ``order``, ``node`` and ``now``, with the type of each field.

``now`` is a timestamp. Times are UTC, money is minor units, distances are kilometres of the great circle.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.domain.geo import distance_km
from shared.domain.network import Node, NodeType, Place
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.models import SourcingOrder, WantedLine

#: Fields of ``order``: what is asked of it is what still needs a source.
ORDER_FIELDS = {
    "order_id": "string",
    "channel": "string",
    "country": "string, two letters",
    "region": "string",
    "postal_code": "string",
    "city": "string",
    "service": "string: " + ", ".join(ServiceLevel),
    "priority": "int, 1 (first) to 5",
    "tags": "list of strings",
    "value_minor": "int, merchandise without discount and tax",
    "units": "int",
    "line_count": "int",
    "received_at": "timestamp",
    "waited_hours": "double, since it was received",
    "lines": "list of lines",
}
#: Fields of each of ``order.lines``.
LINE_FIELDS = {
    "line_no": "int",
    "sku": "string",
    "quantity": "int",
    "weight_g": "int, of one unit",
    "unit_price_minor": "int",
    "value_minor": "int",
}
#: Fields of ``node``.
NODE_FIELDS = {
    "node_id": "string",
    "type": "string: " + ", ".join(NodeType),
    "partner_id": "string",
    "country": "string, two letters",
    "region": "string",
    "postal_code": "string",
    "city": "string",
    "distance_km": "double, to the customer",
    "handling_days": "int",
    "load_units": "int, promised to leave on its next shipping day",
    "load_share": "double, of what it can ship on a day; 0.0 without a limit",
}
#: Lists are only handed to the conditions asked once for an order, not to those asked for each node.
_LISTS = frozenset({"lines"})
#: Variables, and their fields, by what a condition is asked about.
OF_ORDERS: Mapping[str, Mapping[str, str]] = {"order": ORDER_FIELDS, "now": {}}
OF_NODES: Mapping[str, Mapping[str, str]] = {
    "node": NODE_FIELDS,
    "order": {name: kind for name, kind in ORDER_FIELDS.items() if name not in _LISTS},
    "now": {},
}


def order_facts(order: SourcingOrder, now: datetime) -> dict[str, Any]:
    """The variable ``order``, all but its lines."""
    received = order.received_at or now
    return {
        "order_id": order.order_id,
        "channel": order.channel,
        "country": order.ship_to.country,
        "region": order.ship_to.region,
        "postal_code": order.ship_to.postal_code,
        "city": order.ship_to.city,
        "service": order.service.value,
        "priority": order.priority,
        "tags": list(order.tags),
        "value_minor": sum(line.value_minor for line in order.lines),
        "units": sum(line.quantity for line in order.lines),
        "line_count": len(order.lines),
        "received_at": received,
        "waited_hours": max(0.0, (now - received) / timedelta(hours=1)),
    }


def line_facts(line: WantedLine) -> dict[str, Any]:
    return {name: getattr(line, name) for name in LINE_FIELDS}


def of_order(order: SourcingOrder, now: datetime) -> dict[str, Any]:
    """The variables of a condition that is asked once for an order."""
    lines = [line_facts(line) for line in order.lines]
    return {"order": order_facts(order, now) | {"lines": lines}, "now": now}


def node_facts(node: Node, ship_to: Place, load_units: int) -> dict[str, Any]:
    """The variable ``node``."""
    return {
        "node_id": node.node_id,
        "type": node.node_type.value,
        "partner_id": node.partner_id,
        "country": node.place.country,
        "region": node.place.region,
        "postal_code": node.place.postal_code,
        "city": node.place.city,
        "distance_km": float(distance_km(node.place, ship_to)),
        "handling_days": node.handling_days,
        "load_units": load_units,
        "load_share": load_units / node.daily_units if node.daily_units else 0.0 if node.daily_units is None else 1.0,
    }


def samples() -> tuple[SourcingOrder, Node, datetime]:
    """An order, a node and a moment that no condition may fail on."""
    now = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
    place = Place(country="US", region="NY", postal_code="10001", city="New York", latitude=40.7, longitude=-74.0)
    line = WantedLine(line_no=1, sku="sku-1", quantity=2, unit_price_minor=1999)
    order = SourcingOrder(
        order_id="web/1", channel="web", ship_to=place, lines=(line,), tags=("gift",), received_at=now,
    )  # fmt: skip
    node = Node(node_id="dc-1", name="dc-1", node_type=NodeType.WAREHOUSE, partner_id="wms", place=place, daily_units=9)
    return order, node, now
