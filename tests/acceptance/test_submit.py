"""The channel's call: one order, one process and one verdict, however often it is made."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.service import RPCError, RPCStatusCode

from shared.domain.orders import OrderDocument, OrderLine
from shared.errors import Conflict, InvalidInput
from tests.support.system import System


async def processes(shop: System, order_id: str) -> int:
    """Runs of the order's workflow there ever were."""
    try:
        description = await shop.handle(order_id).describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return 0

    async def listed() -> list[str]:
        query = f"WorkflowId = '{description.id}'"
        return [run.run_id async for run in shop.temporal.list_workflows(query)]

    await shop.until(listed)
    return len(await listed())


async def test_the_same_order_again_gets_the_same_verdict(shop: System) -> None:
    sku = shop.world.items[0].sku
    await shop.stock(sku, wh_columbus=1)
    document = shop.order((sku, 2))

    first = await shop.doms.submit(document)
    again = await shop.doms.submit(OrderDocument.model_validate_json(document.model_dump_json()))

    assert first == again
    assert first.backordered_units == 1
    assert await shop.value("SELECT count(*) FROM orders WHERE order_id = :o", o=first.order_id) == 1


async def test_the_verdict_stands_after_the_order_is_over(shop: System) -> None:
    sku = shop.world.items[1].sku
    await shop.stock(sku, wh_columbus=1)
    document = shop.order((sku, 1))
    first = await shop.doms.submit(document)
    await shop.ended(first.order_id)

    assert await shop.doms.submit(document) == first
    assert await processes(shop, first.order_id) == 1


async def test_twenty_at_once_are_one_order(shop: System) -> None:
    sku = shop.world.items[2].sku
    await shop.stock(sku, wh_columbus=30)
    document = shop.order((sku, 1))

    verdicts = await asyncio.gather(*(shop.doms.submit(document) for _ in range(20)))

    assert all(verdict == verdicts[0] for verdict in verdicts)
    order_id = verdicts[0].order_id
    assert (await shop.ended(order_id)).delivered_units == 1
    assert await processes(shop, order_id) == 1
    assert await shop.free(sku) == {"wh-columbus": 29}
    assert shop.did(order_id)["payment.authorized"] == 1


async def test_other_content_under_the_same_id(shop: System) -> None:
    sku = shop.world.items[3].sku
    await shop.stock(sku, wh_columbus=5)
    document = shop.order((sku, 1))
    other = shop.order((sku, 2), channel_order_id=document.channel_order_id)

    answers = await asyncio.gather(shop.doms.submit(document), shop.doms.submit(other), return_exceptions=True)

    assert sum(isinstance(answer, Conflict) for answer in answers) == 1
    with pytest.raises(Conflict):
        await shop.doms.submit(shop.order((sku, 3), channel_order_id=document.channel_order_id))


@pytest.mark.parametrize("fault", ["unknown item", "other currency"])
async def test_what_cannot_be_sold_leaves_no_trace(shop: System, fault: str) -> None:
    sku = shop.world.items[4].sku
    document = shop.order((sku, 1), (sku, 1))
    if fault == "unknown item":
        lines = (document.lines[0], OrderLine(line_no=2, sku="NO-SUCH", quantity=1))
        document = document.model_copy(update={"lines": lines})
    else:
        document = document.model_copy(update={"currency": "EUR"})

    with pytest.raises(InvalidInput) as caught:
        await shop.doms.submit(document)

    assert {fault.pointer.split("/")[1] for fault in caught.value.faults} == {"lines"}
    order_id = shop.id_of(document)
    assert await shop.value("SELECT count(*) FROM orders WHERE order_id = :o", o=order_id) == 0
    assert await processes(shop, order_id) == 0
    assert shop.effects(order_id) == []
