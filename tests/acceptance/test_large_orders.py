"""An order of ten thousand lines is an order like any other."""

from __future__ import annotations

import pytest

from tests.support.histories import MAX_EVENT_BYTES
from tests.support.system import System

LINES = 10_000


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_ten_thousand_lines_are_delivered(shop: System) -> None:
    skus = [item.sku for item in shop.world.items]
    for sku in skus:
        await shop.stock(sku, wh_columbus=1_000, **{"3pl_reno": 1_000})
    document = shop.order(*((skus[n % len(skus)], 1) for n in range(LINES)))

    order_id = await shop.place(document)
    outcome = await shop.finished(order_id, within=180)

    assert outcome.status == "delivered"
    assert outcome.delivered_units == LINES
    delivered = await shop.value("SELECT sum(delivered) FROM order_line WHERE order_id = :o", o=order_id)
    assert delivered == LINES
    money = (await shop.rows("SELECT * FROM payment WHERE order_id = :o", o=order_id))[0]
    assert money.captured_minor == money.authorized_minor == document.total_minor
    history = await shop.handle(order_id).fetch_history()
    assert max(event.ByteSize() for event in history.events) <= MAX_EVENT_BYTES
    assert len(history.events) < 500, "the lines are in the database, not in the history"
    assert await shop.value("SELECT count(*) FROM reservation WHERE order_id = :o AND open > 0", o=order_id) == 0
