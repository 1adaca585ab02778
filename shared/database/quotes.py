"""What carriers quoted, and what they are asked about. A quote is never read once it has expired."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.quotes import Area, LaneQuote, QuoteLane, QuoteSpan

_QUOTES = TypeAdapter(tuple[LaneQuote, ...])
_LANES = TypeAdapter(tuple[QuoteLane, ...])
_SPANS_OF = TypeAdapter(tuple[QuoteSpan, ...])

#: How long after it ended it is known what was quoted, for those who plan the orders of that time again.
_KEPT_FOR = timedelta(days=30)

#: Those of accounts that quote, for whoever asks at ``:as_of``; the clock may have moved on since.
VALID = """
    SELECT coalesce(jsonb_agg(to_jsonb(q)), '[]')
    FROM carrier_quote q JOIN partner p ON p.partner_id = q.carrier AND p.quotes
    WHERE q.expires_at > greatest(CAST(:as_of AS timestamptz), statement_timestamp())
"""
#: As ``destination_of`` says it; ``o`` is an order.
OF_ORDER = "q.destination = (o.place ->> 'country') || '/' || left(o.place ->> 'postal_code', 3)"

_READ = text(f"""
    {VALID} AND (q.destination, q.currency) IN (
        SELECT * FROM unnest(CAST(:destinations AS text[]), CAST(:currencies AS text[])))
""")  # noqa: S608 - our own fragment
#: Until when it was quoted is what it says of itself, also where another took its place before.
_SPANS = text("""
    SELECT coalesce(jsonb_agg(to_jsonb(s) - 'ends' || jsonb_build_object('expires_at', s.ends)
                              ORDER BY s.begins), '[]')
    FROM quote_span s
    WHERE s.begins <= :until AND s.ends > :since AND (s.destination, s.currency) IN (
        SELECT * FROM unnest(CAST(:destinations AS text[]), CAST(:currencies AS text[])))
""")
_LISTED = text("""
    SELECT coalesce(jsonb_agg(to_jsonb(q) ORDER BY node_id, destination, weight_g, price_minor, carrier, service), '[]')
    FROM (SELECT * FROM carrier_quote
          WHERE expires_at > :as_of AND (:node_id = '' OR node_id = :node_id)
          ORDER BY node_id, destination, weight_g, price_minor, carrier, service LIMIT :limit) q
""")
_KEEP = text("""
    INSERT INTO carrier_quote AS t (destination, node_id, carrier, service, weight_g, quote_id, price_minor, currency,
                                    transit_days, expires_at)
    SELECT DISTINCT ON (destination, node_id, carrier, service, weight_g)
           destination, node_id, carrier, service, weight_g, quote_id, price_minor, currency, transit_days, expires_at
    FROM jsonb_populate_recordset(NULL::carrier_quote, CAST(:rows AS jsonb))
    ORDER BY destination, node_id, carrier, service, weight_g, price_minor
    ON CONFLICT (destination, node_id, carrier, service, weight_g) DO UPDATE SET
        quote_id = excluded.quote_id, price_minor = excluded.price_minor, currency = excluded.currency,
        transit_days = excluded.transit_days, expires_at = excluded.expires_at
    WHERE t.expires_at <= excluded.expires_at
""")
_NOTE = text("""
    INSERT INTO quote_lane AS t (carrier, node_id, destination, weight_g, country, postal_code, asked_at)
    SELECT carrier, node_id, destination, weight_g, country, postal_code, statement_timestamp()
    FROM jsonb_populate_recordset(NULL::quote_lane, CAST(:rows AS jsonb))
    ORDER BY carrier, node_id, destination, weight_g
    ON CONFLICT (carrier, node_id, destination, weight_g) DO UPDATE SET
        asked_at = excluded.asked_at, postal_code = excluded.postal_code
""")
#: The most recently asked first: when there are more than can be asked about, the others are planned by cards.
_DUE = text("""
    SELECT coalesce(jsonb_agg(to_jsonb(due)), '[]') FROM (
        SELECT l.carrier, l.node_id, l.country, l.postal_code, l.weight_g
        FROM quote_lane l JOIN partner p ON p.partner_id = l.carrier AND p.quotes
        WHERE l.asked_at > :asked_since AND NOT EXISTS (
            SELECT FROM carrier_quote q
            WHERE q.destination = l.destination AND q.node_id = l.node_id AND q.carrier = l.carrier
              AND q.weight_g = l.weight_g AND q.expires_at > :lasting_until)
        ORDER BY l.asked_at DESC, l.carrier, l.node_id, l.destination, l.weight_g LIMIT :limit) due
