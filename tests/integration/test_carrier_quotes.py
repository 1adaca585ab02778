"""Carriers asked for quotes, over real sockets."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.errors import PartnerRefused, PartnerUnavailable
from shared.gateways.protocol import QuoteRequest
from tests.support.outside import Outside, outside
from tests.support.partners import label_for
from workers.sandbox.config import Pace


def asked(n: int = 1, *, weight_g: int = 500, postal_code: str = "10001", country: str = "US") -> QuoteRequest:
    return QuoteRequest(
        reference=f"q/{n}", from_node="reno", country=country, postal_code=postal_code, weight_g=weight_g
    )


async def test_each_service_is_quoted_the_same_price_each_time_and_until_when(world: Outside) -> None:
    carrier = world.gateways.quotes("swiftship")
    first = await carrier.quote(asked(1), within=5)
    assert {quote.service for quote in first} == {"economy", "two-day", "overnight"}
    assert {quote.carrier for quote in first} == {"swiftship"}
    assert all(quote.expires_at > datetime.now(UTC) for quote in first)
    assert first == await carrier.quote(asked(1), within=5), "the same question has one answer"
    again = await carrier.quote(asked(2), within=5)
    assert [quote.price_minor for quote in again] == [quote.price_minor for quote in first]
    assert not {quote.quote_id for quote in again} & {quote.quote_id for quote in first}
    heavy = await carrier.quote(asked(3, weight_g=9000), within=5)
    assert all(more.price_minor > less.price_minor for more, less in zip(heavy, first, strict=True))
    far = await carrier.quote(asked(4, postal_code="94105"), within=5)
    assert [quote.price_minor for quote in far] != [quote.price_minor for quote in first]


async def test_a_label_costs_what_was_quoted_while_the_quote_lasts(tmp_path: Path) -> None:
    for lasts in (60.0, 0.0):
        async with outside(tmp_path / str(lasts), pace=Pace(quote_lasts=lasts)) as world:
            (quote,) = (
                one
                for one in await world.gateways.quotes("parcelpost").quote(asked(), within=5)
                if one.service == "ground"
            )
            carrier = world.gateways.carrier("parcelpost")
            bare = await carrier.buy_label(label_for("f1/p1"))
            under = label_for("f2/p1").model_copy(update={"quote_id": quote.quote_id})
            label = await carrier.buy_label(under)
            assert bare.cost_minor != quote.price_minor
            assert label.cost_minor == (quote.price_minor if lasts else bare.cost_minor)


@pytest.mark.parametrize("mode", ["slow", "blackhole", "down", "html"])
async def test_a_carrier_that_does_not_quote_in_time_still_sells_labels(world: Outside, mode: str) -> None:
    await world.fault("parcelpost", mode, ', "path": "quotes"')
    quoter = world.gateways.quotes("parcelpost")
    for n in range(6):
        began = time.monotonic()
        with pytest.raises(PartnerUnavailable):
            await quoter.quote(asked(n), within=0.1)
        assert time.monotonic() - began < 3
    began = time.monotonic()
    with pytest.raises(PartnerUnavailable, match="not answering"):
        await quoter.quote(asked(9), within=5)
    assert time.monotonic() - began < 3, "its breaker is open"
    assert (await world.gateways.carrier("parcelpost").buy_label(label_for("f1/p1"))).cost_minor


async def test_a_refusal_is_told_as_one(world: Outside) -> None:
    with pytest.raises(PartnerRefused, match="undeliverable"):
        await world.gateways.quotes("parcelpost").quote(asked(country="AQ"), within=5)
    await world.fault("parcelpost", "refuse", ', "path": "quotes"')
    with pytest.raises(PartnerRefused):
        await world.gateways.quotes("parcelpost").quote(asked(2), within=5)
