"""A small world of stock for tests and benchmarks of reservation: nodes, items, positions, orders, plans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.engine import Database
from shared.database.plans import Draft
from shared.database.reservations import Claim, reserve_each
from shared.domain.orders import ServiceLevel
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing.models import ServiceRate
from shared.domain.sourcing.plans import CostTerms, Plan, PlannedLine, PlannedShipment
from shared.messages import SourceRequest

AS_OF = datetime(2026, 8, 3, 12, tzinfo=UTC)
#: Line of an order: number, SKU, quantity.
Line = tuple[int, str, int]
#: Part of a plan: node, line number, SKU, quantity.
Part = tuple[str, int, str, int]

#: Ships anything anywhere.
GROUND = ServiceRate.model_validate(
    {
        "carrier": "p",
        "service": "ground",
        "level": ServiceLevel.STANDARD,
        "max_distance_km": 20_000,
        "breaks": [{"up_to_g": 70_000, "price_minor": 900}],
        "transit_days": 3,
    }
)
_SHIP_TO = '{"name": "A", "line1": "1 Main St", "city": "B", "postal_code": "1"}'
_WORLD = (
    "INSERT INTO partner VALUES ('p', 'fulfillment', 'http://localhost')",
    """
    INSERT INTO node (node_id, name, node_type, partner_id, place, calendar, handling_days)
    SELECT 'n' || n, 'Node ' || n, 'warehouse', 'p', '{"latitude": 39.96, "longitude": -83.0}', '{}', 1
    FROM generate_series(1, :nodes) n
    """,
    """
    INSERT INTO item (sku, weight_g, length_mm, width_mm, height_mm, price_minor, cost_minor, currency)
    SELECT 's' || s, 500, 200, 150, 100, 1000, 600, 'USD' FROM generate_series(1, :skus) s
    """,
    "INSERT INTO policy_version (version, sourcing, process, active) VALUES ('v', '{}', '{}', true)",
    """
    INSERT INTO stock_position (node_id, sku, on_hand)
    SELECT 'n' || n, 's' || s, :on_hand FROM generate_series(1, :nodes) n, generate_series(1, :skus) s
    """,
    """
    INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, reference, actor, at)
    SELECT node_id, sku, 'receive', on_hand, 0, 'opening', 'test', now() - make_interval(days => :days_ago)
    FROM stock_position WHERE on_hand > 0
    """,
)
_ORDERS = text("""
    INSERT INTO orders (order_id, channel, channel_order_id, content_hash, currency, placed_at, ship_to, place, service,
                        priority, shipping_minor, total_minor, payment, policy_version, cart_hold_id)
    SELECT o, 'web', o, '', 'USD', now(), CAST(:ship_to AS jsonb),
           '{"latitude": 40.7, "longitude": -74.0}', 'standard', 3, 0, 0, '{}', 'v', cart
    FROM unnest(CAST(:order_ids AS text[]), CAST(:carts AS text[])) AS u(o, cart)
""")
_LINES = text("""
    INSERT INTO order_line (order_id, line_no, sku, quantity, unit_price_minor, total_minor, unallocated)
    SELECT order_id, line_no, sku, quantity, 1000, 1000 * quantity, quantity
    FROM unnest(CAST(:order_ids AS text[]), CAST(:line_nos AS int[]), CAST(:skus AS text[]), CAST(:quantities AS int[]))
        AS l(order_id, line_no, sku, quantity)
