"""An order taken through its stages by the repositories alone: no Temporal, no partners, real Postgres."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from activities.orders import Orders
from shared.client import Doms
from shared.database import fulfillment, holds, inbox, network, orders, payments, policies, returns, story
from shared.database.deliveries import read_delivery
from shared.database.engine import Database
from shared.database.inbox import Taken
from shared.domain.bundles import stock_lines
from shared.domain.orders import Address, HoldKind, OrderDocument, OrderLine, PaymentMethod
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing.models import Policy
from shared.domain.story import FulfillmentStory, OrderStory
from shared.gateways.partner_messages import (
    FulfillmentAccepted,
    FulfillmentRejected,
    FulfillmentShipped,
    Grade,
    GradedLine,
    Package,
    PartnerMessage,
    ReturnReceived,
    ShippedLine,
    TrackingStatus,
    TrackingUpdated,
)
from shared.gateways.protocol import PaymentResult, PaymentStatus
from shared.messages import (
    CancelUnits,
    CloseOrder,
    FulfillmentCall,
    HoldState,
    LineQuantity,
    RecordHold,
    ReturnInput,
    ReturnRequest,
    ReturnStep,
    SourceRequest,
    order_id_of,
)
from shared.places import locate
from tests.support.opening import open_for_a_while
from workers.demo.load import load_world, set_free_stock
from workers.demo.world import StockRow, World, make_world

ADDRESS = Address(name="Jane Doe", line1="1 Main St", city="New York", region="NY", postal_code="10001")
PROCESS = ProcessPolicy()
TOKEN = "tok_ok-very-secret"


@dataclass
class Facts:
    """A merchant's database, and the hand that moves an order through it."""

    database: Database
    world: World
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    async def load(cls, url: str, world: World | None = None) -> Facts:
        database = Database(url, pool_size=4)
        facts = cls(database, open_for_a_while(world or make_world(items=12)))
        async with database.transaction() as connection:
            await policies.begin(connection, Policy(), PROCESS, "test")
        await load_world(database, facts.world, "http://sandbox", "test/world")
        return facts

    async def stock(self, sku: str, **on_hand: int) -> None:
        """Make these the only free units of an item, with underscores for the dashes of nodes."""
        wanted = {name.replace("_", "-"): units for name, units in on_hand.items()}
        nodes = [node.node_id for node in self.world.nodes]
        rows = [StockRow(node_id=node, sku=sku, on_hand=wanted.get(node, 0)) for node in nodes]
        await set_free_stock(self.database, rows, f"test/{uuid.uuid4().hex}")

    def sku(self, n: int = 0) -> str:
        return self.world.items[n].sku

    # --- the order ----------------------------------------------------------------------------------------

    async def keep(self, *lines: tuple[str, int], **changes: Any) -> str:
        """An order as its channel sent it, and nothing more."""
        document = OrderDocument(
            channel="webshop",
            channel_order_id=f"t-{next(self._numbers):04d}",
            placed_at=datetime.now(UTC),
            currency="USD",
            ship_to=ADDRESS,
            lines=tuple(
                OrderLine(line_no=n, sku=sku, quantity=quantity, unit_price_minor=1001)
                for n, (sku, quantity) in enumerate(lines, start=1)
            ),
            shipping_minor=595,
            payment=PaymentMethod(token=TOKEN),
        ).model_copy(update=changes)
        order_id = order_id_of(document.channel, document.channel_order_id)
        async with self.database.transaction() as connection:
            items = await network.read_items(connection, [line.sku for line in document.lines])
            stocked = stock_lines(document.lines, items)
            await orders.keep_order(
                connection,
                order_id,
                document,
                stocked,
                delivery=await read_delivery(connection, document, locate(ADDRESS)),
                policy_version=Policy().version,
            )
        return order_id

    async def source(self, order_id: str, doms: Doms | None = None) -> None:
        """Source the order; ``doms`` wakes others by it."""
        request = SourceRequest(
            step_key=f"{order_id}/source/{uuid.uuid4().hex}",
            order_id=order_id,
            as_of=datetime.now(UTC),
            policy=PROCESS,
        )
        await Orders(self.database, doms).source(request)

    async def pay(self, order_id: str, kind: str, *, declined: bool = False) -> None:
        """One payment operation, answered."""
        reference = f"{order_id}/{kind}/{next(self._numbers)}"
        async with self.database.transaction() as connection:
            operation = await payments.begin(connection, kind, order_id, reference)
        status = PaymentStatus.DECLINED if declined else PaymentStatus.SUCCEEDED
        result = PaymentResult(
            status=status,
            provider_id=f"p-{next(self._numbers)}",
            amount_minor=operation.amount_minor,
            reason="card_declined" if declined else "",
        )
        async with self.database.transaction() as connection:
            await payments.book(connection, reference, result)

    async def hold(self, order_id: str, *, placed: bool = True) -> None:
        hold = HoldState(hold_id=f"{order_id}/staff/1", kind=HoldKind.STAFF, reason="customer will call back")
        request = RecordHold(order_id=order_id, hold=hold, actor="agent-1", placed=placed)
        async with self.database.transaction() as connection:
            await holds.record(connection, request)

    async def cancel(self, order_id: str) -> None:
        request = CancelUnits(
            step_key=f"{order_id}/cancel/{next(self._numbers)}", order_id=order_id, actor="agent-1", reason="test"
        )
        await Orders(self.database).cancel(request)

    async def close(self, order_id: str) -> None:
        async with self.database.transaction() as connection:
            await holds.close_order(connection, CloseOrder(step_key=f"{order_id}/close/1", order_id=order_id))

    # --- its fulfillment orders ---------------------------------------------------------------------------

    async def release(self, order_id: str) -> None:
        """Tell every node of what it has not been told."""
        for f in await self.live(order_id):
            if f.request_status == "unsubmitted":
                call = FulfillmentCall(order_id=order_id, n=f.n)
                async with self.database.transaction() as connection:
                    await fulfillment.begin_release(connection, call)
                async with self.database.transaction() as connection:
                    await fulfillment.finish_release(connection, call, f.node_id)

    async def accept(self, order_id: str) -> None:
        for f in await self.live(order_id):
            await self._from_node(f, FulfillmentAccepted(reference=f.fulfillment_order_id, **self._stamp()))

    async def reject(self, order_id: str) -> None:
        for f in await self.live(order_id):
            message = FulfillmentRejected(reference=f.fulfillment_order_id, reason="closed today", **self._stamp())
            await self._from_node(f, message)

    async def ship(self, order_id: str, *, short: int = 0) -> None:
        """Ship confirms of every live fulfillment order; ``short`` units of each line stay behind."""
        for f in await self.live(order_id):
            lines = tuple(
                ShippedLine(line_no=c.line_no, sku=c.sku, quantity=c.open - short) for c in f.lines if c.open > short
            )
            package = Package(package_no=1, lines=lines, carrier=f.carrier, tracking_no=f"TRK-{next(self._numbers)}")
            packages = (package,) if lines else ()
            shipped = FulfillmentShipped(reference=f.fulfillment_order_id, packages=packages, **self._stamp())
            await self._from_node(f, shipped)

    async def deliver(self, order_id: str) -> None:
        for f in await self.live(order_id):
            for package in f.packages:
                scan = TrackingUpdated(reference=package.tracking_no, status=TrackingStatus.DELIVERED, **self._stamp())
                await self.take(package.carrier, scan)

    async def until_delivered(self, *lines: tuple[str, int]) -> str:
        """An order taken to its end, paid and closed."""
        order_id = await self.keep(*lines)
        await self.source(order_id)
        await self.pay(order_id, "authorize")
        await self.release(order_id)
        await self.accept(order_id)
        await self.ship(order_id)
        await self.pay(order_id, "capture")
        await self.deliver(order_id)
        await self.close(order_id)
        return order_id

    async def live(self, order_id: str) -> list[FulfillmentStory]:
        return [f for f in (await self.tell(order_id)).fulfillments if f.ended_at is None]

    def _stamp(self) -> dict[str, Any]:
        return {"message_id": f"m-{next(self._numbers)}", "at": datetime.now(UTC)}

    async def _from_node(self, f: FulfillmentStory, message: PartnerMessage) -> None:
        await self.take(self.world.node(f.node_id).partner_id, message)

    async def take(self, partner_id: str, message: PartnerMessage, *, signalled: bool = True) -> Taken:
        """A partner's message, its wake-ups sent as far as the record says."""
        async with self.database.transaction() as connection:
            taken = await inbox.take(connection, partner_id, message)
            for wake in taken.wakes if signalled else ():
                await inbox.mark_signalled(connection, wake, heard=True)
        return taken

    # --- its returns --------------------------------------------------------------------------------------

    async def ask_return(self, order_id: str, quantity: int = 1) -> ReturnInput:
        request = ReturnRequest(
            actor="agent-1", order_id=order_id, lines=(LineQuantity(line_no=1, quantity=quantity),), reason="too small"
        )
        async with self.database.transaction() as connection:
            return await returns.open_return(connection, request)

    async def judge(self, opened: ReturnInput) -> None:
        async with self.database.transaction() as connection:
            await returns.judge_return(connection, self._return_step(opened, "judge/1"))

    async def receive_return(self, opened: ReturnInput, quantity: int = 1) -> None:
        told = next(r for r in (await self.tell(opened.order_id)).returns if r.return_id == opened.return_id)
        line = GradedLine(line_no=1, sku=told.lines[0].sku, quantity=quantity, grade=Grade.A)
        message = ReturnReceived(reference=opened.return_id, lines=(line,), **self._stamp())
        await self.take(self.world.node(told.node_id or "").partner_id, message)

    async def settle_return(self, opened: ReturnInput) -> None:
        async with self.database.transaction() as connection:
            await returns.settle_return(connection, self._return_step(opened, "settle/2"))

    async def close_return(self, opened: ReturnInput) -> None:
        step = self._return_step(opened, "close/3").model_copy(update={"reason": "closed"})
        async with self.database.transaction() as connection:
            await returns.close_return(connection, step)

    def _return_step(self, opened: ReturnInput, name: str) -> ReturnStep:
        return ReturnStep(step_key=f"{opened.return_id}/{name}", return_id=opened.return_id, as_of=datetime.now(UTC))

    # --- looking ------------------------------------------------------------------------------------------

    async def tell(self, order_id: str) -> OrderStory:
        async with self.database.reading() as connection:
            return await story.tell(connection, order_id)

    async def run(self, statement: str, **values: Any) -> None:
        """Do something to the facts that no repository would: break them, or age them."""
        async with self.database.transaction() as connection:
            await connection.execute(text(statement), values)

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        async with self.database.reading() as connection:
            return list((await connection.execute(text(statement), values)).all())
