"""What a channel may sell now, and what of it has changed.

A *version* is the number of a transaction: whoever holds it has seen all that older transactions did. Ids of moves
would not do, since they are drawn before their transactions commit and in another order: a reader that saw
move 11 and remembers 11 misses move 10 when that one commits later. No transaction older than the oldest open one can
commit any more, so what those wrote, and only that, is handed out, and a version is never taken back.

An open transaction delays the feed until it ends; it is never lost and never doubled. A database that was restored
into another cluster counts transactions anew, and followers are told to read everything again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import computed_field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.availability import (
    Allocation,
    Arrival,
    Dated,
    Rules,
    available,
    coming,
    of_bundle,
    reaching,
    shown,
)
from shared.domain.base import Instant, Model
from shared.domain.pools import Pool

#: Items per statement when all of them are read.
PAGE = 5_000

#: Summed by SKU, and by node only where a pool is kept or supply counts that is to come, so that a thousand items are
#: a thousand figures. Nodes are picked among an item's positions: looking each of them up for each item takes several
#: times as long, and is what is planned when the nodes are a condition. Until it departs, a transfer's units are stock
#: of its origin; what is overdue is not counted on.
_READ = text("""
    WITH eligible AS MATERIALIZED (
        SELECT c.channel, n.node_id, n.node_type
        FROM (SELECT channel, every_node FROM channel UNION ALL
              SELECT :channel, true WHERE NOT EXISTS (SELECT FROM channel WHERE channel = :channel)) c
        CROSS JOIN node n
        LEFT JOIN channel_node x ON x.channel = c.channel AND x.node_id = n.node_id
        WHERE n.ship_enabled AND coalesce(x.sells, c.every_node)
    ), in_stock AS MATERIALIZED (
        SELECT counts_supplier, future_days, threshold FROM in_stock_policy
        WHERE channel = :channel AND effective_at <= statement_timestamp()
        ORDER BY effective_at DESC, version DESC LIMIT 1
    ), mine AS MATERIALIZED (
        SELECT node_id FROM eligible
        WHERE channel = :channel
          AND (node_type <> 'vendor' OR coalesce((SELECT counts_supplier FROM in_stock), true))
    ), bundle AS MATERIALIZED (
        SELECT * FROM bundle_component WHERE bundle_sku = ANY(CAST(:skus AS text[]))
    ), asked AS MATERIALIZED (
        SELECT sku FROM item WHERE sku = ANY(CAST(:skus AS text[]))
        UNION SELECT component_sku FROM bundle
    ), allocation AS MATERIALIZED (
        SELECT a.*, c.rank FROM channel_allocation a JOIN channel c USING (channel)
        WHERE a.sku IS NULL OR a.sku IN (SELECT sku FROM asked)
    ), pooled AS MATERIALIZED (
        SELECT sku FROM asked WHERE EXISTS (SELECT FROM allocation WHERE sku IS NULL AND pool > 0)
        UNION SELECT sku FROM allocation WHERE sku IS NOT NULL AND pool > 0
    ), coming AS MATERIALIZED (
        SELECT l.sku, i.node_id, i.expected_at, l.open - l.bound AS units
        FROM in_stock s, inbound_line l JOIN inbound i USING (inbound_id)
        WHERE s.future_days > 0 AND l.sku IN (SELECT sku FROM asked) AND l.open > l.bound AND i.closed_at IS NULL
          AND i.node_id IN (SELECT node_id FROM mine) AND (i.kind <> 'transfer' OR i.status = 'in_transit')
          AND i.expected_at BETWEEN statement_timestamp()
              AND statement_timestamp() + s.future_days * interval '1 day'
    ), parted AS (
        SELECT sku FROM pooled UNION SELECT sku FROM coming
    ), free AS (
        SELECT p.sku, sum(p.free) FILTER (WHERE p.node_id IN (SELECT node_id FROM mine)) AS units
        FROM stock_position p
        WHERE p.sku IN (SELECT sku FROM asked)
        GROUP BY p.sku
    ), by_node AS (
        SELECT p.sku, jsonb_object_agg(p.node_id, p.free) AS units
        FROM stock_position p JOIN parted USING (sku)
        WHERE p.free > 0
        GROUP BY p.sku
    )
    SELECT statement_timestamp() AS as_of,
           CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS version,
           (SELECT coalesce(jsonb_object_agg(sku, coalesce(units, 0)), '{}')
            FROM asked LEFT JOIN free USING (sku)) AS free,
           (SELECT coalesce(jsonb_object_agg(sku, units), '{}') FROM by_node) AS by_node,
           ARRAY(SELECT node_id FROM mine) AS counted, (SELECT to_jsonb(s) FROM in_stock s) AS in_stock,
           (SELECT coalesce(jsonb_object_agg(sku, units), '{}') FROM (
                SELECT sku, jsonb_agg(jsonb_build_array(expected_at, node_id, units) ORDER BY expected_at) AS units
                FROM coming GROUP BY sku) c) AS coming,
           (SELECT coalesce(jsonb_object_agg(bundle_sku, parts), '{}') FROM (
                SELECT bundle_sku, jsonb_object_agg(component_sku, quantity) AS parts FROM bundle
                GROUP BY bundle_sku) b) AS bundles,
           (SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY rank, channel), '[]') FROM allocation a) AS allocations,
           (SELECT coalesce(jsonb_object_agg(channel, nodes), '{}') FROM (
                SELECT channel, jsonb_agg(node_id) AS nodes FROM eligible GROUP BY channel) e) AS eligible
