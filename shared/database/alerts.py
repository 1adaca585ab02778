"""Alerts: levels of stock compared with their thresholds, and what became of each crossing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.availability import read_availability
from shared.domain.alerts import AlertKind, Level, Limits, Threshold, limits, raised, replenishment
from shared.domain.base import Instant, Model
from shared.errors import Conflict, NotFound

#: How far back shipments speak for tomorrow's demand.
DEMAND_WINDOW = timedelta(days=28)
#: Days beyond which nobody plans.
_FAR = 3650.0

_ROWS = TypeAdapter(list[dict[str, Any]])

#: Levels are looked at by one at a time: two that raised and cleared at once could each miss a crossing.
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('alerts', 0))")
_PAGE = text("""
    SELECT sku FROM (
        SELECT sku FROM stock_threshold WHERE sku > :after
        UNION SELECT sku FROM alert WHERE cleared_at IS NULL AND sku > :after
    ) s ORDER BY sku LIMIT :limit
""")
#: A transfer that has not left is not on its way for somebody who sees both nodes.
_LEVELS = text("""
    WITH watched AS MATERIALIZED (
        SELECT * FROM stock_threshold WHERE sku = ANY(CAST(:skus AS text[]))
    ), stock AS (
        SELECT t.sku, t.node_id, sum(p.free) AS available, sum(p.on_hand) AS on_hand
        FROM watched t JOIN stock_position p ON p.sku = t.sku AND p.node_id = coalesce(t.node_id, p.node_id)
        WHERE t.channel IS NULL GROUP BY t.sku, t.node_id
    ), shipped AS MATERIALIZED (
        SELECT sku, node_id, -sum(on_hand) AS units FROM stock_move
        WHERE cause = 'ship' AND at > :since AND at <= :as_of AND sku = ANY(CAST(:skus AS text[]))
        GROUP BY sku, node_id
    ), demand AS (
        SELECT t.sku, t.node_id, sum(s.units) AS units
        FROM watched t JOIN shipped s ON s.sku = t.sku AND s.node_id = coalesce(t.node_id, s.node_id)
        WHERE t.channel IS NULL GROUP BY t.sku, t.node_id
    ), moved AS (
        SELECT t.sku, t.node_id, max(m.at) FILTER (WHERE m.cause = 'ship') AS shipped_at,
               min(m.at) FILTER (WHERE m.on_hand > 0) AS came_at
        FROM watched t JOIN stock_move m ON m.sku = t.sku AND m.node_id = coalesce(t.node_id, m.node_id)
        WHERE t.aged_days IS NOT NULL GROUP BY t.sku, t.node_id
    ), coming AS (
        SELECT t.sku, t.node_id, sum(l.open - l.bound) AS units
        FROM watched t JOIN inbound_line l ON l.sku = t.sku AND l.open > 0
        JOIN inbound i ON i.inbound_id = l.inbound_id AND i.closed_at IS NULL
        WHERE t.channel IS NULL AND i.node_id = coalesce(t.node_id, i.node_id)
          AND (t.node_id IS NOT NULL OR i.kind <> 'transfer' OR i.status = 'in_transit')
          AND i.expected_at <= :as_of + make_interval(days => coalesce(t.lead_days, 0) + coalesce(t.safety_days, 0))
        GROUP BY t.sku, t.node_id
    )
    SELECT to_jsonb(t) AS threshold, coalesce(s.available, 0)::bigint AS available,
           coalesce(d.units, 0)::bigint AS demand, coalesce(c.units, 0)::bigint AS inbound,
           CASE WHEN s.on_hand > 0 THEN coalesce(m.shipped_at, m.came_at) END AS idle_since
    FROM watched t
    LEFT JOIN stock s ON s.sku = t.sku AND s.node_id IS NOT DISTINCT FROM t.node_id
    LEFT JOIN demand d ON d.sku = t.sku AND d.node_id IS NOT DISTINCT FROM t.node_id
    LEFT JOIN moved m ON m.sku = t.sku AND m.node_id IS NOT DISTINCT FROM t.node_id
    LEFT JOIN coming c ON c.sku = t.sku AND c.node_id IS NOT DISTINCT FROM t.node_id
""")
_STANDING = text("""
    SELECT alert_id, kind, sku, node_id, channel FROM alert
    WHERE cleared_at IS NULL AND sku = ANY(CAST(:skus AS text[]))
