"""Every check finds the break it is for, and nothing in facts that are right, whatever stage orders are at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from activities.reconciliation import Reconciliation
from shared.database import inbox, units
from shared.database.checks import CHECKS
from shared.database.inbounds import keep_inbound
from shared.database.rebinding import changing
from shared.database.receipts import book_receipt
from shared.domain.supply import Inbound, InboundKind, InboundLine, Receipt, ReceiptLine
from shared.messages import CatchUp, ReconcileResult, ReconcileStep, ReturnInput, Wake
from tests.support.facts import Facts

#: One statement that breaks what each check is about, and that no constraint refuses.
BREAKS = {
    "stock_moves": "UPDATE stock_position SET on_hand = on_hand + 1 WHERE (node_id, sku) = ('wh-columbus', :sku)",
    "stock_reserved": "UPDATE stock_position SET reserved = reserved + 1 WHERE (node_id, sku) = ('wh-columbus', :sku)",
    "stock_held": "UPDATE stock_position SET held = held + 1 WHERE (node_id, sku) = ('wh-columbus', :sku)",
    "ended_reservations": "UPDATE fulfillment_order SET ended_at = now() WHERE order_id = :waiting",
    "line_units": "UPDATE order_line SET unallocated = allocated, allocated = 0 WHERE order_id = :waiting",
    "supply_bound": "UPDATE inbound_line SET bound = bound + 1",
    "bound_waits": "UPDATE supply_binding SET quantity = quantity + 9",
    "inbound_moves": "UPDATE inbound_line SET received = received + 1, open = open - 1",
    "capacity_claims": "UPDATE capacity_use SET reserved = reserved + 1, excess = excess + 1",
    "capacity_owners": """
        WITH more AS (UPDATE capacity_claim SET units = units + 1, reserved = reserved + 1 WHERE reserved > 0
                      RETURNING node_id, day, service)
        UPDATE capacity_use u SET reserved = u.reserved + m.units
        FROM (SELECT node_id, day, service, count(*) AS units FROM more GROUP BY node_id, day, service) m
        WHERE (u.node_id, u.day, u.service) = (m.node_id, m.day, m.service)""",
    "capacity_exceeded": "UPDATE node SET daily_units = 1 WHERE daily_units IS NOT NULL",
    "payment_operations": "UPDATE payment SET captured_minor = captured_minor - 1 WHERE order_id = :done",
    "captured_within_shipped": "UPDATE payment SET captured_minor = 1 WHERE order_id = :waiting",
    "refunds": """
        INSERT INTO payment_operation (reference, order_id, kind, amount_minor, status)
        VALUES ('twice', :done, 'refund', 1, 'intended')""",
    "closed_order_money": "UPDATE payment SET captured_minor = captured_minor - 1 WHERE order_id = :done",
    "messages_unanswered": """
        INSERT INTO message_out (message_key, partner_id, order_id, intended_at)
        VALUES ('lost', 'ours', :waiting, now() - interval '1 hour')""",
    "payments_unanswered": """
        INSERT INTO payment_operation (reference, order_id, kind, amount_minor, intended_at)
        VALUES ('silent', :waiting, 'void', 0, now() - interval '1 hour')""",
    "messages_unmatched": """
        INSERT INTO message_in (partner_id, message_id, type, reference, body, received_at)
        VALUES ('parcelpost', 'm1', 'tracking.updated', 'TRK-unknown', '{}', now() - interval '1 hour')""",
    "overdue_shipment": "UPDATE fulfillment_order SET ship_by = now() - interval '1 hour' WHERE order_id = :waiting",
    "overdue_delivery": "UPDATE fulfillment_order SET deliver_by = now() - interval '1 hour' WHERE order_id = :sent",
}


class Resumed:
    """Stands in for the client: notes what it is told, and fails for what it is told to fail for."""

    def __init__(self) -> None:
        self.woken: list[tuple[str, str]] = []
        self.started: list[str] = []
        self.poison: set[str] = set()
        self.missing: set[str] = set()

    async def wake(self, workflow_id: str, wake: Wake) -> bool:
        self._note(workflow_id)
        if workflow_id in self.missing:
            return False
        self.woken.append((workflow_id, wake.kind))
        return True

    async def resume_order(self, order_id: str) -> None:
        self._note(order_id)
        self.started.append(order_id)

    async def resume_return(self, opened: ReturnInput) -> None:
        self._note(opened.return_id)
        self.started.append(opened.return_id)

    def _note(self, name: str) -> None:
        if name in self.poison:
            raise RuntimeError(name)


@pytest.fixture
async def shop(fresh_database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(fresh_database_url)
    await facts.stock(facts.sku(), wh_columbus=50)
    yield facts
    await facts.database.close()


async def check(shop: Facts, run_id: str, resume: Resumed | None = None) -> ReconcileResult:
    step = ReconcileStep(run_id=run_id, started_at=datetime.now(UTC), resend_after=timedelta(seconds=30))
    activity = Reconciliation(shop.database, resume or Resumed())
    result: ReconcileResult = await ActivityEnvironment().run(activity.check_facts, step)
    return result


async def open_cases(shop: Facts) -> set[str]:
    return {row.kind for row in await shop.rows("SELECT kind FROM exception_case WHERE resolved_at IS NULL")}


async def orders_at_all_stages(shop: Facts) -> dict[str, str]:
    """Orders in flight and over: one that waits for its node, one on its way, one done, one cancelled, one returned."""
    waiting, sent, rejected, short = [await shop.keep((shop.sku(), 3)) for _ in range(4)]
    for order_id in (waiting, sent, rejected, short):
        await shop.source(order_id)
        await shop.pay(order_id, "authorize")
    for order_id in (sent, rejected, short):
        await shop.release(order_id)
    await shop.reject(rejected)
    await shop.ship(sent)
    await shop.pay(sent, "capture")
    await shop.ship(short, short=1)
    await shop.pay(short, "capture")
    cancelled = await shop.keep((shop.sku(), 1))
    await shop.source(cancelled)
    await shop.pay(cancelled, "authorize")
    await shop.cancel(cancelled)
    await shop.pay(cancelled, "void")
    await shop.close(cancelled)
    back = await shop.until_delivered((shop.sku(), 3))
    opened = await shop.ask_return(back)
    await shop.judge(opened)
    await shop.receive_return(opened)
    await shop.settle_return(opened)
    await shop.pay(back, "refund")
    await shop.close_return(opened)
    await wait_for_supply(shop, shop.sku(1))
    return {"waiting": waiting, "sent": sent, "done": await shop.until_delivered((shop.sku(), 1))}


async def wait_for_supply(shop: Facts, sku: str) -> None:
    """An order that waits for a delivery of which a part has come."""
    await shop.stock(sku)
    now = datetime.now(UTC)
    inbound = Inbound(
        inbound_id="PO-1",
        kind=InboundKind.PURCHASE_ORDER,
        node_id="wh-columbus",
        expected_at=now + timedelta(days=3),
        lines=(InboundLine(sku=sku, quantity=9),),
    )
    receipt = Receipt(inbound_id="PO-1", reference="part", lines=(ReceiptLine(sku=sku, good=1, damaged=1),))
    async with shop.database.transaction() as connection:
        await keep_inbound(connection, inbound, actor="buyer")
    await shop.source(await shop.keep((sku, 3)))
    booked = await changing(shop.database, lambda change: book_receipt(change, receipt, actor="dock"))
    assert len(booked.orders) == 1


async def test_facts_that_are_right_have_no_breaks(shop: Facts) -> None:
    await orders_at_all_stages(shop)
    result = await check(shop, "run-1")
    assert result.breaks == 0
    assert await open_cases(shop) == set()
    looked_at = {name for name, compared in result.checked.items() if compared}
    quiet = {"messages_unanswered", "payments_unanswered", "messages_unmatched"}
    assert looked_at == {each.name for each in CHECKS} - quiet


def test_every_check_has_its_break() -> None:
    assert set(BREAKS) == {each.name for each in CHECKS}


@pytest.mark.parametrize("name", BREAKS)
async def test_a_break_opens_its_case_once_and_closes_it_when_it_is_gone(shop: Facts, name: str) -> None:
    orders = await orders_at_all_stages(shop) | {"sku": shop.sku()}
    statement = BREAKS[name]
    asked = {key: value for key, value in orders.items() if f":{key}" in statement}
    before = await shop.rows("SELECT max(case_id) FROM exception_case")
    await shop.run(statement, **asked)
    seen = next(each for each in CHECKS if each.name == name)

    first = await check(shop, "run-1")
    assert (first.breaks > 0) is not seen.late
    assert seen.case_kind in await open_cases(shop)
    await check(shop, "run-2")
    (opened,) = await shop.rows("SELECT count(*) FROM exception_case WHERE kind = :kind", kind=seen.case_kind)
    assert opened[0] == 1
    assert before[0][0] is None

    await shop.run("UPDATE exception_case SET reference = 'mended' WHERE kind = :kind", kind=seen.case_kind)
    await check(shop, "run-3")
    (closed,) = await shop.rows("SELECT * FROM exception_case WHERE reference = 'mended'")
    assert closed.resolved_at is not None
    assert closed.resolution == "no longer so in run-3"


async def test_a_run_that_is_repeated_answers_as_it_did(shop: Facts) -> None:
    await orders_at_all_stages(shop)
    first = await check(shop, "run-1")
    await shop.run(BREAKS["stock_moves"], sku=shop.sku())
    assert await check(shop, "run-1") == first
    assert (await check(shop, "run-2")).breaks > 0


async def test_what_a_crash_left_behind_is_taken_up_once(shop: Facts) -> None:
    lost = await shop.keep((shop.sku(), 1))
    poison = await shop.keep((shop.sku(), 1))
    fresh = await shop.keep((shop.sku(), 1))
    planned = await shop.keep((shop.sku(), 1))
    await shop.source(planned)
    back = await shop.until_delivered((shop.sku(), 2))
    unjudged = await shop.ask_return(back)
    await shop.judge(await shop.ask_return(back))
    await shop.run("UPDATE orders SET received_at = now() - interval '1 hour' WHERE order_id <> :fresh", fresh=fresh)
    await shop.run("UPDATE return_order SET requested_at = now() - interval '1 hour'")
    await shop.run("UPDATE message_in SET signalled_at = NULL, received_at = now() - interval '1 hour'")
    resumed = Resumed()
    resumed.poison = {poison}
    step = ReconcileStep(run_id="run-1", started_at=datetime.now(UTC), resend_after=timedelta(seconds=30))
    activity = Reconciliation(shop.database, resumed)

    result: ReconcileResult = await ActivityEnvironment().run(activity.resume_stragglers, step)

    assert resumed.started == [lost, unjudged.return_id]
    assert sorted(resumed.woken) == [(f"order/{back}", "delivered"), (f"order/{back}", "shipped")]
    assert result.repaired == 4
    again: ReconcileResult = await ActivityEnvironment().run(activity.resume_stragglers, step)
    # The wake-ups are marked; orders and returns show that they are resumed by what their processes write.
    assert again.checked == {"wake_ups": 0, "orders": 1, "returns": 1}


async def test_what_no_process_heard_is_owed_until_one_does_or_the_order_is_over(shop: Facts) -> None:
    order_id, over = [await shop.until_delivered((shop.sku(), 1)) for _ in range(2)]
    await shop.run("UPDATE message_in SET signalled_at = NULL, received_at = now() - interval '1 hour'")
    await shop.run("UPDATE orders SET closed_at = CASE order_id WHEN :over THEN now() END", over=over)
    resumed = Resumed()
    resumed.missing = {f"order/{order_id}", f"order/{over}"}
    step = ReconcileStep(run_id="run-1", started_at=datetime.now(UTC), resend_after=timedelta(seconds=30))
    activity = Reconciliation(shop.database, resumed)

    result: ReconcileResult = await ActivityEnvironment().run(activity.resume_stragglers, step)
    unheard = await shop.rows("SELECT order_id FROM message_in WHERE wake IS NOT NULL AND signalled_at IS NULL")

    assert result.checked["wake_ups"] == 2
    assert [row.order_id for row in unheard] == [order_id] * 2
    resumed.missing = set()
    again: ReconcileResult = await ActivityEnvironment().run(activity.resume_stragglers, step)
    assert again.checked["wake_ups"] == 2
    assert sorted(resumed.woken) == [(f"order/{order_id}", "delivered"), (f"order/{order_id}", "shipped")]


async def test_what_only_a_lost_process_heard_is_owed_to_the_one_in_its_place(shop: Facts) -> None:
    order_id = await shop.until_delivered((shop.sku(), 1))
    await shop.run("UPDATE message_in SET signalled_at = NULL, received_at = now() - interval '1 hour'")

    class LostAfterwards(Resumed):
        """Its process hears the first wake-up, and is lost and started anew before that is noted."""

        async def wake(self, workflow_id: str, wake: Wake) -> bool:
            if not self.woken:
                async with shop.database.transaction() as connection:
                    await inbox.tell_again(connection, order_id, f"order/{order_id}")
            return await super().wake(workflow_id, wake)

    resumed = LostAfterwards()
    step = ReconcileStep(run_id="run-1", started_at=datetime.now(UTC), resend_after=timedelta(seconds=30))
    activity = Reconciliation(shop.database, resumed)
    runs: list[ReconcileResult] = [await ActivityEnvironment().run(activity.resume_stragglers, step) for _ in range(3)]

    assert [run.checked["wake_ups"] for run in runs] == [0, 2, 0]
    assert sorted(kind for _, kind in resumed.woken) == ["delivered", "delivered", "shipped", "shipped"]


async def test_a_process_started_anew_finds_what_has_shipped_and_nothing_that_never_will(shop: Facts) -> None:
    shipped, rejected = await shop.until_delivered((shop.sku(), 1)), await shop.keep((shop.sku(), 1))
    await shop.source(rejected)
    await shop.release(rejected)
    await shop.reject(rejected)
    async with shop.database.reading() as connection:
        found = [
            await units.catch_up(connection, CatchUp(order_id=order_id, known=())) for order_id in (shipped, rejected)
        ]
    assert [[fulfillment.n for fulfillment in each.unknown] for each in found] == [[1], []]


async def test_wake_ups_that_cannot_be_sent_end_the_run(shop: Facts) -> None:
    order_id = await shop.until_delivered((shop.sku(), 1))
    await shop.run("UPDATE message_in SET signalled_at = NULL, received_at = now() - interval '1 hour'")
    resumed = Resumed()
    resumed.poison = {f"order/{order_id}"}
    step = ReconcileStep(run_id="run-1", started_at=datetime.now(UTC), resend_after=timedelta(seconds=30))
    result: ReconcileResult = await ActivityEnvironment().run(
        Reconciliation(shop.database, resumed).resume_stragglers, step
    )
    assert result.checked["wake_ups"] == 0
