"""How long stock has lain, told by its moves and met by the next plan, on a real Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.database import policies
from shared.database.ages import read_idle
from shared.database.decisions import explain
from shared.database.snapshots import read_snapshot
from shared.domain.sourcing.models import IdleStock, Policy
from tests.support.facts import PROCESS, Facts

LONG_AGO, LATELY = timedelta(days=40, hours=1), timedelta(days=3, hours=1)


async def moved(shop: Facts, node_id: str, sku: str, cause: str, units: int, ago: timedelta) -> None:
    await shop.run(
        "INSERT INTO stock_move (at, node_id, sku, cause, on_hand, reserved, reference, actor)"
        " VALUES (now() - CAST(:ago AS interval), :node, :sku, :cause, :units, 0, :reference, 'test')",
        ago=ago, node=node_id, sku=sku, cause=cause, units=units, reference=f"{cause}/{node_id}/{ago}",
    )  # fmt: skip


async def lain(shop: Facts, sku: str, ago: timedelta = timedelta()) -> dict[str, int]:
    async with shop.database.reading() as connection:
        return {row.node_id: row.days for row in await read_idle(connection, [sku], datetime.now(UTC) - ago)}


async def test_stock_lies_since_it_was_last_shipped_or_came(shop: Facts) -> None:
    sku = shop.sku()
    await moved(shop, "store-austin", sku, "receive", 5, LONG_AGO)
    await moved(shop, "wh-columbus", sku, "receive", 9, LONG_AGO)
    await moved(shop, "wh-columbus", sku, "ship", -4, LATELY)
    await shop.stock(sku, store_austin=5, wh_columbus=5, store_chicago=5)
    assert await lain(shop, sku) == {"store-austin": 40, "wh-columbus": 3}, "what came today has not lain"
    assert await lain(shop, sku, timedelta(days=10)) == {"store-austin": 30, "wh-columbus": 30}, "as it was then"


async def test_what_lies_goes_first_where_the_policy_says_so(shop: Facts) -> None:
    clearing = Policy(version="clearing/1", clear_aged_minor=9_000)
    async with shop.database.transaction() as connection:
        await policies.begin(connection, clearing, PROCESS, "test")
    sku = shop.sku()
    await moved(shop, "store-austin", sku, "ship", -5, LONG_AGO)
    await shop.stock(sku, wh_columbus=5, store_austin=5)
    at_once, cleared = [await shop.keep((sku, 1)) for _ in range(2)]
    await shop.run("UPDATE orders SET policy_version = :v WHERE order_id = :o", v=clearing.version, o=cleared)
    nodes: list[str] = []
    terms: list[int] = []
    for order_id in (at_once, cleared):
        await shop.source(order_id)
        async with shop.database.reading() as connection:
            (decision,) = (await explain(connection, order_id)).decisions
        nodes.append(decision.plan.shipments[0].node_id)
        alone = {one.node_id: one.alone for one in decision.plan.candidates if one.alone}
        terms.append(alone["wh-columbus"].clearance)
    assert nodes == ["wh-columbus", "store-austin"]
    assert terms == [0, 9_000 * 40 // 90]


async def test_idle_stock_is_a_snapshots(shop: Facts) -> None:
    sku = shop.sku()
    await moved(shop, "store-austin", sku, "ship", -5, LONG_AGO)
    await shop.stock(sku, store_austin=5)
    async with shop.database.reading() as connection:
        seen = await read_snapshot(connection, [sku], datetime.now(UTC))
    assert seen.idle == (IdleStock(node_id="store-austin", sku=sku, days=40),)
