"""Labels bought of who sells them for least, between a real Postgres and carriers over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from temporalio.testing import ActivityEnvironment

from activities.fulfillment import Fulfillment
from shared.database import labels, network
from shared.database.decisions import explain
from shared.domain.partners import PartnerEndpoint, PartnerKind
from shared.domain.rate_shopping import RateShop, Refusal, ShopReason
from shared.domain.story import PackageStory
from shared.errors import PartnerUnavailable, Unavailable
from shared.gateways.carriers.client import CarrierClient
from shared.gateways.directory import Gateways
from shared.gateways.protocol import BuyLabel, Label, QuoteRequest
from shared.loading import load
from shared.messages import CallOutcome, FulfillmentCall
from tests.support.facts import ADDRESS, Facts
from tests.support.outside import Outside, outside
from tests.support.partners import PARTNER_KEY
from workers.cli.drawing import story
from workers.cli.explain import drawn as explained
from workers.sandbox.carriers import quoted_minor
from workers.sandbox.log import read_effects, read_requests

CARRIERS = ("parcelpost", "swiftship")
NODE = "wh-columbus"


@dataclass
class Bench:
    """Orders packed at a node, and the activity that labels them."""

    shop: Facts
    world: Outside
    gateways: Gateways
    fulfillment: Fulfillment

    async def quoting(self, *carriers: str) -> None:
        """Have these accounts quote, and no others."""
        partners = [
            PartnerEndpoint(
                partner_id=each, kind=PartnerKind.CARRIER, base_url=f"{self.world.url}/{each}", quotes=each in carriers
            )
            for each in CARRIERS
        ]
        partners.append(
            PartnerEndpoint(partner_id=NODE, kind=PartnerKind.FULFILLMENT, base_url=f"{self.world.url}/{NODE}")
        )
        async with self.shop.database.transaction() as connection:
            await network.save_partners(connection, partners)
            await self.gateways.update(await network.read_partners(connection))

    async def packed(self) -> FulfillmentCall:
        """A fulfillment order that waits for its label."""
        order_id = await self.shop.keep((self.shop.sku(), 1))
        await self.shop.source(order_id)
        await self.shop.pay(order_id, "authorize")
        call = FulfillmentCall(order_id=order_id, n=1)
        await ActivityEnvironment().run(self.fulfillment.release, call)
        await self.shop.take(NODE, await self.world.inbox.packed(f"{order_id}/f1"))
        return call

    async def buy(self, call: FulfillmentCall) -> CallOutcome:
        outcome: CallOutcome = await ActivityEnvironment().run(self.fulfillment.buy_labels, call)
        return outcome

    async def parcel(self, call: FulfillmentCall) -> PackageStory:
        ((parcel,),) = (f.packages for f in (await self.shop.tell(call.order_id)).fulfillments)
        return parcel

    async def choice(self, call: FulfillmentCall) -> RateShop:
        found = (await self.parcel(call)).rate_shop
        assert found is not None
        return found

    def bought(self, call: FulfillmentCall) -> list[str]:
        """The carriers that sold labels for an order."""
        found = read_effects(self.world.database, effect="label.bought")
        return [effect.partner for effect in found if effect.reference.startswith(call.order_id)]


@asynccontextmanager
async def _bench(url: str, home: Path) -> AsyncIterator[Bench]:
    facts = await Facts.load(url)
    await facts.stock(facts.sku(), wh_columbus=500)
    async with outside(home) as world, Gateways({}, PARTNER_KEY) as gateways:
        yield Bench(facts, world, gateways, Fulfillment(facts.database, gateways))
    await facts.database.close()


@pytest.fixture(scope="module")
async def bench(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with _bench(database_url, tmp_path_factory.mktemp("outside")) as bench:
        yield bench


@pytest.fixture(autouse=True)
async def well(bench: Bench) -> None:
    """Everybody answers again."""
    for carrier in CARRIERS:
        for path in ("", "quotes", "labels"):
            await bench.world.fault(carrier, "ok", f', "path": "{path}"')
    await bench.gateways.update({})


async def test_without_accounts_that_quote_the_plans_choice_is_bought(bench: Bench) -> None:
    await bench.quoting()
    call = await bench.packed()
    assert (await bench.buy(call)).done
    parcel = await bench.parcel(call)
    (planned,) = (f.carrier for f in (await bench.shop.tell(call.order_id)).fulfillments)
    assert (parcel.label_status, parcel.rate_shop) == ("completed", None)
    assert bench.bought(call) == [parcel.carrier] == [planned]
    assert not [asked for asked in read_requests(bench.world.database) if asked.path.endswith("/quotes")]


async def test_the_cheapest_quote_that_keeps_the_promise_is_bought(bench: Bench) -> None:
    await bench.quoting(*CARRIERS)
    call = await bench.packed()
    assert (await bench.buy(call)).done
    parcel, choice = await bench.parcel(call), await bench.choice(call)
    assert choice.because is ShopReason.CHEAPEST_IN_TIME
    assert {one.carrier for one in choice.offers} == set(CARRIERS)
    in_time = [one for one in choice.offers if one.delivered_by and one.delivered_by <= choice.deliver_by]
    assert len(in_time) < len(choice.offers), "some are slower than the promise"
    asked = QuoteRequest(
        reference="", from_node=NODE, country="US", postal_code=ADDRESS.postal_code, weight_g=parcel.weight_g
    )
    prices = {(one.carrier, one.service): quoted_minor(0, one.carrier, one.service, asked) for one in in_time}
    assert (choice.carrier, choice.service) == min(prices, key=lambda way: prices[way])
    assert parcel.label_cost_minor == choice.price_minor == min(prices.values()), "it costs what was quoted"
    assert (parcel.carrier, parcel.service) == (choice.carrier, choice.service)
    assert bench.bought(call) == [choice.carrier]
    events = {event.event: event.detail for event in (await bench.shop.tell(call.order_id)).timeline}
    assert events["rates compared"]["because"] == "cheapest_in_time"
    assert (await bench.buy(call)).done, "and not again"
    assert (await bench.choice(call), bench.bought(call)) == (choice, [choice.carrier])


@pytest.mark.parametrize("mode", ["down", "blackhole", "refuse", "html"])
async def test_who_does_not_answer_keeps_nobody_waiting(
    bench: Bench, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.rate_shopping.ANSWER_WITHIN", 0.3)
    await bench.quoting(*CARRIERS)
    call = await bench.packed()
    await bench.world.fault("parcelpost", mode, ', "path": "quotes"')
    async with asyncio.timeout(8):
        assert (await bench.buy(call)).done
    choice = await bench.choice(call)
    assert (set(choice.unanswered), {one.carrier for one in choice.offers}) == ({"parcelpost"}, {"swiftship"})
    assert bench.bought(call) == ["swiftship"]


async def test_when_nobody_answers_the_plans_choice_is_bought(bench: Bench) -> None:
    await bench.quoting(*CARRIERS)
    call = await bench.packed()
    for carrier in CARRIERS:
        await bench.world.fault(carrier, "down", ', "path": "quotes"')
    assert (await bench.buy(call)).done
    choice = await bench.choice(call)
    (planned,) = (f for f in (await bench.shop.tell(call.order_id)).fulfillments)
    assert (choice.because, set(choice.unanswered)) == (ShopReason.NOBODY_ANSWERED, set(CARRIERS))
    assert (choice.carrier, choice.service) == (planned.carrier, planned.service)
    assert choice.price_minor is not None
    assert 0 < choice.price_minor <= planned.cost.freight, "by the card, which was asked for the parcel's volume"
    assert bench.bought(call) == [planned.carrier]


@pytest.mark.parametrize("mode", ["down", "drop_response"])
async def test_after_a_crash_between_choice_and_purchase_the_choice_stands(bench: Bench, mode: str) -> None:
    """The chosen carrier fails as the label is bought, before or after it was sold; then the other one is cheaper."""
    await bench.quoting("swiftship")
    call = await bench.packed()
    await bench.world.fault("swiftship", mode, ', "path": "labels"')
    with pytest.raises(PartnerUnavailable):
        await bench.buy(call)
    choice = await bench.choice(call)
    assert (await bench.parcel(call)).label_status == "purchasing"
    await bench.quoting(*CARRIERS)
    await bench.world.fault("swiftship", "ok", ', "path": "labels"')
    await bench.world.fault("swiftship", "down", ', "path": "quotes"')
    assert (await bench.buy(call)).done
    assert (await bench.choice(call), bench.bought(call)) == (choice, ["swiftship"])
    assert (await bench.parcel(call)).carrier == "swiftship"


async def in_time(bench: Bench) -> list[tuple[str, str]]:
    """Who is asked for the label of a parcel of this bench's, one after the other."""
    await bench.quoting(*CARRIERS)
    call = await bench.packed()
    assert (await bench.buy(call)).done
    sellers = [(seller.carrier, seller.service) for seller in (await bench.choice(call)).sellers]
    assert {carrier for carrier, _ in sellers} == set(CARRIERS)
    return sellers


