"""Money: asked for before anything moves, taken for what has left, to the cent, and given back for the rest."""

from __future__ import annotations

from datetime import timedelta

from shared.domain.orders import OrderLine, PaymentMethod
from shared.messages import CancelOrder, LineQuantity, ReleaseHold
from tests.support.system import System


def paid_with(token: str) -> PaymentMethod:
    return PaymentMethod(token=token)


async def test_a_declined_payment_holds_until_released(shop: System) -> None:
    sku = shop.world.items[0].sku
    await shop.stock(sku, wh_columbus=2)
    document = shop.order((sku, 2), payment=paid_with("tok_decline_once-1"))
    order_id = await shop.place(document)
    held = await shop.until_state(order_id, lambda state: state.holds)
    assert held.holds[0].kind == "payment"
    assert shop.did(order_id) == {"payment.declined": 1}
    assert await shop.units(order_id) == {1: {"allocated": 2}}
    standing = await shop.rows("SELECT kind, released_at FROM hold WHERE order_id = :o", o=order_id)
    assert standing == [("payment", None)]

    released = await shop.doms.release(order_id, ReleaseHold(actor="pia", hold_id=held.holds[0].hold_id))

    assert (released.done, released.message) == (True, "released")
    assert (await shop.ended(order_id)).delivered_units == 2
    money = await shop.money(order_id)
    assert money["authorized"] == money["captured"] == document.total_minor
    assert shop.did(order_id)["payment.declined"] == 1


async def test_a_payment_declined_for_good_ends_the_order(shop: System) -> None:
    sku = shop.world.items[1].sku
    await shop.stock(sku, wh_columbus=2)
    async with shop.policy(payment_patience=timedelta(seconds=1)):
        order_id = await shop.place(shop.order((sku, 2), payment=paid_with("tok_declined")))

    outcome = await shop.ended(order_id)

    assert (outcome.status, outcome.cancelled_units) == ("cancelled", 2)
    assert await shop.free(sku) == {"wh-columbus": 2}
    assert shop.did(order_id) == {"payment.declined": 1}
    assert await shop.money(order_id) == {"authorized": 0, "captured": 0, "voided": 0, "refunded": 0}


async def test_a_declined_capture_opens_a_case_and_the_order_goes_on(shop: System) -> None:
    sku = shop.world.items[2].sku
    await shop.stock(sku, wh_columbus=1)
    order_id = await shop.place(shop.order((sku, 1), payment=paid_with("tok_capture_declined")))

    outcome = await shop.ended(order_id)

    assert (outcome.status, outcome.delivered_units) == ("delivered", 1)
    assert await shop.cases(order_id) == ["capture"]
    assert (await shop.state(order_id)).exception.startswith("capture")
    assert (await shop.money(order_id))["captured"] == 0


async def test_every_cent_over_split_shipments_discounts_taxes_and_cancelled_units(shop: System) -> None:
    """Seven units worth a sum that seven does not divide: five leave from two nodes, two are cancelled."""
    sku, other = shop.world.items[3].sku, shop.world.items[4].sku
    await shop.stock(sku, wh_columbus=3, store_austin=2)
    await shop.stock(other, vnd_alder=3)
    lines = (
        OrderLine(line_no=1, sku=sku, quantity=7, unit_price_minor=1099, discount_minor=250, tax_minor=613),
        OrderLine(line_no=2, sku=other, quantity=3, unit_price_minor=333, tax_minor=70),
    )
    document = shop.order((sku, 1), shipping_minor=595).model_copy(update={"lines": lines})
    order_id = await shop.place(document)
    await shop.until_did(order_id, "payment.authorized")

    answer = await shop.doms.cancel(order_id, CancelOrder(actor="pia", lines=(LineQuantity(line_no=1, quantity=2),)))

    assert (answer.done, answer.units) == (True, 2)
    outcome = await shop.ended(order_id)
    assert (outcome.delivered_units, outcome.cancelled_units, outcome.fulfillments) == (8, 2, 3)
    money = await shop.money(order_id)
    assert money["authorized"] == document.total_minor
    assert money["captured"] == lines[0].total_minor * 5 // 7 + lines[1].total_minor + 595
    assert money["captured"] + money["voided"] == money["authorized"]


async def test_units_cancelled_before_payment_are_never_asked_for(shop: System) -> None:
    sku = shop.world.items[5].sku
    await shop.stock(sku, wh_columbus=3)
    document = shop.order((sku, 3), payment=paid_with("tok_decline_once-2"))
    order_id = await shop.place(document)
    held = await shop.until_state(order_id, lambda state: state.holds)
    await shop.doms.cancel(order_id, CancelOrder(actor="pia", lines=(LineQuantity(line_no=1, quantity=1),)))
    await shop.doms.release(order_id, ReleaseHold(actor="pia", hold_id=held.holds[0].hold_id))

    outcome = await shop.ended(order_id)

    assert (outcome.delivered_units, outcome.cancelled_units) == (2, 1)
    money = await shop.money(order_id)
    assert money["authorized"] == money["captured"] == document.total_minor * 2 // 3


async def test_an_order_that_costs_nothing_ships(shop: System) -> None:
    sku = shop.world.items[6].sku
    await shop.stock(sku, wh_columbus=1)
    free = OrderLine(line_no=1, sku=sku, quantity=1)
    order_id = await shop.place(shop.order((sku, 1)).model_copy(update={"lines": (free,)}))

    assert (await shop.ended(order_id)).delivered_units == 1
    assert not any(name.startswith("payment") for name in shop.did(order_id))
