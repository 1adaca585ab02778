"""What is known of expected supply: how much is still to come, when, where to, and who waits for it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.inbounds import find_inbound
from shared.database.turns import IN_TURN
from shared.domain.base import Instant, Model
from shared.domain.supply import InboundKind, InboundStatus

_LINES = text("SELECT * FROM inbound_line WHERE inbound_id = :inbound_id ORDER BY sku")
_LIST = """
    SELECT i.*, (SELECT jsonb_agg(to_jsonb(l) ORDER BY l.sku) FROM inbound_line l
                 WHERE l.inbound_id = i.inbound_id) AS lines
    FROM inbound i WHERE {conditions} ORDER BY i.expected_at, i.inbound_id LIMIT :limit
"""
_WAITING = text(f"""
    SELECT b.order_id, b.line_no, b.sku, b.quantity, b.promised_at, o.priority
    FROM supply_binding b JOIN orders o USING (order_id)
    WHERE b.inbound_id = :inbound_id ORDER BY {IN_TURN}, b.line_no
""")  # noqa: S608 - our own fragment
_RECEIPTS = text("""
    SELECT reference, actor, at, result FROM inbound_receipt WHERE inbound_id = :inbound_id ORDER BY at, reference
""")

_ADVICE = text("SELECT partner_id, sent_at, fault FROM transfer_advice WHERE inbound_id = :inbound_id")


class ExpectedLine(Model):
    """One item of an inbound, and what came of its units.

    Attributes:
        open: Still to come; ``bound`` of them are waited for by orders.
        missing: Will not come.
        over: Came beyond what was expected.
    """

    sku: str
    quantity: int
    open: int
    received: int
    damaged: int
    missing: int
    over: int
    bound: int


class ExpectedSupply(Model):
    """An inbound as it stands."""

    inbound_id: str
    kind: InboundKind
    node_id: str
    origin_node_id: str | None
    expected_at: Instant
    status: InboundStatus
    reference: str
    actor: str
    created_at: Instant
    departed_at: Instant | None
    closed_at: Instant | None
    lines: tuple[ExpectedLine, ...]

    @property
    def units(self) -> int:
        """Units still to come."""
        return sum(line.open for line in self.lines)


class WaitingOrder(Model):
    """Units of an order line that wait for an inbound."""

    order_id: str
    line_no: int
    sku: str
    quantity: int
    promised_at: Instant
    priority: int


class InboundReceipt(Model):
    """A receipt that was booked."""

    reference: str
    actor: str
    at: Instant
    result: dict[str, Any]


class InboundAdvice(Model):
    """Whether the warehouse was told that a transfer is on its way; ``fault`` says why it was not yet."""

    partner_id: str
    sent_at: Instant | None
    fault: str


class InboundStory(ExpectedSupply):
    """An inbound with its receipts, and the orders that wait for it in their order of service.

    Attributes:
        advice: ``None`` where nobody is to be told.
    """

    advice: InboundAdvice | None = None
    receipts: tuple[InboundReceipt, ...]
    waiting: tuple[WaitingOrder, ...]


async def list_inbounds(
    connection: AsyncConnection, *, sku: str = "", node_id: str = "", every: bool = False, limit: int = 50
) -> list[ExpectedSupply]:
    """Expected supply, the earliest first; ``every`` lists what is over, too."""
    wanted = {
        "i.closed_at IS NULL": not every,
        "i.node_id = :node_id": bool(node_id),
        "EXISTS (SELECT FROM inbound_line l WHERE l.inbound_id = i.inbound_id AND l.sku = :sku)": bool(sku),
    }
    conditions = " AND ".join(condition for condition, asked in wanted.items() if asked) or "true"
    given = {name: value for name, value in {"sku": sku, "node_id": node_id}.items() if value}
    rows = await connection.execute(text(_LIST.format(conditions=conditions)), given | {"limit": limit})
    return [ExpectedSupply.model_validate(dict(row._mapping)) for row in rows]


async def tell_inbound(connection: AsyncConnection, inbound_id: str) -> InboundStory:
    """Everything about one inbound.

    Raises:
        NotFound: there is none of this id.
    """
    values = {"inbound_id": inbound_id}
    row = await find_inbound(connection, inbound_id)
    parts = {
        "lines": [dict(line._mapping) for line in await connection.execute(_LINES, values)],
        "receipts": [dict(receipt._mapping) for receipt in await connection.execute(_RECEIPTS, values)],
        "waiting": [dict(order._mapping) for order in await connection.execute(_WAITING, values)],
    }
    advice = (await connection.execute(_ADVICE, values)).one_or_none()
    told = {"advice": dict(advice._mapping) if advice else None}
    return InboundStory.model_validate(dict(row._mapping) | parts | told)
