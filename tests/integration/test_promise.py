"""What carts are promised, on a real Postgres; no server of ours runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from shared.client import Doms
from shared.domain.carts import Cart, CartLine
from shared.domain.orders import ServiceLevel
from shared.errors import InvalidInput
from tests.support.facts import Facts

AS_OF = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
NO_TEMPORAL: Any = None


@pytest.fixture(scope="module")
async def shop(database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(database_url)
    yield facts
    await facts.database.close()


def cart(*lines: tuple[str, int]) -> Cart:
    return Cart(postal_code="10001", lines=tuple(CartLine(sku=sku, quantity=units) for sku, units in lines))


async def reserved(shop: Facts, sku: str) -> int:
    async with shop.database.reading() as connection:
        query = text("SELECT sum(reserved) FROM stock_position WHERE sku = :sku")
        return int((await connection.execute(query, {"sku": sku})).scalar_one())


async def test_each_service_level_has_its_date_cost_and_sources(shop: Facts) -> None:
    await shop.stock(shop.sku(), wh_columbus=5, **{"3pl_reno": 5})
    told = await Doms(NO_TEMPORAL, shop.database).promise(cart((shop.sku(), 2)), as_of=AS_OF)
    assert [option.service for option in told.options] == list(ServiceLevel)
    dates = [option.promised_at for option in told.options]
    assert all(dates)
    assert dates == sorted(dates, reverse=True)  # type: ignore[type-var]
    costs = [option.delivery_minor for option in told.options]
    assert costs == sorted(costs)
    assert [one.node_id for option in told.options for one in option.sources] == ["wh-columbus"] * 3
    assert await reserved(shop, shop.sku()) == 0


async def test_a_promise_is_what_the_order_gets(shop: Facts) -> None:
    await shop.stock(shop.sku(2), wh_columbus=2, store_chicago=9)
    promised = (await Doms(NO_TEMPORAL, shop.database).promise(cart((shop.sku(2), 3)))).options[0]
    order_id = await shop.keep((shop.sku(2), 3))
    await shop.source(order_id)
    told = await shop.tell(order_id)
    assert sorted(one.node_id for one in promised.sources) == sorted(f.node_id for f in told.fulfillments)
    assert promised.promised_at == told.promised_at


async def test_what_cannot_be_shipped_is_told(shop: Facts) -> None:
    await shop.stock(shop.sku(3), wh_columbus=1)
    told = await Doms(NO_TEMPORAL, shop.database).promise(cart((shop.sku(3), 4)))
    assert [sum(short.quantity for short in option.shortages) for option in told.options] == [3, 3, 3]
    with pytest.raises(InvalidInput) as refused:
        await Doms(NO_TEMPORAL, shop.database).promise(cart((shop.sku(), 1), ("NO-SUCH", 1)))
    assert [fault.pointer for fault in refused.value.faults] == ["/lines/1/sku"]
