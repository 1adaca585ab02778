"""Units that wait for stock: who they are, in which order they are served, and what is kept for them when it lands.

What lands is held for the orders that wait, in the transaction that books it, so that nobody who comes later is
faster. The hold is of the kind carts have: the order's next plan takes it, and its time runs out like theirs.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import carts, turns, wakes
from shared.domain.network import Place
from shared.domain.orders import Method, ServiceLevel
from shared.domain.sourcing.models import Policy, SourcingOrder, WantedLine
from shared.domain.sourcing.timetable import Coming, Timetable
from shared.domain.supply import Turn, Waiting, serve
from shared.messages import Wake

#: Who has no promise yet is served after those who have.
NO_PROMISE = datetime.max.replace(tzinfo=UTC)
#: An order is sourced seconds after it is woken; after this, what was kept for it is anybody's.
KEPT_FOR = timedelta(days=1)
#: How far down the queue is looked for units that those before could not take, in so many times the units.
_REACHES = tuple(4**n for n in range(12))

_LOCK_WAITING = text("""
    SELECT FROM orders o
    WHERE o.closed_at IS NULL
      AND o.order_id IN (SELECT order_id FROM order_line WHERE sku = ANY(:skus) AND backordered > 0)
    ORDER BY o.order_id FOR NO KEY UPDATE
""")
_WAITING = """
    SELECT l.order_id, l.line_no, l.sku, l.backordered, l.unit_price_minor,
           i.weight_g, i.length_mm, i.width_mm, i.height_mm, i.own_container,
           o.priority, o.promised_at, o.received_at, o.channel, o.place, o.service, o.method, o.pickup_node_id,
           p.sourcing,
           coalesce(h.holds, false) AS holds, CASE WHEN h.holds THEN o.cart_hold_id END AS hold_id,
           coalesce(h.units, 0) AS held, sum(l.backordered) OVER lines - l.backordered AS before,
           (SELECT coalesce(array_agg(DISTINCT node_id), '{{}}') FROM fulfillment_order f
            WHERE f.order_id = o.order_id AND f.excludes_node) AS excluded
    FROM order_line l JOIN orders o USING (order_id) JOIN item i USING (sku)
    JOIN policy_version p ON p.version = o.policy_version
    LEFT JOIN LATERAL (
        SELECT true AS holds, sum(open) FILTER (WHERE c.sku = l.sku) AS units FROM cart_hold_line c
        WHERE c.cart_hold_id = o.cart_hold_id AND c.open > 0 AND c.expires_at > statement_timestamp()
        HAVING count(*) > 0
    ) h ON true
    WHERE l.sku = ANY(:skus) AND l.backordered > 0 AND o.closed_at IS NULL AND {which}
    WINDOW lines AS (PARTITION BY l.order_id, l.sku ORDER BY l.line_no)
    ORDER BY l.order_id, l.line_no
"""
_ALL_WAITING = text(_WAITING.format(which="true"))
_WAITING_OF = text(_WAITING.format(which="l.order_id = ANY(:order_ids)"))
#: Positions are locked already, by the moves that brought the units in.
_FREE = text("""
    SELECT p.node_id, p.sku, p.free FROM stock_position p
    JOIN unnest(CAST(:node_ids AS text[]), CAST(:skus AS text[])) AS k(node_id, sku) USING (node_id, sku)
""")
_KEEP = text("""
    WITH given AS (
        SELECT * FROM jsonb_to_recordset(CAST(:given AS jsonb)) AS g(
            order_id text, hold_id text, channel text, node_id text, sku text, units bigint)
    ), opened AS (
        INSERT INTO cart_hold (cart_hold_id, channel, content_hash, lines)
        SELECT DISTINCT hold_id, channel, '', CAST('[]' AS jsonb) FROM given
        ON CONFLICT DO NOTHING
    ), kept AS (
        INSERT INTO cart_hold_line AS h (cart_hold_id, node_id, sku, quantity, open, expires_at)
        SELECT hold_id, node_id, sku, sum(units), sum(units), :expires_at FROM given GROUP BY hold_id, node_id, sku
        ON CONFLICT (cart_hold_id, node_id, sku) DO UPDATE
        SET quantity = h.quantity + excluded.quantity, open = h.open + excluded.open, expires_at = excluded.expires_at
    ), named AS (
        UPDATE orders o SET cart_hold_id = g.hold_id
        FROM (SELECT DISTINCT order_id, hold_id FROM given) g WHERE o.order_id = g.order_id
    ), noted AS (
        INSERT INTO stock_move (node_id, sku, cause, on_hand, reserved, held, reference, actor)
        SELECT node_id, sku, 'hold', 0, 0, sum(units), :reference, :actor FROM given GROUP BY node_id, sku
    )
    UPDATE stock_position p SET held = p.held + t.units
    FROM (SELECT node_id, sku, sum(units) AS units FROM given GROUP BY node_id, sku) t
    WHERE p.node_id = t.node_id AND p.sku = t.sku
