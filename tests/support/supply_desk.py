"""The desk at which supply is told of, and the hand that moves it; no processes run."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from shared import supply_client
from shared.client import Doms
from shared.database.engine import Database
from shared.database.receipts import Received
from shared.domain.supply import Inbound, InboundKind, InboundLine, Receipt, ReceiptLine
from shared.messages import Wake
from tests.support.books import books_agree
from tests.support.facts import Facts

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=5)
LATER = SOON + timedelta(days=14)


class Desk:
    """Stands in for the client where no process runs: notes who would be woken."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.woken: list[str] = []

    async def wake(self, workflow_id: str, wake: Wake) -> bool:
        assert wake.kind in ("supply_changed", "stock_arrived")
        self.woken.append(workflow_id.removeprefix("order/"))
        return True


class Shop:
    """Facts, and the hand that moves supply."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.desk = Desk(facts.database)
        self.doms = cast(Doms, self.desk)
        self.sku = facts.sku()

    async def expect(self, units: int, at: datetime = SOON, **changes: Any) -> str:
        inbound = Inbound(
            inbound_id=f"PO-{uuid.uuid4().hex[:8]}",
            kind=InboundKind.PURCHASE_ORDER,
            node_id="wh-columbus",
            expected_at=at,
            lines=(InboundLine(sku=self.sku, quantity=units),),
        ).model_copy(update=changes)
        assert await supply_client.create_inbound(
            self.doms, Inbound.model_validate(inbound.model_dump()), actor="buyer"
        )
        return inbound.inbound_id

    async def wait(self, units: int, **changes: Any) -> str:
        """An order of units that are not there."""
        order_id = await self.facts.keep((self.sku, units), **changes)
        await self.facts.source(order_id)
        return order_id

    async def receive(self, inbound_id: str, good: int = 0, *, reference: str = "", **line: Any) -> Received:
        receipt = Receipt(
            inbound_id=inbound_id,
            reference=reference or uuid.uuid4().hex,
            lines=(ReceiptLine(sku=self.sku, good=good, **line),),
        )
        return await supply_client.receive(self.doms, receipt, actor="dock")

    async def bound(self) -> dict[tuple[str, str], int]:
        rows = await self.facts.rows("SELECT order_id, inbound_id, quantity FROM supply_binding")
        return {(row.order_id, row.inbound_id): row.quantity for row in rows}

    async def promised(self, order_id: str) -> datetime | None:
        rows = await self.facts.rows("SELECT promised_at FROM orders WHERE order_id = :o", o=order_id)
        promised: datetime | None = rows[0].promised_at
        return promised

    async def line(self, inbound_id: str) -> dict[str, int]:
        rows = await self.facts.rows("SELECT * FROM inbound_line WHERE inbound_id = :i", i=inbound_id)
        return {k: v for k, v in rows[0]._mapping.items() if isinstance(v, int) and v}

    async def position(self, node_id: str = "wh-columbus") -> tuple[int, ...]:
        """Units on hand, reserved, held, quarantined and free."""
        rows = await self.facts.rows(
            """SELECT on_hand, reserved, held, quarantined, free FROM stock_position
               WHERE (node_id, sku) = (:n, :s)""",
            n=node_id,
            s=self.sku,
        )
        return tuple(rows[0]) if rows else (0, 0, 0, 0, 0)

    async def reserved(self) -> dict[str, int]:
        rows = await self.facts.rows("SELECT order_id, sum(open) AS open FROM reservation GROUP BY order_id")
        return {row.order_id: row.open for row in rows}

    async def events(self, order_id: str) -> list[str]:
        rows = await self.facts.rows("SELECT event FROM timeline WHERE order_id = :o ORDER BY event_id", o=order_id)
        return [row.event for row in rows]

    async def cases(self) -> set[str]:
        return {row.kind for row in await self.facts.rows("SELECT kind FROM exception_case")}


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Shop]:
    """A merchant who has none of the item; in the end all books agree."""
    facts = await Facts.load(url)
    await facts.stock(facts.sku())
    shop = Shop(facts)
    yield shop
    await books_agree(facts.database)
    await facts.database.close()