""")
_SKUS = text("SELECT sku FROM item WHERE sku > :after ORDER BY sku LIMIT :limit")
#: An item counts with its latest change, so that no page tells it twice; a transaction is never split.
#: What changes by the passing of time alone is noted here, and told from the next time on: a version of what is in
#: stock that has taken effect, and supply that has come near enough to count, or is overdue.
_CHANGED = text("""
    WITH due AS (
        DELETE FROM in_stock_due WHERE effective_at <= statement_timestamp() RETURNING effective_at
    ), noted AS (
        INSERT INTO availability_change (sku) SELECT NULL FROM due LIMIT 1
    ), ahead AS MATERIALIZED (
        SELECT DISTINCT future_days * interval '1 day' AS days FROM in_stock_policy WHERE future_days > 0
    ), crossed AS MATERIALIZED (
        SELECT i.inbound_id FROM supply_window w
        CROSS JOIN (SELECT days FROM ahead UNION SELECT interval '0' FROM ahead) a
        JOIN inbound i ON i.closed_at IS NULL
            AND i.expected_at > w.noted_until + a.days AND i.expected_at <= statement_timestamp() + a.days
    ), moved_on AS (
        UPDATE supply_window SET noted_until = greatest(noted_until, statement_timestamp())
        WHERE EXISTS (SELECT FROM crossed)
    ), entered AS (
        INSERT INTO availability_change (sku)
        SELECT DISTINCT l.sku FROM crossed JOIN inbound_line l USING (inbound_id) WHERE l.open > l.bound
    ), changed AS (
        SELECT sku, tx FROM stock_move
        WHERE tx >= CAST(:after AS xid8) AND tx < pg_snapshot_xmin(pg_current_snapshot())
        UNION ALL
        SELECT sku, tx FROM availability_change
        WHERE tx >= CAST(:after AS xid8) AND tx < pg_snapshot_xmin(pg_current_snapshot())
    ), sold AS (
        SELECT sku, tx FROM changed
        UNION ALL SELECT b.bundle_sku, c.tx FROM changed c JOIN bundle_component b ON b.component_sku = c.sku
    ), latest AS (
        SELECT sku, max(tx) AS tx FROM sold GROUP BY sku
    ), page AS (
        SELECT sku, tx FROM latest WHERE sku IS NOT NULL ORDER BY tx FETCH FIRST :limit ROWS WITH TIES
    )
    SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS settled,
           (SELECT CAST(CAST(max(tx) AS text) AS bigint) FROM page) AS last,
           (SELECT count(*) FROM latest) > (SELECT count(*) FROM page) AS more,
           EXISTS (SELECT FROM latest WHERE sku IS NULL) AS everything,
           ARRAY(SELECT sku FROM page ORDER BY tx, sku) AS skus
