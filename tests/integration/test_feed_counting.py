"""What a figure counts, against a model that follows every unit: shelf, our orders, and what the partner knows of them.

The partner takes its figures at one moment; before and after it orders are reserved, told, shipped and called back,
and goods arrive. Whatever the figure counted, stock must come to the units that are really there.
"""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.feeds import Feeds
from shared.database import feeds
from shared.database.engine import Database
from shared.database.reservations import Claim
from shared.database.stock import Move, Settle, move, settle
from shared.domain.feeds import FeedSource
from shared.feeds_client import take_in
from shared.messages import Wake
from shared.messages.feeds import FeedRunInput
from tests.support.stock import place, reserve, seed

ITEMS, STEPS = 40, 6
_TOLD = text("""
    INSERT INTO fulfillment_order (fulfillment_order_id, order_id, n, node_id, units, status, carrier, service,
                                   ship_by, deliver_by, cost, planned_minor)
    VALUES (:owner, :order_id, 1, 'n1', 1, 'open', 'c', 's', now(), now(), '{}', 0)
""")
_NOW = {
    "tell": text("UPDATE fulfillment_order SET submitted_at = now() WHERE fulfillment_order_id = :owner"),
    "ship": text("UPDATE fulfillment_order SET shipped_at = now() WHERE fulfillment_order_id = :owner"),
    "call_back": text("UPDATE fulfillment_order SET ended_at = now() WHERE fulfillment_order_id = :owner"),
}


@dataclass
class Unit:
    """One unit on the partner's shelf. ``order`` has claimed it; ``known`` is whether the partner was told so."""

    order: str = ""
    known: bool = False


@dataclass
class Shelf:
    """What is really there of one item."""

    units: list[Unit] = field(default_factory=list)

    def of(self, order: str) -> list[Unit]:
        return [unit for unit in self.units if unit.order == order]

    def orders(self, *, known: bool) -> list[str]:
        return sorted({unit.order for unit in self.units if unit.order and unit.known is known})


class World:
    """The shelves, and our records of them, moved together."""

    def __init__(self, database: Database, seed_of: int) -> None:
        self._database, self._random, self._orders = database, random.Random(seed_of), 0
        self.shelves = {f"s{n}": Shelf([Unit() for _ in range(10)]) for n in range(1, ITEMS + 1)}

    async def live(self) -> None:
        """Some things happen to every item."""
        for sku, shelf in self.shelves.items():
            for _ in range(self._random.randrange(STEPS)):
                await self._step(sku, shelf)

    def shrinks(self) -> None:
        """Others buy units, or some are found, and only the partner knows."""
        for shelf in self.shelves.values():
            free = [unit for unit in shelf.units if not unit.order]
            for unit in free[: self._random.randrange(3)]:
                shelf.units.remove(unit)
            shelf.units += [Unit() for _ in range(self._random.randrange(3))]

    async def _step(self, sku: str, shelf: Shelf) -> None:
        untold, told = shelf.orders(known=False), shelf.orders(known=True)
        free = [unit for unit in shelf.units if not unit.order]
        choices = ["arrive"] + ["order"] * 2 * (len(free) > 5) + ["tell"] * 2 * bool(untold)
        choices += ["ship"] * 2 * bool(told) + ["call_back"] * bool(untold or told)
        match self._random.choice(choices):
            case "arrive":
                await self._arrive(sku, shelf)
            case "order":
                await self._order(sku, free[: self._random.randrange(1, 3)])
            case "tell":
                await self._note("tell", order := self._random.choice(untold))
                for unit in shelf.of(order):
                    unit.known = True
            case "ship":
                await self._settle("ship", order := self._random.choice(told), len(shelf.of(order)))
                shelf.units = [unit for unit in shelf.units if unit.order != order]
            case "call_back":
                await self._settle("call_back", order := self._random.choice(untold + told), len(shelf.of(order)))
                for unit in shelf.of(order):
                    unit.order, unit.known = "", False

    async def _arrive(self, sku: str, shelf: Shelf) -> None:
        shelf.units.append(Unit())
        change = Move(node_id="n1", sku=sku, cause="receive", on_hand=1, reference=f"asn/{sku}/{datetime.now(UTC)}")
        async with self._database.transaction() as connection:
            await move(connection, [change])

    async def _order(self, sku: str, units: list[Unit]) -> None:
        self._orders += 1
        order_id = f"o{self._orders}"
        await place(self._database, {order_id: [(1, sku, len(units))]})
        claim = Claim(owner=f"{order_id}/f1", line_no=1, order_id=order_id, node_id="n1", sku=sku, quantity=len(units))
        async with self._database.transaction() as connection:
            assert await reserve(connection, [claim])
            await connection.execute(_TOLD, {"owner": claim.owner, "order_id": order_id})
        for unit in units:
            unit.order = order_id

    async def _note(self, event: str, order_id: str) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(_NOW[event], {"owner": f"{order_id}/f1"})

    async def _settle(self, event: str, order_id: str, units: int) -> None:
        gone = {"shipped": units} if event == "ship" else {"released": units}
        async with self._database.transaction() as connection:
            await connection.execute(_NOW[event], {"owner": f"{order_id}/f1"})
            await settle(
                connection, [Settle(owner=f"{order_id}/f1", line_no=1, **gone)], reference=f"{event}/{order_id}"
            )


class NoProcesses:
    async def wake(self, workflow_id: str, wake: Wake) -> None:
        raise AssertionError("no order waits here")


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    database = Database(fresh_database_url)
    await seed(database, nodes=1, skus=ITEMS, on_hand=10)
    yield database
    await database.close()


@pytest.mark.parametrize(
    ("counts", "our_orders", "at"),
    [
        ("on_hand", "included", 1),
        ("available", "included", 2),
        ("available", "deducted", 3),
        ("available", "deducted", 4),
    ],
)
async def test_stock_comes_to_what_is_there_whatever_the_figure_counted(
    database: Database, counts: str, our_orders: str, at: int
) -> None:
    world = World(database, at)
    await world.live()
    world.shrinks()
    taken = datetime.now(UTC)
    figures = {
        sku: sum(1 for unit in shelf.units if our_orders == "included" or not unit.known)
        for sku, shelf in world.shelves.items()
    }
    await world.live()
    source = FeedSource.model_validate({
        "source_id": "acme", "node_id": "n1", "counts": counts, "our_orders": our_orders,
        "reading": {"format": "csv", "sku": "sku", "quantity": "qty"},
    })  # fmt: skip
    content = "sku,qty\n" + "".join(f"{sku},{units}\n" for sku, units in figures.items())
    async with database.transaction() as connection:
        await feeds.define(connection, source, actor="test")
    run = await take_in(database, source, io.BytesIO(content.encode()), name="f", as_of=taken, actor="test")
    worker, env, request = (
        Feeds(database, NoProcesses(), {}),
        ActivityEnvironment(),
        FeedRunInput(source_id="acme", run_id=run.run_id),
    )
    for step in (worker.stage, worker.apply, worker.finish):
        run = await env.run(step, request)
    assert (run.status, run.refused) == ("applied", 0)
    async with database.reading() as connection:
        rows = (await connection.execute(text("SELECT sku, on_hand, reserved, free FROM stock_position"))).all()
    told = {row.sku: (row.on_hand, row.reserved, row.free) for row in rows}
    there = {
        sku: (len(shelf.units), claimed := sum(1 for unit in shelf.units if unit.order), len(shelf.units) - claimed)
        for sku, shelf in world.shelves.items()
    }
    assert told == there
    assert run.changed > 5, "the partner knew better often enough for this to say something"