def after(sellers: list[tuple[str, str]], carrier: str) -> int:
    """How many are asked before the first one of another carrier."""
    return next(turn for turn, seller in enumerate(sellers) if seller[0] != carrier)


@pytest.mark.parametrize("answer", ["ok", "drop_response"])
async def test_when_the_chosen_refuses_the_next_best_sells_once(bench: Bench, answer: str) -> None:
    """Also when its answer is lost and the purchase begins again."""
    sellers = await in_time(bench)
    chosen = sellers[0][0]
    turn = after(sellers, chosen)
    call = await bench.packed()
    await bench.world.fault(chosen, "refuse", ', "path": "labels"')
    if answer != "ok":
        await bench.world.fault(sellers[turn][0], answer, ', "path": "labels"')
        with pytest.raises(PartnerUnavailable):
            await bench.buy(call)
        await bench.world.fault(sellers[turn][0], "ok", ', "path": "labels"')
    assert (await bench.buy(call)).done
    choice, parcel = await bench.choice(call), await bench.parcel(call)
    assert (choice.carrier, choice.service) == sellers[0], "what was chosen first stands on record"
    assert [(one.carrier, one.service) for one in choice.refusals] == sellers[:turn]
    assert (parcel.carrier, parcel.service) == choice.seller[:2] == sellers[turn]
    assert parcel.label_cost_minor == choice.seller.price_minor
    assert bench.bought(call) == [sellers[turn][0]]
    told = await bench.shop.tell(call.order_id)
    events = [event.event for event in told.timeline]
    assert (events.count("label refused"), events.count("label bought")) == (turn, 1)
    console = Console(width=400, file=StringIO())
    console.print(story(told))
    assert f"{chosen} {sellers[0][1]}: answered 422" in console.file.getvalue()  # type: ignore[attr-defined]


