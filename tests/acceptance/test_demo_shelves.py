"""The demo's partners keep books of their own, and a reconciliation finds that they agree, or do not."""

from __future__ import annotations

from shared.database.stock import Move
from tests.support.discrepancies import reconcile
from tests.support.system import System
from workers.demo.shelves import fill_shelves


async def test_what_was_booked_and_what_was_shipped_agrees_with_the_partners(shop: System) -> None:
    rows = await shop.rows("SELECT node_id, sku, on_hand FROM stock_position WHERE on_hand > 0")
    booked = [Move(cause="receive", reference="demo", **row._mapping) for row in rows]
    await fill_shelves(shop.sandbox_url, booked)
    order_ids = [await shop.place(shop.order((rows[0].sku, 1))) for _ in range(3)]
    for order_id in order_ids:
        await shop.ended(order_id)
    first, second = [await reconcile(shop) for _ in range(2)]
    assert first.breaks + second.breaks == 0
    assert second.checked["partner_stock"] == len(rows)

    await fill_shelves(shop.sandbox_url, [booked[0].model_copy(update={"on_hand": -1})])
    assert sum([(await reconcile(shop)).breaks for _ in range(2)]) > 0
