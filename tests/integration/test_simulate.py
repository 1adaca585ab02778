"""Simulations of stored orders and of documents, on a real Postgres."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console
from sqlalchemy import text

from shared.database import replays
from shared.database.snapshots import AGREEING
from shared.domain.orders import OrderDocument
from shared.domain.sourcing.models import Policy
from shared.domain.sourcing.presets import PRESETS
from shared.domain.sourcing.simulation import Replay, compare
from shared.errors import InvalidInput
from tests.support.facts import Facts
from workers.cli.simulate import drawn
from workers.demo.orders import make_orders


async def since(shop: Facts, at: datetime, limit: int = 100) -> Replay:
    async with shop.database.transaction() as connection:
        await connection.execute(AGREEING)
        return await replays.stored_orders(connection, at, limit)


async def of_documents(shop: Facts, documents: list[OrderDocument]) -> Replay:
    async with shop.database.transaction() as connection:
        await connection.execute(AGREEING)
        return await replays.documents(connection, documents, datetime.now(UTC))


async def now(shop: Facts) -> datetime:
    async with shop.database.reading() as connection:
        at: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return at


async def test_stored_orders_meet_the_stock_of_their_day(shop: Facts) -> None:
    sku = shop.sku()
    await shop.stock(sku, wh_columbus=3)
    before = await shop.keep((sku, 1))
    await shop.source(before)
    began = await now(shop)
    orders = [await shop.keep((sku, units)) for units in (1, 2)]
    for order_id in orders:
        await shop.source(order_id)
    actual = [f for order_id in orders for f in (await shop.tell(order_id)).fulfillments]
    await shop.stock(sku, wh_columbus=50)
    (result,) = compare(await since(shop, began), [Policy()]).policies
    assert (
        {each.node_id: each.units for each in result.nodes}
        == {"wh-columbus": sum(f.units for f in actual)}
        == {"wh-columbus": 2}
    )
    assert (result.orders, result.short_units, result.late_orders) == (2, 1, 0)
    assert result.paid_minor == sum(f.cost.paid for f in actual)
    assert (await since(shop, await now(shop))).orders == ()
    assert len((await since(shop, began, limit=1)).orders) == 1


async def test_documents_meet_the_stock_of_now(shop: Facts) -> None:
    documents = list(make_orders(shop.world, 40, 1, datetime.now(UTC) - timedelta(hours=1)))
    found = compare(await of_documents(shop, documents), list(PRESETS.values()))
    by_name = {each.policy_version: each for each in found.policies}
    assert found.orders == 40
    assert by_name["cheapest"].paid_minor <= by_name["fastest"].paid_minor
    assert by_name["fastest"].days_to_deliver < by_name["cheapest"].days_to_deliver
    assert by_name["fewest-parcels"].split_orders <= by_name["cheapest"].split_orders
    console = Console(file=io.StringIO(), width=250)
    console.print(drawn(found))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "40 order(s) replayed" in shown
    assert "split rate" in shown
    assert "wh-columbus" in shown


async def test_documents_of_unknown_items_are_refused(shop: Facts) -> None:
    (document,) = make_orders(shop.world, 1, 1, datetime.now(UTC))
    line = document.lines[0].model_copy(update={"sku": "NO-SUCH"})
    with pytest.raises(InvalidInput):
        await of_documents(shop, [document.model_copy(update={"lines": (line,)})])
