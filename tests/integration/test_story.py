"""The story of an order at its stages, on real Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from shared.database import figures, story
from shared.database.figures import FULFILLMENT
from shared.domain.orders import Fulfillment, Lifecycle, UnitCount, UnitState, fulfillment_of
from shared.domain.rollups import Payment, Return
from shared.errors import InvalidInput, NotFound
from tests.support.facts import TOKEN, Facts


@pytest.fixture(scope="module")
async def shop(database_url: str) -> AsyncIterator[Facts]:
    """A merchant with two nodes that hold everything; the tests of this module share it."""
    facts = await Facts.load(database_url)
    for item in facts.world.items:
        await facts.stock(item.sku, wh_columbus=50)
    yield facts
    await facts.database.close()


async def test_an_order_that_was_only_kept_waits_for_its_plan(shop: Facts) -> None:
    told = await shop.tell(await shop.keep((shop.sku(), 2)))
    assert (told.lifecycle, told.fulfillment, told.payment) == (
        Lifecycle.PLACED,
        Fulfillment.UNALLOCATED,
        Payment.PENDING,
    )
    assert told.waits_for == ("its first plan: the channel has no verdict yet",)
    assert told.units == UnitCount(unallocated=2)
    assert told.lines[0].name == shop.world.items[0].name
    assert [event.event for event in told.timeline] == ["placed"]


async def test_nobody_is_told_the_payment_token(shop: Facts) -> None:
    order_id = await shop.until_delivered((shop.sku(), 1))
    assert TOKEN not in (await shop.tell(order_id)).model_dump_json()


async def test_the_plan_says_why_each_node_was_or_was_not_chosen(shop: Facts) -> None:
    order_id = await shop.keep((shop.sku(), 2))
    await shop.source(order_id)
    told = await shop.tell(order_id)
    assert told.accepted
    assert told.promised_at is not None
    assert told.plan is not None
    assert {c.node_id for c in told.plan.candidates} == {node.node_id for node in shop.world.nodes}
    assert all(c.because or c.alone for c in told.plan.candidates)
    assert [c.node_id for c in told.plan.candidates if c.chosen] == [f.node_id for f in told.fulfillments]
    (f,) = told.fulfillments
    assert f.planned_minor == f.cost.total
    assert told.waits_for == ("its payment to be authorised",)


async def test_it_waits_for_its_node_then_for_its_parcel(shop: Facts) -> None:
    order_id = await shop.keep((shop.sku(), 2))
    await shop.source(order_id)
    await shop.pay(order_id, "authorize")
    assert (await shop.tell(order_id)).waits_for == ("wh-columbus to be told of fulfillment order 1 (2 units)",)
    await shop.release(order_id)
    told = await shop.tell(order_id)
    assert told.fulfillment is Fulfillment.RELEASED
    assert told.waits_for[0].startswith("wh-columbus to answer fulfillment order 1 (2 units) until ")
    await shop.accept(order_id)
    assert (await shop.tell(order_id)).waits_for[0].startswith("wh-columbus to ship fulfillment order 1")
    await shop.ship(order_id)
    told = await shop.tell(order_id)
    assert told.fulfillment is Fulfillment.SHIPPED
    tracking_no = told.fulfillments[0].packages[0].tracking_no
    assert told.waits_for[0].startswith("delivery of fulfillment order 1")
    assert told.waits_for[0].endswith(tracking_no)
    assert [m.what for m in told.messages if m.direction == "out"] == [f"{order_id}/f1/request"]


async def test_a_finished_order_waits_for_nothing(shop: Facts) -> None:
    told = await shop.tell(await shop.until_delivered((shop.sku(), 2), (shop.sku(1), 1)))
    assert (told.lifecycle, told.fulfillment, told.payment, told.returned) == (
        Lifecycle.CLOSED,
        Fulfillment.DELIVERED,
        Payment.CAPTURED,
        Return.NONE,
    )
    assert told.waits_for == ()
    assert told.money.captured_minor == told.money.due_minor == told.total_minor == 3 * 1001 + 595
    assert [operation.kind for operation in told.operations] == ["authorize", "capture"]


async def test_a_backorder_names_what_it_waits_for(shop: Facts) -> None:
    sku = shop.sku(11)
    await shop.stock(sku, wh_columbus=1)
    order_id = await shop.keep((sku, 3))
    await shop.source(order_id)
    told = await shop.tell(order_id)
    assert told.fulfillment is Fulfillment.PARTIALLY_ALLOCATED
    assert any(sentence.startswith(f"stock of {sku}: 2 units, until ") for sentence in told.waits_for)


async def test_a_hold_and_a_declined_payment_show(shop: Facts) -> None:
    order_id = await shop.keep((shop.sku(), 1))
    await shop.source(order_id)
    await shop.pay(order_id, "authorize", declined=True)
    await shop.hold(order_id)
    told = await shop.tell(order_id)
    assert told.on_hold
    assert told.payment is Payment.FAILED
    assert told.waits_for == (f"release of hold {order_id}/staff/1 (staff: customer will call back)",)
    await shop.hold(order_id, placed=False)
    assert not (await shop.tell(order_id)).on_hold


async def test_a_rejected_order_tells_of_both_nodes(shop: Facts) -> None:
    sku = shop.sku(2)
    await shop.stock(sku, wh_columbus=5, **{"3pl_reno": 5})
    order_id = await shop.keep((sku, 1))
    await shop.source(order_id)
    await shop.pay(order_id, "authorize")
    await shop.release(order_id)
    await shop.reject(order_id)
    assert (await shop.tell(order_id)).waits_for == ("a source for 1 units",)
    await shop.source(order_id)
    told = await shop.tell(order_id)
    assert [f.request_status for f in told.fulfillments] == ["rejected", "unsubmitted"]
    assert told.fulfillments[0].reason == "rejected: closed today"
    assert told.plans == 2
    async with shop.database.reading() as connection:
        assert (await figures.summary_figures(connection, [order_id])).resourced == 1


async def test_a_return_shows_until_it_is_refunded(shop: Facts) -> None:
    order_id = await shop.until_delivered((shop.sku(3), 2))
    opened = await shop.ask_return(order_id)
    told = await shop.tell(order_id)
    assert told.returned is Return.REQUESTED
    assert told.waits_for[0].startswith(f"a decision on return {opened.return_id} until ")
    await shop.judge(opened)
    told = await shop.tell(order_id)
    assert told.returned is Return.IN_PROGRESS
    assert told.waits_for[0].startswith(f"the goods of return {opened.return_id} at wh-columbus until ")
    await shop.receive_return(opened)
    await shop.settle_return(opened)
    assert (await shop.tell(order_id)).payment is Payment.CREDIT_OWED
    await shop.pay(order_id, "refund")
    await shop.close_return(opened)
    told = await shop.tell(order_id)
    assert (told.payment, told.returned) == (Payment.PARTIALLY_REFUNDED, Return.PARTIALLY_RETURNED)
    assert told.waits_for == ()
    async with shop.database.reading() as connection:
        assert (await story.find_return(connection, opened.return_id)).status == "closed"
        assert [r.return_id for r in await story.list_returns(connection, order_id=order_id)] == [opened.return_id]
        with pytest.raises(NotFound):
            await story.find_return(connection, "no/such/r1")


async def test_an_unknown_order_is_not_found(shop: Facts) -> None:
    with pytest.raises(NotFound):
        await shop.tell("webshop/nobody")


async def test_events_come_after_the_last_one_seen(shop: Facts) -> None:
    order_id = await shop.until_delivered((shop.sku(), 1))
    async with shop.database.reading() as connection:
        events = await story.events_after(connection, order_id, 0)
        later = await story.events_after(connection, order_id, events[1].event_id)
    assert [event.event for event in events][0::2][0] == "placed"
    assert later == events[2:]


async def test_lists_filter_and_page(fresh_database_url: str) -> None:
    shop = await Facts.load(fresh_database_url)
    await shop.stock(shop.sku(), wh_columbus=50)
    await shop.stock(shop.sku(1), wh_columbus=0)
    done = await shop.until_delivered((shop.sku(), 1))
    held = await shop.keep((shop.sku(), 1))
    await shop.source(held)
    await shop.hold(held)
    short = await shop.keep((shop.sku(1), 1), channel="market")
    await shop.source(short)
    gone = await shop.keep((shop.sku(), 1))
    await shop.cancel(gone)

    async def listed(**filters: object) -> list[str]:
        async with shop.database.reading() as connection:
            return [each.order_id for each in await story.list_orders(connection, **filters)]  # type: ignore[arg-type]

    assert await listed() == [gone, short, held, done]
    assert await listed(limit=2) == [gone, short]
    assert await listed(limit=2, after=short) == [held, done]
    assert await listed(status="delivered") == await listed(status="closed") == [done]
    assert await listed(status="cancelled") == [gone]
    assert await listed(held=True) == [held]
    assert await listed(waiting=True) == [short]
    assert await listed(channel="market") == [short]
    assert await listed(channel="market", held=True) == []
    with pytest.raises(InvalidInput):
        await listed(status="lost")
    async with shop.database.reading() as connection:
        assert await figures.stage_counts(connection) == {
            "cancelled": 1,
            "backordered": 1,
            "on_hold": 1,
            "delivered": 1,
        }
        counted = await figures.summary_figures(connection)
        assert await figures.oversold(connection) == 0
        (row,) = await story.list_orders(connection, held=True)
    assert (counted.orders, counted.delivered, counted.cancelled, counted.backordered) == (4, 1, 1, 1)
    assert counted.cost_per_order_minor == (await shop.tell(done)).fulfillments[0].planned_minor
    assert (row.on_hold, row.nodes, row.lines) == (True, ("wh-columbus",), 1)
    await shop.run("UPDATE stock_position SET on_hand = on_hand + 1 WHERE sku = :sku AND on_hand > 0", sku=shop.sku())
    async with shop.database.reading() as connection:
        assert await figures.oversold(connection) == 1
    await shop.database.close()


@settings(max_examples=60)
@given(counts=st.lists(st.lists(st.integers(0, 2), min_size=8, max_size=8).filter(any), min_size=1, max_size=40))
def test_the_sql_roll_up_is_the_pure_one(database_url: str, counts: list[list[int]]) -> None:
    import psycopg

    columns = ", ".join(UnitState)
    rows = ", ".join(f"({', '.join(map(str, count))})" for count in counts)
    with psycopg.connect(database_url) as connection:
        rolled_up = connection.execute(f"SELECT {FULFILLMENT} FROM (VALUES {rows}) u ({columns})".encode()).fetchall()
    units = [UnitCount(**dict(zip(UnitState, count, strict=True))) for count in counts]
    assert [row[0] for row in rolled_up] == [fulfillment_of(each) for each in units]


def test_every_fulfilment_status_can_be_asked_for() -> None:
    assert all(f"'{status}'" in str(text(FULFILLMENT)) for status in Fulfillment)
