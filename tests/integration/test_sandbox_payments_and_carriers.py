"""Payments and carriers of the sandbox, over real sockets. The sandbox's log is the judge."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import PartnerRefused, PartnerUnavailable
from shared.gateways.protocol import (
    PaymentStatus,
    Void,
    VoidOutcome,
)
from tests.support.outside import Outside, authorize, capture, gateways_at, refund
from tests.support.partners import label_for
from workers.sandbox.log import read_effects


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
