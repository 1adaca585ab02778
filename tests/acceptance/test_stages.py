"""What becomes of units that a policy's stages find no source for: a person decides, or they are given up soon."""

from __future__ import annotations

from datetime import timedelta

from shared.domain.orders import HoldKind
from shared.domain.sourcing.stages import After, AfterPart, Stage, Then
from shared.messages import CancelOrder, LineQuantity, ReleaseHold
from tests.support.system import System

NEVER = timedelta(hours=1)
QUEUE = Stage(name="ask", on_none=After(then=Then.QUEUE), on_part=AfterPart(then=Then.QUEUE))


async def resolutions(shop: System, order_id: str) -> list[str]:
    """How the order's cases were resolved; empty where one is open."""
    rows = await shop.rows("SELECT resolution FROM exception_case WHERE order_id = :o ORDER BY case_id", o=order_id)
    return [row.resolution for row in rows]


async def test_a_queued_rest_waits_for_a_person_while_the_others_ship(shop: System) -> None:
    there, missing = shop.world.items[0].sku, shop.world.items[1].sku
    await shop.stock(there, wh_columbus=1)
    await shop.stock(missing)
    async with shop.policy(QUEUE, backorder_retry=NEVER):
        order_id = await shop.place(shop.order((there, 1), (missing, 2)))

    async def one_came() -> bool:
        return await shop.units(order_id) == {1: {"delivered": 1}, 2: {"backordered": 2}}

    await shop.until(one_came)
    story = await shop.doms.get(order_id)
    (hold,) = story.holds
    assert (hold.kind, hold.reason) == (HoldKind.SOURCING, "stage ask found no source for 2 units")
    assert [case.kind for case in story.cases] == ["queued"]
    assert order_id in [each.order_id for each in await shop.doms.list_orders(held=True)]

    assert await shop.arrives(missing, "store-chicago", 2) == 1
    # The state is asked for after the signal, so that the process has heard of the stock, and leaves it lying.
    assert (await shop.state(order_id)).backordered == 2

    released = await shop.doms.release(order_id, ReleaseHold(actor="rob", hold_id=hold.hold_id, reason="it is here"))
    assert released.done
    assert await resolutions(shop, order_id) == ["rob: it is here"]
    assert (await shop.state(order_id)).exception == ""
    assert (await shop.ended(order_id)).delivered_units == 3


async def test_a_queued_order_can_be_cancelled(shop: System) -> None:
    missing = shop.world.items[2].sku
    await shop.stock(missing)
    async with shop.policy(QUEUE, backorder_retry=NEVER, backorder_patience=timedelta(seconds=1)):
        order_id = await shop.place(shop.order((missing, 1)))
    assert (await shop.ended(order_id)).cancelled_units == 1
    assert (await shop.doms.get(order_id)).holds[0].released_at is not None
    assert await resolutions(shop, order_id) == ["doms: none of it waits any more"]


async def test_a_queued_rest_that_is_cancelled_needs_nobody_while_the_others_are_on_their_way(shop: System) -> None:
    there, missing = shop.world.items[6].sku, shop.world.items[7].sku
    await shop.stock(there, wh_columbus=1)
    await shop.stock(missing)
    await shop.behave("late", node_id="wh-columbus")
    async with shop.policy(QUEUE, backorder_retry=NEVER):
        order_id = await shop.place(shop.order((there, 1), (missing, 2)))
    assert (await shop.state(order_id)).exception == "queued: stage ask found no source for 2 units"

    rest = CancelOrder(lines=(LineQuantity(line_no=2, quantity=2),), actor="rob", reason="not made any more")
    assert (await shop.doms.cancel(order_id, rest)).units == 2

    state = await shop.state(order_id)
    assert (state.exception, state.holds) == ("", ())
    assert [hold.released_at is not None for hold in (await shop.doms.get(order_id)).holds] == [True]
    assert await resolutions(shop, order_id) == ["doms: none of it waits any more"]
    await shop.behave("accept", node_id="wh-columbus")
    assert (await shop.ended(order_id)).delivered_units == 1


async def test_what_a_stage_gives_little_time_is_cancelled_before_patience_ends(shop: System) -> None:
    there, missing = shop.world.items[3].sku, shop.world.items[4].sku
    await shop.stock(there, wh_columbus=1)
    await shop.stock(missing)
    soon = AfterPart(then=Then.CANCEL_AFTER, after=timedelta(seconds=1))
    async with shop.policy(Stage(name="short", on_part=soon), backorder_retry=timedelta(seconds=0.4)):
        order_id = await shop.place(shop.order((there, 1), (missing, 1)))

    outcome = await shop.ended(order_id)

    assert (outcome.delivered_units, outcome.cancelled_units) == (1, 1)
    story = await shop.doms.get(order_id)
    assert story.plan is not None
    assert story.plan.stages[0].name == "short"
    assert story.closed_at is not None
    assert story.closed_at < story.received_at + timedelta(seconds=30)


async def test_running_orders_keep_the_stages_they_began_with(shop: System) -> None:
    sku = shop.world.items[5].sku
    await shop.stock(sku)
    stores = Stage(name="stores", nodes="node.type == 'store'")
    async with shop.policy(stores, backorder_retry=NEVER):
        order_id = await shop.place(shop.order((sku, 1)))
    assert await shop.arrives(sku, "wh-columbus", 1) == 1
    async with shop.policy(Stage(name="all"), backorder_retry=NEVER):
        other = await shop.place(shop.order((sku, 1)))
        await shop.ended(other)
    assert await shop.units(order_id) == {1: {"backordered": 1}}, "a warehouse is not for an order of the stores' stage"

    await shop.arrives(sku, "store-chicago", 1)
    assert (await shop.ended(order_id)).delivered_units == 1
    plan = (await shop.doms.get(order_id)).plan
    assert plan is not None
    assert [one.name for one in plan.stages] == ["stores"]