""")


class Available(Model):
    """One item in one channel.

    Attributes:
        available: Units that are there now, and never more than are.
        known: False when there is no such item.
        coming: Units that may be sold beside them, and when they are expected; only where the channel counts them.
    """

    sku: str
    available: int
    known: bool = True
    coming: tuple[Dated, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def orderable(self) -> int:
        """What may be sold in all, by the last date in ``coming``."""
        return self.available + sum(more.units for more in self.coming)


class Availability(Model):
    """What a channel may show.

    Attributes:
        version: Where to follow the changes from; what changed while this was read may be told again.
    """

    channel: str
    as_of: Instant
    version: int
    items: tuple[Available, ...]


class Changes(Availability):
    """What changed since a version, each item once, as it is now.

    Attributes:
        version: To ask for the next changes with.
        more: Whether there are more changes already.
        reload: Whether what holds for every item changed: then ``items`` is empty, and all are to be read again.
    """

    more: bool = False
    reload: bool = False


async def read_availability(connection: AsyncConnection, channel: str, skus: Sequence[str]) -> Availability:
    """What a channel may show of these items, in one statement, in their order.

    A channel that is not configured sells from every node that ships, all that no other channel's pool keeps.
    """
    row = (await connection.execute(_READ, {"channel": channel, "skus": list(dict.fromkeys(skus))})).one()
    found = _items(channel, row)
    items = tuple(
        found.get(sku) or Available.model_construct(sku=sku, available=0, known=False, coming=())
        for sku in dict.fromkeys(skus)
    )
    return Availability.model_construct(channel=channel, as_of=row.as_of, version=row.version, items=items)


async def read_all(connection: AsyncConnection, channel: str) -> Availability:
    """What a channel may show of every item. Pages are read one after the other; the version is the first one's."""
    skus: list[str] = await read_page(connection, "", PAGE)
    first = page = await read_availability(connection, channel, skus)
    items = list(page.items)
    while len(skus) == PAGE:
        skus = await read_page(connection, skus[-1], PAGE)
        items += (await read_availability(connection, channel, skus)).items
    return first.model_copy(update={"items": tuple(items)})


async def read_page(connection: AsyncConnection, after: str, limit: int) -> list[str]:
    """The next items after one, in the order of their SKUs."""
    return list((await connection.execute(_SKUS, {"after": after, "limit": limit})).scalars())


async def read_changes(connection: AsyncConnection, channel: str, after_version: int, limit: int = 1000) -> Changes:
    """What of a channel's availability changed since a version; the changes of one transaction come together.

    Args:
        limit: About how many items at once.
    """
    values = {"after": str(max(after_version, 0)), "limit": limit}
    row = (await connection.execute(_CHANGED, values)).one()
    if row.everything or after_version > row.settled:
        now = await read_availability(connection, channel, ())
        return Changes(channel=channel, as_of=now.as_of, version=row.settled, items=(), reload=True)
    now = await read_availability(connection, channel, row.skus)
    version = row.last + 1 if row.more else row.settled
    return Changes.model_construct(channel=channel, as_of=now.as_of, version=version, items=now.items, more=row.more)


def _items(channel: str, row: Any) -> dict[str, Available]:
    """What is shown of each item that exists."""
    eligible = {each: frozenset(nodes) for each, nodes in row.eligible.items()}
    rules = Rules((Allocation.model_construct(**each) for each in row.allocations), eligible)
    threshold, counted = (row.in_stock or {}).get("threshold", 0), frozenset(row.counted)
    items: dict[str, Available] = {}
    for sku, common in row.free.items():
        own, pools, arrivals = rules.allocation(channel, sku), rules.pools(sku), row.coming.get(sku)
        if not pools and not arrivals:
            items[sku] = _item(sku, reaching(threshold, shown(common, 0, own)))
            continue

        def sell(stock: Mapping[str, int], own: Allocation | None = own, pools: Sequence[Pool] = tuple(pools)) -> int:
            return reaching(threshold, available(stock, channel, counted, pools, own))

        stock = row.by_node.get(sku, {})
        now = sell(stock)
        expected = [Arrival(datetime.fromisoformat(at), node_id, units) for at, node_id, units in arrivals or ()]
        items[sku] = _item(sku, now, coming(expected, stock, now, sell))
    for sku, parts in row.bundles.items():
        of = [(items[part].available, items[part].coming, quantity) for part, quantity in parts.items()]
        items[sku] = _item(sku, *of_bundle(of))
    return items


def _item(sku: str, units: int, later: tuple[Dated, ...] = ()) -> Available:
    return Available.model_construct(sku=sku, available=units, known=True, coming=later)
