"""Look at stock, its ledger and what channels may sell of it, and book what arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts import App

from workers.cli.alerts import replenish
from workers.cli.availability import available, changes, in_stock, publications
from workers.cli.output import Answer, table, when
from workers.cli.quarantine import app as quarantine
from workers.cli.staff import Actor
from workers.connect import doms_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.database.item_stock import ChannelStock, ComingStock, ItemStock, NodeStock
    from shared.database.positions import ListedPosition, PositionHistory, ReplayedMove

app = App(name="stock", help=__doc__)
app.command(available)
app.command(changes)
app.command(in_stock)
app.command(replenish)
app.command(publications)
app.command(quarantine)


@app.command
async def show(sku: str, *, moves: int = 10) -> Answer:
    """Show the whole position of an item: where its units lie, what is to come, who waits, what channels show of it.

    Committed units are reserved ones that their node was told of. Safety and buffer are not sold. The source is the
    feed that says what lies at a node, or the ledger; as of is the moment of the feed's figures, or of the latest move.

    ```
    doms stock show TRN-1001
    doms --json stock show TRN-1001 | jq '.coming[] | {node_id, expected_at, open, bound}'
    ```

    Args:
        sku: The item.
        moves: How many of its latest moves.
    """
    from shared.database.item_stock import read_item

    async with doms_client() as doms, doms.database.reading() as connection:
        item = await read_item(connection, sku, moves=moves)
    return Answer(item, show=lambda: _shown(item))


@app.command
async def positions(*, node: str = "", node_type: str = "", after: str = "", limit: int = 100) -> Answer:
    """List positions in the order of their node and item, of one node or of nodes of one type.

    ```
    doms stock positions --node wh-columbus --limit 20
    doms stock positions --node-type store --after store-soho/TRN-1001
    ```

    Args:
        node: Only of this node.
        node_type: Only of nodes of this type: warehouse, store, 3pl, vendor.
        after: NODE/SKU of the last position of the page before.
        limit: At most so many.
    """
    from shared.database.positions import list_positions
    from shared.domain.network import NodeType
    from shared.errors import Fault, InvalidInput

    faults = [Fault(pointer="/limit", code="too_small", message="must be one or more")] if limit < 1 else []
    if node_type and node_type not in set(NodeType):
        message = f"must be one of {', '.join(NodeType)}"
        faults.append(Fault(pointer="/node_type", code="unknown_value", message=message))
    if faults:
        raise InvalidInput(faults)
    last_node, _, last_sku = after.partition("/")
    async with doms_client() as doms, doms.database.reading() as connection:
        found = await list_positions(
            connection, node_id=node, node_type=node_type, after=(last_node, last_sku), limit=limit
        )
    return Answer(found, show=lambda: _listed(found))


@app.command
async def history(sku: str, *, node: str = "", moves: int = 20) -> Answer:
    """Replay the ledger of an item: each move, and what the position came to with it.

    The exit code is 4 when the moves of a position do not lead to what it says today.

    ```
    doms stock history TRN-1001 --node wh-columbus
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
    doms stock receive wh-columbus TRN-1001 40 --reference PO-1234
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

    moves = [(when(m.at), m.node_id, m.cause, f"{m.on_hand:+}", f"{m.reserved:+}", m.reference) for m in item.moves]
    stages = ", ".join(f"{units} {stage.replace('_', ' ')}" for stage, units in item.stages.model_dump().items())
    return Group(
        _lying(f"{item.sku} {item.name}: {stages}", item.positions),
        *([_coming(item.coming)] if item.coming else []),
        *([_channels(item.channels)] if item.channels else []),
        table("latest moves", ("at", "node", "cause", "on hand#", "reserved#", "reference"), moves),
    )


def _lying(title: str, positions: Sequence[NodeStock]) -> Any:
    columns = ("node", "on hand#", "reserved#", "committed#", "held#", "safety#", "buffer#", "quarantined#",
               "available#", "source", "as of")  # fmt: skip
    rows = [
        (p.node_id, p.on_hand, p.reserved, p.committed, p.held, p.safety, p.buffer, p.quarantined, p.available,
         _source(p), when(p.as_of))
        for p in positions
    ]  # fmt: skip
    return table(title, columns, rows)


def _source(position: NodeStock) -> str:
    source = f"{position.source_id}, {position.source_state}" if position.source_id else "ledger"
    return f"supplier's: {source}" if position.supplier else source


def _coming(coming: Sequence[ComingStock]) -> Any:
    rows = [
        (when(c.expected_at), c.node_id, c.inbound_id, c.kind.replace("_", " "), c.open, c.bound, c.open - c.bound,
         f"on the way from {c.origin_node_id}" if c.in_transit else "")
        for c in coming
    ]  # fmt: skip
    columns = ("expected", "node", "inbound", "kind", "open#", "for orders#", "for nobody yet#", "")
    return table("to come", columns, rows)


def _channels(channels: Sequence[ChannelStock]) -> Any:
    columns = ("channel", "available#", "pool#", "cap#", "floor#", "buffer#", "told#", "told at", "")
    rows = [
        (c.channel, c.available, c.pool, c.cap, c.floor, c.buffer, c.published, when(c.told_at),
         c.fault or ("waits for its receipt" if c.waiting else ""))
        for c in channels
    ]  # fmt: skip
    return table("what channels may sell, and what they were told", columns, rows)


def _listed(positions: Sequence[ListedPosition]) -> Any:
    columns = ("node", "type", "item", "on hand#", "reserved#", "held#", "safety#", "buffer#", "quarantined#",
               "available#")  # fmt: skip
    rows = [
        (p.node_id, p.node_type, p.sku, p.on_hand, p.reserved, p.held, p.safety, p.buffer, p.quarantined, p.available)
        for p in positions
    ]
    return table(f"{len(positions)} position(s)", columns, rows)


def _replayed(positions: tuple[PositionHistory, ...]) -> Any:
    from rich.console import Group

    return Group(*(_replayed_one(position) for position in positions))


def _replayed_one(position: PositionHistory) -> Any:
    verdict = "agree" if position.agrees else "DO NOT AGREE"
    title = (
        f"{position.node_id}: {position.on_hand} on hand, {position.reserved} reserved, {position.held} held, "
        f"{position.safety} safety, {position.quarantined} quarantined, {position.available} available; "
        f"its {position.replayed} move(s) {verdict}"
    )
    kinds = ["on_hand", "reserved"]
    kinds += [kind for kind in ("held", "quarantined") if any(getattr(move, kind) for move in position.moves)]
    names = [kind.replace("_", " ") for kind in kinds]
    columns = ("at", "cause", *(f"{name}#" for name in names), *(f"= {name}#" for name in names), "reference", "by")
    return table(title, columns, (_replayed_move(move, kinds) for move in position.moves))


def _replayed_move(move: ReplayedMove, kinds: Sequence[str]) -> tuple[object, ...]:
    changes = (f"{getattr(move, kind):+}" for kind in kinds)
    balances = (getattr(move, f"{kind}_then") for kind in kinds)
    return (when(move.at), move.cause, *changes, *balances, move.reference, move.actor)
