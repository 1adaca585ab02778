"""The clients against the sandbox partners, over real sockets. The sandbox's log is the judge."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from shared.domain.base import Model
from shared.domain.network import NodeType
from shared.domain.partners import PartnerEndpoint, PartnerKind
from shared.errors import GatewayError, PartnerRefused, PartnerUnavailable
from shared.gateways.directory import Gateways
from shared.gateways.guard import Limits
from shared.gateways.http import HttpClient
from shared.gateways.protocol import (
    Authorize,
    CancelRequest,
    Capture,
    ExpectReturn,
    FulfillmentPacked,
    PaymentResult,
    PaymentStatus,
    Refund,
    SendLabel,
    Void,
    VoidOutcome,
)
from tests.support.partners import PARTNER_KEY, Inbox, label_for, listening, request_for, units
from workers.sandbox.app import running
from workers.sandbox.config import Behaviour, Pace, Rates, SandboxConfig
from workers.sandbox.control import Pending
from workers.sandbox.log import Effect, read_effects, read_requests

FAST = Pace(accept_after=0.01, pack_after=0.01, ship_after=0.01, late_by=0.3, transit=0.05, return_after=0.01)
PARTNERS = {
    "payments": PartnerKind.PAYMENT,
    "parcelpost": PartnerKind.CARRIER,
    "swiftship": PartnerKind.CARRIER,
    "ours": PartnerKind.FULFILLMENT,
    "acme": PartnerKind.FULFILLMENT,
}
OURS = (NodeType.WAREHOUSE, NodeType.STORE)
EFFECTS = {
    NodeType.WAREHOUSE: "task",
    NodeType.STORE: "task",
    NodeType.LOGISTICS: "shipping_order",
    NodeType.VENDOR: "purchase_order",
}


class LogPage(Model):
    effects: list[Effect]
    next: int | None


class Outside:
    """The outside world of one test: the sandbox, clients to it, and what it told us."""

    def __init__(self, url: str, inbox: Inbox, database: Path, limits: Limits | None = None) -> None:
        self.inbox = inbox
        self.database = database
        self.url = url
        self.control = HttpClient(url, Limits())
        self.gateways = gateways_at(url, PARTNER_KEY, limits)

    async def post(self, path: str, body: str) -> int:
        return (await self.control.send("POST", path, body=body.encode())).status

    async def fault(self, partner: str, mode: str, extra: str = "") -> None:
        body = f'{{"partner": "{partner}", "mode": "{mode}"{extra}}}'
        assert await self.post("/control/faults", body) == 200

    async def behave(self, reference: str, behaviour: Behaviour) -> None:
        body = f'{{"reference": "{reference}", "behaviour": "{behaviour}"}}'
        assert await self.post("/control/behaviour", body) == 200

    async def pending(self) -> Pending:
        return Pending.model_validate_json((await self.control.send("GET", "/pending")).body)

    async def quiet(self) -> None:
        async with asyncio.timeout(30):
            while not (await self.pending()).quiet:
                await asyncio.sleep(0.02)

    def effects(self, effect: str = "") -> list[str]:
        """Business keys of an effect, in order, or the names of all effects."""
        found = read_effects(self.database, effect=effect)
        return [e.business_key if effect else e.effect for e in found]

    async def label_all(self, packed: FulfillmentPacked, partner: str = "ours") -> None:
        for package in packed.packages:
            request = label_for(f"{packed.reference}/p{package.package_no}", weight_g=package.weight_g)
            label = await self.gateways.carrier("parcelpost").buy_label(request)
            await self.gateways.fulfillment(partner).send_label(
                SendLabel(reference=packed.reference, node_id="reno", package_no=package.package_no, label=label)
            )

    async def aclose(self) -> None:
        await self.gateways.aclose()
        await self.control.aclose()


def gateways_at(url: str, key: str, limits: Limits | None = None) -> Gateways:
    partners = {
        partner_id: PartnerEndpoint(partner_id=partner_id, kind=kind, base_url=f"{url}/{partner_id}")
        for partner_id, kind in PARTNERS.items()
    }
    return Gateways(partners, key, limits=limits)


@asynccontextmanager
async def outside(
    tmp_path: Path, *, pace: Pace = FAST, rates: Rates | None = None, limits: Limits | None = None
) -> AsyncIterator[Outside]:
    database = tmp_path / "sandbox.sqlite"
    async with listening() as inbox:
        config = SandboxConfig(
            api_url=inbox.url, partner_key=PARTNER_KEY, database=database, pace=pace, rates=rates or Rates()
        )
        async with running(config) as url:
            world = Outside(url, inbox, database, limits)
            try:
                yield world
            finally:
                await world.aclose()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Outside]:
    async with outside(tmp_path) as world:
        yield world


def authorize(n: int = 1, *, token: str = "tok_visa", amount_minor: int = 1000) -> Authorize:
    reference = f"web/1/authorize/{n}"
    return Authorize(reference=reference, order_id="web/1", amount_minor=amount_minor, currency="USD", token=token)


def capture(authorized: PaymentResult, reference: str, amount_minor: int, currency: str = "USD") -> Capture:
    return Capture(
        reference=reference,
        authorization_id=authorized.provider_id,
        amount_minor=amount_minor,
        currency=currency,
    )


def refund(authorized: PaymentResult, reference: str, amount_minor: int) -> Refund:
    return Refund(
        reference=reference, authorization_id=authorized.provider_id, amount_minor=amount_minor, currency="USD"
    )


# --- payments ---------------------------------------------------------------------------------------------


async def test_money_is_held_taken_in_parts_released_and_given_back(world: Outside) -> None:
    provider = world.gateways.payments()
    held = await provider.authorize(authorize())
    assert held.status is PaymentStatus.SUCCEEDED
    assert held.expires_at is not None
    await provider.capture(capture(held, "web/1/capture/1", 300))
    await provider.capture(capture(held, "web/1/capture/2", 500))
    released = await provider.void(Void(reference="web/1/void", authorization_id=held.provider_id))
    assert released.amount_minor == 200
    await provider.refund(refund(held, "web/1/refund/1", 800))
    assert [(e.effect, e.amount) for e in read_effects(world.database)] == [
        ("payment.authorized", 1000),
        ("payment.captured", 300),
        ("payment.captured", 500),
        ("payment.voided", 200),
        ("payment.refunded", 800),
    ]


async def test_more_than_there_is_cannot_be_taken_or_given_back(world: Outside) -> None:
    provider = world.gateways.payments()
    held = await provider.authorize(authorize())
    await provider.capture(capture(held, "c1", 900))
    for call in (
        provider.capture(capture(held, "c2", 101)),
        provider.capture(capture(held, "c3", 50, currency="EUR")),
        provider.refund(refund(held, "r1", 901)),
        provider.void(Void(reference="v1", authorization_id="auth_unknown")),
    ):
        with pytest.raises(PartnerRefused):
            await call
    assert world.effects() == ["payment.authorized", "payment.captured"]


@pytest.mark.parametrize(
    ("token", "reason"), [("tok_declined", "card_declined"), ("tok_insufficient_9", "insufficient_funds")]
)
async def test_some_tokens_are_declined(world: Outside, token: str, reason: str) -> None:
    declined = await world.gateways.payments().authorize(authorize(token=token))
    assert (declined.status, declined.reason) == (PaymentStatus.DECLINED, reason)


async def test_a_token_declined_once_pays_under_the_next_reference(world: Outside) -> None:
    provider = world.gateways.payments()
    answers = [await provider.authorize(authorize(n, token="tok_decline_once_1")) for n in (1, 1, 2, 1)]
    assert [answer.status for answer in answers] == ["declined", "declined", "succeeded", "declined"]


async def test_a_repeat_gets_the_first_answer_and_other_content_none(world: Outside) -> None:
    provider = world.gateways.payments()
    first = await provider.authorize(authorize())
    assert await provider.authorize(authorize()) == first
    assert await provider.find("web/1/authorize/1") == first
    assert await provider.find("web/1/authorize/2") is None
    with pytest.raises(PartnerRefused) as refused:
        await provider.authorize(authorize(amount_minor=999))
    assert refused.value.details["reason"] == "key_used_for_other_content"
    assert world.effects() == ["payment.authorized"]


async def test_repeats_at_the_same_time_are_one_effect(world: Outside) -> None:
    provider = world.gateways.payments()
    answers = await asyncio.gather(*(provider.authorize(authorize()) for _ in range(20)))
    assert len({answer.provider_id for answer in answers}) == 1
    assert world.effects() == ["payment.authorized"]


async def test_a_stranger_is_refused(world: Outside) -> None:
    async with gateways_at(world.url, "another partner key") as stranger:
        with pytest.raises(PartnerRefused):
            await stranger.payments().authorize(authorize())
    assert world.effects() == []


async def test_the_directory_knows_who_does_what(world: Outside) -> None:
    for ask in (world.gateways.payments, world.gateways.fulfillment):
        with pytest.raises(PartnerUnavailable):
            ask("parcelpost")
    with pytest.raises(PartnerUnavailable):
        world.gateways.carrier("nobody")


# --- carriers ---------------------------------------------------------------------------------------------


async def test_a_label_is_bought_once_found_and_voided(world: Outside) -> None:
    carrier = world.gateways.carrier("swiftship")
    assert await carrier.find_label("f1/p1") is None
    label = await carrier.buy_label(label_for("f1/p1", carrier="swiftship"))
    assert label == await carrier.buy_label(label_for("f1/p1", carrier="swiftship"))
    assert label == await carrier.find_label("f1/p1")
    assert label.cost_minor > 0
    assert await carrier.void_label(label.label_id) is VoidOutcome.VOIDED
    assert await carrier.void_label(label.label_id) is VoidOutcome.VOIDED
    assert await carrier.void_label("lbl_nobody") is VoidOutcome.UNKNOWN_LABEL
    assert world.effects() == ["label.bought", "label.voided"]


async def test_a_carrier_refuses_where_it_does_not_go(world: Outside) -> None:
    with pytest.raises(PartnerRefused) as refused:
        await world.gateways.carrier("parcelpost").buy_label(label_for("f1/p1", country="AQ"))
    assert refused.value.details["reason"] == "undeliverable_address"


# --- nodes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("node_type", OURS)
async def test_our_nodes_wait_for_labels_and_ship(world: Outside, node_type: NodeType) -> None:
    request = request_for("web/1/f1", node_type=node_type, quantities={1: 60, 2: 3})
    await world.gateways.fulfillment("ours").request(request)
    packed = await world.inbox.packed("web/1/f1")
    assert units(packed) == {1: 60, 2: 3}
    assert len(packed.packages) == 2, "more than 25 kg"
    assert (await world.pending()).waiting_for_labels == 1
    await world.label_all(packed)
    shipped = await world.inbox.shipped("web/1/f1")
    assert units(shipped) == {1: 60, 2: 3}
    await world.quiet()
    for package in shipped.packages:
        assert world.inbox.statuses(package.tracking_no) == ["in_transit", "out_for_delivery", "delivered"]
    assert world.inbox.types("web/1/f1") == ["fulfillment.accepted", "fulfillment.packed", "fulfillment.shipped"]
    assert Counter(world.effects()) == {
        "task.taken": 1,
        "task.packed": 1,
        "task.shipped": 1,
        "label.bought": 2,
        "label.used": 2,
        "parcel.delivered": 2,
        "message.sent": 9,
    }
    label = await world.gateways.carrier("parcelpost").find_label("web/1/f1/p1")
    assert label is not None
    assert await world.gateways.carrier("parcelpost").void_label(label.label_id) is VoidOutcome.ALREADY_USED


@pytest.mark.parametrize("node_type", [NodeType.LOGISTICS, NodeType.VENDOR])
async def test_third_parties_and_vendors_ship_on_their_own(world: Outside, node_type: NodeType) -> None:
    partner = world.gateways.fulfillment("acme")
    assert not await partner.find("web/1/f1", "reno", node_type)
    for _ in range(2):
        await partner.request(request_for("web/1/f1", node_type=node_type, quantities={1: 2}))
    assert await partner.find("web/1/f1", "reno", node_type)
    shipped = await world.inbox.shipped("web/1/f1")
    assert shipped.packages[0].carrier == "parcelpost"
    await world.quiet()
    assert world.inbox.statuses(shipped.packages[0].tracking_no)[-1] == "delivered"
    assert world.inbox.types("web/1/f1") == ["fulfillment.accepted", "fulfillment.shipped"]
    kind = EFFECTS[node_type]
    assert [e for e in world.effects() if e.startswith(kind)] == [f"{kind}.taken", f"{kind}.packed", f"{kind}.shipped"]
    assert world.effects("label.bought") == []


async def test_a_reject_is_the_last_word(world: Outside) -> None:
    await world.behave("web/1", Behaviour.REJECT)
    await world.gateways.fulfillment("ours").request(request_for("web/1/f1"))
    await world.quiet()
    assert world.inbox.types("web/1/f1") == ["fulfillment.rejected"]


async def test_silence_lasts(world: Outside) -> None:
    await world.behave("web/1/f1", Behaviour.SILENT)
    await world.gateways.fulfillment("ours").request(request_for("web/1/f1"))
    await world.quiet()
    assert world.inbox.messages == []
    assert world.effects() == ["task.taken"]


async def test_a_late_node_works_after_all(world: Outside) -> None:
    await world.behave("web/1/f1", Behaviour.LATE)
    await world.gateways.fulfillment("acme").request(request_for("web/1/f1", node_type=NodeType.VENDOR))
    await world.gateways.fulfillment("acme").request(request_for("web/2/f1", node_type=NodeType.VENDOR))
    await world.inbox.shipped("web/1/f1")
    assert world.inbox.types("web/2/f1") == ["fulfillment.accepted", "fulfillment.shipped"]


@pytest.mark.parametrize("node_type", NodeType)
async def test_a_short_shipment_holds_fewer_units(world: Outside, node_type: NodeType) -> None:
    await world.behave("web/1/f1", Behaviour.SHORT)
    await world.gateways.fulfillment("ours").request(request_for("web/1/f1", node_type=node_type))
    if node_type in OURS:
        await world.label_all(await world.inbox.packed("web/1/f1"))
    # The one unit of the one line is missing: a ship confirm without a package.
    assert units(await world.inbox.shipped("web/1/f1")) == {}


async def test_a_cancelled_task_never_ships(world: Outside) -> None:
    await world.behave("web/1/f1", Behaviour.LATE)
    partner = world.gateways.fulfillment("ours")
    await partner.request(request_for("web/1/f1"))
    for _ in range(2):
        assert (await partner.cancel(cancel("web/1/f1"))).accepted
    await world.quiet()
    assert world.effects() == ["task.taken", "task.cancelled"]
    assert world.inbox.messages == []


async def test_a_packed_task_ships_although_asked_not_to(world: Outside) -> None:
    partner = world.gateways.fulfillment("ours")
    await partner.request(request_for("web/1/f1"))
    packed = await world.inbox.packed("web/1/f1")
    answer = await partner.cancel(cancel("web/1/f1"))
    assert (answer.accepted, answer.reason) == (False, "packed")
    await world.label_all(packed)
    await world.inbox.shipped("web/1/f1")


async def test_a_request_that_comes_after_its_cancellation_is_refused(world: Outside) -> None:
    partner = world.gateways.fulfillment("ours")
    assert (await partner.cancel(cancel("web/1/f1"))).accepted
    with pytest.raises(PartnerRefused):
        await partner.request(request_for("web/1/f1"))
    assert world.effects() == []


async def test_a_label_sticks_once(world: Outside) -> None:
    partner = world.gateways.fulfillment("ours")
    carrier = world.gateways.carrier("parcelpost")
    first, other = [await carrier.buy_label(label_for(f"web/1/f1/{n}")) for n in (1, 2)]
    send = SendLabel(reference="web/1/f1", node_id="reno", package_no=1, label=first)
    with pytest.raises(PartnerRefused):
        await partner.send_label(send)
    await partner.request(request_for("web/1/f1", quantities={1: 60}))
    await world.inbox.packed("web/1/f1")
    for _ in range(2):
        await partner.send_label(send)
    for wrong in ({"label": other}, {"package_no": 3}):
        with pytest.raises(PartnerRefused):
            await partner.send_label(send.model_copy(update=wrong))
    assert (await world.pending()).waiting_for_labels == 1


async def test_a_return_is_received_and_graded(world: Outside) -> None:
    partner = world.gateways.fulfillment("ours")
    expected = ExpectReturn(
        reference="ret-1",
        order_id="web/1",
        node_id="reno",
        node_type=NodeType.STORE,
        lines=request_for("web/1/f1", quantities={1: 2, 2: 1}).lines,
    )
    assert not await partner.find_return("ret-1")
    for _ in range(2):
        await partner.expect_return(expected)
    assert await partner.find_return("ret-1")
    await world.quiet()
    assert [m.type for m in world.inbox.messages] == ["return.received"]
    assert world.effects("return.received") == ["ret-1"]


@pytest.mark.slow
async def test_ten_thousand_lines(world: Outside) -> None:
    quantities = {n: 1 + n % 3 for n in range(1, 10_001)}
    await world.gateways.fulfillment("ours").request(request_for("web/1/f1", quantities=quantities))
    packed = await world.inbox.packed("web/1/f1")
    assert len(packed.packages) == 400
    await world.label_all(packed)
    assert units(await world.inbox.shipped("web/1/f1")) == quantities
    await world.quiet()
    assert len(world.effects("parcel.delivered")) == 400


def cancel(reference: str, node_type: NodeType = NodeType.WAREHOUSE) -> CancelRequest:
    return CancelRequest(reference=reference, node_id="reno", node_type=node_type)


# --- faults between us and a partner ----------------------------------------------------------------------

DONE = ["drop_response", "truncate", "error500_after_effect", "html", "slow"]
NOT_DONE = ["down", "throttle", "blackhole"]
PATIENCE = Limits(deadline=0.5, failures=1000)


@pytest.mark.parametrize("mode", DONE)
async def test_a_lost_answer_is_found_and_the_effect_is_one(tmp_path: Path, mode: str) -> None:
    async with outside(tmp_path, limits=PATIENCE) as world:
        provider = world.gateways.payments()
        await world.fault("payments", mode)
        with pytest.raises(PartnerUnavailable):
            await provider.authorize(authorize())
        await world.fault("payments", "ok")
        found = await provider.find("web/1/authorize/1")
        assert found is not None
        assert await provider.authorize(authorize()) == found
        assert world.effects() == ["payment.authorized"]


@pytest.mark.parametrize("mode", NOT_DONE)
async def test_what_never_arrived_is_not_found(tmp_path: Path, mode: str) -> None:
    async with outside(tmp_path, limits=PATIENCE) as world:
        carrier = world.gateways.carrier("parcelpost")
        await world.fault("parcelpost", mode, ', "retry_after": "7"')
        with pytest.raises(PartnerUnavailable) as failed:
            await carrier.buy_label(label_for("f1/p1"))
        assert failed.value.retry_after == (None if mode == "blackhole" else 7)
        await world.fault("parcelpost", "ok")
        assert await carrier.find_label("f1/p1") is None
        assert world.effects() == []


async def test_under_mixed_faults_every_effect_is_one(tmp_path: Path) -> None:
    async with outside(tmp_path, limits=PATIENCE) as world:
        for partner, mode in (("payments", "drop_response"), ("parcelpost", "error500_after_effect")):
            await world.fault(partner, mode, ', "rate": 0.5, "seed": 3')
        provider, carrier = world.gateways.payments(), world.gateways.carrier("parcelpost")
        for n in range(1, 21):
            await until_done(partial(provider.authorize, authorize(n)))
            await until_done(partial(carrier.buy_label, label_for(f"f{n}/p1")))
        assert len(read_requests(world.database)) > 50, "there were faults"
        assert Counter(world.effects()) == {"payment.authorized": 20, "label.bought": 20}


async def test_a_dead_partner_leaves_the_others_alone(tmp_path: Path) -> None:
    limits = Limits(deadline=0.3, in_flight=4, failures=4, pause=30)
    async with outside(tmp_path, limits=limits) as world:
        await world.fault("parcelpost", "blackhole")
        dead, alive = world.gateways.carrier("parcelpost"), world.gateways.carrier("swiftship")
        for attempt in range(3):
            lost = asyncio.gather(
                *(dead.buy_label(label_for(f"{attempt}-{n}")) for n in range(20)), return_exceptions=True
            )
            for n in range(5):
                await alive.buy_label(label_for(f"{attempt}-{n}", carrier="swiftship"))
            assert all(isinstance(result, PartnerUnavailable) for result in await lost)
        assert len(world.effects("label.bought")) == 15
        assert len(read_requests(world.database, partner="parcelpost")) == 0


async def until_done(call: Callable[[], Awaitable[object]]) -> None:
    for _ in range(50):
        try:
            await call()
        except GatewayError:
            continue
        return
    raise AssertionError("never done")


# --- messages ---------------------------------------------------------------------------------------------


async def test_a_message_is_sent_until_it_is_taken(world: Outside) -> None:
    world.inbox.refusals = iter([503, 500, 429, 302])
    await world.behave("web/1/f1", Behaviour.REJECT)
    await world.gateways.fulfillment("ours").request(request_for("web/1/f1"))
    await world.quiet()
    assert world.inbox.types("web/1/f1") == ["fulfillment.rejected"]
    assert len(world.effects("message.sent")) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 422])
async def test_a_refused_message_is_given_up(world: Outside, status: int) -> None:
    world.inbox.refusals = itertools.repeat(status)
    await world.behave("web/1/f1", Behaviour.REJECT)
    await world.gateways.fulfillment("ours").request(request_for("web/1/f1"))
    await world.quiet()
    assert world.inbox.messages == []
    assert len(world.effects("message.refused")) == 1


async def test_scans_may_come_twice_and_out_of_order(tmp_path: Path) -> None:
    rates = Rates(scan_duplicate=1.0, scan_reorder=1.0, delivery_exception=1.0, out_for_delivery=0.0)
    async with outside(tmp_path, rates=rates) as world:
        await world.gateways.fulfillment("acme").request(request_for("web/1/f1", node_type=NodeType.VENDOR))
        shipped = await world.inbox.shipped("web/1/f1")
        await world.quiet()
        statuses = world.inbox.statuses(shipped.packages[0].tracking_no)
        assert Counter(statuses) == {"exception": 2, "delivered": 2, "in_transit": 2}
        assert statuses[-1] == "in_transit"
        assert len({m.message_id for m in world.inbox.messages if m.type == "tracking.updated"}) == 3
        assert len(world.effects("parcel.delivered")) == 1


# --- the log and the restart ------------------------------------------------------------------------------


async def test_the_log_is_paged_and_only_grows(world: Outside) -> None:
    provider = world.gateways.payments()
    for n in range(1, 6):
        await provider.authorize(authorize(n))
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page = (await world.control.send("GET", "/log", params={"after": str(after), "limit": "2"})).body
        log = LogPage.model_validate_json(page)
        seen += [effect.seq for effect in log.effects]
        after = log.next
    assert seen == [1, 2, 3, 4, 5]
    with sqlite3.connect(world.database) as other:
        for change in ("UPDATE effect SET amount = 0", "DELETE FROM effect", "DELETE FROM request"):
            with pytest.raises(sqlite3.IntegrityError, match="append only"):
                other.execute(change)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/control/faults", '{"partner": "payments", "mode": "odd"}'),
        ("/control/faults", "["),
        ("/control/behaviour", '{"behaviour": "reject"}'),
        ("/control/behaviour", '{"reference": "a", "behaviour": "odd"}'),
    ],
)
async def test_control_refuses_what_it_does_not_understand(world: Outside, path: str, body: str) -> None:
    assert await world.post(path, body) == 422


@pytest.mark.crash
async def test_a_killed_sandbox_takes_up_its_work(tmp_path: Path) -> None:
    database = tmp_path / "sandbox.sqlite"
    async with listening() as inbox:
        async with sandbox_process(database, inbox.url) as (process, url):
            async with gateways_at(url, PARTNER_KEY) as gateways:
                for n in range(10):
                    await gateways.fulfillment("ours").request(request_for(f"web/{n}/f1"))
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        assert inbox.messages == []
        async with sandbox_process(database, inbox.url) as (_, url):
            async with gateways_at(url, PARTNER_KEY) as gateways:
                for n in range(10):
                    await gateways.fulfillment("ours").request(request_for(f"web/{n}/f1"))
            for n in range(10):
                await inbox.packed(f"web/{n}/f1")
    counted = Counter(effect.effect for effect in read_effects(database))
    assert counted["task.taken"] == counted["task.packed"] == 10


PROGRAM = """
import asyncio, sys
from workers.sandbox.app import serve
from workers.sandbox.config import SandboxConfig
asyncio.run(serve(SandboxConfig.model_validate_json(sys.argv[1]), "127.0.0.1", int(sys.argv[2])))
"""


@asynccontextmanager
async def sandbox_process(database: Path, api_url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    port = free_port()
    config = (
        f'{{"api_url": "{api_url}", "partner_key": "{PARTNER_KEY}", "database": "{database}",'
        ' "pace": {"accept_after": 1.5, "pack_after": 0.05}}'
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, config, str(port))
    url = f"http://127.0.0.1:{port}"
    try:
        await healthy(url)
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def healthy(url: str) -> None:
    client = HttpClient(url, Limits())
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    await client.send("GET", "/health")
                except PartnerUnavailable:
                    await asyncio.sleep(0.05)
                else:
                    return
    finally:
        await client.aclose()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
