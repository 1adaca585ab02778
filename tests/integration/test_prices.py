"""Prices on a real Postgres: read from what was ordered, kept as versions, and counted by the planner."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from temporalio.testing import ActivityEnvironment

from activities.prices import Pricing
from shared.database import outlooks, prices, replays, snapshots
from shared.database.decisions import explain
from shared.domain.pricing.models import NO_PRICES, PriceVersion
from shared.domain.sourcing.simulation import World
from shared.errors import NotFound
from shared.messages import PriceResult, PriceStep
from tests.support.facts import Facts

NEAR, FAR = "wh-columbus", "3pl-reno"


async def four_weeks_of(shop: Facts, *lines: tuple[str, int]) -> None:
    """One such order on each of the last 28 days, none of which holds stock any more."""
    for day in range(28):
        order_id = await shop.keep(*lines)
        ago = timedelta(days=day, hours=1)
        await shop.run("UPDATE orders SET received_at = now() - :ago WHERE order_id = :o", ago=ago, o=order_id)


async def solved(shop: Facts, run_id: str = "run-1", at: datetime | None = None) -> PriceResult:
    step = PriceStep(run_id=run_id, started_at=at or datetime.now(UTC))
    return await ActivityEnvironment().run(Pricing(shop.database).solve, step)


async def latest(shop: Facts) -> PriceVersion:
    async with shop.database.reading() as connection:
        return await prices.read_version(connection)


async def test_an_outlook_says_what_is_ordered_where(shop: Facts) -> None:
    sku, other = shop.sku(0), shop.sku(1)
    await four_weeks_of(shop, (sku, 1), (other, 2), (sku, 1))
    cancelled = await shop.keep((sku, 50))
    await shop.run("UPDATE orders SET lifecycle = 'cancelled' WHERE order_id = :o", o=cancelled)
    await shop.stock(sku, **{NEAR.replace("-", "_"): 5})
    await shop.stock(other, **{NEAR.replace("-", "_"): 5000})
    async with shop.database.reading() as connection:
        seen = await outlooks.read_outlook(connection, datetime.now(UTC), horizon_days=14, history_days=56)
    assert seen.units == {sku: dict.fromkeys(range(28), 2), other: dict.fromkeys(range(28), 2)}
    assert seen.history_days == 28
    (kind,) = seen.kinds
    assert (kind.region, kind.items) == ("US-NY", tuple(sorted([(sku, 2), (other, 2)])))
    assert kind.by_age == dict.fromkeys(range(28), 1)
    assert outlooks.hash_of(seen) == outlooks.hash_of(seen._replace())
    assert outlooks.hash_of(seen) != outlooks.hash_of(seen._replace(horizon_days=15))


async def test_orders_of_what_is_plentiful_are_not_read(shop: Facts) -> None:
    await four_weeks_of(shop, (shop.sku(), 1))
    await shop.stock(shop.sku(), **{NEAR.replace("-", "_"): 5000})
    async with shop.database.reading() as connection:
        seen = await outlooks.read_outlook(connection, datetime.now(UTC), horizon_days=14, history_days=56)
    assert seen.kinds == ()
    result = await solved(shop)
    assert (result.stock_prices, result.shipping_prices) == (0, 0)


async def scarce(shop: Facts) -> tuple[str, str]:
    """An item that runs short near its customers, and one only to be had there, ordered together."""
    scarce, companion = shop.sku(0), shop.sku(1)
    await four_weeks_of(shop, (scarce, 1), (companion, 1))
    await four_weeks_of(shop, (scarce, 1))
    await shop.stock(scarce, wh_columbus=10, **{FAR.replace("-", "_"): 500})
    await shop.stock(companion, wh_columbus=500)
    return scarce, companion


async def test_a_version_is_kept_once_and_never_changes(shop: Facts) -> None:
    sku, _ = await scarce(shop)
    at = datetime.now(UTC)
    first = await solved(shop, at=at)
    assert await solved(shop, at=at) == first
    assert first.stock_prices == 1
    kept = await latest(shop)
    assert [(each.node_id, each.sku) for each in kept.stock] == [(NEAR, sku)]
    assert kept.expires_at == at + timedelta(hours=1)
    assert kept.version == first.version
    assert kept.orders == pytest.approx(28)
    second = await solved(shop, "run-2")
    assert second.version != first.version
    assert (await latest(shop)).stock == kept.stock
    for change in (
        "UPDATE price_version SET expires_at = expires_at + interval '1 day'",
        "DELETE FROM price_version",
        "UPDATE stock_price SET unit_milli = 1",
    ):
        with pytest.raises(DBAPIError, match="append-only"):
            await shop.run(change)


async def test_plans_count_the_prices_in_force_and_say_so(shop: Facts) -> None:
    sku, companion = await scarce(shop)
    before = await shop.keep((sku, 1))
    await shop.source(before)
    version = (await solved(shop)).version
    after, both = await shop.keep((sku, 1)), await shop.keep((sku, 1), (companion, 1))
    await shop.source(after)
    await shop.source(both)
    assert [f.node_id for f in (await shop.tell(before)).fulfillments] == [NEAR]
    assert [f.node_id for f in (await shop.tell(both)).fulfillments] == [NEAR]
    async with shop.database.reading() as connection:
        decision = (await explain(connection, after)).decisions[-1]
    assert decision.plan.price_version == version
    alone = {one.node_id: one.alone for one in decision.plan.candidates}
    assert (near := alone[NEAR]) is not None
    assert near.scarcity > 0


async def test_replays_meet_the_prices_that_planners_saw(shop: Facts) -> None:
    sku, _ = await scarce(shop)
    before = await shop.keep((sku, 1))
    async with shop.database.reading() as connection:
        began = (await connection.execute(text("SELECT now()"))).scalar_one()
    first = await solved(shop)
    between = await shop.keep((sku, 1))
    await solved(shop, "run-2")
    async with shop.database.transaction() as connection:
        replay = await replays.stored_orders(connection, began - timedelta(minutes=5), 100)
        on_file = await replays.latest_orders(connection, 1, datetime.now(UTC) + timedelta(days=1))
    came = {each.order.order_id: each.at for each in replay.orders}
    (span,) = replay.prices
    assert span.prices.version == first.version
    assert came[before] < span.begins <= came[between] < span.ends
    world = World(replay)
    seen = [world.seen(each) for each in replay.orders if each.order.order_id in (before, between)]
    assert [any(row.scarcity_minor for row in one.stock) for one in seen] == [False, True]
    (now,) = on_file.prices
    assert now.prices is NO_PRICES, "tomorrow these prices are stale"


async def test_stale_prices_are_ignored(shop: Facts) -> None:
    sku, _ = await scarce(shop)
    await solved(shop, at=datetime.now(UTC) - timedelta(minutes=61))
    order_id = await shop.keep((sku, 1))
    await shop.source(order_id)
    async with shop.database.reading() as connection:
        plan = (await explain(connection, order_id)).decisions[-1].plan
        seen = await snapshots.read_snapshot(connection, [sku], datetime.now(UTC))
    assert plan.price_version is None
    assert seen.price_version is None


async def test_planners_and_carts_read_the_same_prices(shop: Facts) -> None:
    sku, _ = await scarce(shop)
    async with shop.database.reading() as connection:
        assert await prices.refresh(connection, NO_PRICES) is NO_PRICES
        with pytest.raises(NotFound):
            await prices.read_version(connection)
    await solved(shop)
    now = datetime.now(UTC)
    async with shop.database.reading() as connection:
        remembered = await prices.refresh(connection, NO_PRICES)
        assert await prices.refresh(connection, remembered) is remembered
        cart = await snapshots.read_snapshot(connection, [sku], now)
        planner = remembered.at(now).put_on(await snapshots.read_unpriced(connection, [sku], now))
    assert cart == planner
    assert any(row.scarcity_minor for row in cart.stock)


async def test_supply_before_stock_runs_out_leaves_no_price(shop: Facts) -> None:
    sku, _ = await scarce(shop)
    await shop.run(
        "INSERT INTO inbound (inbound_id, kind, node_id, expected_at, content_hash, actor)"
        " VALUES ('po-1', 'purchase_order', :node, now() + interval '3 days', 'x', 'test')",
        node=NEAR,
    )
    await shop.run(
        "INSERT INTO inbound_line (inbound_id, sku, quantity, open) VALUES ('po-1', :sku, 400, 400)", sku=sku
    )
    assert (await solved(shop)).stock_prices == 0


async def test_prices_of_versions_long_expired_are_dropped(shop: Facts) -> None:
    await scarce(shop)
    old = datetime.now(UTC) - timedelta(days=32)
    await shop.run("UPDATE orders SET received_at = received_at - interval '32 days'")
    first = await solved(shop, at=old)
    assert first.stock_prices == 1
    await solved(shop, "run-2")
    async with shop.database.reading() as connection:
        assert (await prices.read_version(connection, first.version)).stock == ()
