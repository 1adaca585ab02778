"""Whatever is done to stock and orders, in any order and twice: the database agrees with a model of single units."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.testing import ActivityEnvironment

from activities.carts import Carts
from activities.orders import Orders
from shared import carts_client
from shared.client import Doms
from shared.database import carts, fulfillment, rises
from shared.database.engine import Database
from shared.database.plans import commit_plans
from shared.database.stock import Move
from shared.domain.orders import UnitState
from shared.errors import Conflict, NotFound
from shared.gateways.partner_messages import FulfillmentRejected, FulfillmentShipped, Package, ShippedLine
from shared.messages import CancelUnits, CartSweepStep, FulfillmentCall, LineQuantity, SourceResult, Withdraw
from tests.support.return_machine import CARRIER, ReturnMachine, tracking_no
from tests.support.stock import AS_OF, Part, draft, place, residuals, seed
from tests.support.supply_machine import HAPPENED, KEYS, NODES, QUANTITIES, SKUS

#: What every run of the machine comes to, or it proves less than it says.
OFTEN = ("feed changed stock", "feed of an earlier moment", "return settled")
#: Steps take milliseconds each: making a failure shorter would take longer than a test may.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
#: Few, so that the same one comes again.
REFERENCES = st.sampled_from(["ref-1", "ref-2", "ref-3", "ref-4", "ref-5", "ref-6"])
CARTS = st.sampled_from(["cart-1", "cart-2", "cart-3", "cart-4"])
LATER = datetime.now(UTC) + timedelta(hours=1)
_EXPIRE = text("UPDATE cart_hold_line SET expires_at = now() - interval '1 second' WHERE cart_hold_id = :cart")
_POSITIONS = "SELECT node_id, sku, on_hand, reserved, held, quarantined, free FROM stock_position"
_LINES = f"SELECT order_id, line_no, {', '.join(UnitState)} FROM order_line"


class StockMachine(ReturnMachine):
    """Steps against Postgres and against the model."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        super().__init__(runner, database)
        self.steps = 0
        self.doms = cast(Doms, self)
        self.steps_of_orders = Orders(database, self.doms)
        self.do(_clear)
        for node_id in NODES:
            self.receive((node_id, "s1"), 8, f"opening-{node_id}")
            self._sell((node_id, "s1"), 3)
            self.look_at_the_clock()

    def key(self, order_id: str) -> str:
        self.steps += 1
        return f"order/{order_id}/step/{self.steps}"

    # --- stock that comes, goes and is counted ------------------------------------------------------------

    @rule(key=KEYS, quantity=QUANTITIES, reference=REFERENCES)
    def receive(self, key: tuple[str, str], quantity: int, reference: str) -> None:
        self._move("receive", key, quantity, reference)

    @rule(key=KEYS, quantity=QUANTITIES, reference=REFERENCES)
    def write_off(self, key: tuple[str, str], quantity: int, reference: str) -> None:
        self._move("write_off", key, -quantity, reference)

    @rule(key=KEYS, quantity=st.integers(-6, 6).filter(bool), reference=REFERENCES)
    def adjust(self, key: tuple[str, str], quantity: int, reference: str) -> None:
        self._move("adjust", key, quantity, reference)

    def _move(self, cause: str, key: tuple[str, str], quantity: int, reference: str) -> None:
        move = Move(node_id=key[0], sku=key[1], cause=cause, on_hand=quantity, reference=reference)
        try:
            self.runner.run(rises.book_arrival(self.database, [move], as_of=AS_OF))
        except IntegrityError:
            assert not self.model.move(reference, cause, key, quantity)
        else:
            assert self.model.move(reference, cause, key, quantity)

    # --- carts --------------------------------------------------------------------------------------------

    @rule(cart=CARTS, claims=st.dictionaries(KEYS, QUANTITIES, min_size=1, max_size=3), partial=st.booleans())
    def hold_cart(self, cart: str, claims: dict[tuple[str, str], int], partial: bool) -> None:
        """A cart that is known already is not held again, whatever has become of it."""
        held = self.runner.run(
            carts.hold_units(
                self.database,
                cart,
                claims,
                channel="web",
                lines=(),
                content_hash="",
                expires_at=LATER,
                partial=partial,
            )
        )
        units = None if held is None else {(one.node_id, one.sku): one.quantity for one in held}
        assert units == self.model.hold(cart, claims, partial=partial)

    @rule(cart=CARTS)
    def extend_hold(self, cart: str) -> None:
        try:
            self.runner.run(carts_client.extend_cart(self.doms, cart, minutes=60))
        except (Conflict, NotFound):
            assert not self.model.extend(cart)
        else:
            assert self.model.extend(cart)

    @precondition(lambda self: self.model.carts)
    @rule(data=st.data())
    def let_time_pass(self, data: st.DataObject) -> None:
        cart = data.draw(st.sampled_from(sorted(self.model.carts)))
        self.do(lambda connection: connection.execute(_EXPIRE, {"cart": cart}))
        self.model.expire(cart)

    @rule()
    def sweep_carts(self) -> None:
        self.runner.run(ActivityEnvironment().run(Carts(self.doms).sweep, CartSweepStep(as_of=AS_OF)))
        self.model.sweep()

    @precondition(lambda self: self.model.carts)
    @rule(data=st.data())
    def release_hold(self, data: st.DataObject) -> None:
        cart = data.draw(st.sampled_from(sorted(self.model.carts)))
        for _ in range(2):
            self.runner.run(carts_client.release_cart(self.doms, cart, actor="test"))
        self.model.release(cart)

    @rule(
        cart=CARTS,
        lines=st.lists(st.tuples(st.sampled_from(SKUS), QUANTITIES), min_size=1, max_size=3),
    )
    def order_a_cart(self, cart: str, lines: list[tuple[str, int]]) -> None:
        """Ordered as it was held or not; also a cart that was never held, or that another order has taken."""
        self._place(lines, cart)

    # --- orders -------------------------------------------------------------------------------------------

    @rule(lines=st.lists(st.tuples(st.sampled_from(SKUS), QUANTITIES), min_size=1, max_size=3))
    def place_order(self, lines: list[tuple[str, int]]) -> None:
        self._place(lines)

    @precondition(lambda self: self.free())
    @rule(data=st.data())
    def sell(self, data: st.DataObject) -> None:
        """The way of most orders, straight on: placed, reserved, told, shipped, and perhaps brought."""
        self._sell(*data.draw(st.sampled_from(self.free())), brought=data.draw(st.booleans()))

    def _sell(self, key: tuple[str, str], units: int, *, brought: bool = True) -> None:
        node_id, sku = key
        order_id = self._place([(sku, units)])
        self._reserve({order_id: [(node_id, 1, sku, units)]})
        (owner,) = (name for name, planned in self.model.fulfillments.items() if planned.order_id == order_id)
        self._tell(owner)
        self.look_at_the_clock()
        self._ship(owner, {1: units})
        if brought:
            self.bring(owner)

    def free(self) -> list[tuple[tuple[str, str], int]]:
        return [(key, min(self.model.free(key), 3)) for key in sorted(self.model.on_hand) if self.model.free(key) > 0]

    def _place(self, lines: list[tuple[str, int]], cart: str = "") -> str:
        order_id = f"o{len(self.orders) + 1}"
        self.orders[order_id] = [(n, sku, quantity) for n, (sku, quantity) in enumerate(lines, start=1)]
        carts_of = {order_id: cart} if cart else {}
        self.runner.run(place(self.database, {order_id: self.orders[order_id]}, carts_of))
        self.model.place(order_id, self.orders[order_id])
        self.model.cart_of |= carts_of
        return order_id

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def reserve(self, data: st.DataObject) -> None:
        """Plans of several orders in one batch; some want more than there is, or more than the order does."""
        names = data.draw(st.lists(st.sampled_from(sorted(self.orders)), min_size=1, max_size=3, unique=True))
        self._reserve({name: self._parts(data, name) for name in names})

    def _reserve(self, plans: dict[str, list[Part]]) -> None:
        names = list(plans)
        keys = {name: self.key(name) for name in names}
        drafts = [draft(name, parts, step=keys[name]) for name, parts in plans.items()]
        answers = self.do(lambda connection: commit_plans(connection, drafts))
        assert {name: answer is not None for name, answer in zip(names, answers, strict=True)} == self.model.reserve(
            plans
        )
        won = [(one, answer) for one, answer in zip(drafts, answers, strict=True) if answer is not None]
        again = self.do(lambda connection: commit_plans(connection, [one for one, _ in won]))
        assert [_opened(answer) for answer in again] == [_opened(answer) for _, answer in won]

    def _parts(self, data: st.DataObject, order_id: str) -> list[Part]:
        line = st.sampled_from(self.orders[order_id])
        drawn = data.draw(st.lists(st.tuples(st.sampled_from(NODES), line, QUANTITIES), max_size=3))
        parts = {(node_id, line_no): (node_id, line_no, sku, units) for node_id, (line_no, sku, _), units in drawn}
        return sorted(parts.values())

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), everything=st.booleans())
    def cancel(self, data: st.DataObject, everything: bool) -> None:
        order_id = data.draw(st.sampled_from(sorted(self.orders)))
        wanted = {line_no: data.draw(QUANTITIES) for line_no, _, _ in self.orders[order_id]}
        request = CancelUnits(
            step_key=self.key(order_id),
            order_id=order_id,
            lines=() if everything else tuple(LineQuantity(line_no=n, quantity=q) for n, q in wanted.items()),
            actor="test",
            reason="test",
        )
        first, again = (self.runner.run(self.steps_of_orders.cancel(request)) for _ in range(2))
        assert first.units == again.units == self.model.cancel(order_id, None if everything else wanted)

    # --- fulfillment orders -------------------------------------------------------------------------------

    @precondition(lambda self: self.model.fulfillments)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        owner = self._owner(data)
        planned = self.model.fulfillments[owner]
        key = self.key(planned.order_id)
        request = Withdraw(step_key=key, order_id=planned.order_id, n=planned.n, because="test")
        first, again = (self.runner.run(self.steps_of_orders.withdraw(request)) for _ in range(2))
        assert first == again
        assert first.done is (not planned.told and not planned.over)
        self.model.take_back(owner, told=False)

    @precondition(lambda self: self.model.fulfillments)
    @rule(data=st.data())
    def tell_the_node(self, data: st.DataObject) -> None:
        self._tell(self._owner(data))

    def _tell(self, owner: str) -> None:
        planned = self.model.fulfillments[owner]
        call = FulfillmentCall(order_id=planned.order_id, n=planned.n)
        for _ in range(2):
            self.do(lambda connection: fulfillment.begin_release(connection, call))
        self.model.tell(owner)

    @precondition(lambda self: any(planned.told for planned in self.model.fulfillments.values()))
    @rule(data=st.data())
    def reject(self, data: st.DataObject) -> None:
        owner = self._owner(data, told=True)
        self.said("p", FulfillmentRejected(message_id="m", reference=owner, at=AS_OF))
        self.model.take_back(owner, told=True)

    @precondition(lambda self: any(planned.told for planned in self.model.fulfillments.values()))
    @rule(data=st.data())
    def ship(self, data: st.DataObject) -> None:
        """All, less or more than was asked for."""
        owner = self._owner(data, told=True)
        lines = self.orders[self.model.fulfillments[owner].order_id]
        self._ship(owner, {line_no: data.draw(st.integers(0, 6)) for line_no, _, _ in lines})

    def _ship(self, owner: str, said: dict[int, int]) -> None:
        lines = self.orders[self.model.fulfillments[owner].order_id]
        shipped = [ShippedLine(line_no=n, sku=sku, quantity=said[n]) for n, sku, _ in lines if said[n]]
        parcel = Package(package_no=1, lines=tuple(shipped), carrier=CARRIER, tracking_no=tracking_no(owner))
        packages = (parcel,) if shipped else ()
        self.said("p", FulfillmentShipped(message_id="m", reference=owner, at=AS_OF, packages=packages))
        self.model.ship(owner, said)

    def _owner(self, data: st.DataObject, *, told: bool = False) -> str:
        owners = [owner for owner, planned in self.model.fulfillments.items() if planned.told or not told]
        return data.draw(st.sampled_from(sorted(owners)))

    # --- what must hold after every step ------------------------------------------------------------------

    @invariant()
    def the_books_agree(self) -> None:
        assert self.do(residuals) == {}

    @invariant()
    def the_database_is_the_model(self) -> None:
        positions = self.do(lambda connection: connection.execute(text(_POSITIONS)))
        for row in positions:
            key = (row.node_id, row.sku)
            claimed = (self.model.reserved(key), self.model.held(key))
            model = (self.model.on_hand[key], *claimed, self.model.quarantined[key], self.model.free(key))
            assert (row.on_hand, row.reserved, row.held, row.quarantined, row.free) == model, key
        lines = self.do(lambda connection: connection.execute(text(_LINES)))
        counted = {
            (row.order_id, row.line_no, str(state)): getattr(row, state)
            for row in lines
            for state in UnitState
            if getattr(row, state)
        }
        assert counted == self.model.lines()


