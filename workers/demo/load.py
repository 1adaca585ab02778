"""Put a merchant into the database: partners, network, catalogue, offers, stock."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text

from shared.database import network, stock
from shared.database.engine import Database
from shared.database.stock import Move
from shared.domain.partners import PartnerEndpoint, PartnerKind
from workers.demo.world import Partner, StockRow, World

_KINDS = {"carrier": PartnerKind.CARRIER, "payments": PartnerKind.PAYMENT}
_AVAILABLE = text("SELECT node_id, sku, on_hand - reserved AS free FROM stock_position")
#: Positions per statement; keeps each one short.
_PAGE = 5_000


async def load_world(database: Database, world: World, sandbox_url: str, reference: str) -> list[Move]:
    """Load a merchant whose partners all live in the sandbox, and bring its stock to what the world says.

    Args:
        reference: Names this load in the stock ledger; loading again under it changes nothing.

    Returns:
        What was booked to bring it there.
    """
    async with database.transaction() as connection:
        await network.save_partners(connection, (_endpoint(partner, sandbox_url) for partner in world.partners))
        await network.save_nodes(connection, world.nodes)
        await network.save_rates(connection, world.rates)
        await network.save_items(connection, world.items)
        await network.save_offers(connection, world.offers)
    return await set_free_stock(database, world.stock, reference)


def _endpoint(partner: Partner, sandbox_url: str) -> PartnerEndpoint:
    kind = _KINDS.get(partner.kind, PartnerKind.FULFILLMENT)
    return PartnerEndpoint(partner_id=partner.partner_id, kind=kind, base_url=f"{sandbox_url}/{partner.partner_id}")


async def set_free_stock(database: Database, rows: Sequence[StockRow], reference: str) -> list[Move]:
    """Adjust every named position so that what is not reserved is what the row says is on hand; returns how."""
    async with database.reading() as connection:
        free = {(row.node_id, row.sku): row.free for row in await connection.execute(_AVAILABLE)}
    moves = [
        Move(
            node_id=row.node_id,
            sku=row.sku,
            cause="receive" if (row.node_id, row.sku) not in free else "adjust",
            on_hand=row.on_hand - free.get((row.node_id, row.sku), 0),
            reference=reference,
        )
        for row in rows
    ]
    changed = [move for move in moves if move.on_hand]
    safety = [{"node_id": row.node_id, "sku": row.sku, "safety": row.safety} for row in rows]
    for start in range(0, max(len(changed), len(safety)), _PAGE):
        async with database.transaction() as connection:
            await stock.receive(connection, changed[start : start + _PAGE])
            await network.save_safety(connection, safety[start : start + _PAGE])
    return changed