""")
#: Items an order no longer needs something of that others wait for: units kept for it, or supply nobody is bound to.
_TO_PASS_ON = text("""
    SELECT DISTINCT l.sku FROM order_line l JOIN orders o USING (order_id)
    WHERE l.order_id = :order_id AND (
        NOT EXISTS (SELECT FROM order_line n WHERE n.order_id = l.order_id AND n.unallocated + n.backordered > 0)
        AND EXISTS (SELECT FROM cart_hold_line h
                    WHERE h.cart_hold_id = o.cart_hold_id AND h.sku = l.sku AND h.open > 0)
        OR EXISTS (SELECT FROM inbound_line i WHERE i.sku = l.sku AND i.open > i.bound)
        AND EXISTS (SELECT FROM order_line w WHERE w.sku = l.sku AND w.backordered > 0 AND w.order_id <> l.order_id))
""")
_UNNEEDED = text("""
    SELECT h.cart_hold_id, h.node_id, h.sku, h.open FROM cart_hold_line h JOIN orders o USING (cart_hold_id)
    WHERE o.order_id = :order_id AND h.open > 0
      AND NOT EXISTS (SELECT FROM order_line n WHERE n.order_id = o.order_id AND n.unallocated + n.backordered > 0)
""")


@dataclass(frozen=True)
class WaitingLine:
    """Units of an order line that wait, beside those that have arrived for it already.

    Attributes:
        hold_id: The hold that has arrived units of the order, if any.
    """

    turn: Turn
    units: int
    line: WantedLine
    order: SourcingOrder
    policy: Policy
    hold_id: str | None

    @property
    def sku(self) -> str:
        return self.line.sku

    def dates(self, coming: Sequence[Coming], timetable: Timetable, as_of: datetime) -> dict[str, datetime]:
        """When the customer would have the units, by inbound."""
        return timetable.dates(self.order, self.line, self.policy, coming, as_of=as_of) if coming else {}


def turn_of(row: Any) -> Turn:
    """Whose turn it is, of an order line's row."""
    return Turn(row.priority, row.promised_at or NO_PROMISE, row.received_at, row.order_id, row.line_no)


async def lock_waiting(connection: AsyncConnection, skus: Sequence[str]) -> None:
    """Lock the orders that wait for these items; before any stock is locked."""
    await connection.execute(_LOCK_WAITING, {"skus": list(skus)})


async def read_waiting(connection: AsyncConnection, skus: Sequence[str]) -> list[WaitingLine]:
    """Order lines that wait for these items."""
    return _lines(await connection.execute(_ALL_WAITING, {"skus": list(skus)}))


def _lines(rows: Iterable[Any]) -> list[WaitingLine]:
    lines = (_waiting(row) for row in rows)
    return [line for line in lines if line.units]


def _waiting(row: Any) -> WaitingLine:
    units = int(row.backordered - max(0, min(row.backordered, row.held - row.before)))
    line = WantedLine.model_construct(
        line_no=row.line_no,
        sku=row.sku,
        quantity=max(1, units),
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
        ship_to=Place.model_validate(row.place),
        service=ServiceLevel(row.service),
        lines=(line,),
        excluded=tuple(sorted(row.excluded)),
        method=Method(row.method),
        pickup_node_id=row.pickup_node_id,
    )
    return WaitingLine(turn_of(row), units, line, order, Policy.model_validate(row.sourcing), row.hold_id)


async def keep_for_waiting(
    connection: AsyncConnection,
    arrived: Mapping[tuple[str, str], int],
    timetable: Timetable,
    *,
    reference: str,
    as_of: datetime,
    actor: str,
    bound: Mapping[tuple[str, int], int] | None = None,
    but: Collection[str] = (),
) -> dict[tuple[str, int], int]:
    """Hold what has arrived for those who wait; returns the units of each order line that got some.

    Their processes are owed a wake-up for it. So are those of orders that others have locked, when something is left.
    The first who wait are locked, and the positions, to which the units were added in this transaction.

    Args:
        arrived: Units by node and item.
        reference: Names the arrival in the ledger.
        bound: Units of order lines that are bound to what arrived.
        but: Orders that get nothing.
    """
    positions = {"node_ids": [node_id for node_id, _ in arrived], "skus": [sku for _, sku in arrived]}
    free = {(row.node_id, row.sku): row.free for row in await connection.execute(_FREE, positions)}
    counter = _Counter(dict(arrived), free, timetable, as_of, dict(bound or {}))
    seen, busy = set(but), set[str]()
    for reach in _REACHES:
        units = {sku: units * reach for sku, units in counter.left().items()}
        if not units:
            break
        turn = await turns.lock_next(connection, units, seen, counter.bound_orders().difference(seen))
        if not (turn.locked or turn.busy):
            break
        seen.update(turn.locked, turn.busy)
        busy.update(turn.busy)
        of_turn = {"skus": list(units), "order_ids": turn.locked}
        counter.serve(_lines(await connection.execute(_WAITING_OF, of_turn)))
    if counter.given:
        given = [_row(*each, reference) for each in counter.given]
        values = {"given": json.dumps(given), "reference": reference, "actor": actor, "expires_at": as_of + KEPT_FOR}
        await connection.execute(_KEEP, values)
    owed = {order_id for order_id, _ in counter.got}.union(busy if counter.left() else ())
    await wakes.ask(connection, owed, wake=Wake(kind="stock_arrived"))
    return counter.got


