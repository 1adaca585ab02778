"""Staff steer a running order: hold it, let it go, send its units somewhere else; operators stop it."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import CancelledError

from shared.domain.orders import HoldKind, PaymentMethod
from shared.errors import Conflict, NotFound
from shared.messages import PlaceHold, ReleaseHold, Reroute
from tests.support.system import System

HOLD = PlaceHold(actor="pia", reason="customer will call back")


async def held(shop: System, sku: str, units: int) -> tuple[str, str]:
    """An order planned and not released, for its payment was declined once. Returns its id and its hold's."""
    document = shop.order((sku, units))
    token = PaymentMethod(token=f"tok_decline_once-{document.channel_order_id}")
    order_id = await shop.place(document.model_copy(update={"payment": token}))
    state = await shop.until_state(order_id, lambda state: state.holds)
    return order_id, state.holds[0].hold_id


async def let_go(shop: System, order_id: str, hold_id: str) -> str:
    return (await shop.doms.release(order_id, ReleaseHold(actor="pia", hold_id=hold_id))).message


# --- hold and release -----------------------------------------------------------------------------------


async def test_an_order_goes_on_when_the_last_hold_is_lifted(shop: System) -> None:
    sku = shop.world.items[0].sku
    await shop.stock(sku, wh_columbus=2)
    order_id, payment = await held(shop, sku, 2)
    staff = await shop.doms.hold(order_id, HOLD)
    fraud = await shop.doms.hold(order_id, PlaceHold(actor="rob", reason="odd address", kind=HoldKind.FRAUD))
    assert (staff.done, staff.units, staff.refused) == (True, 2, ())
    assert staff.message != fraud.message

    assert await let_go(shop, order_id, payment) == "released; still held by " + ", ".join(
        sorted([staff.message, fraud.message])
    )
    await shop.until_did(order_id, "payment.authorized")
    assert await let_go(shop, order_id, fraud.message) == f"released; still held by {staff.message}"
    assert shop.did(order_id)["task.taken"] == 0
    assert await shop.units(order_id) == {1: {"allocated": 2}}
    assert await let_go(shop, order_id, staff.message) == "released"

    assert (await shop.ended(order_id)).delivered_units == 2
    rows = await shop.rows("SELECT kind, placed_by, released_by FROM hold WHERE order_id = :o ORDER BY 1", o=order_id)
    assert rows == [("fraud", "rob", "pia"), ("payment", "doms", "pia"), ("staff", "pia", "pia")]


async def test_a_hold_says_what_it_comes_too_late_for(shop: System) -> None:
    running, waiting = shop.world.items[1].sku, shop.world.items[2].sku
    await shop.stock(running, wh_columbus=1)
    await shop.stock(waiting)
    document = shop.order((running, 1), (waiting, 2))
    order_id = shop.id_of(document)
    await shop.behave("silent", reference=order_id)
    await shop.place(document)
    await shop.stage(order_id, 1, "requested")

    answer = await shop.doms.hold(order_id, HOLD)

    assert (answer.done, answer.units) == (True, 2)
    assert answer.refused == ("wh-columbus was already told to ship fulfillment order 1",)
    await shop.behave("accept", reference=order_id)
    await shop.arrives(waiting, "store-chicago", 2)
    await shop.until_state(order_id, lambda state: len(state.fulfillments) == 2)
    assert shop.did(order_id)["task.taken"] == 1
    await let_go(shop, order_id, answer.message)
    await shop.until_did(order_id, "task.taken", times=2)


async def test_a_hold_that_does_not_stand(shop: System) -> None:
    sku = shop.world.items[3].sku
    await shop.stock(sku, wh_columbus=1)
    order_id, hold_id = await held(shop, sku, 1)

    with pytest.raises(NotFound, match="no hold 'nonsense'"):
        await let_go(shop, order_id, "nonsense")
    await let_go(shop, order_id, hold_id)
    with pytest.raises(NotFound):
        await let_go(shop, order_id, hold_id)

    await shop.ended(order_id)
    with pytest.raises(Conflict):
        await shop.doms.hold(order_id, HOLD)


