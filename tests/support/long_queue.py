"""Thousands of orders that wait for a unit of the one item each, and supply of it."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta

from sqlalchemy import text

from shared.database import network
from shared.database.engine import Database
from shared.domain.supply import Inbound, InboundKind, InboundLine, Receipt, ReceiptLine
from tests.support.stock import GROUND, place, seed
from tests.support.supply_desk import SOON

#: Rows keep the transaction that locked or wrote them last.
_TOUCHED = text("SELECT order_id FROM orders WHERE greatest(xmin::text::bigint, xmax::text::bigint) > :before")


async def begin(database: Database, waiting: int) -> None:
    """``o0000`` and so on wait for a unit of ``s1`` each, in this order; there is none."""
    await seed(database, nodes=2, skus=1, on_hand=0)
    await place(database, {f"o{n:04}": [(1, "s1", 1)] for n in range(waiting)})
    async with database.transaction() as connection:
        await network.save_rates(connection, [GROUND])
        await connection.execute(text("UPDATE order_line SET backordered = quantity, unallocated = 0"))


async def touched(database: Database, change: Awaitable[object]) -> set[str]:
    """The orders that a change locks or writes, while nothing else happens."""
    async with database.transaction() as connection:
        before = (await connection.execute(text("SELECT pg_current_xact_id()::text::bigint"))).scalar_one()
    await change
    async with database.reading() as connection:
        return set((await connection.execute(_TOUCHED, {"before": before})).scalars())


def coming(inbound_id: str, units: int, days: int) -> Inbound:
    return Inbound(
        inbound_id=inbound_id,
        kind=InboundKind.PURCHASE_ORDER,
        node_id="n1",
        expected_at=SOON + timedelta(days=days),
        lines=(InboundLine(sku="s1", quantity=units),),
    )


def delivered(inbound_id: str, good: int, damaged: int = 0) -> Receipt:
    line = ReceiptLine(sku="s1", good=good, damaged=damaged)
    return Receipt(inbound_id=inbound_id, reference=f"{good} good, {damaged} damaged", lines=(line,))