""")
_RAISE = text("""
    INSERT INTO alert (kind, sku, node_id, channel, level, threshold, opened_at)
    SELECT kind, sku, node_id, channel, level, threshold, :as_of
    FROM jsonb_to_recordset(CAST(:alerts AS jsonb))
        AS a(kind text, sku text, node_id text, channel text, level bigint, threshold bigint)
    ON CONFLICT (kind, sku, node_id, channel) WHERE cleared_at IS NULL DO NOTHING
""")
_CLEAR = text("""
    UPDATE alert SET cleared_at = :as_of, resolved_at = coalesce(resolved_at, :as_of),
        resolved_by = coalesce(resolved_by, 'doms'),
        resolution = CASE WHEN resolved_at IS NULL THEN 'the level is back' ELSE resolution END
    WHERE alert_id = ANY(CAST(:alert_ids AS bigint[])) AND cleared_at IS NULL
""")
_ALERT = """
    SELECT a.*, CASE WHEN resolved_at IS NOT NULL THEN 'resolved' WHEN acknowledged_at IS NOT NULL THEN 'acknowledged'
                ELSE 'open' END AS status
    FROM alert a
"""
_LIST = text(f"""
    SELECT * FROM ({_ALERT}) a
    WHERE (:status = '' OR status = :status OR (:status = 'standing' AND resolved_at IS NULL))
      AND (:kind = '' OR kind = :kind) AND (:sku = '' OR sku = :sku) AND (:node_id = '' OR node_id = :node_id)
    ORDER BY alert_id DESC LIMIT :limit
""")  # noqa: S608 - our own fragment
_ONE = text(f"{_ALERT} WHERE alert_id = :alert_id FOR NO KEY UPDATE")
_ACKNOWLEDGE = text("UPDATE alert SET acknowledged_at = now(), acknowledged_by = :actor WHERE alert_id = :alert_id")
_RESOLVE = text("""
    UPDATE alert SET resolved_at = now(), resolved_by = :actor, resolution = :resolution WHERE alert_id = :alert_id