# --- reroute ----------------------------------------------------------------------------------------------


async def test_planned_units_go_to_a_named_node(shop: System) -> None:
    sku = shop.world.items[4].sku
    await shop.stock(sku, wh_columbus=2, store_austin=2)
    order_id, payment = await held(shop, sku, 2)
    (node_id,) = (await shop.nodes(order_id)).values()
    other = "store-austin" if node_id == "wh-columbus" else "wh-columbus"

    answer = await shop.doms.reroute(order_id, Reroute(actor="pia", n=1, to_node=other))

    assert (answer.done, answer.units, answer.refused) == (True, 2, ())
    assert await shop.nodes(order_id) == {1: node_id, 2: other}
    await let_go(shop, order_id, payment)
    outcome = await shop.ended(order_id)
    assert (outcome.delivered_units, outcome.fulfillments) == (2, 2)
    assert shop.did(order_id)["task.taken"] == 1
    assert await shop.free(sku) == {node_id: 2}


@pytest.mark.parametrize("to_node", ["store-chicago", ""], ids=["named", "anywhere"])
async def test_released_units_are_given_back_first(shop: System, to_node: str) -> None:
    sku = shop.world.items[5].sku
    await shop.stock(sku, wh_columbus=2)
    document = shop.order((sku, 2))
    order_id = shop.id_of(document)
    await shop.behave("silent", reference=f"{order_id}/f1")
    await shop.place(document)
    await shop.stage(order_id, 1, "requested")
    await shop.arrives(sku, "store-chicago", 2)

    answer = await shop.doms.reroute(order_id, Reroute(actor="pia", n=1, to_node=to_node, reason="dock is flooded"))

    assert (answer.done, answer.units) == (True, 2)
    outcome = await shop.ended(order_id)
    assert (outcome.delivered_units, outcome.fulfillments) == (2, 2)
    assert await shop.nodes(order_id) == {1: "wh-columbus", 2: "store-chicago"}
    did = shop.did(order_id)
    assert (did["task.cancelled"], did["task.shipped"]) == (1, 1)
    assert await shop.free(sku) == {"wh-columbus": 2}


@pytest.mark.parametrize(
    ("to_node", "because"),
    [("store-austin", "no_stock"), ("moon-base", "there is no node moon-base"), ("", "no_stock")],
    ids=["no stock there", "no such node", "no stock anywhere else"],
)
async def test_units_stay_where_they_are_when_nobody_else_can_ship(shop: System, to_node: str, because: str) -> None:
    sku = shop.world.items[6].sku
    await shop.stock(sku, wh_columbus=2)
    order_id, payment = await held(shop, sku, 2)

    answer = await shop.doms.reroute(order_id, Reroute(actor="pia", n=1, to_node=to_node))

    assert (answer.done, answer.units) == (False, 0)
    assert any(because in reason for reason in answer.refused), answer
    await let_go(shop, order_id, payment)
    outcome = await shop.ended(order_id)
    assert (outcome.delivered_units, outcome.fulfillments) == (2, 1)


async def test_what_cannot_be_rerouted(shop: System) -> None:
    gone, waiting = shop.world.items[7].sku, shop.world.items[8].sku
    await shop.stock(gone, wh_columbus=1)
    await shop.stock(waiting)
    order_id = await shop.place(shop.order((gone, 1), (waiting, 1)))
    with pytest.raises(NotFound, match="no fulfillment order 7"):
        await shop.doms.reroute(order_id, Reroute(actor="pia", n=7))

    await shop.stage(order_id, 1, "in_transit", "done")
    with pytest.raises(Conflict, match="cannot be rerouted"):
        await shop.doms.reroute(order_id, Reroute(actor="pia", n=1))


