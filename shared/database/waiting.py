"""Order lines that wait, as whoever hands out stock or supply sees them.

Thousands may wait for one item: what only the planner asks about one of them is made of its row when it is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.exclusions import excluded_since
from shared.database.turns import HELD, IN_TURN
from shared.domain.network import Place
from shared.domain.orders import Method, ServiceLevel
from shared.domain.sourcing.models import Policy, SourcingOrder, WantedLine
from shared.domain.sourcing.timetable import Coming, Timetable
from shared.domain.supply import Turn

T = TypeVar("T")

#: Most are bound to nothing, and a container for each of thousands is what keeps the collector busy.
_NOTHING: Mapping[str, Any] = MappingProxyType({})
#: As many as there may be.
EVERY = 2**31
#: Who has no promise yet is served after those who have.
NO_PROMISE = datetime.max.replace(tzinfo=UTC)

#: ``units`` are those that wait beside what has arrived for the order already.
_WAITING = f"""
    SELECT w.*, w.backordered - greatest(0, least(w.backordered, w.held - w.before)) AS units FROM (
        SELECT l.order_id, l.line_no, l.sku, l.backordered, l.unit_price_minor,
               i.weight_g, i.length_mm, i.width_mm, i.height_mm, i.own_container,
               o.batch, o.priority, o.promised_at, o.received_at, o.channel,
               o.place::text AS place, o.service, o.method, o.pickup_node_id, o.policy_version,
               CASE WHEN EXISTS (
                   SELECT FROM cart_hold_line c
                   WHERE c.cart_hold_id = o.cart_hold_id AND c.open > 0 AND c.expires_at > statement_timestamp()
               ) THEN o.cart_hold_id END AS hold_id, coalesce({HELD}, 0) AS held,
               l.before, l.rank,
               {excluded_since("statement_timestamp() - CAST(p.process ->> 'exclude_for' AS interval)")} AS excluded,
               b.bound_to, b.bound, b.promised_with
        FROM (
            SELECT l.*, row_number() OVER (PARTITION BY l.sku ORDER BY {IN_TURN}, l.line_no) AS rank,
                   sum(l.backordered) OVER (PARTITION BY l.order_id, l.sku ORDER BY l.line_no) - l.backordered AS before
            FROM order_line l JOIN orders o USING (order_id)
            WHERE l.sku = ANY(:skus) AND l.backordered > 0 AND o.closed_at IS NULL AND {{which}}
        ) l JOIN orders o USING (order_id) JOIN item i USING (sku)
        JOIN policy_version p ON p.version = o.policy_version
        LEFT JOIN LATERAL (
            SELECT array_agg(inbound_id ORDER BY inbound_id) AS bound_to,
                   array_agg(quantity ORDER BY inbound_id) AS bound,
                   array_agg(promised_at ORDER BY inbound_id) AS promised_with
            FROM supply_binding b WHERE b.order_id = l.order_id AND b.line_no = l.line_no
        ) b ON true
        WHERE l.rank <= :first OR l.order_id = ANY(:order_ids) OR b.bound_to && CAST(:inbound_ids AS text[])
    ) w
"""  # noqa: S608 - our own fragment
_FIRST = text(_WAITING.format(which="true"))
_OF_ORDERS = text(_WAITING.format(which="l.order_id = ANY(:order_ids)"))
#: A version never changes.
_POLICIES = text("SELECT version, sourcing FROM policy_version WHERE version = ANY(:versions)")


class WaitingLine:
    """Units of an order line that wait.

    Attributes:
        rank: Which of those that were asked for it is, of its item, from 1.
        units: Beside those that have arrived for it already; it may need none.
        bound: Units by the inbound they are bound to.
        promised_with: When the customer would have them, by inbound.
        hold_id: The hold that has arrived units of the order, if any.
    """

    def __init__(self, row: Any, policies: Mapping[str, Policy]) -> None:
        self._row, self._policies = row, policies
        self.turn = turn_of(row)
        self.rank: int = row.rank
        self.sku: str = row.sku
        self.channel: str = row.channel
        self.units = int(row.units)
        self.bound: Mapping[str, int] = _by(row.bound_to, row.bound)
        self.promised_with: Mapping[str, datetime] = _by(row.bound_to, row.promised_with)
        self.hold_id: str | None = row.hold_id

    @property
    def key(self) -> tuple[str, int]:
        return self.turn.order_id, self.turn.line_no

    def is_as(self, other: WaitingLine) -> bool:
        """Whether nothing about it has changed."""
        return (self.turn, self.units, self.bound, self.promised_with, self.hold_id) == (
            other.turn,
            other.units,
            other.bound,
            other.promised_with,
            other.hold_id,
        )

    def date(self, coming: Coming, timetable: Timetable, as_of: datetime) -> datetime | None:
        """When the customer would have the units with this supply; ``None`` when they cannot be shipped from there."""
        line, order = self._asked
        policy = self._policies[self._row.policy_version]
        return timetable.dates(order, line, policy, [coming], as_of=as_of).get(coming.inbound_id)

    @cached_property
    def _asked(self) -> tuple[WantedLine, SourcingOrder]:
        row = self._row
        line = WantedLine.model_construct(
            line_no=row.line_no,
            sku=row.sku,
            quantity=max(1, self.units),
            weight_g=row.weight_g,
            length_mm=row.length_mm,
            width_mm=row.width_mm,
            height_mm=row.height_mm,
            unit_price_minor=row.unit_price_minor,
            own_container=row.own_container,
        )
        order = SourcingOrder(
            order_id=row.order_id,
            channel=row.channel,
            ship_to=Place.model_validate_json(row.place),
            service=ServiceLevel(row.service),
            lines=(line,),
            excluded=tuple(row.excluded or ()),
            method=Method(row.method),
            pickup_node_id=row.pickup_node_id,
        )
        return line, order


def _by(names: Sequence[str] | None, values: Sequence[T] | None) -> Mapping[str, T]:
    return dict(zip(names, values, strict=True)) if names and values else _NOTHING


def turn_of(row: Any) -> Turn:
    """Whose turn it is, of an order line's row."""
    return Turn(
        tuple(row.batch), row.priority, row.promised_at or NO_PROMISE, row.received_at, row.order_id, row.line_no
    )


async def read_first(
    connection: AsyncConnection,
    skus: Collection[str],
    first: int,
    order_ids: Collection[str],
    inbound_ids: Collection[str],
) -> list[WaitingLine]:
    """The first so many order lines that wait for each of these items, and all of these orders or bound to these."""
    values = {"skus": list(skus), "first": first, "order_ids": list(order_ids), "inbound_ids": list(inbound_ids)}
    return await _read(connection, (await connection.execute(_FIRST, values)).all())


async def read_waiting_of(
    connection: AsyncConnection, skus: Collection[str], order_ids: Collection[str]
) -> list[WaitingLine]:
    """Lines of these orders that wait for these items."""
    values = {"skus": list(skus), "order_ids": list(order_ids), "inbound_ids": [], "first": EVERY}
    return await _read(connection, (await connection.execute(_OF_ORDERS, values)).all())


async def _read(connection: AsyncConnection, rows: Sequence[Any]) -> list[WaitingLine]:
    versions = {row.policy_version for row in rows}
    found = await connection.execute(_POLICIES, {"versions": list(versions)}) if versions else ()
    policies = {row.version: Policy.model_validate(row.sourcing) for row in found}
    return [WaitingLine(row, policies) for row in rows]
