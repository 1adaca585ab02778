"""Zones of carriers that price by zone: of two areas, as loaded; read by origin, which are few."""

from __future__ import annotations

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.sourcing.models import ZoneChart

_CHARTS = TypeAdapter(tuple[ZoneChart, ...])
_READ = text("""
    SELECT coalesce(jsonb_agg(chart ORDER BY chart ->> 'carrier', chart ->> 'origin'), '[]') FROM (
        SELECT jsonb_build_object('carrier', z.carrier, 'origin', z.origin,
                                  'zones', jsonb_object_agg(z.destination, z.zone)) AS chart
        FROM carrier_zone z WHERE z.origin IN (SELECT left(n.place ->> 'postal_code', 3) FROM node n)
        GROUP BY z.carrier, z.origin) charts
""")


async def read_charts(connection: AsyncConnection) -> tuple[ZoneChart, ...]:
    """The charts of every area that has a node."""
    return _CHARTS.validate_python((await connection.execute(_READ)).scalar_one())
