"""Price versions: how they are kept, and how planners read them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.pricing.models import (
    NO_PRICES,
    PriceList,
    Prices,
    PriceSpan,
    PriceVersion,
    ShippingPrice,
    StockPrice,
)
from shared.errors import NotFound

#: How long after they expired the prices of a version are kept, for those who ask why an order was routed so.
_KEPT_FOR = timedelta(days=30)

_KEEP = text("""
    INSERT INTO price_version (version, run_id, created_at, expires_at, horizon_days, policy_version, inputs_hash,
                               orders, kinds, merged, cost_minor, doubted)
    VALUES (:version, :run_id, :created_at, :expires_at, :horizon_days, :policy_version, :inputs_hash,
            :orders, :kinds, :merged, :cost_minor, :doubted)
    ON CONFLICT DO NOTHING
""")
_KEEP_STOCK = text("""
    INSERT INTO stock_price SELECT * FROM jsonb_populate_recordset(NULL::stock_price, CAST(:rows AS jsonb))
""")
_KEEP_DAYS = text("""
    INSERT INTO shipping_price SELECT * FROM jsonb_populate_recordset(NULL::shipping_price, CAST(:rows AS jsonb))
""")
_DROP_STOCK = text("""
    DELETE FROM stock_price p USING price_version v WHERE v.version = p.version AND v.expires_at < :before
""")
_DROP_DAYS = text("""
    DELETE FROM shipping_price p USING price_version v WHERE v.version = p.version AND v.expires_at < :before
""")
_LATEST = text("SELECT * FROM price_version ORDER BY created_at DESC, version DESC LIMIT 1")
_LATEST_NAME = text("SELECT version FROM price_version ORDER BY created_at DESC, version DESC LIMIT 1")
_BY_VERSION = text("SELECT * FROM price_version WHERE version = :version")
_BY_RUN = text("SELECT * FROM price_version WHERE run_id = :run_id")
_STOCK = text("SELECT node_id, sku, unit_milli FROM stock_price WHERE version = :version ORDER BY node_id, sku")
_STOCK_OF = text("SELECT node_id, sku, unit_milli FROM stock_price WHERE version = :version AND sku = ANY(:skus)")
_DAYS = text("SELECT node_id, day, unit_milli FROM shipping_price WHERE version = :version ORDER BY node_id, day")
_SPANS = text("""
    SELECT version, created_at AS begins, least(expires_at, lead(created_at) OVER turns) AS ends, expires_at
    FROM price_version WHERE created_at <= :until AND expires_at > :since WINDOW turns AS (ORDER BY created_at, version)
    ORDER BY created_at, version
""")


async def keep(connection: AsyncConnection, version: PriceVersion, run_id: str) -> None:
    """Keep a version, once for each run, and drop the prices of versions that expired long ago."""
    values = version.model_dump(exclude={"stock", "days"}) | {"run_id": run_id, "doubted": list(version.doubted)}
    if not (await connection.execute(_KEEP, values)).rowcount:
        return
    for statement, prices in ((_KEEP_STOCK, version.stock), (_KEEP_DAYS, version.days)):
        await connection.execute(statement, {"rows": _rows(version.version, prices)})
    for statement in (_DROP_STOCK, _DROP_DAYS):
        await connection.execute(statement, {"before": version.created_at - _KEPT_FOR})


def _rows(version: str, prices: Iterable[StockPrice | ShippingPrice]) -> str:
    return to_json([{"version": version} | price.model_dump(mode="json") for price in prices]).decode()


async def find_run(connection: AsyncConnection, run_id: str) -> PriceVersion | None:
    """The version that a run kept before."""
    row = (await connection.execute(_BY_RUN, {"run_id": run_id})).first()
    return None if row is None else await _version(connection, row)


# --- reading them -----------------------------------------------------------------------------------------


async def read_version(connection: AsyncConnection, version: str = "") -> PriceVersion:
    """A price version, the latest when none is named.

    Raises:
        NotFound: there is no such version, or none at all.
    """
    found = (
        await connection.execute(_BY_VERSION, {"version": version}) if version else await connection.execute(_LATEST)
    )
    row = found.first()
    if row is None:
        if version:
            raise NotFound(f"there are no prices {version}", version=version)
        raise NotFound("nothing has been priced yet; see `doms prices solve`")
    return await _version(connection, row)


async def _version(connection: AsyncConnection, row: Any) -> PriceVersion:
    stock = await connection.execute(_STOCK, {"version": row.version})
    days = await connection.execute(_DAYS, {"version": row.version})
    return PriceVersion(
        **row._mapping,
        stock=tuple(StockPrice(**each._mapping) for each in stock),
        days=tuple(ShippingPrice(**each._mapping) for each in days),
    )


async def read_for(connection: AsyncConnection, skus: Iterable[str], as_of: datetime) -> Prices:
    """The prices in force of these items and of shipping days."""
    row = (await connection.execute(_LATEST)).first()
    if row is None or row.expires_at <= as_of:
        return NO_PRICES
    return await _prices(connection, row, sorted(set(skus)))


async def _prices(connection: AsyncConnection, row: Any, skus: Sequence[str]) -> Prices:
    version = {"version": row.version}
    stock = await connection.execute(_STOCK_OF, version | {"skus": skus})
    days = await connection.execute(_DAYS, version)
    kept = PriceList(
        stock=tuple(StockPrice(**each._mapping) for each in stock),
        days=tuple(ShippingPrice(**each._mapping) for each in days),
    )
    return Prices(row.version, row.expires_at, kept)


async def read_spans(
    connection: AsyncConnection, skus: Iterable[str], moments: Collection[datetime]
) -> tuple[PriceSpan, ...]:
    """The prices of these items and of shipping days that were in force at any of these moments, by time."""
    if not moments:
        return ()
    wanted, ordered = sorted(set(skus)), sorted(moments)
    rows = (await connection.execute(_SPANS, {"since": ordered[0], "until": ordered[-1]})).all()
    met = [row for row in rows if bisect_left(ordered, row.begins) < bisect_left(ordered, row.ends)]
    return tuple([PriceSpan(row.begins, row.ends, await _prices(connection, row, wanted)) for row in met])


async def refresh(connection: AsyncConnection, remembered: Prices) -> Prices:
    """The latest prices, those remembered while none are later. They may be stale: ask them ``at`` a moment."""
    latest = (await connection.execute(_LATEST_NAME)).scalar_one_or_none()
    if latest == remembered.version:
        return remembered
    if latest is None:
        return NO_PRICES
    kept = await read_version(connection, latest)
    return Prices(kept.version, kept.expires_at, kept)
