"""Which nodes channels sell from, and what is kept of an item for one channel alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.availability import Allocation, Rules
from shared.domain.pools import Pooled, takeable_alone
from shared.domain.sourcing.models import Stock

_SELLING = text("""
    WITH pair AS MATERIALIZED (
        SELECT c.channel, n.node_id, n.ship_enabled, coalesce(x.sells, c.every_node) AS sells
        FROM channel c CROSS JOIN node n
        LEFT JOIN channel_node x ON x.channel = c.channel AND x.node_id = n.node_id
    )
    SELECT (SELECT coalesce(jsonb_object_agg(channel, nodes), '{}') FROM (
                SELECT channel, jsonb_agg(node_id ORDER BY node_id) AS nodes FROM pair WHERE NOT sells
                GROUP BY channel) p) AS ineligible,
           (SELECT coalesce(jsonb_object_agg(channel, nodes), '{}') FROM (
                SELECT channel, jsonb_agg(node_id) AS nodes FROM pair
                WHERE sells AND ship_enabled AND channel IN (SELECT channel FROM channel_allocation)
                GROUP BY channel) p) AS eligible,
           EXISTS (SELECT FROM channel_allocation WHERE pool IS NOT NULL) AS pooled
""")
_ALLOCATIONS = text("""
    SELECT a.* FROM (
        SELECT * FROM channel_allocation WHERE sku IS NULL
        UNION ALL SELECT * FROM channel_allocation WHERE sku = ANY(:skus)
    ) a JOIN channel c USING (channel) ORDER BY c.rank, c.channel
""")


class Selling(NamedTuple):
    """What holds for every item; it changes with the network's version.

    Attributes:
        ineligible: Nodes each channel does not sell from.
        eligible: Nodes that ship for each channel that has an allocation.
        pooled: Whether any channel has a pool.
    """

    ineligible: dict[str, tuple[str, ...]]
    eligible: dict[str, frozenset[str]]
    pooled: bool


#: As long as no channel is configured.
SELLS_EVERYTHING = Selling({}, {}, pooled=False)


async def read_selling(connection: AsyncConnection) -> Selling:
    """Which nodes channels sell from, and whether anything is kept for one of them."""
    row = (await connection.execute(_SELLING)).one()
    return Selling(
        ineligible={channel: tuple(nodes) for channel, nodes in row.ineligible.items()},
        eligible={channel: frozenset(nodes) for channel, nodes in row.eligible.items()},
        pooled=row.pooled,
    )


async def read_rules(connection: AsyncConnection, selling: Selling, skus: Sequence[str]) -> Rules:
    """What is kept of these items, and for whom."""
    rows = await connection.execute(_ALLOCATIONS, {"skus": list(skus)}) if selling.pooled else ()
    return Rules((Allocation.model_construct(**row._mapping) for row in rows), selling.eligible)


class Seen(NamedTuple):
    """Stock as a channel's planner may use it, and the items of which something is kept for others."""

    stock: tuple[Stock, ...]
    pooled: tuple[Pooled, ...] = ()


async def stock_for(
    connection: AsyncConnection, selling: Selling, channel: str | None, positions: Sequence[Any]
) -> Seen:
    """Positions as a channel's planner may use them: what each could give by itself, and what must be left of them.

    Args:
        channel: ``None`` for all that is free, whoever it is kept for.
        positions: All that have free units of some items, with ``node_id``, ``sku``, ``free``, ``unit_cost_minor``, and
            as ``own`` what is held for the order already, beside what is free.
    """
    free: dict[str, dict[str, int]] = {}
    for row in positions:
        free.setdefault(row.sku, {})[row.node_id] = row.free
    pooled = await read_pooled(connection, selling, channel, sorted(free)) if channel else ()
    most = {item.sku: takeable_alone(free[item.sku], item.kept_from(free[item.sku])) for item in pooled}
    return Seen(tuple(_stock(row, most.get(row.sku)) for row in positions), pooled)


async def read_pooled(
    connection: AsyncConnection, selling: Selling, channel: str, skus: Sequence[str]
) -> tuple[Pooled, ...]:
    """Those of the items of which something is kept from the channel."""
    if not selling.pooled:
        return ()
    rules = await read_rules(connection, selling, skus)
    return tuple(item for sku in skus if (item := rules.pooled(channel, sku)))


def _stock(row: Any, most: Mapping[str, int] | None) -> Stock:
    available = row.free if most is None else most[row.node_id]
    return Stock.model_construct(
        node_id=row.node_id,
        sku=row.sku,
        available=available + row.own,
        protected=row.free - available,
        own=row.own,
        unit_cost_minor=row.unit_cost_minor,
    )
