"""Waves read from a real Postgres: what they look at, and what they would change."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from shared.database.quotes import keep_quotes
from shared.database.waves import read_wave
from shared.domain.orders import Address
from shared.domain.quotes import LaneQuote
from shared.domain.recipients import recipient_of
from shared.domain.waves.generation import plan_wave
from shared.domain.waves.models import Wave, WaveRules
from tests.support.facts import Facts
from tests.support.wave_groups import placed
from workers.cli.waves import drawn


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(database_url)
    yield facts
    await facts.database.close()


async def wave_of(shop: Facts, channel: str, limit: int = 100) -> Wave:
    async with shop.database.transaction() as connection:
        return await read_wave(connection, channel, datetime.now(UTC), rules=WaveRules(), limit=limit)


def occupied(wave: Wave) -> Counter[str]:
    """Units that nodes are to ship, as the wave sees it."""
    return Counter({load.node_id: load.units for load in wave.snapshot.loads})


async def loads(shop: Facts) -> Counter[str]:
    """Units that nodes are to ship in all."""
    return occupied(await wave_of(shop, "nobody"))


async def test_an_order_that_holds_the_wrong_units_would_save_another_a_parcel(shop: Facts) -> None:
    a, b = shop.sku(0), shop.sku(1)
    await shop.stock(a, **{"3pl_reno": 1})
    await shop.stock(b)
    first = await placed(shop, (a, 1), channel="channel-0")
    await shop.stock(a, wh_columbus=1)
    await shop.stock(b, **{"3pl_reno": 1})
    second = await placed(shop, (a, 1), (b, 1), channel="channel-0")
    wave = await wave_of(shop, "channel-0")
    assert [len(each.standing) for each in wave.orders] == [1, 2]
    found = plan_wave(wave)
    assert {each.order_id for each in found.reassignments} == {first, second}
    assert len({each.group for each in found.reassignments}) == 1
    assert found.before_minor - found.after_minor > 300, "the second parcel, less what the first order pays more"
    console = Console(file=io.StringIO(), width=250)
    console.print(drawn(found))
    assert first in console.file.getvalue()  # type: ignore[attr-defined]


async def test_what_a_wave_holds_counts_as_free_for_it_and_as_no_load(shop: Facts) -> None:
    sku = shop.sku(2)
    await shop.stock(sku, wh_columbus=3)
    await placed(shop, (sku, 2), channel="channel-1")
    wave = await wave_of(shop, "channel-1")
    (row,) = wave.snapshot.stock
    assert (row.node_id, row.available) == ("wh-columbus", 3)
    assert await loads(shop) - occupied(wave) == Counter({"wh-columbus": 2})
    assert wave.orders[0].promised_at == max(one.deliver_by for one in wave.orders[0].standing)


async def test_what_a_node_was_told_of_is_frozen(shop: Facts) -> None:
    sku = shop.sku(3)
    await shop.stock(sku, wh_columbus=3)
    told, waiting = await shop.keep((sku, 3), channel="channel-2"), await shop.keep((sku, 1), channel="channel-2")
    await shop.source(told)
    await shop.source(waiting)
    await shop.release(told)
    wave = await wave_of(shop, "channel-2")
    assert [(each.order_id, each.standing) for each in wave.orders] == [(waiting, ())]
    assert wave.snapshot.stock == ()
    assert await loads(shop) == occupied(wave), "what waits occupies nobody, what was told stays"
    assert plan_wave(wave).reassignments == ()


async def test_units_that_wait_would_find_a_source_where_stock_came(shop: Facts) -> None:
    sku = shop.sku(4)
    await shop.stock(sku, wh_columbus=1)
    order_id = await placed(shop, (sku, 3), channel="channel-3")
    await shop.stock(sku, **{"3pl_reno": 5})
    found = plan_wave(await wave_of(shop, "channel-3"))
    assert (found.short_before, found.short_after) == (2, 0)
    assert [(each.order_id, each.filled_units) for each in found.reassignments] == [(order_id, 2)]


async def test_a_wave_sees_what_is_quoted_to_where_its_orders_go(shop: Facts) -> None:
    sku = shop.sku(6)
    await shop.stock(sku, wh_columbus=1)
    await placed(shop, (sku, 1), channel="channel-5")
    await shop.run("UPDATE partner SET quotes = true WHERE partner_id = 'swiftship'")
    here = LaneQuote(
        quote_id="q", carrier="swiftship", service="ground", price_minor=1, currency="USD", transit_days=1,
        expires_at=datetime.now(UTC) + timedelta(hours=1), node_id="wh-columbus", destination="US/100", weight_g=500,
    )  # fmt: skip
    others = [here.model_copy(update=change) for change in ({"destination": "US/101"}, {"currency": "CAD"})]
    async with shop.database.statement() as connection:
        await keep_quotes(connection, [here.model_copy(update={"service": "two-day"}), *others])
    (seen,) = (await wave_of(shop, "channel-5")).orders
    assert [(each.service, each.destination, each.currency) for each in seen.quotes] == [("two-day", "US/100", "USD")]


async def test_a_node_that_failed_an_order_is_asked_again_when_its_policy_says_so(shop: Facts) -> None:
    sku = shop.sku(7)
    await shop.stock(sku, wh_columbus=1)
    order_id = await placed(shop, (sku, 2), channel="channel-6")
    excluded = {}
    for days in (6, 8):
        await shop.run(
            "UPDATE fulfillment_order SET excludes_node = true, ended_at = now() - make_interval(days => :d)"
            " WHERE order_id = :o", o=order_id, d=days,
        )  # fmt: skip
        ((seen,),) = [(await wave_of(shop, "channel-6")).orders]
        excluded[days] = seen.order.excluded
    assert excluded == {6: ("wh-columbus",), 8: ()}


async def test_a_wave_is_one_channels_and_no_larger_than_asked(shop: Facts) -> None:
    sku = shop.sku(5)
    await shop.stock(sku, wh_columbus=9)
    for _ in range(2):
        await placed(shop, (sku, 1), channel="channel-4")
    assert len((await wave_of(shop, "channel-4", limit=1)).orders) == 1
    empty = await wave_of(shop, "nobody")
    assert plan_wave(empty).orders == 0


@pytest.mark.parametrize(
    ("line1", "same"),
    [("12 Main St.", True), ("12  MAIN ST", True), ("1 2 Main St", True), ("13 Main St", False)],
)
def test_addresses_are_told_apart_by_what_they_say(line1: str, same: bool) -> None:
    one = Address(name="Ada", line1="12 Main St", city="Zürich", postal_code="8001", country="CH")
    other = Address(name="A. L.", line1=line1, city="Zurich", postal_code="80-01", country="CH")
    assert (recipient_of("c-1", one) == recipient_of("c-1", other)) is same
    assert recipient_of("c-1", one) != recipient_of("c-2", one)
    assert recipient_of("", one) == ""
