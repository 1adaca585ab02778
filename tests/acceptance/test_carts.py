"""Carts that hold stock and bundles, from the shop's first click to the customer's door."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from sqlalchemy import text

from shared.carts_client import hold_cart
from shared.contracts import BATCH_QUEUE
from shared.domain.carts import CartLine, Destination, HoldCart
from shared.domain.orders import PaymentMethod
from shared.messages import CancelOrder, CartSweepInput, CartSweepResult, LineQuantity, ReleaseHold
from tests.support.system import System

NEVER = timedelta(hours=1)


def cart(cart_id: str, sku: str, units: int) -> HoldCart:
    line = CartLine(sku=sku, quantity=units)
    return HoldCart(channel="webshop", cart_id=cart_id, lines=(line,), ship_to=Destination(postal_code="10001"))


async def expire(shop: System, cart_id: str) -> None:
    statement = "UPDATE cart_hold_line SET expires_at = now() - interval '1 second' WHERE cart_hold_id = :cart"
    async with shop.database.transaction() as connection:
        await connection.execute(text(statement), {"cart": f"webshop/{cart_id}"})


async def test_an_order_takes_what_its_cart_holds_while_others_race(shop: System) -> None:
    sku = shop.world.items[8].sku
    await shop.stock(sku, wh_columbus=5)
    await hold_cart(shop.doms, cart("race", sku, 3))
    others = [shop.order((sku, 1)) for _ in range(20)]
    mine = shop.order((sku, 3), cart_id="race")
    async with shop.policy(backorder_patience=timedelta(seconds=1), backorder_retry=NEVER):
        verdict, *answers = await asyncio.gather(*map(shop.doms.submit, (mine, *others)))
    assert verdict.backordered_units == 0
    assert sorted(answer.backordered_units for answer in answers) == [0, 0, *[1] * 18]
    outcome = await shop.ended(verdict.order_id)
    assert (outcome.status, outcome.delivered_units) == ("delivered", 3)
    assert (await shop.money(verdict.order_id))["captured"] == mine.total_minor
    for answer in answers:
        await shop.ended(answer.order_id)
    rows = await shop.rows("SELECT on_hand, reserved, held FROM stock_position WHERE sku = :s", s=sku)
    assert {tuple(row) for row in rows} == {(0, 0, 0)}


async def test_what_a_cart_held_too_long_goes_to_who_waits_for_it(shop: System) -> None:
    sku = shop.world.items[9].sku
    await shop.stock(sku, wh_columbus=1)
    await hold_cart(shop.doms, cart("slow", sku, 1))
    async with shop.policy(backorder_retry=NEVER):
        waiting = await shop.doms.submit(shop.order((sku, 1)))
    assert waiting.backordered_units == 1
    await expire(shop, "slow")
    swept = await shop.temporal.execute_workflow(
        "CartSweep", CartSweepInput(), id="sweep", task_queue=BATCH_QUEUE, result_type=CartSweepResult
    )
    assert swept.orders_woken >= 1
    assert (await shop.ended(waiting.order_id)).delivered_units == 1
    async with shop.policy(backorder_patience=timedelta(seconds=0.5)):
        late = await shop.doms.submit(shop.order((sku, 1), cart_id="slow"))
    assert late.backordered_units == 1
    assert (await shop.ended(late.order_id)).status == "cancelled"


async def test_a_bundle_is_delivered_and_one_of_three_cancelled(shop: System) -> None:
    first, second = shop.world.items[10].sku, shop.world.items[11].sku
    await shop.doms.load(
        {
            "items": b"sku,weight_g,length_mm,width_mm,height_mm,price_minor,cost_minor,currency\n"
            b"SET-1,900,300,200,100,4999,0,USD\n",
            "bundles": f"bundle_sku,component_sku,quantity\nSET-1,{first},2\nSET-1,{second},1\n".encode(),
        }
    )
    await shop.stock(first, wh_columbus=6)
    await shop.stock(second, wh_columbus=3)
    document = shop.order(("SET-1", 3), shipping_minor=595)
    line = document.lines[0].model_copy(update={"unit_price_minor": 4999})
    token = PaymentMethod(token=f"tok_decline_once-{document.channel_order_id}")
    order_id = await shop.place(document.model_copy(update={"lines": (line,), "payment": token}))
    state = await shop.until_state(order_id, lambda state: state.holds)  # nothing is released until it is paid
    one = CancelOrder(actor="agent-1", reason="too many", lines=(LineQuantity(line_no=1, quantity=1),))
    told = await shop.doms.cancel(order_id, one)
    assert (told.done, told.units, told.refused) == (True, 3, ())
    await shop.doms.release(order_id, ReleaseHold(actor="agent-1", hold_id=state.holds[0].hold_id))

    outcome = await shop.ended(order_id)
    assert (outcome.delivered_units, outcome.cancelled_units) == (6, 3)
    assert (await shop.money(order_id))["captured"] == 2 * 4999 + 595
    story = await shop.doms.get(order_id)
    assert [(bundle.sku, bundle.quantity) for bundle in story.bundles] == [("SET-1", 3)]