async def _clear(connection: AsyncConnection) -> None:
    await connection.execute(
        text("""TRUNCATE orders, cart_hold, inbound, inbound_receipt, stock_count, stock_move, step_result, message_out,
                         message_in, wake, feed_source, feed_chunk, exception_case CASCADE""")
    )
    await connection.execute(text("UPDATE stock_position SET on_hand = 0, reserved = 0, held = 0, quarantined = 0"))


def _opened(answer: Any) -> Any:
    assert isinstance(answer, SourceResult)
    return answer.fulfillments


@pytest.mark.slow
def test_stock_is_what_single_units_add_up_to(fresh_database_url: str) -> None:
    with asyncio.Runner() as runner:
        database = Database(fresh_database_url, pool_size=1)
        runner.run(seed(database, nodes=len(NODES), skus=len(SKUS), on_hand=0))
        try:
            for _ in range(3):
                run_state_machine_as_test(
                    lambda: StockMachine(runner, database),  # type: ignore[arg-type]
                    settings=settings(
                        max_examples=25,
                        stateful_step_count=30,
                        phases=PHASES,
                        suppress_health_check=list(HealthCheck),
                    ),
                )
                if min(HAPPENED[kind] for kind in OFTEN) > 0:
                    break
            assert min(HAPPENED[kind] for kind in OFTEN) > 0, HAPPENED
        finally:
            runner.run(database.close())
    assert min(HAPPENED[kind] for kind in OFTEN) > 0, HAPPENED
