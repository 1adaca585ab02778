"""Items sold as bundles: what their table may not say, and what of an order's bundles is still there."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.base import Model
from shared.domain.bundles import BundledUnits
from shared.errors import Fault

#: Of rows that were just written; the first reason of each.
_REFUSED = text("""
    WITH row AS (
        SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(n int, bundle_sku text, component_sku text)
    )
    SELECT n, CASE
        WHEN EXISTS (SELECT FROM bundle_component b WHERE b.bundle_sku = r.component_sku) THEN 'component_is_a_bundle'
        WHEN EXISTS (SELECT FROM bundle_component b WHERE b.component_sku = r.bundle_sku) THEN 'bundle_is_a_component'
        WHEN EXISTS (SELECT FROM stock_position p WHERE p.sku = r.bundle_sku AND p.on_hand > 0) THEN 'bundle_has_stock'
        WHEN c.currency <> b.currency THEN 'wrong_currency'
    END AS because
    FROM row r JOIN item b ON b.sku = r.bundle_sku JOIN item c ON c.sku = r.component_sku ORDER BY n
""")
_REASONS = {
    "component_is_a_bundle": ("component_sku", "is a bundle itself: name what it is made of"),
    "bundle_is_a_component": ("bundle_sku", "is a component of another bundle: a bundle is made of items with stock"),
    "bundle_has_stock": ("bundle_sku", "has stock of its own: a bundle's stock is its components'"),
    "wrong_currency": ("component_sku", "is sold in another currency than the bundle"),
}
_BUNDLES = text("SELECT DISTINCT bundle_sku FROM bundle_component WHERE bundle_sku = ANY(:skus)")
_OF_ORDER = text("""
    SELECT l.bundle_line_no, l.line_no, l.quantity / b.quantity AS each,
           l.unallocated + l.backordered + l.allocated + l.released AS there
    FROM order_line l JOIN bundle_line b ON b.order_id = l.order_id AND b.line_no = l.bundle_line_no
    WHERE l.order_id = :order_id ORDER BY l.line_no
""")


async def refused_components(connection: AsyncConnection, rows: Mapping[int, Model]) -> list[Fault]:
    """What is wrong with rows of bundles that were just written, by row: nothing may be kept of them then."""
    written = [{"n": n} | row.model_dump() for n, row in rows.items()]
    found = await connection.execute(_REFUSED, {"rows": json.dumps(written)})
    faults = []
    for row in found:
        if row.because:
            column, message = _REASONS[row.because]
            faults.append(Fault(pointer=f"/{row.n}/{column}", code=row.because, message=message))
    return faults


async def refused_stock(connection: AsyncConnection, skus: Mapping[int, str]) -> list[Fault]:
    """The rows that count stock of a bundle, which has none of its own."""
    bundles = set((await connection.execute(_BUNDLES, {"skus": sorted(set(skus.values()))})).scalars())
    message = "is a bundle, which has no stock of its own: count its components"
    rows = (n for n, sku in skus.items() if sku in bundles)
    return [Fault(pointer=f"/{n}/sku", code="is_a_bundle", message=message) for n in rows]


async def bundled_units(connection: AsyncConnection, order_id: str) -> list[BundledUnits]:
    """The component lines of an order's bundles."""
    rows = await connection.execute(_OF_ORDER, {"order_id": order_id})
    return [BundledUnits.model_construct(**row._mapping) for row in rows]