class _Counter:
    """What has arrived is handed out here, to some of those who wait at a time.

    Attributes:
        got: Units of each order line that got some.
        given: Who got how many units of which node.
    """

    def __init__(
        self,
        arrived: dict[tuple[str, str], int],
        free: Mapping[tuple[str, str], int],
        timetable: Timetable,
        as_of: datetime,
        bound: dict[tuple[str, int], int],
    ) -> None:
        self._arrived, self._free = arrived, dict(free)
        self._timetable, self._as_of, self._bound = timetable, as_of, bound
        self.got: dict[tuple[str, int], int] = {}
        self.given: list[tuple[WaitingLine, str, int]] = []

    def bound_orders(self) -> set[str]:
        return {order_id for order_id, _ in self._bound}

    def left(self) -> dict[str, int]:
        """Units of each item that somebody may still get; those of safety stock only who was promised them."""
        left: dict[str, int] = {}
        for at, units in self._arrived.items():
            if (units := units if self._bound else min(units, self._free[at])) > 0:
                left[at[1]] = left.get(at[1], 0) + units
        return left

    def serve(self, lines: Iterable[WaitingLine]) -> None:
        """Hand out to these, who come after all who were served before."""
        waiting = sorted(lines, key=lambda line: line.turn)
        for (node_id, sku), units in sorted(self._arrived.items()):
            here = [Coming("", node_id, self._as_of)]
            able = (line for line in waiting if line.sku == sku and line.dates(here, self._timetable, self._as_of))
            first = self._first(able, units)
            free = self._free[node_id, sku]
            for line, taken in zip(first, serve(units, free, [self._need(line) for line in first]), strict=True):
                if taken:
                    self._hand_out(line, node_id, taken)
        self._bound = {}

    def _first(self, able: Iterable[WaitingLine], units: int) -> list[WaitingLine]:
        """As many as may get something of so many units: whether more could be served is not worked out."""
        lines: list[WaitingLine] = []
        if not units:
            return lines
        for line in able:
            lines.append(line)
            units -= self._need(line).units
            if units <= 0 and not self._bound:
                break
        return lines

    def _need(self, line: WaitingLine) -> Waiting:
        key = (line.turn.order_id, line.turn.line_no)
        return Waiting(line.turn, line.units - self.got.get(key, 0), self._bound.get(key, 0))

    def _hand_out(self, line: WaitingLine, node_id: str, units: int) -> None:
        key, at = (line.turn.order_id, line.turn.line_no), (node_id, line.sku)
        self.got[key] = self.got.get(key, 0) + units
        self._arrived[at] -= units
        self._free[at] -= units
        self.given.append((line, node_id, units))


def _row(line: WaitingLine, node_id: str, units: int, reference: str) -> dict[str, Any]:
    order_id = line.turn.order_id
    return {
        "order_id": order_id,
        "hold_id": line.hold_id or f"{order_id}/{reference}",
        "channel": line.order.channel,
        "node_id": node_id,
        "sku": line.sku,
        "units": units,
    }


async def items_to_pass_on(connection: AsyncConnection, order_id: str) -> list[str]:
    """Items of an order that others wait for and that it may not need any more."""
    return sorted((await connection.execute(_TO_PASS_ON, {"order_id": order_id})).scalars())


async def pass_on(connection: AsyncConnection, order_id: str, timetable: Timetable, *, as_of: datetime) -> set[str]:
    """Keep for others what was kept for an order that waits no more; returns the orders that got some.

    The orders that wait are locked.
    """
    unneeded = (await connection.execute(_UNNEEDED, {"order_id": order_id})).all()
    if not unneeded:
        return set()
    hold_id = unneeded[0].cart_hold_id
    await carts.release(connection, hold_id, actor="doms")
    arrived = {(row.node_id, row.sku): row.open for row in unneeded}
    reference = f"{hold_id}/passed on"
    got = await keep_for_waiting(connection, arrived, timetable, reference=reference, as_of=as_of, actor="doms")
    return {each for each, _ in got}
