"""Expected supply and who waits for it, by the facts alone: real Postgres, no processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from unittest.mock import AsyncMock

import pytest

from shared import supply_client
from shared.database import rebinding, supply
from shared.domain.supply import Inbound, InboundKind, InboundLine
from shared.errors import Conflict, InvalidInput
from shared.loading import load
from tests.support.supply_desk import LATER, SOON, Shop, opened


@pytest.fixture
async def shop(fresh_database_url: str) -> AsyncIterator[Shop]:
    async with opened(fresh_database_url) as shop:
        yield shop


# --- telling of it ----------------------------------------------------------------------------------------


async def test_the_same_is_told_once_and_other_content_is_a_conflict(shop: Shop) -> None:
    inbound_id = await shop.expect(10)
    told = Inbound(
        inbound_id=inbound_id,
        kind=InboundKind.PURCHASE_ORDER,
        node_id="wh-columbus",
        expected_at=SOON,
        lines=(InboundLine(sku=shop.sku, quantity=10),),
    )
    assert not await supply_client.create_inbound(shop.doms, told, actor="buyer")
    more = told.model_copy(update={"lines": (InboundLine(sku=shop.sku, quantity=11),)})
    with pytest.raises(Conflict):
        await supply_client.create_inbound(shop.doms, more, actor="buyer")
    unknown = told.model_copy(update={"node_id": "nowhere", "lines": (InboundLine(sku="nothing", quantity=1),)})
    with pytest.raises(InvalidInput) as caught:
        await supply_client.create_inbound(shop.doms, unknown, actor="buyer")
    assert {fault.pointer for fault in caught.value.faults} == {"/node_id", "/lines/0/sku"}


async def test_dated_supply_is_what_nobody_is_bound_to(shop: Shop) -> None:
    inbound_id = await shop.expect(10)
    await shop.wait(3)
    async with shop.facts.database.reading() as connection:
        story = await supply.tell_inbound(connection, inbound_id)
        assert await supply.list_inbounds(connection, sku=shop.sku, node_id="wh-columbus")
    [line] = story.lines
    assert (line.open - line.bound, story.expected_at) == (7, SOON)
    assert [order.quantity for order in story.waiting] == [3]


# --- binding ----------------------------------------------------------------------------------------------


async def test_an_order_without_stock_is_promised_by_the_supply(shop: Shop) -> None:
    await shop.expect(10, LATER)
    first = await shop.expect(2, SOON)
    order_id = await shop.wait(2)
    promised = await shop.promised(order_id)
    assert promised is not None
    assert SOON < promised < SOON + timedelta(days=12)
    assert await shop.bound() == {(order_id, first): 2}
    verdict = (await shop.facts.rows("SELECT verdict FROM orders WHERE order_id = :o", o=order_id))[0].verdict
    assert datetime.fromisoformat(verdict["promised_at"]) == promised


async def test_who_waited_before_is_bound_when_supply_is_told(shop: Shop) -> None:
    early, urgent, late = await shop.wait(4), await shop.wait(4, priority=1), await shop.wait(4)
    assert await shop.promised(early) is None
    inbound_id = await shop.expect(10)
    assert await shop.bound() == {(urgent, inbound_id): 4, (early, inbound_id): 4, (late, inbound_id): 2}
    assert set(shop.desk.woken) == {early, urgent, late}
    assert "promise changed" in await shop.events(early)


async def test_supply_of_a_node_that_failed_an_order_is_bound_when_its_policy_says_so(shop: Shop) -> None:
    await shop.facts.stock(shop.sku, wh_columbus=1)
    order_id = await shop.wait(2)
    bound = {}
    for days in (6, 8):
        await shop.facts.run(
            "UPDATE fulfillment_order SET excludes_node = true, shipped_at = now() - make_interval(days => :d)"
            " WHERE order_id = :o", o=order_id, d=days,
        )  # fmt: skip
        await shop.expect(4)
        bound[days] = sum((await shop.bound()).values())
    assert bound == {6: 0, 8: 1}


async def test_a_promise_made_is_kept_from_who_comes_later(shop: Shop) -> None:
    inbound_id = await shop.expect(3)
    early = await shop.wait(3)
    urgent = await shop.wait(3, priority=1)
    assert await shop.bound() == {(early, inbound_id): 3}
    assert await shop.promised(urgent) is None


async def test_a_cancelled_order_gives_its_supply_to_the_next(shop: Shop) -> None:
    inbound_id = await shop.expect(3)
    early, late = await shop.wait(3), await shop.wait(2)
    await shop.facts.cancel(early)
    assert await supply_client.pass_on(shop.doms, early) == 1
    assert await shop.bound() == {(late, inbound_id): 2}
    assert await shop.line(inbound_id) == {"quantity": 3, "open": 3, "bound": 2}
    assert await shop.promised(late) is not None


async def test_many_orders_at_once_never_bind_more_than_comes(shop: Shop) -> None:
    first, second = await shop.expect(7), await shop.expect(5, LATER)
    await asyncio.gather(*(shop.wait(1) for _ in range(30)))
    bound = await shop.bound()
    assert sum(units for (_, name), units in bound.items() if name == first) == 7
    assert sum(units for (_, name), units in bound.items() if name == second) == 5


async def test_supply_that_slips_promises_anew(shop: Shop) -> None:
    slipping = await shop.expect(3, SOON)
    early, late = await shop.wait(2), await shop.wait(1)
    before = await shop.promised(early)
    assert before is not None
    assert await supply_client.slip(shop.doms, slipping, LATER, because="the ship waits at Suez") == 2
    after = await shop.promised(early)
    assert after is not None
    assert after > before
    told = (await shop.facts.rows("SELECT detail FROM timeline WHERE event = 'promise changed'"))[0].detail
    assert "Suez" in told["because"]
    assert datetime.fromisoformat(told["from"]) == before
    assert datetime.fromisoformat(told["to"]) == after
    await supply_client.slip(shop.doms, slipping, SOON)
    assert await shop.promised(late) == await shop.promised(early) == before
    other = await shop.expect(2, SOON + timedelta(days=1))
    await supply_client.slip(shop.doms, slipping, LATER)
    assert await shop.bound() == {(early, other): 2, (late, slipping): 1}


async def test_supply_that_is_cancelled_leaves_its_orders_to_other_supply(shop: Shop) -> None:
    gone = await shop.expect(3)
    order_id = await shop.wait(3)
    other = await shop.expect(5, LATER)
    assert await supply_client.cancel_inbound(shop.doms, gone, because="vendor is bankrupt")
    assert not await supply_client.cancel_inbound(shop.doms, gone)
    assert await shop.bound() == {(order_id, other): 3}
    assert await shop.line(gone) == {"quantity": 3, "missing": 3}
    with pytest.raises(Conflict):
        await supply_client.slip(shop.doms, gone, LATER)


async def test_a_table_tells_of_supply_once_and_binds_who_waits(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    early, late = await shop.wait(3), await shop.wait(3)
    header = "inbound_id,kind,node_id,origin_node_id,expected_at,sku,quantity,reference"
    first = f"PO-1,purchase_order,wh-columbus,,{SOON.isoformat()},{shop.sku},4,4500"
    table = "\n".join(
        [header, first, f"PO-1,purchase_order,wh-columbus,,{SOON.isoformat()},{shop.facts.sku(1)},9,4500"]
    )
    with monkeypatch.context() as dying:
        dying.setattr(rebinding, "rebind", AsyncMock(side_effect=ConnectionError))
        with pytest.raises(ConnectionError):
            await load(shop.facts.database, {"supply": table.encode()})
    loaded, waiting = await load(shop.facts.database, {"supply": table.encode()})
    assert (loaded[0].added, set(waiting)) == (2, {early, late})
    assert await shop.bound() == {(early, "PO-1"): 3, (late, "PO-1"): 1}
    again, _ = await load(shop.facts.database, {"supply": table.encode()})
    assert (again[0].added, again[0].again) == (0, True)
    wrong = [
        first.replace(",4,", ",5,"),
        f"PO-2,transfer,wh-columbus,,{SOON.isoformat()},{shop.sku},4,",
        f"PO-3,advice,wh-columbus,,{SOON.isoformat()},{shop.sku},4,",
        f"PO-3,advice,store-chicago,,{SOON.isoformat()},{shop.facts.sku(1)},4,",
    ]
    faults: dict[str, str] = {}
    for rows in ([wrong[0]], [wrong[1]], wrong[2:]):
        with pytest.raises(InvalidInput) as caught:
            await load(shop.facts.database, {"supply": "\n".join([header, *rows]).encode()})
        faults |= {fault.pointer: fault.code for fault in caught.value.faults}
    assert faults == {"/2/inbound_id": "conflict", "/2": "invalid", "/3/node_id": "differs"}
