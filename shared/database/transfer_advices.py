"""Warehouses told of transfers that are on their way to them: written with the departure, sent until they have it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.steps import open_case
from shared.gateways.supply.x12_943 import Departed

#: A partner with an interchange id is told; whoever has none is not.
_INTEND = text("""
    INSERT INTO transfer_advice (inbound_id, partner_id)
    SELECT i.inbound_id, p.partner_id FROM inbound i JOIN node n USING (node_id) JOIN partner p USING (partner_id)
    WHERE i.inbound_id = :inbound_id AND p.edi_id IS NOT NULL
""")
_OPEN = text("""
    SELECT inbound_id, partner_id FROM transfer_advice WHERE sent_at IS NULL AND inbound_id > :after
    ORDER BY inbound_id LIMIT :limit
""")
_READ = text("""
    SELECT i.inbound_id, a.control_no, i.departed_at, i.expected_at, i.origin_node_id AS from_node,
           o.name AS from_name, n.node_id AS to_node, n.name AS to_name, p.edi_id AS receiver,
           p.edi_sender_id AS sender,
           (SELECT jsonb_agg(jsonb_build_array(sku, quantity) ORDER BY sku) FROM inbound_line l
            WHERE l.inbound_id = i.inbound_id AND l.quantity > 0) AS lines
    FROM transfer_advice a JOIN inbound i USING (inbound_id) JOIN node n ON n.node_id = i.node_id
    JOIN node o ON o.node_id = i.origin_node_id JOIN partner p ON p.partner_id = a.partner_id
    WHERE a.inbound_id = :inbound_id
""")
_SENT = text("UPDATE transfer_advice SET sent_at = now(), fault = '' WHERE inbound_id = :inbound_id")
_FAILED = text("UPDATE transfer_advice SET fault = :fault WHERE inbound_id = :inbound_id AND sent_at IS NULL")


async def intend(connection: AsyncConnection, inbound_id: str) -> None:
    """Have the warehouse told, if it wants to be, in the transaction of the departure."""
    await connection.execute(_INTEND, {"inbound_id": inbound_id})


async def read_open(connection: AsyncConnection, *, after: str = "", limit: int = 100) -> list[tuple[str, str]]:
    """Transfers whose warehouses do not know of them yet, with the partners to be told, a page at a time."""
    rows = await connection.execute(_OPEN, {"after": after, "limit": limit})
    return [(row.inbound_id, row.partner_id) for row in rows]


async def read_departed(connection: AsyncConnection, inbound_id: str) -> Departed:
    """What there is to tell of a transfer."""
    row: Any = (await connection.execute(_READ, {"inbound_id": inbound_id})).one()
    return Departed.model_validate(dict(row._mapping))


async def mark_sent(connection: AsyncConnection, inbound_id: str) -> None:
    """The warehouse has it."""
    await connection.execute(_SENT, {"inbound_id": inbound_id})


async def mark_failed(connection: AsyncConnection, inbound_id: str, fault: str, *, for_person: bool) -> None:
    """Note why the warehouse could not be told; what will not do by itself is a case."""
    await connection.execute(_FAILED, {"inbound_id": inbound_id, "fault": fault[:300]})
    if for_person:
        await open_case(connection, "transfer_not_advised", inbound_id, None, why=fault[:300])