async def test_when_all_refuse_the_last_one_is_asked_again(bench: Bench) -> None:
    sellers = await in_time(bench)
    call = await bench.packed()
    for carrier in CARRIERS:
        await bench.world.fault(carrier, "refuse", ', "path": "labels"')
    outcome = await bench.buy(call)
    assert (outcome.done, "answered 422" in outcome.reason) == (False, True)
    assert [(one.carrier, one.service) for one in (await bench.choice(call)).refusals] == sellers[:-1]
    for carrier in CARRIERS:
        await bench.world.fault(carrier, "ok", ', "path": "labels"')
    assert (await bench.buy(call)).done
    assert bench.bought(call) == [sellers[-1][0]]


async def test_nobody_else_is_asked_while_the_chosen_may_have_sold(bench: Bench) -> None:
    """Its answer was lost, and it will not say what became of the purchase."""
    sellers = await in_time(bench)
    call = await bench.packed()
    for mode in ("drop_response", "refuse"):
        await bench.world.fault(sellers[0][0], mode, ', "path": "labels"')
        with pytest.raises(PartnerUnavailable):
            await bench.buy(call)
    await bench.world.fault(sellers[0][0], "ok", ', "path": "labels"')
    assert (await bench.buy(call)).done
    assert (bench.bought(call), (await bench.choice(call)).refusals) == ([sellers[0][0]], ())


@pytest.mark.parametrize("sold", [False, True])
async def test_what_is_sold_after_the_next_one_was_asked_is_given_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, sold: bool
) -> None:
    """Two attempts at one purchase, as when a worker is taken for dead: one is refused what the other gets."""
    sellers = await in_time(bench)
    call = await bench.packed()
    buy = CarrierClient.buy_label

    async def refused_to_another(client: CarrierClient, request: BuyLabel) -> Label:
        monkeypatch.setattr(CarrierClient, "buy_label", buy)
        refusal = Refusal(carrier=request.carrier, service=request.service, reason="not to you")
        async with bench.shop.database.transaction() as connection:
            assert await labels.record_refusal(connection, request.reference, refusal, turn=0)
        if sold:
            assert (await bench.buy(call)).done
        return await client.buy_label(request)

    monkeypatch.setattr(CarrierClient, "buy_label", refused_to_another)
    before = len(read_effects(bench.world.database, effect="label.voided"))
    with nullcontext() if sold else pytest.raises(Unavailable):
        await bench.buy(call)
    assert (await bench.buy(call)).done
    assert sorted(bench.bought(call)) == sorted(carrier for carrier, _ in sellers[:2])
    voided = read_effects(bench.world.database, effect="label.voided")[before:]
    assert [effect.partner for effect in voided] == [sellers[0][0]]
    parcel = await bench.parcel(call)
    assert (parcel.carrier, parcel.service) == sellers[1]
    async with bench.shop.database.transaction() as connection:
        refusal = Refusal(carrier=sellers[1][0], service=sellers[1][1], reason="too late")
        assert not await labels.record_refusal(connection, f"{call.order_id}/f1/p1", refusal, turn=1), "it has sold"


