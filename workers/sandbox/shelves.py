"""What the sandbox's nodes hold, by their own books: what was put there, what left, what came back."""

from __future__ import annotations

from collections.abc import Iterable

from shared.gateways.fulfillment.client import StockReport
from shared.gateways.partner_messages import Grade, GradedLine, Package
from shared.gateways.protocol import StockFigure
from workers.sandbox.world import Call, World


def put(world: World, node: str, sku: str, units: int) -> None:
    """Put units on a shelf, or take some away. A node tells only of what was ever put there."""
    _write(world, node, sku, units, "put")


def take_out(world: World, node: str, packages: Iterable[Package]) -> None:
    """Units leave in packages."""
    for package in packages:
        for line in package.lines:
            _write(world, node, line.sku, -line.quantity, "shipped")


def take_back(world: World, node: str, lines: Iterable[GradedLine]) -> None:
    """Units come back; only those as new go on the shelf."""
    for line in lines:
        if line.grade is Grade.A:
            _write(world, node, line.sku, line.quantity, "returned")


def report(world: World, call: Call) -> StockReport | None:
    """What the node that the call names holds now; ``None`` when nothing was ever put there."""
    rows = world.store.all(
        "SELECT sku, sum(units) AS on_hand FROM node_stock WHERE node = ? GROUP BY sku"
        " HAVING count(*) FILTER (WHERE why = 'put') > 0 ORDER BY sku",
        call.reference,
    )
    if not rows:
        return None
    figures = tuple(StockFigure(sku=row["sku"], on_hand=max(0, row["on_hand"])) for row in rows)
    return StockReport(reference=call.reference, as_of=world.now(), figures=figures)


def _write(world: World, node: str, sku: str, units: int, why: str) -> None:
    world.store.insert("INSERT INTO node_stock (node, sku, units, why) VALUES (?, ?, ?, ?)", node, sku, units, why)
