"""Everything that is done to stock, drawn at random and done by the paths that do it in production."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.carts import Carts
from shared import carts_client
from shared.database import carts, feeds, fulfillment, network, rises, units
from shared.database.batcher import Batcher
from shared.database.engine import Database
from shared.database.plans import Draft
from shared.gateways.partner_messages import (
    FulfillmentRejected,
    FulfillmentShipped,
    Package,
    ShippedLine,
    TrackingStatus,
    TrackingUpdated,
)
from shared.messages import (
    CancelUnits,
    CartSweepStep,
    FulfillmentCall,
    LineQuantity,
    SourceResult,
    Withdraw,
    fulfillment_order_id,
)
from tests.support.stock import AS_OF, GROUND, Line, draft
from tests.support.storm_returns import CARRIER, ReturnSteps, tracking_no
from tests.support.storm_stock import LATER, Step

#: A plan's race is what this is about; what else happens to stock happens as often as it can between them.
SHARES = {
    "reserve": 170, "replan": 20, "hold": 20, "extend": 6, "expire": 8, "release": 6, "sweep": 2, "cancel": 8,
    "withdraw": 4, "tell": 16, "ship": 10, "reject": 4, "arrive": 4, "write_off": 4, "expect": 3, "depart": 6,
    "receive": 6, "slip": 2, "give_up": 1, "inspect": 3, "count": 4, "snapshot": 1, "delta": 1, "load": 1,
    "bring": 5, "ask": 5, "grade": 3, "settle": 3,
}  # fmt: skip
#: Each of these happens at least so often in 30,000 attempts, a fraction of what is usual, or has stopped happening.
FLOORS = {
    "reserve": {"won": 2000, "beaten": 5000}, "replan": {"won": 50}, "hold": {"held": 30, "refused": 30},
    "extend": {"extended": 8, "refused": 8}, "expire": {"expired": 50}, "release": {"released": 30},
    "sweep": {"swept": 8}, "cancel": {"cancelled": 8, "served others": 25},
    "withdraw": {"withdrawn": 1, "served others": 12}, "tell": {"told": 80}, "ship": {"applied": 50},
    "reject": {"applied": 5, "served others": 5}, "arrive": {"booked": 25}, "write_off": {"booked": 2, "refused": 8},
    "expect": {"told": 15}, "depart": {"departed": 4, "refused": 15}, "receive": {"booked": 15, "refused": 5},
    "slip": {"dated": 5}, "give_up": {"given up": 2}, "inspect": {"released": 1, "written off": 2, "refused": 5},
    "count": {"counted": 15}, "snapshot": {"applied": 2}, "delta": {"applied": 2}, "load": {"loaded": 1},
    "bring": {"applied": 20}, "ask": {"approved": 5, "refused": 5}, "grade": {"as new": 2, "worn": 1},
    "settle": {"settled": 4},
}  # fmt: skip
HANDFUL = 8
#: Known from the beginning: only while there is more than is claimed can one leave.
_TRANSFERS = 30
#: As the clock would, and as nobody else may: only under the position's lock does a hold's row change.
_EXPIRE = text("""
    WITH locked AS MATERIALIZED (
        SELECT p.node_id, p.sku FROM stock_position p JOIN cart_hold_line h USING (node_id, sku)
        WHERE h.cart_hold_id = :cart ORDER BY p.node_id, p.sku FOR NO KEY UPDATE OF p
    )
    UPDATE cart_hold_line h SET expires_at = now() - interval '1 second'
    FROM locked l WHERE h.cart_hold_id = :cart AND h.node_id = l.node_id AND h.sku = l.sku
""")
_HELD = text("""
    SELECT h.node_id, h.sku, least(h.open, l.backordered) AS units FROM orders o
    JOIN cart_hold_line h USING (cart_hold_id) JOIN order_line l USING (order_id, sku)
    WHERE o.order_id = :order_id AND h.open > 0 AND l.backordered > 0 LIMIT 1
