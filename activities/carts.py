"""Carts whose time is up: their units given back, and told to the orders that wait for them."""

from __future__ import annotations

from temporalio import activity

from activities.beating import beating
from shared.client import Doms
from shared.contracts import CartActivities
from shared.database import carts, wakes
from shared.database.engine import around_races
from shared.database.rises import line_up
from shared.messages import CartSweepResult, CartSweepStep
from shared.wakes_client import tell_waiting


class Carts(CartActivities):
    """The cart activities over the database. Repeated, they find what is still overdue."""

    def __init__(self, doms: Doms) -> None:
        self._doms = doms

    @activity.defn(name="carts.sweep")
    async def sweep(self, step: CartSweepStep) -> CartSweepResult:
        """Give back what is overdue, a page at a time; an order that is not woken here looks again by itself."""
        swept: set[str] = set()
        woken = 0
        async with beating():
            while True:
                page = await self._sweep_page()
                if not page:
                    return CartSweepResult(items=len(swept), orders_woken=woken)
                swept.update(page)
                woken += await tell_waiting(self._doms.database, self._doms, page)

    async def _sweep_page(self) -> list[str]:
        """What is given back is kept for the orders that wait, in the same transaction."""
        async for attempt in around_races():
            with attempt:
                async with self._doms.database.transaction() as connection:
                    page = await carts.overdue_items(connection)
                    queue = await line_up(connection, page)
                    await carts.give_back_of(connection, page)
                    await queue.serve(connection)
                    await wakes.ask_waiting(connection, page)
        return page
