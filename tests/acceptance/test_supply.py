"""Orders that wait for dated supply: promised by it, promised anew when it slips, served first when it lands."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import supply_client
from shared.contracts import PROMISED_AT
from shared.domain.supply import Inbound, InboundKind, InboundLine, Receipt, ReceiptLine
from shared.messages import CancelOrder
from tests.support.system import System

#: A backorder never looks for stock by itself while a test runs: only supply can have woken it.
NEVER = timedelta(hours=1)
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=4)
LATER = SOON + timedelta(days=14)


async def expect(shop: System, sku: str, units: int, at: datetime = SOON, **changes: Any) -> str:
    told = {
        "inbound_id": f"PO-{uuid.uuid4().hex[:8]}",
        "kind": InboundKind.PURCHASE_ORDER,
        "node_id": "wh-columbus",
        "expected_at": at,
        "lines": (InboundLine(sku=sku, quantity=units),),
    }
    inbound = Inbound.model_validate(told | changes)
    assert await supply_client.create_inbound(shop.doms, inbound, actor="buyer")
    return inbound.inbound_id


async def receive(shop: System, inbound_id: str, sku: str, good: int, reference: str = "asn-1") -> tuple[str, ...]:
    receipt = Receipt(inbound_id=inbound_id, reference=reference, lines=(ReceiptLine(sku=sku, good=good),))
    return (await supply_client.receive(shop.doms, receipt, actor="dock")).orders


async def promised(shop: System, order_id: str) -> datetime:
    at: datetime = await shop.value("SELECT promised_at FROM orders WHERE order_id = :o", o=order_id)
    return at


async def listed_as_promised(shop: System, order_id: str, at: datetime) -> None:
    """Wait until the list of processes says the same as the facts."""

    async def agrees() -> bool:
        description = await shop.handle(order_id).describe()
        return description.typed_search_attributes.get(PROMISED_AT) == at

    await shop.until(agrees)


async def test_a_slip_promises_anew_and_the_receipt_serves_who_waited_first(shop: System) -> None:
    sku = shop.world.items[0].sku
    await shop.stock(sku)
    inbound_id = await expect(shop, sku, 3)
    async with shop.policy(backorder_retry=NEVER):
        verdict = await shop.doms.submit(shop.order((sku, 2)))
        order_id = verdict.order_id
        assert verdict.backordered_units == 2
        assert verdict.promised_at is not None
        assert SOON < verdict.promised_at < SOON + timedelta(days=12)
        assert verdict.promised_at == await promised(shop, order_id)
        await shop.until_did(order_id, "payment.authorized")
        await listed_as_promised(shop, order_id, verdict.promised_at)
        assert any(inbound_id in each for each in (await shop.doms.get(order_id)).waits_for)

        assert await supply_client.slip(shop.doms, inbound_id, LATER, because="storm") == 1
        later = await promised(shop, order_id)
        assert later > verdict.promised_at
        await listed_as_promised(shop, order_id, later)
        assert "promise changed" in await shop.events(order_id)

        assert await receive(shop, inbound_id, sku, 3) == (order_id,)
        racing = await asyncio.gather(*(shop.place(shop.order((sku, 1))) for _ in range(5)))
        assert (await shop.ended(order_id)).delivered_units == 2
        got = [each for each in racing if await shop.nodes(each)]
        assert len(got) == 1
        assert await promised(shop, order_id) == later
    for each in racing:
        if each not in got:
            await shop.doms.cancel(each, CancelOrder(actor="test"))
        await shop.ended(each)


async def test_a_cancelled_order_leaves_its_supply_to_the_next(shop: System) -> None:
    sku = shop.world.items[1].sku
    await shop.stock(sku)
    inbound_id = await expect(shop, sku, 2)
    async with shop.policy(backorder_retry=NEVER):
        first = await shop.place(shop.order((sku, 2)))
        second = await shop.place(shop.order((sku, 2)))
    assert await promised(shop, second) is None
    await shop.until_did(first, "payment.authorized")
    await shop.doms.cancel(first, CancelOrder(actor="agent-1", reason="changed their mind"))

    await listed_as_promised(shop, second, await promised(shop, second))
    assert await receive(shop, inbound_id, sku, 2) == (second,)
    assert (await shop.ended(second)).delivered_units == 2
    assert (await shop.ended(first)).cancelled_units == 2


async def test_a_transfer_serves_who_waits_at_the_other_end(shop: System) -> None:
    sku = shop.world.items[2].sku
    await shop.stock(sku, store_chicago=2)
    inbound_id = await expect(shop, sku, 2, kind=InboundKind.TRANSFER, origin_node_id="store-chicago")
    assert await supply_client.depart(shop.doms, inbound_id, actor="store")
    async with shop.policy(backorder_retry=NEVER):
        order_id = await shop.place(shop.order((sku, 2)))
    assert await promised(shop, order_id) is not None
    await receive(shop, inbound_id, sku, 2)
    assert (await shop.ended(order_id)).delivered_units == 2
    assert await shop.nodes(order_id) == {1: "wh-columbus"}
    assert await shop.free(sku) == {}