""")


class Storm(ReturnSteps):
    """A world of ``n1…`` and ``s1…``, its orders, and what was done to them.

    Attributes:
        won: The orders that were planned at once.
    """

    def __init__(
        self,
        hands: Sequence[Database],
        committers: Sequence[Batcher[Draft, SourceResult | None]],
        orders: dict[str, list[Line]],
        chance: random.Random,
        *,
        nodes: int,
        skus: int,
    ) -> None:
        super().__init__(hands, orders, chance, nodes=nodes, skus=skus)
        self._committers, self._todo = committers, iter(orders)
        self._waiting: list[str] = []
        self._planned: list[tuple[str, int]] = []
        self._told: list[tuple[str, int]] = []
        self._shipped: list[tuple[str, int]] = []
        self._carts: list[str] = []
        self._steps = 0
        self.won: set[str] = set()

    async def begin(self) -> None:
        async with self._hands[0].transaction() as connection:
            await network.save_rates(connection, [GROUND])
            for source in self._sources.values():
                await feeds.define(connection, source, actor="test")
        for n in range(_TRANSFERS):
            await self._expect(f"begin-{n}", transfer=True)(self._hands[0])

    async def attempt(self) -> None:
        """Do one thing, and find out what came of it; orders come a handful at a time."""
        (kind,) = self._chance.choices(list(SHARES), weights=list(SHARES.values()))
        await asyncio.gather(*(self._do(kind) for _ in range(HANDFUL if kind == "reserve" else 1)))

    async def _do(self, kind: str) -> None:
        self._steps += 1
        step: Step = getattr(self, f"_{kind}")(f"{kind}-{self._steps}")
        self.outcomes[kind, await self._persist(step)] += 1

    # --- plans --------------------------------------------------------------------------------------------

    def _reserve(self, key: str) -> Step:
        order_id = next(self._todo)
        node_id, waits = self._chance.choice(self._nodes), self._chance.random() < 0.05
        plans = self._chance.choice(self._committers)
        whole = draft(order_id, [(node_id, *line) for line in self._lines[order_id]])
        dates = {n: {name: LATER for name, at in self._inbounds[-3:]} for n, _, _ in self._lines[order_id]}
        none = draft(order_id, [], step="source/2", first=False)

        async def step(_: Database) -> str:
            answer = await plans.submit(whole)
            if answer is not None:
                self.won.add(order_id)
                self._planned += [(order_id, state.n) for state in answer.fulfillments]
                return "won"
            if waits:
                await plans.submit(Draft(none.request, none.plan, none.first, dates))
                self._waiting.append(order_id)
            return "beaten"

        return step

    def _replan(self, key: str) -> Step:
        """An order that waits takes what was kept for it, or some of it."""
        order_id = self._chance.choice(self._waiting) if self._waiting else ""
        some, plans = self._some(2), self._chance.choice(self._committers)

        async def step(hand: Database) -> str:
            async with hand.reading() as connection:
                kept = (await connection.execute(_HELD, {"order_id": order_id})).first()
            if kept is None:
                return "nothing kept"
            line_no = next(n for n, sku, _ in self._lines[order_id] if sku == kept.sku)
            part = (kept.node_id, line_no, kept.sku, min(kept.units, some))
            answer = await plans.submit(draft(order_id, [part], step=key, first=False))
            return "beaten" if answer is None else "won"

        return step

    # --- carts --------------------------------------------------------------------------------------------

    def _hold(self, key: str) -> Step:
        at, units, partial = {self._key(), self._key()}, self._some(), self._chance.random() < 0.5

        async def step(hand: Database) -> str:
            taken = await carts.hold_units(
                hand, key, dict.fromkeys(at, units), channel="web", lines=(), content_hash="", expires_at=LATER,
                partial=partial,
            )  # fmt: skip
            if taken is None:
                return "refused"
            self._carts.append(key)
            return "held"

        return step

    def _cart(self) -> str:
        return self._chance.choice(self._carts) if self._carts else ""

    def _extend(self, key: str) -> Step:
        cart = self._cart()
        return lambda hand: self._answered("extended", carts_client.extend_cart(self._doms(hand), cart, 60))

    def _release(self, key: str) -> Step:
        cart = self._cart()
        return lambda hand: self._answered("released", carts_client.release_cart(self._doms(hand), cart, actor="test"))

    def _expire(self, key: str) -> Step:
        cart = self._cart()

        async def step(hand: Database) -> str:
            async with hand.transaction() as connection:
                await connection.execute(_EXPIRE, {"cart": cart})
            return "expired"

        return step

    def _sweep(self, key: str) -> Step:
        swept = CartSweepStep(as_of=AS_OF)
        return lambda hand: self._answered("swept", ActivityEnvironment().run(Carts(self._doms(hand)).sweep, swept))

    # --- orders -------------------------------------------------------------------------------------------

    def _cancel(self, key: str) -> Step:
        order_id = self._chance.choice(self._planned)[0] if self._planned else "o0"
        request = CancelUnits(
            step_key=key, order_id=order_id, lines=(LineQuantity(line_no=1, quantity=1),), actor="test", reason="test"
        )

        async def step(hand: Database) -> str:
            answer, served = await rises.give_back(hand, order_id, lambda c: units.cancel_units(c, request))
            return "served others" if served else "cancelled" if answer.units else "nothing"

        return step

    def _withdraw(self, key: str) -> Step:
        order_id, n = self._chance.choice(self._planned) if self._planned else ("o0", 1)
        request = Withdraw(step_key=key, order_id=order_id, n=n, because="test")

        async def step(hand: Database) -> str:
            if not self._planned:
                return "nothing"
            answer, served = await rises.give_back(hand, order_id, lambda c: units.withdraw(c, request))
            return "served others" if served else "withdrawn" if answer.done else "nothing"

        return step

    def _tell(self, key: str) -> Step:
        chosen = self._chance.choice(self._planned) if self._planned else ("", 0)

        async def step(hand: Database) -> str:
            if not self._planned:
                return "nothing"
            async with hand.transaction() as connection:
                told = await fulfillment.begin_release(connection, FulfillmentCall(order_id=chosen[0], n=chosen[1]))
            if told.request is None:
                return "nothing"
            self._told.append(chosen)
            return "told"

        return step

    def _ship(self, key: str) -> Step:
        """All of it, or one unit short of each line."""
        chosen = order_id, n = self._chance.choice(self._told) if self._told else ("o0", 1)
        short = self._chance.random() < 0.2
        lines = tuple(
            ShippedLine(line_no=i, sku=s, quantity=q - short) for i, s, q in self._lines[order_id] if q > short
        )
        reference = fulfillment_order_id(order_id, n)
        parcel = Package(package_no=1, lines=lines, carrier=CARRIER, tracking_no=tracking_no(reference))
        message = FulfillmentShipped(message_id=key, reference=reference, at=AS_OF, packages=(parcel,) if lines else ())

        async def step(hand: Database) -> str:
            if not self._told:
                return "nothing"
            applied = await self._tell_us(hand, "p", message)
            self._shipped.append(chosen)
            return applied

        return step

    def _reject(self, key: str) -> Step:
        order_id, n = self._chance.choice(self._told) if self._told else ("o0", 1)
        message = FulfillmentRejected(message_id=key, reference=fulfillment_order_id(order_id, n), at=AS_OF)

        async def step(hand: Database) -> str:
            return await self._tell_us(hand, "p", message) if self._told else "nothing"

        return step

    def _bring(self, key: str) -> Step:
        """A parcel is with its customer, who may send some of it back from now on."""
        order_id, n = self._chance.choice(self._shipped) if self._shipped else ("o0", 1)
        scan = TrackingUpdated(
            message_id=key,
            reference=tracking_no(fulfillment_order_id(order_id, n)),
            at=AS_OF,
            status=TrackingStatus.DELIVERED,
        )

        async def step(hand: Database) -> str:
            if not self._shipped:
                return "nothing"
            applied = await self._tell_us(hand, CARRIER, scan)
            self._delivered.append(order_id)
            return applied

        return step
