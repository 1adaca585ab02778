"""Units that wait for stock: who they are, in which order they are served, and what is kept for them when it lands.

What lands is held for the orders that wait, in the transaction that books it, so that nobody who comes later is
faster. The hold is of the kind carts have: the order's next plan takes it, and its time runs out like theirs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import carts, turns, wakes
from shared.database.turns import Overtaken
from shared.database.waiting import WaitingLine, read_waiting_of
from shared.domain.sourcing.timetable import Coming, Timetable
from shared.messages import Wake

#: An order is sourced seconds after it is woken; after this, what was kept for it is anybody's.
KEPT_FOR = timedelta(days=1)
#: How far down the queue is looked for units that those before could not take, in so many times the units.
_REACHES = tuple(4**n for n in range(12))

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


async def keep_for_waiting(
    connection: AsyncConnection,
    arrived: Mapping[tuple[str, str], int],
    timetable: Timetable,
    *,
    reference: str,
    as_of: datetime,
    actor: str,
    inbound_id: str = "",
    but: Collection[str] = (),
) -> dict[tuple[str, int], int]:
    """Hold what has arrived for those who wait; returns the units of each order line that got some.

    Their processes are owed a wake-up for it. So are those of orders that others have locked, when something is left.
    The first who wait are locked, and the positions, to which the units were added in this transaction.

    Args:
        arrived: Units by node and item.
        reference: Names the arrival in the ledger.
        inbound_id: What arrived was expected with it: it goes to those who are bound to it first.
        but: Orders that get nothing.

    Raises:
        Overtaken: others have locked orders that are bound to what arrived.
    """
    positions = {"node_ids": [node_id for node_id, _ in arrived], "skus": [sku for _, sku in arrived]}
    free = {(row.node_id, row.sku): row.free for row in await connection.execute(_FREE, positions)}
    counter = _Counter(dict(arrived), free, timetable, as_of)
    if inbound_id:
        await _keep_for_bound(connection, counter, inbound_id)
    busy = await _keep_for_next(connection, counter, but)
    if counter.given:
        given = [_row(*each, reference) for each in counter.given]
        values = {"given": json.dumps(given), "reference": reference, "actor": actor, "expires_at": as_of + KEPT_FOR}
        await connection.execute(_KEEP, values)
    owed = {order_id for order_id, _ in counter.got}.union(busy if counter.left() else ())
    await wakes.ask(connection, owed, wake=Wake(kind="stock_arrived"))
    return counter.got


async def _keep_for_bound(connection: AsyncConnection, counter: _Counter, inbound_id: str) -> None:
    """Each of them gets what it is bound to and still needs, of safety stock, too: it was promised."""
    seen = set[str]()
    for reach in _REACHES:
        units = {sku: units * reach for sku, units in counter.arrived().items()}
        if not units:
            break
        turn = await turns.lock_next_bound(connection, inbound_id, units, seen)
        if turn.busy:
            raise Overtaken(turn.locked + turn.busy)
        if not turn.locked:
            break
        seen.update(turn.locked)
        counter.serve_bound(await read_waiting_of(connection, units, turn.locked), inbound_id)


async def _keep_for_next(connection: AsyncConnection, counter: _Counter, but: Collection[str]) -> set[str]:
    """Serve in turn until nothing is left; returns the orders that others have locked, which are passed."""
    seen, busy = set(but), set[str]()
    for reach in _REACHES:
        units = {sku: units * reach for sku, units in counter.left().items()}
        if not units:
            break
        turn = await turns.lock_next(connection, units, seen)
        if not (turn.locked or turn.busy):
            break
        seen.update(turn.locked, turn.busy)
        busy.update(turn.busy)
        counter.serve(await read_waiting_of(connection, units, turn.locked))
    return busy


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
    ) -> None:
        self._arrived, self._free = arrived, dict(free)
        self._timetable, self._as_of = timetable, as_of
        self.got: dict[tuple[str, int], int] = {}
        self.given: list[tuple[WaitingLine, str, int]] = []

    def arrived(self) -> dict[str, int]:
        """Units of each item that are not handed out."""
        return _by_item(self._arrived)

    def left(self) -> dict[str, int]:
        """Units of each item that anybody may still get, which is nothing of safety stock."""
        return _by_item({at: min(units, self._free[at]) for at, units in self._arrived.items()})

    def serve_bound(self, lines: Iterable[WaitingLine], inbound_id: str) -> None:
        """Hand out to these what they are bound to."""
        self._serve(lines, self._arrived, lambda line: min(line.units, line.bound.get(inbound_id, 0)))

    def serve(self, lines: Iterable[WaitingLine]) -> None:
        """Hand out to these, who come after all who were served before."""
        self._serve(lines, self._free, lambda line: line.units)

    def _serve(
        self, lines: Iterable[WaitingLine], limits: Mapping[tuple[str, str], int], claim: Callable[[WaitingLine], int]
    ) -> None:
        waiting = sorted(lines, key=lambda line: line.turn)
        for node_id, sku in sorted(self._arrived):
            at, here = (node_id, sku), Coming("", node_id, self._as_of)
            for line in waiting:
                units = min(self._arrived[at], limits[at])
                if units <= 0:
                    break
                needed = claim(line) - self.got.get(line.key, 0)
                if line.sku == sku and needed > 0 and line.date(here, self._timetable, self._as_of):
                    self._hand_out(line, node_id, min(units, needed))

    def _hand_out(self, line: WaitingLine, node_id: str, units: int) -> None:
        at = (node_id, line.sku)
        self.got[line.key] = self.got.get(line.key, 0) + units
        self._arrived[at] -= units
        self._free[at] -= units
        self.given.append((line, node_id, units))


def _by_item(units_at: Mapping[tuple[str, str], int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for (_, sku), units in units_at.items():
        if units > 0:
            found[sku] = found.get(sku, 0) + units
    return found


def _row(line: WaitingLine, node_id: str, units: int, reference: str) -> dict[str, Any]:
    order_id = line.turn.order_id
    return {
        "order_id": order_id,
        "hold_id": line.hold_id or f"{order_id}/{reference}",
        "channel": line.channel,
        "node_id": node_id,
        "sku": line.sku,
        "units": units,
    }


async def items_to_pass_on(connection: AsyncConnection, order_id: str) -> list[str]:
    """Items of an order that others wait for and that it may not need any more."""
    return sorted((await connection.execute(_TO_PASS_ON, {"order_id": order_id})).scalars())


async def pass_on(connection: AsyncConnection, order_id: str, timetable: Timetable, *, as_of: datetime) -> set[str]:
    """Keep for others what was kept for an order that waits no more; returns the orders that got some.

    The order and the first who wait are locked.
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