async def test_rerouting_to_one_node_does_not_keep_other_units_waiting(shop: System) -> None:
    """Only the named node was looked at for the reroute; what waits besides is then looked for everywhere."""
    moved, waiting = shop.world.items[9].sku, shop.world.items[10].sku
    await shop.stock(moved, wh_columbus=1, store_austin=1)
    await shop.stock(waiting)
    document = shop.order((moved, 1), (waiting, 1))
    token = PaymentMethod(token=f"tok_decline_once-{document.channel_order_id}")
    order_id = await shop.place(document.model_copy(update={"payment": token}))
    payment = (await shop.until_state(order_id, lambda state: state.holds)).holds[0].hold_id
    (node_id,) = (await shop.nodes(order_id)).values()
    other = "store-austin" if node_id == "wh-columbus" else "wh-columbus"
    await shop.stock(waiting, **{"3pl_reno": 1})

    answer = await shop.doms.reroute(order_id, Reroute(actor="pia", n=1, to_node=other))

    assert (answer.done, answer.refused) == (True, ("1 units wait for stock",))
    await let_go(shop, order_id, payment)
    assert (await shop.ended(order_id)).delivered_units == 2
    assert set((await shop.nodes(order_id)).values()) == {"wh-columbus", "store-austin", "3pl-reno"}


# --- the operator -----------------------------------------------------------------------------------------


async def stopped(shop: System, order_id: str) -> None:
    """The operator cancels the workflow, and it ends cancelled."""
    await shop.handle(order_id).cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await shop.finished(order_id)
    assert isinstance(caught.value.cause, CancelledError)
    description = await shop.handle(order_id).describe()
    assert description.status is WorkflowExecutionStatus.CANCELED
    await shop.settled(order_id)


async def test_an_operator_stops_a_released_order(shop: System) -> None:
    sku, missing = shop.world.items[11].sku, shop.world.items[12].sku
    await shop.stock(sku, wh_columbus=2)
    await shop.stock(missing)
    document = shop.order((sku, 2), (missing, 1))
    order_id = shop.id_of(document)
    await shop.behave("silent", reference=order_id)
    await shop.place(document)
    await shop.stage(order_id, 1, "requested")

    await stopped(shop, order_id)

    assert await shop.units(order_id) == {1: {"cancelled": 2}, 2: {"cancelled": 1}}
    assert await shop.free(sku) == {"wh-columbus": 2}
    money = await shop.money(order_id)
    assert money["voided"] == money["authorized"] > 0


async def test_an_operator_stops_an_order_that_waits_for_its_payment(shop: System) -> None:
    sku = shop.world.items[13].sku
    await shop.stock(sku, wh_columbus=2)
    order_id, _ = await held(shop, sku, 2)

    await stopped(shop, order_id)

    assert await shop.units(order_id) == {1: {"cancelled": 2}}
    assert await shop.free(sku) == {"wh-columbus": 2}


async def test_a_stop_during_the_authorisation_is_not_lost(shop: System) -> None:
    """The provider answers after the cancellation: what it authorised is voided, nothing ships."""
    sku = shop.world.items[14].sku
    await shop.stock(sku, wh_columbus=1)
    await shop.fault("payments", "error500_after_effect")
    order_id = await shop.place(shop.order((sku, 1)))
    await shop.until_did(order_id, "payment.authorized")
    await shop.handle(order_id).cancel()
    await shop.fault("payments", "ok")

    await stopped(shop, order_id)

    assert await shop.units(order_id) == {1: {"cancelled": 1}}
    assert shop.did(order_id) == {"payment.authorized": 1, "payment.voided": 1}


async def test_what_has_left_is_seen_delivered_before_a_stopped_order_ends(shop: System) -> None:
    sku, missing = shop.world.items[15].sku, shop.world.items[16].sku
    await shop.stock(sku, wh_columbus=1)
    await shop.stock(missing)
    order_id = await shop.place(shop.order((sku, 1), (missing, 1)))
    await shop.until_did(order_id, "task.shipped")

    await stopped(shop, order_id)

    assert await shop.units(order_id) == {1: {"delivered": 1}, 2: {"cancelled": 1}}
