"""How old the figures of each node are, and what is held back of its stock for that."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.steps import open_case
from shared.domain.base import Instant, Model
from shared.domain.feeds import Buffer, FeedSource, Freshness, buffer_of, freshness

#: Positions in one transaction: their locks are held for a fraction of a second.
CHUNK = 5_000
#: A run that changes the positions of a node sets their buffers itself; one that has not ended by then never may.
_RUN_LASTS = timedelta(minutes=15)

_NODES = text("""
    SELECT n.node_id, n.as_of, n.state, s.definition
    FROM stock_source n JOIN feed_source s USING (source_id)
    LEFT JOIN feed_run r ON r.run_id = s.applying
    WHERE r.run_id IS NULL OR r.received_at < CAST(:now AS timestamptz) - CAST(:run_lasts AS interval)
    ORDER BY n.node_id
""")
_SET_STATE = text("UPDATE stock_source SET state = :state WHERE node_id = :node_id")
_REBUFFER = text("""
    WITH locked AS (
        SELECT node_id, sku, least(on_hand, :units + (on_hand * :percent + 99) / 100) AS feed_buffer
        FROM stock_position
        WHERE node_id = :node_id AND feed_buffer <> least(on_hand, :units + (on_hand * :percent + 99) / 100)
        ORDER BY sku LIMIT :limit FOR NO KEY UPDATE
    )
    UPDATE stock_position p SET feed_buffer = l.feed_buffer
    FROM locked l WHERE p.node_id = l.node_id AND p.sku = l.sku
""")
_RESOLVE = text("""
    UPDATE exception_case SET resolved_at = now(), resolution = 'the figures are fresh again'
    WHERE kind = 'feed.stale' AND reference = :reference AND resolved_at IS NULL
""")


class NodeFreshness(Model):
    """A node, the source that speaks for it, and the moment of its figures."""

    node_id: str
    source: FeedSource
    as_of: Instant | None
    was: Freshness

    def state(self, now: datetime) -> Freshness:
        return freshness(self.source, self.as_of, now)

    def buffer(self, now: datetime) -> Buffer:
        return buffer_of(self.source, self.state(now))

    def is_due(self, now: datetime) -> bool:
        """Whether its positions may have to change: its state has, or something is held back of what is there now."""
        return self.state(now) is not self.was or self.buffer(now) != Buffer()


async def read_nodes(connection: AsyncConnection, now: datetime) -> list[NodeFreshness]:
    """Every node a source speaks for, but those whose positions a run is bringing to new figures."""
    rows = await connection.execute(_NODES, {"now": now, "run_lasts": _RUN_LASTS})
    return [
        NodeFreshness(
            node_id=row.node_id,
            source=FeedSource.model_validate(row.definition),
            as_of=row.as_of,
            was=Freshness(row.state),
        )
        for row in rows
    ]


async def rebuffer(connection: AsyncConnection, node_id: str, buffer: Buffer) -> int:
    """Hold back what the buffer says of the next positions that differ; returns how many did."""
    values = {"node_id": node_id, "limit": CHUNK, "units": buffer.units, "percent": buffer.percent}
    return (await connection.execute(_REBUFFER, values)).rowcount


async def keep_state(connection: AsyncConnection, node: NodeFreshness, now: datetime) -> None:
    """Write a node's freshness down, with a case for people while its figures are too old."""
    state = node.state(now)
    reference = f"{node.source.source_id}/{node.node_id}"
    await connection.execute(_SET_STATE, {"node_id": node.node_id, "state": state})
    if state in (Freshness.STALE, Freshness.HIDDEN):
        await open_case(
            connection, "feed.stale", reference, None,
            source_id=node.source.source_id, node_id=node.node_id, as_of=node.as_of, state=state,
        )  # fmt: skip
    else:
        await connection.execute(_RESOLVE, {"reference": reference})