""")


class Alert(Model):
    """A level that crossed its threshold.

    Attributes:
        level: Units, or days for aged stock, when it crossed; ``threshold`` is what it crossed.
        cleared_at: When the level was back. Until then it is not raised again, also when staff resolved it.
    """

    alert_id: int
    kind: AlertKind
    sku: str
    node_id: str | None
    channel: str | None
    level: int
    threshold: int
    status: Literal["open", "acknowledged", "resolved"]
    opened_at: Instant
    acknowledged_at: Instant | None
    acknowledged_by: str | None
    resolved_at: Instant | None
    resolved_by: str | None
    resolution: str
    cleared_at: Instant | None


class Evaluated(Model):
    """What a look at one page of levels came to. ``last`` is where the next page begins; empty after the last."""

    last: str = ""
    levels: int = 0
    raised: int = 0
    cleared: int = 0


class Suggestion(Model):
    """Units to order for a node, or for all of them, and when they are needed at the latest.

    Attributes:
        available: What may be sold now; ``inbound`` comes within the lead time.
        needed_at: When what is here and comes is used up at the present demand; ``None`` when nothing is demanded.
    """

    sku: str
    node_id: str | None
    quantity: int
    available: int
    inbound: int
    daily_demand: float
    needed_at: Instant | None


async def evaluate(connection: AsyncConnection, *, as_of: datetime, after: str = "", limit: int = 2000) -> Evaluated:
    """Look at the levels of a page of items: raise an alert for each crossing, clear those whose level is back."""
    await connection.execute(_ALONE)
    skus = list((await connection.execute(_PAGE, {"after": after, "limit": limit})).scalars())
    if not skus:
        return Evaluated()
    watched = await _read_levels(connection, skus, as_of)
    standing = (await connection.execute(_STANDING, {"skus": skus})).all()
    now = {
        (kind, threshold.sku, threshold.node_id, threshold.channel): limit_
        for threshold, level in watched
        for kind, limit_ in limits(threshold, level).items()
    }
    before = {(AlertKind(row.kind), row.sku, row.node_id, row.channel): row.alert_id for row in standing}
    fresh = [_fresh(key, limit_) for key, limit_ in now.items() if key not in before and raised(False, limit_)]
    over = [alert_id for key, alert_id in before.items() if not raised(True, now.get(key))]
    if fresh:
        await connection.execute(_RAISE, {"alerts": _ROWS.dump_json(fresh).decode(), "as_of": as_of})
    if over:
        await connection.execute(_CLEAR, {"alert_ids": over, "as_of": as_of})
    return Evaluated(last=skus[-1], levels=len(now), raised=len(fresh), cleared=len(over))


def _fresh(key: tuple[AlertKind, str, str | None, str | None], limit: Limits) -> dict[str, Any]:
    kind, sku, node_id, channel = key
    where = {"kind": kind, "sku": sku, "node_id": node_id, "channel": channel}
    return where | {"level": limit.level, "threshold": limit.on}


async def _read_levels(
    connection: AsyncConnection, skus: Sequence[str], as_of: datetime
) -> list[tuple[Threshold, Level]]:
    values = {"skus": list(skus), "as_of": as_of, "since": as_of - DEMAND_WINDOW}
    rows = (await connection.execute(_LEVELS, values)).all()
    watched = [(Threshold.model_validate(row.threshold), _level(row, as_of)) for row in rows]
    shown: dict[tuple[str, str], int] = {}
    for channel in sorted({t.channel for t, _ in watched if t.channel}):
        asked = [t.sku for t, _ in watched if t.channel == channel]
        answer = await read_availability(connection, channel, asked)
        shown |= {(channel, item.sku): item.available for item in answer.items}
    return [(t, Level(available=shown[t.channel, t.sku]) if t.channel else level) for t, level in watched]


def _level(row: Any, as_of: datetime) -> Level:
    return Level(
        available=row.available,
        idle_days=None if row.idle_since is None else max(0, (as_of - row.idle_since).days),
        daily_demand=row.demand / DEMAND_WINDOW.days,
        inbound=row.inbound,
    )


async def list_alerts(
    connection: AsyncConnection, *, status: str = "", kind: str = "", sku: str = "", node_id: str = "", limit: int = 100
) -> list[Alert]:
    """Alerts, the latest first. ``standing`` as a status is open or acknowledged; empty filters match all."""
    values = {"status": status, "kind": kind, "sku": sku, "node_id": node_id, "limit": limit}
    return [Alert.model_validate(dict(row._mapping)) for row in await connection.execute(_LIST, values)]


async def acknowledge(connection: AsyncConnection, alert_id: int, *, actor: str) -> Alert:
    """Note that somebody takes care of an alert; the first who does is kept.

    Raises:
        NotFound: there is no such alert.
        Conflict: it is resolved.
    """
    alert = await _one(connection, alert_id)
    if alert.status == "resolved":
        raise Conflict(f"alert {alert_id} is resolved", alert_id=alert_id)
    if alert.status == "open":
        await connection.execute(_ACKNOWLEDGE, {"alert_id": alert_id, "actor": actor})
    return await _one(connection, alert_id)


async def resolve(connection: AsyncConnection, alert_id: int, *, actor: str, resolution: str) -> Alert:
    """Put an alert away. It is not raised again before its level was back once.

    Raises:
        NotFound: there is no such alert.
    """
    alert = await _one(connection, alert_id)
    if alert.status != "resolved":
        values = {"alert_id": alert_id, "actor": actor, "resolution": resolution}
        await connection.execute(_RESOLVE, values)
    return await _one(connection, alert_id)


async def _one(connection: AsyncConnection, alert_id: int) -> Alert:
    row = (await connection.execute(_ONE, {"alert_id": alert_id})).first()
    if row is None:
        raise NotFound(f"there is no alert {alert_id}", alert_id=alert_id)
    return Alert.model_validate(dict(row._mapping))


async def suggestions(connection: AsyncConnection, *, as_of: datetime, node_id: str = "") -> list[Suggestion]:
    """What to order to bring items up to their targets, the most urgent first."""
    found: list[Suggestion] = []
    after = ""
    while skus := list((await connection.execute(_PAGE, {"after": after, "limit": 2000})).scalars()):
        after = skus[-1]
        found += (
            _suggestion(threshold, level, as_of)
            for threshold, level in await _read_levels(connection, skus, as_of)
            if replenishment(threshold, level) and (not node_id or threshold.node_id == node_id)
        )
    never = as_of + timedelta(days=2 * _FAR)
    return sorted(found, key=lambda each: (each.needed_at or never, each.sku, each.node_id or ""))


def _suggestion(threshold: Threshold, level: Level, as_of: datetime) -> Suggestion:
    days = (level.available + level.inbound) / level.daily_demand if level.daily_demand else None
    return Suggestion(
        sku=threshold.sku,
        node_id=threshold.node_id,
        quantity=replenishment(threshold, level),
        available=level.available,
        inbound=level.inbound,
        daily_demand=level.daily_demand,
        needed_at=None if days is None else as_of + timedelta(days=min(days, _FAR)),
    )