""")
_FORGET = text("""
    WITH lanes AS (DELETE FROM quote_lane WHERE asked_at <= :asked_since),
    spans AS (DELETE FROM quote_span WHERE ends <= :kept_since),
    gone AS (DELETE FROM carrier_quote WHERE expires_at <= :as_of RETURNING 1)
    SELECT count(*) FROM gone
""")
_QUOTING = text("SELECT partner_id FROM partner WHERE quotes ORDER BY partner_id")


async def read_quoting(connection: AsyncConnection) -> tuple[str, ...]:
    """The carriers that are asked for quotes."""
    return tuple((await connection.execute(_QUOTING)).scalars())


async def read_quotes(
    connection: AsyncConnection, areas: Collection[Area], as_of: datetime
) -> dict[Area, tuple[LaneQuote, ...]]:
    """What is quoted to each of these, from every node; nothing is said of those to which nothing is."""
    values = _of(areas) | {"as_of": as_of}
    found: dict[Area, list[LaneQuote]] = {}
    for quote in quotes_of((await connection.execute(_READ, values)).scalar_one()):
        found.setdefault(Area(quote.destination, quote.currency), []).append(quote)
    return {area: tuple(quoted) for area, quoted in found.items()}


async def read_spans(
    connection: AsyncConnection, areas: Collection[Area], moments: Collection[datetime]
) -> dict[Area, tuple[QuoteSpan, ...]]:
    """What was quoted to each of these between these moments, as plans could go by it then."""
    if not moments:
        return {}
    values = _of(areas) | {"since": min(moments), "until": max(moments)}
    found: dict[Area, list[QuoteSpan]] = {}
    for span in _SPANS_OF.validate_python((await connection.execute(_SPANS, values)).scalar_one()):
        found.setdefault(Area(span.destination, span.currency), []).append(span)
    return {area: tuple(spans) for area, spans in found.items()}


def _of(areas: Collection[Area]) -> dict[str, Any]:
    return {
        "destinations": [area.destination for area in areas],
        "currencies": [area.currency for area in areas],
    }


def quotes_of(rows: Any) -> tuple[LaneQuote, ...]:
    """Quotes as ``VALID`` tells them."""
    return _QUOTES.validate_python(rows)


async def list_quotes(
    connection: AsyncConnection, *, node_id: str = "", as_of: datetime, limit: int = 1000
) -> tuple[LaneQuote, ...]:
    """What has not expired, of one node or of all."""
    values = {"node_id": node_id, "as_of": as_of, "limit": limit}
    return quotes_of((await connection.execute(_LISTED, values)).scalar_one())


async def keep_quotes(connection: AsyncConnection, quotes: Iterable[LaneQuote]) -> None:
    """Keep each quote in the place of one that ends earlier, of a service that is quoted twice the cheaper one.

    One statement: it needs no transaction around it.
    """
    if rows := [quote.model_dump(mode="json") for quote in quotes]:
        await connection.execute(_KEEP, {"rows": json.dumps(rows)})


async def note_lanes(connection: AsyncConnection, lanes: Iterable[QuoteLane]) -> None:
    """Say that these are planned for now. One statement: it needs no transaction around it."""
    unique = {(lane.carrier, lane.node_id, lane.destination, lane.weight_g): lane for lane in lanes}
    if rows := [lane.model_dump(mode="json") | {"destination": lane.destination} for lane in unique.values()]:
        await connection.execute(_NOTE, {"rows": json.dumps(rows)})


async def due_lanes(
    connection: AsyncConnection, *, asked_since: datetime, lasting_until: datetime, limit: int
) -> tuple[QuoteLane, ...]:
    """Lanes planned for lately that have no quote which lasts that long."""
    values = {"asked_since": asked_since, "lasting_until": lasting_until, "limit": limit}
    return _LANES.validate_python((await connection.execute(_DUE, values)).scalar_one())


async def forget(connection: AsyncConnection, *, as_of: datetime, asked_since: datetime) -> int:
    """Delete what has expired, and lanes nobody has planned for; returns how many quotes there were."""
    values = {"as_of": as_of, "asked_since": asked_since, "kept_since": as_of - _KEPT_FOR}
    return int((await connection.execute(_FORGET, values)).scalar_one())
