"""What channels count as in stock, in versions that are only ever added to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.availability import InStock
from shared.domain.base import Instant, Model

#: Locked, so that versions of one channel are numbered one after the other.
_LOCK = text("SELECT FROM channel WHERE channel = ANY(:channels) ORDER BY channel FOR NO KEY UPDATE")
#: What says the same as what holds at that moment already is no new version.
_KEEP = text("""
    WITH told AS (
        SELECT CAST(:counts_supplier AS boolean) AS counts_supplier, CAST(:future_days AS int) AS future_days,
               CAST(:threshold AS bigint) AS threshold, coalesce(CAST(:effective_at AS timestamptz), now()) AS at
    ), held AS (
        SELECT counts_supplier, future_days, threshold FROM (
            SELECT p.* FROM in_stock_policy p, told WHERE p.channel = :channel AND p.effective_at <= told.at
            ORDER BY p.effective_at DESC, p.version DESC LIMIT 1) latest
        UNION ALL
        SELECT true, 0, 0 WHERE NOT EXISTS (
            SELECT FROM in_stock_policy p, told WHERE p.channel = :channel AND p.effective_at <= told.at)
    )
    INSERT INTO in_stock_policy (channel, version, effective_at, counts_supplier, future_days, threshold, actor)
    SELECT :channel, coalesce((SELECT max(version) FROM in_stock_policy WHERE channel = :channel), 0) + 1,
           told.at, told.counts_supplier, told.future_days, told.threshold, :actor
    FROM told, held
    WHERE (told.counts_supplier, told.future_days, told.threshold)
          <> (held.counts_supplier, held.future_days, held.threshold)
    RETURNING version
""")
_VERSIONS = text("""
    SELECT p.*, effective_at <= now() AND version = (
               SELECT version FROM in_stock_policy o WHERE o.channel = p.channel AND o.effective_at <= now()
               ORDER BY effective_at DESC, version DESC LIMIT 1) AS in_effect
    FROM in_stock_policy p WHERE :channel = '' OR channel = :channel
    ORDER BY channel, version DESC
""")


class InStockVersion(Model):
    """A version, who wrote it, and whether it is the one that counts now."""

    channel: str
    version: int
    effective_at: Instant
    counts_supplier: bool
    future_days: int
    threshold: int
    actor: str
    at: Instant
    in_effect: bool


async def keep(connection: AsyncConnection, told: Sequence[InStock], *, actor: str) -> int:
    """Keep versions, the one that takes effect first before the others; returns how many are new.

    One that says what holds at its moment already changes nothing. One without a moment takes effect now.
    """
    await connection.execute(_LOCK, {"channels": sorted({one.channel for one in told})})
    now, added = datetime.now(UTC), 0
    for one in sorted(told, key=lambda one: one.effective_at or now):
        added += (await connection.execute(_KEEP, one.model_dump() | {"actor": actor})).rowcount
    return added


async def read_versions(connection: AsyncConnection, channel: str = "") -> list[InStockVersion]:
    """Every version, of one channel or of all, the newest of each first."""
    rows = await connection.execute(_VERSIONS, {"channel": channel})
    return [InStockVersion.model_validate(dict(row._mapping)) for row in rows]
