"""Transfers that leave for a third party's warehouse: it is told what comes, once, also when it was away."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from shared import supply_client
from shared.contracts import BATCH_QUEUE
from shared.database.supply import InboundAdvice, tell_inbound
from shared.domain.supply import Inbound, InboundKind, InboundLine
from shared.messages.transfers import AdviceResult
from tests.support.system import System

RENO = "3pl-reno"


async def sent_off(shop: System, place: int, units: int, *, inbound_id: str = "", to: str = RENO) -> str:
    """A transfer that has left the warehouse."""
    sku = shop.world.items[place].sku
    await shop.stock(sku, wh_columbus=units)
    transfer = Inbound(
        inbound_id=inbound_id or f"TR-{uuid.uuid4().hex[:8]}",
        kind=InboundKind.TRANSFER,
        node_id=to,
        origin_node_id="wh-columbus",
        expected_at=datetime.now(UTC) + timedelta(days=2),
        lines=(InboundLine(sku=sku, quantity=units),),
    )
    await supply_client.create_inbound(shop.doms, transfer, actor="planner")
    assert await supply_client.depart(shop.doms, transfer.inbound_id, actor="dock")
    return transfer.inbound_id


async def wants_to_know(shop: System) -> None:
    table = f"partner_id,kind,base_url,edi_id\n{RENO},fulfillment,{shop.sandbox_url}/{RENO},SIERRA\n"
    await shop.doms.load({"partners": table.encode()})


async def advise(shop: System) -> AdviceResult:
    result: AdviceResult = await shop.temporal.execute_workflow(
        "TransferAdvices", id=f"advices/{uuid.uuid4().hex}", task_queue=BATCH_QUEUE, result_type=AdviceResult
    )
    return result


async def told(shop: System, inbound_id: str) -> InboundAdvice | None:
    async with shop.database.reading() as connection:
        return (await tell_inbound(connection, inbound_id)).advice


async def test_a_warehouse_is_told_once_what_is_on_its_way(shop: System) -> None:
    await wants_to_know(shop)
    inbound_id = await sent_off(shop, 0, 7)
    assert await advise(shop) == AdviceResult(told=1)
    assert await advise(shop) == AdviceResult()
    (effect,) = shop.effects(inbound_id)
    assert (effect.partner, effect.effect, effect.amount) == (RENO, "transfer.advised", 7)
    advice = await told(shop, inbound_id)
    assert advice is not None
    assert advice.sent_at is not None


async def test_one_that_is_away_is_told_later_and_once(shop: System) -> None:
    await wants_to_know(shop)
    inbound_id = await sent_off(shop, 1, 3)
    await shop.fault(RENO, "drop_response")
    assert (await advise(shop)).left == 1
    advice = await told(shop, inbound_id)
    assert advice is not None
    assert advice.fault
    await shop.fault(RENO, "ok")

    async def is_told() -> bool:
        await advise(shop)
        advice = await told(shop, inbound_id)
        return advice is not None and advice.sent_at is not None

    await shop.until(is_told)
    assert [effect.effect for effect in shop.effects(inbound_id)] == ["transfer.advised"]


async def test_what_cannot_be_told_is_a_case_and_stops_no_other(shop: System) -> None:
    await wants_to_know(shop)
    too_long = await sent_off(shop, 2, 2, inbound_id=f"TR-{uuid.uuid4().hex}")
    other = await sent_off(shop, 3, 2)
    assert await advise(shop) == AdviceResult(told=1, left=1)
    rows = await shop.rows("SELECT kind FROM exception_case WHERE reference = :id", id=too_long)
    assert [row.kind for row in rows] == ["transfer_not_advised"]
    assert (await told(shop, other)) is not None
    assert await told(shop, await sent_off(shop, 4, 1, to="store-chicago")) is None
