"""What prices are worked out from: demand as it came, supply as it is expected, stock and network as they are."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import network, policies, snapshots
from shared.domain.network import Place
from shared.domain.pricing.models import Kind, Outlook
from shared.domain.pricing.scarcity import busy_days, scarce_stock

#: Units by item and age of the day in whole 24 hours, and how far back orders reach.
_UNITS = text("""
    SELECT l.sku, floor(extract(epoch FROM CAST(:as_of AS timestamptz) - o.received_at) / 86400)::int AS age,
           sum(l.quantity)::bigint AS units
    FROM orders o JOIN order_line l USING (order_id)
    WHERE o.received_at > :since AND o.received_at <= :as_of AND o.lifecycle <> 'cancelled'
    GROUP BY 1, 2
""")
#: Orders alike in region and content. Without ``skus`` all of them, else those with one of these items.
_KINDS = text("""
    WITH wanted AS (
        SELECT o.order_id, o.place, concat_ws('-', o.place ->> 'country', nullif(o.place ->> 'region', '')) AS region,
               floor(extract(epoch FROM CAST(:as_of AS timestamptz) - o.received_at) / 86400)::int AS age
        FROM orders o
        WHERE o.received_at > :since AND o.received_at <= :as_of AND o.lifecycle <> 'cancelled'
          AND (CAST(:skus AS text[]) IS NULL OR EXISTS (
              SELECT FROM order_line l WHERE l.order_id = o.order_id AND l.sku = ANY(:skus)))
    ), content AS (
        SELECT order_id, jsonb_agg(jsonb_build_array(sku, units) ORDER BY sku) AS items
        FROM (SELECT order_id, sku, sum(quantity) AS units FROM order_line JOIN wanted USING (order_id)
              GROUP BY order_id, sku) line
        GROUP BY order_id
    ), middle AS (
        SELECT region, round(avg((place ->> 'latitude')::numeric), 4)::float8 AS latitude,
               round(avg((place ->> 'longitude')::numeric), 4)::float8 AS longitude,
               mode() WITHIN GROUP (ORDER BY place ->> 'country') AS country,
               mode() WITHIN GROUP (ORDER BY place ->> 'time_zone') AS time_zone
        FROM wanted GROUP BY region
    )
    SELECT region, m.latitude, m.longitude, m.country, m.time_zone, c.items, array_agg(w.age ORDER BY w.age) AS ages
    FROM wanted w JOIN content c USING (order_id) JOIN middle m USING (region)
    GROUP BY region, m.latitude, m.longitude, m.country, m.time_zone, c.items
    ORDER BY region, c.items
""")
#: Supply that nobody waits for yet. What is overdue is not counted on.
_SUPPLY = text("""
    SELECT i.node_id, l.sku, min(i.expected_at) AS expected_at
    FROM inbound i JOIN inbound_line l USING (inbound_id)
    WHERE i.closed_at IS NULL AND l.open > l.bound AND i.expected_at > :as_of AND l.sku = ANY(:skus)
    GROUP BY i.node_id, l.sku
""")


async def read_outlook(
    connection: AsyncConnection, as_of: datetime, *, horizon_days: int, history_days: int
) -> Outlook:
    """Demand, supply, stock and network as they are; of orders only those whose items or days may run short."""
    since = as_of - timedelta(days=history_days)
    window = {"as_of": as_of, "since": since}
    units: dict[str, dict[int, int]] = {}
    for row in await connection.execute(_UNITS, window):
        units.setdefault(row.sku, {})[row.age] = row.units
    reach = 1 + max((age for by_age in units.values() for age in by_age), default=0)
    snapshot = await snapshots.read_unpriced(connection, units, as_of)
    rows = await connection.execute(_SUPPLY, {"as_of": as_of, "skus": sorted(units)})
    supply = {(row.node_id, row.sku): row.expected_at for row in rows}
    scarce = scarce_stock(snapshot, units, supply, history_days=reach, horizon_days=horizon_days)
    skus = None if busy_days(snapshot, units, reach) else sorted({sku for _, sku in scarce})
    kinds = await connection.execute(_KINDS, window | {"skus": skus})
    return Outlook(
        snapshot=snapshot,
        policy=(await policies.active_version(connection)).sourcing,
        items=await network.read_items(connection, sorted(units)),
        history_days=reach,
        units=units,
        kinds=tuple(_kind(row) for row in kinds),
        supply=supply,
        horizon_days=horizon_days,
    )


def _kind(row: Any) -> Kind:
    place = Place(country=row.country, latitude=row.latitude, longitude=row.longitude, time_zone=row.time_zone)
    items = tuple((sku, int(quantity)) for sku, quantity in row.items)
    return Kind(row.region, place, items, Counter(row.ages))


def hash_of(outlook: Outlook) -> str:
    """SHA-256 of everything prices depend on."""
    told = {
        "snapshot": outlook.snapshot.model_dump(mode="json"),
        "policy": outlook.policy.model_dump(mode="json"),
        "units": _sorted(outlook.units),
        "kinds": [(k.region, k.place.model_dump(), k.items, sorted(k.by_age.items())) for k in outlook.kinds],
        "supply": sorted((*key, at) for key, at in outlook.supply.items()),
        "items": [outlook.items[sku].model_dump(mode="json") for sku in sorted(outlook.items)],
        "days": (outlook.history_days, outlook.horizon_days),
    }
    return hashlib.sha256(to_json(told)).hexdigest()


def _sorted(units: Mapping[str, Mapping[int, int]]) -> list[Any]:
    return [(sku, sorted(units[sku].items())) for sku in sorted(units)]
