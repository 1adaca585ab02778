"""Look at stock, its ledger and what channels may sell of it, and book what arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts import App

from workers.cli.alerts import replenish
from workers.cli.availability import available, changes, publications
from workers.cli.output import Answer, table, when
from workers.cli.quarantine import app as quarantine
from workers.cli.staff import Actor
from workers.connect import doms_client

if TYPE_CHECKING:
    from shared.database.positions import ItemStock, PositionHistory

app = App(name="stock", help=__doc__)
app.command(available)
app.command(changes)
app.command(replenish)
app.command(publications)
app.command(quarantine)


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
async def history(sku: str, *, node: str = "", moves: int = 20) -> Answer:
    """Replay the ledger of an item: each move, and what the position came to with it.

    The exit code is 4 when the moves of a position do not lead to what it says today.

    ```
    doms stock history TOY-0001 --node wh-columbus
    ```

    Args:
        sku: The item.
        node: Only the position at this node.
        moves: How many of the latest moves to show; all of them are replayed.
    """
    from shared.database.positions import read_history

    async with doms_client() as doms, doms.database.reading() as connection:
        positions = await read_history(connection, sku, node_id=node, moves=moves)
    code = 0 if all(position.agrees for position in positions) else 4
    return Answer(positions, show=lambda: _replayed(positions), code=code)


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

    rows = [
        (p.node_id, p.on_hand, p.reserved, p.held, p.safety + p.buffer, p.quarantined, p.available)
        for p in item.positions
    ]
    moves = [(when(m.at), m.node_id, m.cause, f"{m.on_hand:+}", f"{m.reserved:+}", m.reference) for m in item.moves]
    return Group(
        table(
            f"{item.sku} {item.name}; orders wait for {item.backordered}",
            ("node", "on hand#", "reserved#", "held#", "safety#", "quarantined#", "available#"),
            rows,
        ),
        table("latest moves", ("at", "node", "cause", "on hand#", "reserved#", "reference"), moves),
    )


def _replayed(positions: tuple[PositionHistory, ...]) -> Any:
    from rich.console import Group

    return Group(*(_replayed_one(position) for position in positions))


def _replayed_one(position: PositionHistory) -> Any:
    verdict = "agree" if position.agrees else "DO NOT AGREE"
    title = (
        f"{position.node_id}: {position.on_hand} on hand, {position.reserved} reserved, {position.safety} safety, "
        f"{position.available} available; its {position.replayed} move(s) {verdict}"
    )
    columns = ("at", "cause", "on hand#", "reserved#", "= on hand#", "= reserved#", "reference", "by")
    rows = (
        (
            when(m.at),
            m.cause,
            f"{m.on_hand:+}",
            f"{m.reserved:+}",
            m.on_hand_then,
            m.reserved_then,
            m.reference,
            m.actor,
        )
        for m in position.moves
    )
    return table(title, columns, rows)
