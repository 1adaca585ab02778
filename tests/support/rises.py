"""Everything that makes stock rise, of one item at one node, by the paths that do it in production."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from temporalio.testing import ActivityEnvironment

from activities.comparisons import Comparisons
from activities.feeds import Feeds
from activities.fulfillment import Fulfillment
from activities.orders import Orders
from activities.returns import Returns
from shared import carts_client, counts_client, supply_client
from shared.client import Doms
from shared.database import carts, feeds, fulfillment, returns
from shared.database.quarantine import Disposal
from shared.database.rises import book_arrival
from shared.database.stock import Move, receive
from shared.domain.counts import Count
from shared.domain.feeds import FeedSource
from shared.feeds_client import take_in
from shared.gateways.partner_messages import FulfillmentRejected
from shared.gateways.protocol import CancelAnswer, CancelRequest, StockFigure, StockSnapshot
from shared.gateways.signing import secret_for, sign
from shared.messages import (
    AskCancel,
    CancelUnits,
    FulfillmentCall,
    LineQuantity,
    ReconcileStep,
    ReturnStep,
    Wake,
    Withdraw,
    fulfillment_order_id,
)
from shared.messages.feeds import FeedRunInput
from tests.support.facts import Facts
from tests.support.partners import PARTNER_KEY
from workers.api.app import Inbox

NODE = "wh-columbus"
UNITS = 10


class Died(Exception):
    """What was to be told is not."""


class Shop:
    """One item at one node, who waits for it, and who is woken; it stands in for the client.

    Attributes:
        dies: Whoever made stock rise dies before it has told anybody.
    """

    def __init__(self, facts: Facts, n: int) -> None:
        self.facts, self.database, self.sku = facts, facts.database, facts.sku(n)
        self.woken: set[str] = set()
        self.others: dict[str, int] = {}
        self.dies = False
        self.doms = Doms(cast(Any, None), self.database)
        self.doms.wake = self.wake  # type: ignore[method-assign]

    async def wake(self, workflow_id: str, wake: Wake) -> bool:
        assert wake.kind in ("stock_arrived", "supply_changed", "rejected")
        if self.dies:
            raise Died(workflow_id)
        self.woken.add(workflow_id.removeprefix("order/"))
        return True

    async def order(self, units: int, **changes: Any) -> str:
        """An order, sourced: of what is free, or it waits."""
        order_id = await self.facts.keep((self.sku, units), **changes)
        await self.source(order_id)
        return order_id

    async def source(self, order_id: str) -> None:
        await self.facts.source(order_id, self.doms)

    async def stock(self, units: int) -> None:
        await self.facts.stock(self.sku, **{NODE.replace("-", "_"): units})

    async def reserved(self) -> dict[str, int]:
        rows = await self.facts.rows(
            "SELECT order_id, sum(open) AS open FROM reservation WHERE open > 0 AND sku = :sku GROUP BY 1", sku=self.sku
        )
        return {row.order_id: row.open for row in rows}


#: Sets something up before anybody waits, and returns what then makes the stock rise by ``UNITS``.
Rise = Callable[[Shop], Awaitable[Callable[[], Awaitable[Any]]]]


async def by_arrival(shop: Shop) -> Callable[[], Awaitable[Any]]:
    move = Move(node_id=NODE, sku=shop.sku, cause="receive", on_hand=UNITS, reference="asn-1")
    return lambda: shop.doms.receive_stock([move])


async def by_table(shop: Shop) -> Callable[[], Awaitable[Any]]:
    table = f"node_id,sku,on_hand,safety\n{NODE},{shop.sku},{UNITS},\n".encode()
    return lambda: shop.doms.load({"stock": table})


async def by_table_of_counts(shop: Shop) -> Callable[[], Awaitable[Any]]:
    table = f"node_id,sku,counted,counted_at,reason\n{NODE},{shop.sku},{UNITS},,found\n".encode()
    return lambda: shop.doms.load({"counts": table})


async def by_count(shop: Shop) -> Callable[[], Awaitable[Any]]:
    count = Count(node_id=NODE, sku=shop.sku, counted=UNITS)
    return lambda: counts_client.record_count(shop.doms, count, reference="count-1", actor="clerk")


async def by_feed(shop: Shop) -> Callable[[], Awaitable[Any]]:
    reading = {"format": "csv", "sku": "sku", "quantity": "qty"}
    source = FeedSource.model_validate({"source_id": "acme", "node_id": NODE, "reading": reading, "counts": "on_hand"})
    async with shop.database.transaction() as connection:
        await feeds.define(connection, source, actor="test")
    activities, env = Feeds(shop.database, shop, {}), ActivityEnvironment()

    async def rise() -> None:
        file = io.BytesIO(f"sku,qty\n{shop.sku},{UNITS}\n".encode())
        run = await take_in(shop.database, source, file, name="stock.csv", as_of=datetime.now(UTC), actor="test")
        request = FeedRunInput(source_id=source.source_id, run_id=run.run_id)
        for step in (activities.stage, activities.apply, activities.finish):
            await env.run(step, request)

    return rise


async def by_return(shop: Shop) -> Callable[[], Awaitable[Any]]:
    await shop.stock(UNITS)
    opened = await shop.facts.ask_return(await shop.facts.until_delivered((shop.sku, UNITS)), UNITS)
    step = ReturnStep(step_key=f"{opened.return_id}/approve", return_id=opened.return_id, as_of=datetime.now(UTC))
    async with shop.database.transaction() as connection:
        await returns.decide_return(connection, step, approve=True)
    await shop.facts.receive_return(opened, UNITS)
    settle = step.model_copy(update={"step_key": f"{opened.return_id}/settle"})
    return lambda: Returns(shop.database, cast(Any, None), shop.doms).settle(settle)


async def by_inspection(shop: Shop) -> Callable[[], Awaitable[Any]]:
    move = Move(node_id=NODE, sku=shop.sku, cause="quarantine", quarantined=UNITS, reference="asn-1")
    async with shop.database.transaction() as connection:
        await receive(connection, [move])
    sound = Disposal(node_id=NODE, sku=shop.sku, quantity=UNITS, reference="inspection-1")
    return lambda: supply_client.release_quarantine(shop.doms, sound, actor="qa")


async def by_cancelled_order(shop: Shop) -> Callable[[], Awaitable[Any]]:
    await shop.stock(UNITS)
    order_id = await shop.order(UNITS)
    request = CancelUnits(step_key=f"{order_id}/cancel", order_id=order_id, actor="agent-1", reason="test")
    return lambda: Orders(shop.database, shop.doms).cancel(request)


async def by_withdrawal(shop: Shop) -> Callable[[], Awaitable[Any]]:
    await shop.stock(UNITS)
    order_id = await shop.order(UNITS)
    request = Withdraw(step_key=f"{order_id}/withdraw", order_id=order_id, n=1, because="test")
    return lambda: Orders(shop.database, shop.doms).withdraw(request)


async def by_rejection(shop: Shop) -> Callable[[], Awaitable[Any]]:
    await shop.stock(UNITS)
    order_id = await shop.order(UNITS)
    await shop.facts.release(order_id)
    said = FulfillmentRejected(
        message_id=f"m-{shop.sku}", reference=fulfillment_order_id(order_id, 1), at=datetime.now(UTC)
    )
    body, partner_id = said.model_dump_json().encode(), shop.facts.world.node(NODE).partner_id
    headers = sign(secret_for(PARTNER_KEY, partner_id), said.message_id, said.at, body)
    return lambda: Inbox(shop.doms, PARTNER_KEY).receive(partner_id, headers, body)


class _Obliging:
    """A node that gives back what it is asked for."""

    def fulfillment(self, partner_id: str) -> _Obliging:
        return self

    async def cancel(self, request: CancelRequest) -> CancelAnswer:
        return CancelAnswer(accepted=True)


async def by_node_that_gives_back(shop: Shop) -> Callable[[], Awaitable[Any]]:
    await shop.stock(UNITS)
    order_id = await shop.order(UNITS)
    async with shop.database.transaction() as connection:
        await fulfillment.begin_release(connection, FulfillmentCall(order_id=order_id, n=1))
    ask = AskCancel(step_key=f"{order_id}/ask", order_id=order_id, n=1, because="test", actor="test")
    return lambda: Fulfillment(shop.database, cast(Any, _Obliging()), shop.doms).ask_cancel(ask)


async def hold(shop: Shop, cart: str) -> None:
    await shop.stock(UNITS)
    await carts.hold_units(
        shop.database,
        cart,
        {(NODE, shop.sku): UNITS},
        channel="webshop",
        lines=(),
        content_hash="",
        expires_at=datetime.max.replace(tzinfo=UTC),
    )


async def by_cart_given_back(shop: Shop) -> Callable[[], Awaitable[Any]]:
    await hold(shop, f"webshop/{shop.sku}")
    return lambda: carts_client.release_cart(shop.doms, f"webshop/{shop.sku}", actor="shopper")


async def by_plan_that_takes_less(shop: Shop) -> Callable[[], Awaitable[Any]]:
    """Twice as much arrived for an order as it still wants when it is planned."""
    order_id = await shop.order(2 * UNITS)
    move = Move(node_id=NODE, sku=shop.sku, cause="receive", on_hand=2 * UNITS, reference=f"asn-{shop.sku}")
    await book_arrival(shop.database, [move], as_of=datetime.now(UTC))
    half = CancelUnits(
        step_key=f"{order_id}/cancel/half",
        order_id=order_id,
        lines=(LineQuantity(line_no=1, quantity=UNITS),),
        actor="agent-1",
        reason="test",
    )
    await Orders(shop.database, shop.doms).cancel(half)
    shop.others = {order_id: UNITS}
    return lambda: shop.source(order_id)


class _Books:
    """Nodes of which one has more on its books than we do."""

    def __init__(self, shop: Shop, units: int) -> None:
        self._shop, self._units = shop, units

    def fulfillment(self, partner_id: str) -> _Books:
        return self

    async def stock_snapshot(self, node_id: str) -> StockSnapshot | None:
        figures = (StockFigure(sku=self._shop.sku, on_hand=self._units),)
        return StockSnapshot(node_id=NODE, as_of=datetime.now(UTC), figures=figures) if node_id == NODE else None


def _comparisons(shop: Shop, units: int = 0) -> tuple[Comparisons, ReconcileStep]:
    books = cast(Any, _Books(shop, units))
    step = ReconcileStep(run_id="run-1", started_at=datetime.now(UTC), resend_after=timedelta(hours=1))
    return Comparisons(shop.database, books, (), shop.doms), step


async def by_partners_books(shop: Shop) -> Callable[[], Awaitable[Any]]:
    comparisons, step = _comparisons(shop, UNITS)
    await ActivityEnvironment().run(comparisons.compare_partners, step)
    return lambda: ActivityEnvironment().run(comparisons.compare_partners, step)


async def by_leftovers_of_an_order(shop: Shop) -> Callable[[], Awaitable[Any]]:
    """An order is over and reserves units nevertheless."""
    await shop.stock(UNITS)
    order_id = await shop.order(UNITS)
    over = "UPDATE orders SET closed_at = now(), lifecycle = 'cancelled' WHERE order_id = :order_id"
    for statement in (over, "UPDATE order_line SET allocated = 0, cancelled = quantity WHERE order_id = :order_id"):
        await shop.facts.run(statement, order_id=order_id)
    comparisons, step = _comparisons(shop)
    return lambda: ActivityEnvironment().run(comparisons.compare_processes, step)


#: What reconciliation mends.
MENDED: list[Rise] = [by_partners_books, by_leftovers_of_an_order]
RISES: list[Rise] = [
    by_arrival,
    by_table,
    by_table_of_counts,
    by_count,
    by_feed,
    by_return,
    by_inspection,
    by_cancelled_order,
    by_withdrawal,
    by_rejection,
    by_node_that_gives_back,
    by_cart_given_back,
    by_plan_that_takes_less,
]