""")
#: S1-S3: the figures that must be zero, whatever happened.
_RESIDUALS = text("""
    WITH moved AS (
        SELECT node_id, sku, sum(on_hand) AS on_hand, sum(reserved) AS reserved, sum(held) AS held FROM stock_move
        GROUP BY node_id, sku
    ), claimed AS (
        SELECT node_id, sku, sum(open) AS open FROM reservation GROUP BY node_id, sku
    ), in_carts AS (
        SELECT node_id, sku, sum(open) AS open FROM cart_hold_line GROUP BY node_id, sku
    ), held AS (
        SELECT order_id, line_no, sum(open) AS open, sum(shipped) AS shipped FROM reservation GROUP BY order_id, line_no
    )
    SELECT (SELECT count(*) FROM stock_position p LEFT JOIN moved m USING (node_id, sku)
            WHERE p.on_hand <> coalesce(m.on_hand, 0) OR p.reserved <> coalesce(m.reserved, 0)
               OR p.held <> coalesce(m.held, 0)) AS unlike_their_moves,
           (SELECT count(*) FROM stock_position p LEFT JOIN claimed c USING (node_id, sku)
            WHERE p.reserved <> coalesce(c.open, 0)) AS unlike_their_reservations,
           (SELECT count(*) FROM stock_position p LEFT JOIN in_carts c USING (node_id, sku)
            WHERE p.held <> coalesce(c.open, 0)) AS unlike_their_holds,
           (SELECT count(*) FROM stock_position
            WHERE reserved < 0 OR held < 0 OR reserved + held > on_hand) AS oversold,
           (SELECT count(*) FROM order_line l LEFT JOIN held h USING (order_id, line_no)
            WHERE l.allocated + l.released <> coalesce(h.open, 0)
               OR l.shipped + l.delivered + l.returned <> coalesce(h.shipped, 0)) AS lines_unlike_their_reservations,
           (SELECT count(*) FROM order_line WHERE quantity <> unallocated + backordered + allocated + released
                + shipped + delivered + cancelled + returned) AS lines_that_do_not_add_up
""")


async def seed(database: Database, *, nodes: int, skus: int, on_hand: int, days_ago: int = 0) -> None:
    """Nodes ``n1…``, items ``s1…``, and every item at every node, since so many days."""
    async with database.transaction() as connection:
        for statement in _WORLD:
            values = {"nodes": nodes, "skus": skus, "on_hand": on_hand, "days_ago": days_ago}
            names = {name for name in values if f":{name}" in statement}
            await connection.execute(text(statement), {name: values[name] for name in names})
    async with database.engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("ANALYZE"))


async def place(
    database: Database, orders: Mapping[str, Sequence[Line]], carts: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write orders down, as the intake would; ``carts`` names the hold of those made of a cart."""
    lines = [(order_id, *line) for order_id, of_order in orders.items() for line in of_order]
    columns = list(zip(*lines, strict=True)) if lines else [(), (), (), ()]
    names = ("order_ids", "line_nos", "skus", "quantities")
    values = {"order_ids": list(orders), "carts": [carts.get(name) for name in orders], "ship_to": _SHIP_TO}
    async with database.transaction() as connection:
        await connection.execute(_ORDERS, values)
        await connection.execute(_LINES, dict(zip(names, map(list, columns), strict=True)))


def draft(order_id: str, parts: Iterable[Part], *, step: str = "source/1", first: bool = True) -> Draft:
    """A plan that takes these parts, one shipment a node."""
    by_node: dict[str, list[PlannedLine]] = {}
    for node_id, line_no, sku, quantity in parts:
        by_node.setdefault(node_id, []).append(PlannedLine(line_no=line_no, sku=sku, quantity=quantity))
    shipments = tuple(
        PlannedShipment(
            node_id=node_id,
            carrier="parcelpost",
            service="ground",
            lines=tuple(lines),
            ship_by=AS_OF + timedelta(days=1),
            deliver_by=AS_OF + timedelta(days=4),
            cost=CostTerms(freight=500),
        )
        for node_id, lines in by_node.items()
    )
    request = SourceRequest(step_key=f"order/{order_id}/{step}", order_id=order_id, as_of=AS_OF, policy=ProcessPolicy())
    return Draft(request, Plan(order_id=order_id, policy_version="v", as_of=AS_OF, shipments=shipments), first=first)


async def residuals(connection: AsyncConnection) -> dict[str, int]:
    """What does not agree, by kind; empty when stock, moves, reservations and order lines are one story."""
    row: Any = (await connection.execute(_RESIDUALS)).one()
    return {kind: count for kind, count in row._mapping.items() if count}


async def reserve(connection: AsyncConnection, claims: Sequence[Claim]) -> bool:
    """Reserve every claim or none of them, alone."""
    return (await reserve_each(connection, [claims]))[0]
