"""A reconciliation that is killed half way and run again comes to what an undisturbed one comes to, row by row."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.testing import ActivityEnvironment

from activities.comparisons import Comparisons
from activities.reconciliation import Reconciliation
from shared.client import Doms
from shared.database import network
from shared.database.engine import Database
from shared.gateways.directory import Gateways
from shared.messages import ReconcileStep
from shared.order_processes import OrderProcesses
from shared.return_processes import ReturnProcesses
from tests.support import discrepancies
from tests.support.discrepancies import IN_THE_DATABASE, agree, lose_process, put, reconcile
from tests.support.partners import PARTNER_KEY
from tests.support.system import System

NODE, PARTNER, SILENT_NODE = "wh-columbus", "3pl-reno", "store-chicago"
#: Commits between two deaths: every commit is the last of some life, of the first run or of the second.
STRIDE = 4


class Died(BaseException):
    """The worker is gone."""


class Dying(Database):
    """A database whose worker dies after so many commits, and does nothing more then."""

    def __init__(self, url: str, commits: int) -> None:
        super().__init__(url)
        self.left = commits

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        self._refuse_the_dead()
        async with super().transaction() as connection:
            yield connection
        self._committed()

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        self._refuse_the_dead()
        async with super().statement() as connection:
            yield connection
        self._committed()

    def _committed(self) -> None:
        self.left -= 1
        self._refuse_the_dead()

    def _refuse_the_dead(self) -> None:
        if self.left <= 0:
            raise Died


async def reconcile_dying(shop: System, url: str, *, first: int) -> int:
    """One run of a reconciliation, begun again after each death; returns how often it died."""
    step = ReconcileStep(
        run_id=f"killed/{uuid.uuid4().hex}", started_at=datetime.now(UTC), resend_after=timedelta(seconds=1)
    )
    for deaths in itertools.count():
        database = Dying(url, first + STRIDE * deaths)
        try:
            await _live(shop, database, step)
        except Died:
            continue
        finally:
            await database.close()
        return deaths
    raise AssertionError("one of the lives is long enough")


async def _live(shop: System, database: Database, step: ReconcileStep) -> None:
    async with database.reading() as connection:
        partners = await network.read_partners(connection)
    async with Gateways(partners, PARTNER_KEY) as gateways:
        doms = Doms(shop.temporal, database)
        facts = Reconciliation(database, doms)
        kinds = (OrderProcesses(shop.temporal, database), ReturnProcesses(shop.temporal, database))
        others = Comparisons(database, gateways, kinds, doms)
        for activity in (facts.resume_stragglers, facts.check_facts, others.compare_processes, others.compare_partners):
            await ActivityEnvironment().run(activity, step)


@dataclass
class Group:
    """One discrepancy of each kind, the names of what they are about, and the last move before they were looked at."""

    names: Mapping[str, str]
    last_move: int

    def renamed(self, text: str) -> str | None:
        """With the names of its kind; ``None`` when it is about nothing of the group."""
        for name, kind in self.names.items():
            if name in text:
                return text.replace(name, kind)
        return None

    async def rows(self, shop: System) -> list[tuple[Any, ...]]:
        """All rows that a reconciliation may have written about it, in names that other groups have, too."""
        cases = await shop.rows("SELECT kind, reference, resolved_at IS NOT NULL AS over FROM exception_case")
        moves = await shop.rows(
            "SELECT sku, node_id, cause, on_hand, reserved, held, actor FROM stock_move WHERE move_id > :last",
            last=self.last_move,
        )
        positions = await shop.rows(
            "SELECT sku, node_id, on_hand, reserved, held, quarantined FROM stock_position WHERE on_hand > 0"
        )
        claims = await shop.rows("SELECT owner, open, shipped, released FROM reservation")
        named = [
            *((self.renamed(row.reference), "case", *row) for row in cases),
            *((self.renamed(row.sku), "move", *row[1:]) for row in moves),
            *((self.renamed(row.sku), "position", *row[1:]) for row in positions),
            *((self.renamed(row.owner), "claim", *row[1:]) for row in claims),
        ]
        return sorted((row[:3] + row[4:] if row[1] == "case" else row for row in named if row[0] is not None), key=repr)


async def seed(shop: System, first_item: int) -> Group:
    items = iter(item.sku for item in shop.world.items[first_item:])
    broken = {kind: next(items) for kind in IN_THE_DATABASE}
    lost, more, fewer = next(items), next(items), next(items)
    for sku in broken.values():
        await shop.stock(sku, wh_columbus=20)
    await shop.stock(lost, store_chicago=5)
    for sku in (more, fewer):
        await shop.stock(sku, **{PARTNER.replace("-", "_"): 20})
    await agree(shop)
    async with shop.policy(answer_within=timedelta(hours=1)):
        done = {kind: await shop.place(shop.order((sku, 2))) for kind, sku in broken.items()}
        waits = await shop.place(shop.order((lost, 5)))
    await asyncio.gather(*(shop.finished(order_id) for order_id in done.values()), shop.stage(waits, 1, "requested"))
    for kind, order_id in done.items():
        await discrepancies.run(shop, IN_THE_DATABASE[kind], order_id=order_id, node_id=NODE, sku=broken[kind])
    await lose_process(shop, waits)
    await put(shop, [(PARTNER, more, 4), (PARTNER, fewer, -4)])
    orders = {order_id: f"order of {kind}" for kind, order_id in done.items()} | {waits: "order that lost its process"}
    skus = {sku: f"item of {kind}" for kind, sku in broken.items()}

    async def old_enough() -> bool:
        return not await shop.rows("SELECT FROM orders WHERE received_at > now() - interval '1.5 seconds'")

    await shop.until(old_enough)
    last_move = await shop.value("SELECT max(move_id) FROM stock_move")
    return Group(orders | skus | {lost: "lost", more: "more", fewer: "fewer"}, last_move)


@pytest.mark.timeout(120)
async def test_killed_after_any_commit_and_run_again_it_comes_to_the_same(shop: System, database_url: str) -> None:
    await shop.behave("silent", node_id=SILENT_NODE)
    calm = await seed(shop, 0)
    for _ in range(2):
        await reconcile(shop)
    killed = await seed(shop, 20)
    deaths = [await reconcile_dying(shop, database_url, first=first) for first in (1, 3)]

    assert min(deaths) > 3
    expected = await calm.rows(shop)
    assert {row[2] for row in expected if row[1] == "case"} > {"recon.process_missing", "recon.partner_stock"}
    assert ("more", "move", PARTNER) in {row[:3] for row in expected if row[-1] == "reconciliation"}
    assert await killed.rows(shop) == expected
    await reconcile(shop)
    assert await killed.rows(shop) == expected
