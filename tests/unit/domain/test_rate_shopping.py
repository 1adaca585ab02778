"""Who sells a label: the cheapest in time, whoever else answered or not."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.quotes import CarrierQuote
from shared.domain.rate_shopping import Parcel, RateShop, Refusal, ShopReason, shop
from shared.domain.sourcing.models import ServiceRate
from shared.domain.trade import Goods, LaneRule, TradeRules
from tests.support.sourcing import AS_OF, flat_rate, node, place

#: Of a Wednesday morning in New York: collected today, two working days on the way.
FRIDAY = datetime.fromisoformat("2026-03-06T20:00:00-05:00")
SERVICES = [(carrier, service) for carrier in ("road", "sky") for service in ("air", "ground")]


def card(carrier: str, service: str, price: int = 700) -> ServiceRate:
    return flat_rate(price, service=service).model_copy(update={"carrier": carrier})


def parcel(**changes: object) -> Parcel:
    one = Parcel(
        reference="web/1/f1/p1",
        weight_g=800,
        node=node("a", handling_days=3),
        ship_to=place(9),
        deliver_by=FRIDAY,
        currency="USD",
        carrier="sky",
        service="ground",
        rates=tuple(card(*both) for both in SERVICES),
    )
    return one.model_copy(update=changes)


def quote(carrier: str, service: str, price: int, days: int = 2, **changes: object) -> CarrierQuote:
    one = CarrierQuote(
        quote_id=f"{carrier}-{service}",
        carrier=carrier,
        service=service,
        price_minor=price,
        currency="USD",
        transit_days=days,
        expires_at=AS_OF + timedelta(minutes=5),
    )
    return one.model_copy(update=changes)


def chosen(found: RateShop) -> tuple[str, str, int | None, ShopReason]:
    return found.carrier, found.service, found.price_minor, found.because


def test_the_cheapest_that_keeps_the_promise_wins() -> None:
    quotes = [
        quote("sky", "ground", 600),
        quote("sky", "air", 400, days=3),
        quote("road", "ground", 500, days=2),
        quote("road", "air", 550, days=1),
    ]
    found = shop(parcel(), quotes, {}, as_of=AS_OF)
    assert chosen(found) == ("road", "ground", 500, ShopReason.CHEAPEST_IN_TIME)
    assert found.quote_id == "road-ground"
    assert found.delivered_by == FRIDAY
    assert [one.price_minor for one in found.offers] == [400, 500, 550, 600]
    assert [one.price_minor for one in found.alternatives] == [400, 550, 600]


def test_when_none_is_in_time_the_soonest_is_taken() -> None:
    quotes = [quote("sky", "ground", 100, days=9), quote("road", "air", 900, days=3), quote("road", "ground", 800, 3)]
    assert chosen(shop(parcel(), quotes, {}, as_of=AS_OF)) == ("road", "ground", 800, ShopReason.SOONEST)


def test_when_nobody_answers_the_plan_stands() -> None:
    silent = {"sky": "no answer within 2 s", "road": "answered 503"}
    found = shop(parcel(), [], silent, as_of=AS_OF)
    assert chosen(found) == ("sky", "ground", 700, ShopReason.NOBODY_ANSWERED)
    assert (found.quote_id, found.unanswered) == ("", silent)
    gone = shop(parcel(rates=()), [], silent, as_of=AS_OF)
    assert chosen(gone) == ("sky", "ground", None, ShopReason.NOBODY_ANSWERED)


def test_a_carrier_that_does_not_quote_takes_part_by_its_card_but_not_one_that_did_not_answer() -> None:
    dear = [quote("road", "ground", 900)]
    assert chosen(shop(parcel(), dear, {}, as_of=AS_OF))[:3] == ("sky", "ground", 700)
    assert chosen(shop(parcel(), dear, {"sky": "no answer"}, as_of=AS_OF))[:3] == ("road", "ground", 900)
    other = [*dear, quote("sky", "air", 950)]
    assert chosen(shop(parcel(), other, {}, as_of=AS_OF))[:3] == ("road", "ground", 900), "its ground is not offered"


@pytest.mark.parametrize(
    "cheap",
    [
        quote("road", "ground", 1, expires_at=AS_OF),
        quote("road", "ground", 1, currency="EUR"),
        quote("road", "drone", 1),
    ],
    ids=["expired", "other currency", "no card"],
)
def test_what_cannot_be_bought_is_not_in_question(cheap: CarrierQuote) -> None:
    found = shop(parcel(), [cheap, quote("sky", "ground", 600)], {}, as_of=AS_OF)
    assert chosen(found)[:3] == ("sky", "ground", 600)
    assert len(found.offers) == 1


def test_dangerous_goods_do_not_fly_because_it_is_cheap() -> None:
    rules = TradeRules(lanes=(LaneRule(country="US", service="air", closed_to=Goods.HAZMAT),))
    quotes = [quote("sky", "air", 100), quote("sky", "ground", 600)]
    assert chosen(shop(parcel(rules=rules), quotes, {}, as_of=AS_OF))[1] == "air"
    assert chosen(shop(parcel(rules=rules, hazmat=True), quotes, {}, as_of=AS_OF))[1] == "ground"


_QUOTES = st.lists(
    st.builds(
        lambda both, price, days: quote(both[0], both[1], price, days),
        st.sampled_from(SERVICES), st.integers(0, 50), st.integers(0, 6),
    ),
    max_size=6, unique_by=lambda one: (one.carrier, one.service),
)  # fmt: skip


@given(_QUOTES, st.permutations(range(6)), st.sets(st.sampled_from(["road", "sky"])))
def test_whatever_is_answered_in_whatever_order(quotes: list[CarrierQuote], order: list[int], silent: set[str]) -> None:
    told = [one for one in quotes if one.carrier not in silent]
    unanswered = dict.fromkeys(sorted(silent), "no answer")
    found = shop(parcel(), told, unanswered, as_of=AS_OF)
    assert found == shop(parcel(), [told[n] for n in order if n < len(told)], unanswered, as_of=AS_OF)
    in_time = [one for one in found.offers if one.delivered_by is not None and one.delivered_by <= FRIDAY]
    if not told:
        assert (found.because, found.price_minor) == (ShopReason.NOBODY_ANSWERED, 700)
    elif in_time:
        assert found.because is ShopReason.CHEAPEST_IN_TIME
        assert found.price_minor == min(one.price_minor for one in in_time)
        assert found.delivered_by is not None
        assert found.delivered_by <= FRIDAY
    else:
        assert found.because is ShopReason.SOONEST
        assert found.delivered_by == min(one.delivered_by for one in found.offers if one.delivered_by)
    assert {one.carrier for one in found.offers if one.quote_id}.isdisjoint(silent)
    assert RateShop.model_validate_json(found.model_dump_json()) == found


def test_who_refuses_leaves_it_to_the_next_that_keeps_the_promise() -> None:
    quotes = [
        quote("road", "ground", 500),
        quote("sky", "air", 400, days=3),
        quote("road", "air", 550),
        quote("sky", "ground", 600),
    ]
    found = shop(parcel(), quotes, {}, as_of=AS_OF)
    assert [seller[:4] for seller in found.sellers] == [
        ("road", "ground", "road-ground", 500),
        ("road", "air", "road-air", 550),
        ("sky", "ground", "sky-ground", 600),
    ]
    names = []
    while found.next_seller is not None:
        names.append(found.purchase)
        refusal = Refusal(carrier=found.seller.carrier, service=found.seller.service, reason="no")
        found = found.model_copy(update={"refusals": (*found.refusals, refusal)})
    assert found.seller[:2] == ("sky", "ground")
    assert [*names, found.purchase] == ["web/1/f1/p1", "web/1/f1/p1/2", "web/1/f1/p1/3"], "no name is used twice"
    assert [one.price_minor for one in found.alternatives] == [400, 500, 550]


def test_where_none_is_in_time_nobody_follows_the_soonest() -> None:
    late = [quote("road", "air", 900, days=3), quote("sky", "ground", 100, days=9)]
    assert shop(parcel(), late, {}, as_of=AS_OF).next_seller is None
