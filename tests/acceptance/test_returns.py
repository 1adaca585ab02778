"""Goods come back: judged, received, graded, put away and refunded, once and exactly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus

from shared.domain.orders import OrderLine
from shared.errors import Conflict, InvalidInput, NotFound
from shared.gateways.partner_messages import Grade, GradedLine, ReturnReceived
from shared.messages import (
    DecideReturn,
    LineQuantity,
    ReturnInput,
    ReturnOutcome,
    ReturnRequest,
    return_workflow_id,
)
from shared.return_processes import ReturnProcesses
from tests.support.discrepancies import forget_workflow, reconcile
from tests.support.system import PACE, System, system
from workers.stack.temporal import EmbeddedTemporal

#: What takes a process, by its id, out of the world.
End = Callable[[System, str], Awaitable[None]]


@pytest.fixture(scope="module")
async def shop(
    database_url: str, temporal_server: EmbeddedTemporal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """Nothing comes back by itself: the tests say what arrives."""
    pace = PACE.model_copy(update={"return_after": 3600.0})
    async with system(database_url, temporal_server.address, tmp_path_factory.mktemp("shop"), pace=pace) as running:
        yield running


def back(order_id: str, lines: Mapping[int, int], request_id: str = "") -> ReturnRequest:
    asked = tuple(LineQuantity(line_no=n, quantity=units) for n, units in lines.items())
    return ReturnRequest(actor="pia", order_id=order_id, lines=asked, request_id=request_id, reason="too small")


async def delivered(shop: System, *lines: OrderLine) -> str:
    """An order that was delivered whole, from Columbus."""
    for line in lines:
        await shop.stock(line.sku, wh_columbus=line.quantity)
    document = shop.order(*((line.sku, line.quantity) for line in lines)).model_copy(update={"lines": lines})
    order_id = await shop.place(document)
    await shop.ended(order_id)
    return order_id


def line(shop: System, n: int, line_no: int, quantity: int, price: int = 1000, **amounts: int) -> OrderLine:
    sku = shop.world.items[n].sku
    return OrderLine(line_no=line_no, sku=sku, quantity=quantity, unit_price_minor=price, **amounts)


async def arrive(shop: System, opened: ReturnInput, *graded: tuple[OrderLine, int, Grade]) -> None:
    """The node receives these units."""
    message = ReturnReceived(
        message_id=f"test:{opened.return_id.rpartition('/')[0].rpartition('/')[2]}:{opened.return_id[-2:]}",
        reference=opened.return_id,
        at=datetime.now(UTC),
        lines=tuple(
            GradedLine(line_no=line.line_no, sku=line.sku, quantity=units, grade=grade) for line, units, grade in graded
        ),
    )
    await shop.until_did(opened.return_id, "return.expected")
    assert await shop.tell("wh-columbus", message) == 204


async def finished(shop: System, opened: ReturnInput) -> ReturnOutcome:
    handle = shop.temporal.get_workflow_handle(return_workflow_id(opened.return_id), result_type=ReturnOutcome)
    async with asyncio.timeout(60):
        outcome: ReturnOutcome = await handle.result()
    await shop.settled(opened.order_id)
    return outcome


async def asked_staff(shop: System, order_id: str) -> bool:
    return "return ask_staff" in await shop.events(order_id)


async def terminate_workflow(shop: System, workflow_id: str) -> None:
    await shop.temporal.get_workflow_handle(workflow_id).terminate("by a test")


async def status(shop: System, opened: ReturnInput, wanted: str) -> None:
    async def met() -> bool:
        found = await shop.value("SELECT status FROM return_order WHERE return_id = :r", r=opened.return_id)
        return bool(found == wanted)

    await shop.until(met)


async def test_a_return_within_the_rules_is_refunded_exactly(shop: System) -> None:
    goods = line(shop, 0, 1, 3, price=1099, discount_minor=100, tax_minor=262)
    order_id = await delivered(shop, goods)

    opened = await shop.doms.return_units(back(order_id, {1: 2}))
    await arrive(shop, opened, (goods, 2, Grade.A))
    outcome = await finished(shop, opened)

    assert (outcome.status, outcome.received_units) == ("closed", 2)
    assert outcome.refund_minor == goods.total_minor * 2 // 3
    assert (await shop.money(order_id))["refunded"] == outcome.refund_minor
    assert await shop.units(order_id) == {1: {"delivered": 1, "returned": 2}}
    assert await shop.free(goods.sku) == {"wh-columbus": 2}
    last = await shop.doms.return_units(back(order_id, {1: 1}))
    await arrive(shop, last, (goods, 1, Grade.A))
    await finished(shop, last)
    assert (await shop.money(order_id))["refunded"] == goods.total_minor


async def test_what_is_not_as_new_is_written_off_and_still_refunded(shop: System) -> None:
    as_new, worn = line(shop, 1, 1, 2), line(shop, 2, 2, 2)
    order_id = await delivered(shop, as_new, worn)

    opened = await shop.doms.return_units(back(order_id, {1: 2, 2: 2}))
    await arrive(shop, opened, (as_new, 1, Grade.A), (as_new, 1, Grade.C), (worn, 2, Grade.D))
    outcome = await finished(shop, opened)

    assert (outcome.received_units, outcome.refund_minor) == (4, as_new.total_minor + worn.total_minor)
    lines = await shop.rows(
        "SELECT received, restocked, written_off FROM return_line WHERE return_id = :r ORDER BY line_no",
        r=opened.return_id,
    )
    assert lines == [(2, 1, 1), (2, 0, 2)]
    moves = await shop.rows(
        "SELECT sku, cause, on_hand FROM stock_move WHERE reference = :r ORDER BY cause, sku", r=opened.return_id
    )
    assert set(moves) == {(as_new.sku, "restock", 1), (as_new.sku, "write_off", 0), (worn.sku, "write_off", 0)}
    assert (await shop.free(as_new.sku), await shop.free(worn.sku)) == ({"wh-columbus": 1}, {})


async def test_only_what_came_is_refunded(shop: System) -> None:
    goods = line(shop, 3, 1, 3)
    order_id = await delivered(shop, goods)

    opened = await shop.doms.return_units(back(order_id, {1: 3}))
    await arrive(shop, opened, (goods, 1, Grade.A))
    outcome = await finished(shop, opened)

    assert (outcome.received_units, outcome.refund_minor) == (1, 1000)
    assert await shop.units(order_id) == {1: {"delivered": 2, "returned": 1}}
    again = await shop.doms.return_units(back(order_id, {1: 2}))
    assert again.return_id != opened.return_id


async def test_too_late(shop: System) -> None:
    goods = line(shop, 4, 1, 1)
    async with shop.policy(return_window=timedelta(0)):
        order_id = await delivered(shop, goods)
    opened = await shop.doms.return_units(back(order_id, {1: 1}))

    assert (await finished(shop, opened)).status == "declined"
    assert shop.did(opened.return_id) == {}
    assert (await shop.money(order_id))["refunded"] == 0


@pytest.mark.parametrize("approve", [True, False])
async def test_staff_decide_what_is_worth_much(shop: System, approve: bool) -> None:
    goods = line(shop, 5, 1, 1, price=60_000)
    order_id = await delivered(shop, goods)
    opened = await shop.doms.return_units(back(order_id, {1: 1}))
    await shop.until(lambda: asked_staff(shop, order_id))
    assert shop.did(opened.return_id) == {}
    answer = await shop.doms.decide_return(opened.return_id, DecideReturn(actor="pia", approve=approve))

    assert answer.done
    if approve:
        await arrive(shop, opened, (goods, 1, Grade.B))
    outcome = await finished(shop, opened)
    assert (outcome.status, outcome.refund_minor) == (("closed", 60_000) if approve else ("declined", 0))
    decided = await shop.value("SELECT decided_by FROM return_order WHERE return_id = :r", r=opened.return_id)
    assert decided == "pia"
    with pytest.raises(Conflict):
        await shop.doms.decide_return(opened.return_id, DecideReturn(actor="pia", approve=approve))


@pytest.mark.parametrize("end", [forget_workflow, terminate_workflow])
async def test_a_return_whose_process_is_gone_is_refunded_all_the_same(shop: System, end: End) -> None:
    goods = line(shop, 12, 1, 1, price=60_000)
    order_id = await delivered(shop, goods)
    opened = await shop.doms.return_units(back(order_id, {1: 1}))
    await shop.until(lambda: asked_staff(shop, order_id))
    await shop.doms.decide_return(opened.return_id, DecideReturn(actor="pia", approve=True))
    await shop.until_did(opened.return_id, "return.expected")
    await end(shop, return_workflow_id(opened.return_id))
    await arrive(shop, opened, (goods, 1, Grade.A))
    processes = ReturnProcesses(shop.temporal, shop.database)

    async def found() -> bool:
        await reconcile(shop)
        return bool(await shop.cases(order_id))

    async def over() -> object:
        await reconcile(shop)
        return await shop.value("SELECT closed_at FROM return_order WHERE return_id = :r", r=opened.return_id)

    await shop.until(found)
    if end is terminate_workflow:
        assert await processes.status(opened.return_id) is WorkflowExecutionStatus.TERMINATED
        await processes.restart(opened.return_id)
    await shop.until(over)

    outcome = await finished(shop, opened)
    assert (outcome.status, outcome.refund_minor) == ("closed", 60_000)
    what = "missing" if end is forget_workflow else "ended"
    assert await shop.cases(order_id) == [f"recon.return_process_{what}"]
    assert shop.did(opened.return_id)["return.expected"] == 1
    assert (await shop.events(order_id)).count("return approved") == 1
    with pytest.raises(Conflict):
        await processes.restart(opened.return_id)


async def test_more_than_was_delivered_is_refused_with_every_fault(shop: System) -> None:
    first, second = line(shop, 6, 1, 2), line(shop, 7, 2, 1)
    order_id = await delivered(shop, first, second)
    await shop.doms.return_units(back(order_id, {1: 1}))

    with pytest.raises(InvalidInput) as caught:
        await shop.doms.return_units(back(order_id, {1: 2, 2: 5, 9: 1}))

    faults = {fault.pointer: fault.code for fault in caught.value.faults}
    assert faults == {
        "/lines/1/quantity": "not_returnable",
        "/lines/2/quantity": "not_returnable",
        "/lines/9": "unknown_line",
    }
    assert await shop.value("SELECT count(*) FROM return_order WHERE order_id = :o", o=order_id) == 1
    with pytest.raises(NotFound):
        await shop.doms.return_units(back("webshop/never", {1: 1}))


async def test_the_same_request_again_is_the_same_return(shop: System) -> None:
    goods = line(shop, 8, 1, 2)
    order_id = await delivered(shop, goods)
    request = back(order_id, {1: 2}, request_id="r-1")

    opened = await asyncio.gather(*(shop.doms.return_units(request) for _ in range(5)))

    assert len({one.return_id for one in opened}) == 1
    await arrive(shop, opened[0], (goods, 2, Grade.A))
    await arrive(shop, opened[0], (goods, 2, Grade.A))
    assert (await finished(shop, opened[0])).refund_minor == 2000
    assert await shop.doms.return_units(request) == opened[0]
    assert shop.did(opened[0].return_id)["payment.refunded"] == 1
    assert await shop.free(goods.sku) == {"wh-columbus": 2}


async def test_a_return_that_never_comes_expires(shop: System) -> None:
    goods = line(shop, 9, 1, 1)
    async with shop.policy(return_within=timedelta(seconds=1)):
        order_id = await delivered(shop, goods)
    opened = await shop.doms.return_units(back(order_id, {1: 1}))

    assert (await finished(shop, opened)).status == "expired"
    await arrive(shop, opened, (goods, 1, Grade.A))
    assert await shop.cases(order_id) == ["returned_after_all"]
    assert (await shop.money(order_id))["refunded"] == 0
    assert (await shop.doms.return_units(back(order_id, {1: 1}))).return_id != opened.return_id


async def test_an_operator_ends_a_return_that_waits(shop: System) -> None:
    goods = line(shop, 10, 1, 1)
    order_id = await delivered(shop, goods)
    opened = await shop.doms.return_units(back(order_id, {1: 1}))
    await shop.until_did(opened.return_id, "return.expected")

    await shop.temporal.get_workflow_handle(return_workflow_id(opened.return_id)).cancel()

    await status(shop, opened, "expired")


async def test_nothing_is_refunded_that_was_never_paid(shop: System) -> None:
    """The capture was declined: the goods come back, the money never came."""
    goods = line(shop, 11, 1, 1)
    await shop.stock(goods.sku, wh_columbus=1)
    document = shop.order((goods.sku, 1))
    unpaid = document.payment.model_copy(update={"token": "tok_capture_declined"})
    order_id = await shop.place(document.model_copy(update={"lines": (goods,), "payment": unpaid}))
    await shop.ended(order_id)

    opened = await shop.doms.return_units(back(order_id, {1: 1}))
    await arrive(shop, opened, (goods, 1, Grade.A))
    outcome = await finished(shop, opened)

    assert (outcome.status, outcome.refund_minor) == ("closed", 0)
    assert await shop.cases(order_id) == ["capture"]