async def test_a_purchase_that_began_without_quotes_is_finished_without_them(bench: Bench) -> None:
    await bench.quoting()
    call = await bench.packed()
    ((planned,),) = await bench.shop.rows("SELECT carrier FROM fulfillment_order WHERE order_id = :o", o=call.order_id)
    await bench.world.fault(planned, "drop_response", ', "path": "labels"')
    with pytest.raises(PartnerUnavailable):
        await bench.buy(call)
    await bench.quoting(*(carrier for carrier in CARRIERS if carrier != planned))
    await bench.world.fault(planned, "ok", ', "path": "labels"')
    assert (await bench.buy(call)).done
    parcel = await bench.parcel(call)
    assert (parcel.rate_shop, bench.bought(call)) == (None, [planned])


async def test_attempts_at_the_same_time_choose_once(bench: Bench) -> None:
    await bench.quoting(*CARRIERS)
    call = await bench.packed()
    outcomes = await asyncio.gather(*(bench.buy(call) for _ in range(4)))
    assert all(outcome.done for outcome in outcomes)
    assert len(bench.bought(call)) == 1
    events = [event.event for event in (await bench.shop.tell(call.order_id)).timeline]
    assert events.count("rates compared") == 1


async def test_what_was_given_back_meanwhile_is_not_bought(bench: Bench) -> None:
    await bench.quoting(*CARRIERS)
    call = await bench.packed()
    await bench.shop.run("UPDATE fulfillment_order SET ended_at = now() WHERE order_id = :o", o=call.order_id)
    assert (await bench.buy(call)).done
    assert (bench.bought(call), (await bench.parcel(call)).rate_shop) == ([], None)


async def test_a_label_is_voided_at_who_sold_it(bench: Bench) -> None:
    await bench.quoting("swiftship")
    call = await bench.packed()
    await bench.shop.run("UPDATE fulfillment_order SET carrier = 'parcelpost' WHERE order_id = :o", o=call.order_id)
    await bench.world.fault("swiftship", "drop_response", ', "path": "labels"')
    with pytest.raises(PartnerUnavailable):
        await bench.buy(call)
    await bench.world.fault("swiftship", "ok", ', "path": "labels"')
    await ActivityEnvironment().run(bench.fulfillment.void_labels, call)
    voided = read_effects(bench.world.database, effect="label.voided")
    assert [effect.partner for effect in voided][-1:] == bench.bought(call) == ["swiftship"]


async def test_dangerous_goods_go_by_no_service_that_is_closed_to_them(bench: Bench) -> None:
    await bench.quoting(*CARRIERS)
    header = "country,service,closed_to\n"
    usual = await bench.packed()
    await bench.buy(usual)
    cheapest = await bench.choice(usual)
    lanes = f"{header}US,{cheapest.service},hazmat\n".encode()
    await load(bench.shop.database, {"lanes": lanes})
    call = await bench.packed()
    await load(bench.shop.database, {"trade": f"sku,hazmat\n{bench.shop.sku()},true\n".encode()})
    await bench.buy(call)
    choice = await bench.choice(call)
    assert cheapest.service not in {one.service for one in choice.offers}
    assert bench.bought(call) == [choice.carrier]


async def test_staff_see_who_sold_the_label_and_who_else_would_have(bench: Bench) -> None:
    await bench.quoting(*CARRIERS)
    call = await bench.packed()
    await bench.world.fault("parcelpost", "down", ', "path": "quotes"')
    await bench.buy(call)
    choice = await bench.choice(call)
    async with bench.shop.database.reading() as connection:
        explanation = await explain(connection, call.order_id)
    assert explanation.rate_shops == (choice,)
    told = await bench.shop.tell(call.order_id)
    for drawn in (story(told), explained(explanation)):
        console = Console(width=400, file=StringIO())
        console.print(drawn)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        for said in (choice.carrier, "rates compared", "cheapest in time", "parcelpost: answered 503", "overnight"):
            assert said in text
