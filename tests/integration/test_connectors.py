"""A package's connector between our gateways and a carrier, chosen by the table of partners."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.database import network
from shared.errors import InvalidInput, PartnerUnavailable
from shared.gateways.carriers.asking import ask_all
from shared.gateways.directory import Gateways
from shared.gateways.protocol import QuoteRequest
from shared.loading import load
from tests.support.facts import Facts
from tests.support.outside import Outside, outside
from tests.support.partners import PARTNER_KEY, label_for
from tests.support.plugins import installed
from workers.sandbox.log import read_effects

CARRIER = "parcelpost"


@pytest.fixture(autouse=True)
def package() -> Iterator[None]:
    with installed():
        yield


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Outside]:
    async with outside(tmp_path) as world:
        yield world


async def gateways_with(shop: Facts, world: Outside, connector: str) -> Gateways:
    table = f"partner_id,kind,base_url,connector\n{CARRIER},carrier,{world.url}/{CARRIER},{connector}\n"
    await load(shop.database, {"partners": table.encode()})
    async with shop.database.reading() as connection:
        return Gateways(await network.read_partners(connection), PARTNER_KEY)


async def test_labels_are_bought_by_the_partners_connector(shop: Facts, world: Outside) -> None:
    async with await gateways_with(shop, world, "postal") as gateways:
        carrier = gateways.carrier(CARRIER)
        bought = await carrier.buy_label(label_for("web/1/f1/p1"))
        assert bought.reference == "web/1/f1/p1"
        assert await carrier.find_label("web/1/f1/p1") == bought
        assert [each.reference for each in read_effects(world.database, effect="label.bought")] == ["WEB/1/F1/P1"]
    async with await gateways_with(shop, world, "") as gateways:
        assert await gateways.carrier(CARRIER).find_label("web/1/f1/p1") is None


@pytest.mark.parametrize(
    ("connector", "why"),
    [
        ("unheard", "no unheard of doms.connectors is installed; there are: balky, postal, proud, sleepy, unmade"),
        ("unmade", "connector unmade raised RuntimeError: no contract with parcelpost"),
    ],
)
async def test_a_connector_that_is_not_there_is_told_and_can_be_tried_again(
    shop: Facts, world: Outside, connector: str, why: str
) -> None:
    async with await gateways_with(shop, world, connector) as gateways:
        with pytest.raises(PartnerUnavailable, match=why):
            gateways.carrier(CARRIER)


@pytest.mark.parametrize(
    ("connector", "why"),
    [
        ("balky", "KeyError: 'US'"),
        ("sleepy", "no answer within 0.2 s"),
        ("proud", "quotes in another carrier's name"),
    ],
)
async def test_a_connector_that_quotes_badly_costs_nothing_but_its_quotes(
    shop: Facts, world: Outside, connector: str, why: str
) -> None:
    request = QuoteRequest(reference="q/1", from_node="reno", country="US", postal_code="10001", weight_g=500)
    async with await gateways_with(shop, world, connector) as gateways:
        answers = await ask_all(gateways, [CARRIER], request, within=0.2)
    assert answers == ({}, {CARRIER: why})


async def test_only_who_moves_goods_has_a_connector(shop: Facts) -> None:
    table = b"partner_id,kind,base_url,connector\npsp,payment,https://psp.example,postal\n"
    with pytest.raises(InvalidInput, match="only a carrier or who runs nodes can have a connector"):
        await load(shop.database, {"partners": table})
