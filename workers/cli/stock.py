"""Look at stock, and book what arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts import App

from workers.cli.output import Answer, table, when
from workers.cli.staff import Actor
from workers.connect import doms_client

if TYPE_CHECKING:
    from shared.database.positions import ItemStock

app = App(name="stock", help=__doc__)


@app.command
async def show(sku: str, *, moves: int = 10) -> Answer:
    """Show where the units of an item lie, its latest moves, and how many units orders wait for.

    ```
    doms stock show TOY-0001
    ```

    Args:
        sku: The item.
        moves: How many of its latest moves.
    """
    from shared.database.positions import read_item

    async with doms_client() as doms, doms.database.reading() as connection:
        item = await read_item(connection, sku, moves=moves)
    return Answer(item, show=lambda: _shown(item))


@app.command
async def receive(node: str, sku: str, quantity: int, *, reference: str, actor: Actor = "staff") -> Answer:
    """Book stock that has arrived, and wake the orders that wait for it.

    ```
    doms stock receive wh-columbus TOY-0001 40 --reference PO-1234
    ```

    Args:
        node: Where it arrived.
        sku: The item.
        quantity: Units.
        reference: The delivery; the same one of the same item is booked once.
    """
    from shared.database.positions import must_exist
    from shared.database.stock import Move
    from shared.errors import Fault, InvalidInput

    if quantity < 1:
        fault = Fault(pointer="/quantity", code="not_positive", message="must be one or more")
        raise InvalidInput([fault])
    move = Move(node_id=node, sku=sku, cause="receive", on_hand=quantity, reference=reference, actor=actor)
    async with doms_client() as doms:
        async with doms.database.reading() as connection:
            await must_exist(connection, node, sku)
        woken = await doms.receive_stock([move])
    data = {"node_id": node, "sku": sku, "quantity": quantity, "reference": reference, "orders_woken": woken}
    return Answer(data, text=f"{quantity} of {sku} at {node}; {woken} waiting order(s) woken")


def _shown(item: ItemStock) -> Any:
    from rich.console import Group

    rows = [(p.node_id, p.on_hand, p.reserved, p.safety, p.available) for p in item.positions]
    moves = [(when(m.at), m.node_id, m.cause, f"{m.on_hand:+}", f"{m.reserved:+}", m.reference) for m in item.moves]
    return Group(
        table(
            f"{item.sku} {item.name}; orders wait for {item.backordered}",
            ("node", "on hand#", "reserved#", "safety#", "available#"),
            rows,
        ),
        table("latest moves", ("at", "node", "cause", "on hand#", "reserved#", "reference"), moves),
    )
