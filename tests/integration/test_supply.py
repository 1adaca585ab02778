"""Expected supply and who waits for it, by the facts alone: real Postgres, no processes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from shared import supply_client
from shared.client import Doms
from shared.database import supply
from shared.database.checks import CHECKS
from shared.database.engine import Database
from shared.database.quarantine import Disposal
from shared.database.receipts import Received
from shared.database.reconciliation import run_check
from shared.database.stock import Move
from shared.domain.supply import Inbound, InboundKind, InboundLine, Receipt, ReceiptLine
from shared.errors import Conflict, InvalidInput, NotFound
from shared.loading import load
from shared.messages import Wake
from tests.support.facts import Facts

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=5)
LATER = SOON + timedelta(days=14)


class Desk:
    """Stands in for the client where no process runs: notes who would be woken."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.woken: list[str] = []

    async def wake(self, workflow_id: str, wake: Wake) -> None:
        assert wake.kind in ("supply_changed", "stock_arrived")
        self.woken.append(workflow_id.removeprefix("order/"))


class Shop:
    """Facts, and the hand that moves supply."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.desk = Desk(facts.database)
        self.doms = cast(Doms, self.desk)
        self.sku = facts.sku()

    async def expect(self, units: int, at: datetime = SOON, **changes: Any) -> str:
        inbound = Inbound(
            inbound_id=f"PO-{uuid.uuid4().hex[:8]}",
            kind=InboundKind.PURCHASE_ORDER,
            node_id="wh-columbus",
            expected_at=at,
            lines=(InboundLine(sku=self.sku, quantity=units),),
        ).model_copy(update=changes)
        assert await supply_client.create_inbound(
            self.doms, Inbound.model_validate(inbound.model_dump()), actor="buyer"
        )
        return inbound.inbound_id

    async def wait(self, units: int, **changes: Any) -> str:
        """An order of units that are not there."""
        order_id = await self.facts.keep((self.sku, units), **changes)
        await self.facts.source(order_id)
        return order_id

    async def receive(self, inbound_id: str, good: int = 0, *, reference: str = "", **line: Any) -> Received:
        receipt = Receipt(
            inbound_id=inbound_id,
            reference=reference or uuid.uuid4().hex,
            lines=(ReceiptLine(sku=self.sku, good=good, **line),),
        )
        return await supply_client.receive(self.doms, receipt, actor="dock")

    async def bound(self) -> dict[tuple[str, str], int]:
        rows = await self.facts.rows("SELECT order_id, inbound_id, quantity FROM supply_binding")
        return {(row.order_id, row.inbound_id): row.quantity for row in rows}

    async def promised(self, order_id: str) -> datetime | None:
        rows = await self.facts.rows("SELECT promised_at FROM orders WHERE order_id = :o", o=order_id)
        promised: datetime | None = rows[0].promised_at
        return promised

    async def line(self, inbound_id: str) -> dict[str, int]:
        rows = await self.facts.rows("SELECT * FROM inbound_line WHERE inbound_id = :i", i=inbound_id)
        return {k: v for k, v in rows[0]._mapping.items() if isinstance(v, int) and v}

    async def position(self, node_id: str = "wh-columbus") -> tuple[int, ...]:
        """Units on hand, reserved, held, quarantined and free."""
        rows = await self.facts.rows(
            """SELECT on_hand, reserved, held, quarantined, free FROM stock_position
               WHERE (node_id, sku) = (:n, :s)""",
            n=node_id,
            s=self.sku,
        )
        return tuple(rows[0]) if rows else (0, 0, 0, 0, 0)

    async def reserved(self) -> dict[str, int]:
        rows = await self.facts.rows("SELECT order_id, sum(open) AS open FROM reservation GROUP BY order_id")
        return {row.order_id: row.open for row in rows}

    async def events(self, order_id: str) -> list[str]:
        rows = await self.facts.rows("SELECT event FROM timeline WHERE order_id = :o ORDER BY event_id", o=order_id)
        return [row.event for row in rows]

    async def cases(self) -> set[str]:
        return {row.kind for row in await self.facts.rows("SELECT kind FROM exception_case")}

    async def books_agree(self) -> None:
        """Every check of the reconciliation that is not about lateness finds nothing."""
        for check in CHECKS:
            if not check.late:
                async with self.facts.database.transaction() as connection:
                    found = await run_check(connection, check, run_id="test", started_at=datetime.now(UTC))
                assert not found.breaks, check.name


@pytest.fixture
async def shop(fresh_database_url: str) -> AsyncIterator[Shop]:
    facts = await Facts.load(fresh_database_url)
    await facts.stock(facts.sku())
    shop = Shop(facts)
    yield shop
    await shop.books_agree()
    await facts.database.close()


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


async def test_a_table_tells_of_supply_once_and_binds_who_waits(shop: Shop) -> None:
    early, late = await shop.wait(3), await shop.wait(3)
    header = "inbound_id,kind,node_id,origin_node_id,expected_at,sku,quantity,reference"
    first = f"PO-1,purchase_order,wh-columbus,,{SOON.isoformat()},{shop.sku},4,4500"
    table = "\n".join(
        [header, first, f"PO-1,purchase_order,wh-columbus,,{SOON.isoformat()},{shop.facts.sku(1)},9,4500"]
    )
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


# --- receipts ---------------------------------------------------------------------------------------------


async def test_units_are_counted_in_good_damaged_short_and_over(shop: Shop) -> None:
    inbound_id = await shop.expect(10)
    await shop.receive(inbound_id, 4, damaged=1, reference="asn-1")
    assert await shop.line(inbound_id) == {"quantity": 10, "open": 5, "received": 4, "damaged": 1}
    assert await shop.position() == (4, 0, 0, 1, 4)
    again = await shop.receive(inbound_id, 4, damaged=1, reference="asn-1")
    assert again.again
    assert await shop.position() == (4, 0, 0, 1, 4)
    with pytest.raises(Conflict):
        await shop.receive(inbound_id, 3, reference="asn-1")
    closed = await shop.receive(inbound_id, 3, short=True)
    assert closed.closed
    assert await shop.line(inbound_id) == {"quantity": 10, "received": 7, "damaged": 1, "missing": 2}
    assert await shop.cases() == set()
    assert (await shop.receive(inbound_id, 2)).lines[0].over == 2
    assert await shop.cases() == {"over_receipt"}
    with pytest.raises(NotFound):
        await shop.receive("PO-nothing", 1)


async def test_an_item_nobody_expected_is_taken_in(shop: Shop) -> None:
    inbound_id = await shop.expect(1)
    shop.sku = shop.facts.sku(1)
    assert (await shop.receive(inbound_id, 6)).lines[0].over == 6
    assert await shop.cases() == {"over_receipt"}


async def test_receipts_at_once_are_each_booked_once(shop: Shop) -> None:
    inbound_id = await shop.expect(20)
    orders = [await shop.wait(1) for _ in range(6)]
    await asyncio.gather(*(shop.receive(inbound_id, 2, reference=f"asn-{n % 8}") for n in range(24)))
    assert await shop.line(inbound_id) == {"quantity": 20, "open": 4, "received": 16}
    assert await shop.position() == (16, 0, 6, 0, 10)
    assert set(orders) <= set(shop.desk.woken)


async def test_quarantine_is_released_or_written_off(shop: Shop) -> None:
    inbound_id = await shop.expect(5)
    await shop.receive(inbound_id, damaged=5)
    order_id = await shop.wait(1)
    of = {"node_id": "wh-columbus", "sku": shop.sku}
    inspected = Disposal(**of, quantity=2, reference="inspection-1")
    assert await supply_client.release_quarantine(shop.doms, inspected, actor="qa") == 1
    assert await supply_client.release_quarantine(shop.doms, inspected, actor="qa") == 0
    assert await shop.position() == (2, 0, 1, 3, 1)
    await shop.facts.source(order_id)
    assert await shop.position() == (2, 1, 0, 3, 1)
    scrap = Disposal(**of, quantity=3, reference="scrap-1")
    assert await supply_client.write_off_quarantine(shop.doms, scrap, actor="qa")
    assert not await supply_client.write_off_quarantine(shop.doms, scrap, actor="qa")
    with pytest.raises(Conflict):
        await supply_client.write_off_quarantine(shop.doms, scrap.model_copy(update={"reference": "2"}), actor="qa")


# --- transfers --------------------------------------------------------------------------------------------


async def test_a_transfer_moves_units_and_loses_none(shop: Shop) -> None:
    await shop.facts.stock(shop.sku, store_chicago=5)
    move: dict[str, Any] = {"kind": InboundKind.TRANSFER, "origin_node_id": "store-chicago"}
    inbound_id = await shop.expect(5, **move)
    too_many = await shop.expect(6, **move)
    with pytest.raises(Conflict):
        await supply_client.depart(shop.doms, too_many, actor="store")
    with pytest.raises(Conflict):
        await shop.receive(inbound_id, 5)
    assert await supply_client.depart(shop.doms, inbound_id, actor="store")
    assert not await supply_client.depart(shop.doms, inbound_id, actor="store")
    assert (await shop.position("store-chicago"))[0] == 0
    async with shop.facts.database.reading() as connection:
        moving = await supply.tell_inbound(connection, inbound_id)
    assert (moving.status, moving.node_id, moving.units) == ("in_transit", "wh-columbus", 5)
    order_id = await shop.wait(1)
    assert await shop.bound() == {(order_id, inbound_id): 1}
    with pytest.raises(Conflict):
        await supply_client.cancel_inbound(shop.doms, inbound_id)
    received = await shop.receive(inbound_id, 3, damaged=1, short=True)
    assert received.closed
    assert await shop.position() == (3, 0, 1, 1, 2)
    assert await shop.cases() == {"lost_in_transfer"}


# --- the moment it lands ----------------------------------------------------------------------------------


async def test_what_lands_is_there_for_who_waits_in_their_order_of_service(shop: Shop) -> None:
    inbound_id = await shop.expect(4)
    early, urgent, calm = await shop.wait(3), await shop.wait(3, priority=1), await shop.wait(1)
    assert await shop.bound() == {(early, inbound_id): 3, (urgent, inbound_id): 1}
    await shop.receive(inbound_id, 3)
    for order_id in (calm, early, urgent):
        await shop.facts.source(order_id)
    assert await shop.reserved() == {urgent: 1, early: 2}
    await shop.receive(inbound_id, 1)
    for order_id in (await shop.wait(1), calm, urgent, early):
        await shop.facts.source(order_id)
    assert await shop.reserved() == {urgent: 1, early: 3}
    assert not await shop.bound()
    over = await shop.expect(1)
    await shop.receive(over, 3, reference="all that was left")
    for order_id in (calm, urgent):
        await shop.facts.source(order_id)
    assert await shop.reserved() == {urgent: 3, early: 3, calm: 1}


async def test_what_arrives_unannounced_is_kept_for_who_waits_too(shop: Shop) -> None:
    early, late = await shop.wait(2), await shop.wait(2)
    doms = Doms(cast(Any, None), shop.facts.database)
    doms.wake = shop.desk.wake  # type: ignore[method-assign]
    move = Move(node_id="wh-columbus", sku=shop.sku, cause="receive", on_hand=3, reference="asn-1")
    for _ in range(2):
        assert await doms.receive_stock([move]) == 2
        assert await shop.position() == (3, 0, 3, 0, 0)
    await shop.facts.cancel(early)
    assert await supply_client.pass_on(shop.doms, early) == 1
    await shop.facts.source(late)
    assert await shop.reserved() == {late: 2}
    assert await shop.position() == (3, 2, 0, 0, 1)


async def test_nobody_who_comes_at_the_moment_it_lands_is_faster(shop: Shop) -> None:
    inbound_id = await shop.expect(10)
    waiting = [await shop.wait(2) for _ in range(5)]
    racing = [asyncio.create_task(shop.wait(1)) for _ in range(20)]
    landing = asyncio.create_task(shop.receive(inbound_id, 10))
    more = [asyncio.create_task(shop.wait(1)) for _ in range(20)]
    await asyncio.gather(*racing, landing, *more)
    await asyncio.gather(*(shop.facts.source(order_id) for order_id in waiting))
    assert await shop.reserved() == dict.fromkeys(waiting, 2)
    assert await shop.position() == (10, 10, 0, 0, 0)
