"""Days of nodes in the database: never overbooked, given back with the units, and always the sum of their claims."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import psycopg
import pytest

from activities.orders import Orders
from shared.database.engine import Database
from shared.database.node_days import read_node_days
from shared.domain.orders import ServiceLevel
from shared.errors import InvalidInput
from shared.loading import load
from shared.messages import CancelUnits, LineQuantity
from tests.support.capacity import NODE, days_of_orders, limit, opened, shipping_days, source_all, used
from tests.support.facts import Facts

HEADER = b"node_id,day,service,units\n"


@pytest.fixture
async def shop(fresh_database_url: str) -> AsyncIterator[Facts]:
    async with opened(fresh_database_url) as facts:
        yield facts


async def test_many_at_once_fill_one_day_after_the_other(shop: Facts) -> None:
    await limit(shop, 10)
    order_ids = [await shop.keep((shop.sku(), 1)) for _ in range(64)]
    async with aclosing(Orders(shop.database)) as orders:
        await source_all([orders], order_ids)
    expected = dict(zip(await shipping_days(shop, 7), [10] * 6 + [4], strict=True))
    assert await days_of_orders(shop) == expected
    assert await used(shop) == {day: (units, 0) for day, units in expected.items()}


async def test_processes_that_do_not_know_of_each_other_never_overbook(shop: Facts, fresh_database_url: str) -> None:
    await limit(shop, 10)
    order_ids = [await shop.keep((shop.sku(), 1 + n % 3)) for n in range(48)]
    databases = [Database(fresh_database_url, pool_size=2) for _ in range(4)]
    shops = [Orders(database) for database in databases]
    await source_all(shops, order_ids)
    for one in shops:
        await one.aclose()
    for database in databases:
        await database.close()
    taken = await used(shop)
    assert max(reserved for reserved, _ in taken.values()) == 10
    assert taken[(await shipping_days(shop, 1))[0]] == (10, 0)
    assert sum(reserved for reserved, _ in taken.values()) == sum((await days_of_orders(shop)).values())


async def test_what_does_not_fit_on_its_last_day_is_made_ready_before(shop: Facts) -> None:
    await limit(shop, 10)
    order_id = await shop.keep((shop.sku(), 23))
    await shop.source(order_id)
    first, second, third = await shipping_days(shop, 3)
    assert await days_of_orders(shop) == {third: 23}
    assert await used(shop) == {first: (3, 0), second: (10, 0), third: (10, 0)}
    await shop.source(await shop.keep((shop.sku(), 7)))
    assert (await used(shop))[first] == (10, 0)


async def test_cancelled_units_give_back_the_earliest_days(shop: Facts) -> None:
    await limit(shop, 10)
    order_id = await shop.keep((shop.sku(), 23))
    await shop.source(order_id)
    first, second, third = await shipping_days(shop, 3)
    for n, (units, left) in enumerate([(5, (0, 8, 10)), (9, (0, 0, 9))]):
        request = CancelUnits(
            step_key=f"{order_id}/cancel/{n}",
            order_id=order_id,
            actor="agent-1",
            reason="test",
            lines=(LineQuantity(line_no=1, quantity=units),),
        )
        async with aclosing(Orders(shop.database)) as orders:
            await orders.cancel(request)
            await orders.cancel(request)
        assert await used(shop) == dict(zip((first, second, third), [(each, 0) for each in left], strict=True))
    await shop.cancel(order_id)
    assert set((await used(shop)).values()) == {(0, 0)}


async def test_who_comes_after_a_cancellation_has_the_day(shop: Facts) -> None:
    await limit(shop, 1)
    early, late = [await shop.keep((shop.sku(), 1)) for _ in range(2)]
    await shop.source(early)
    await shop.cancel(early)
    await shop.source(late)
    assert list(await days_of_orders(shop)) == await shipping_days(shop, 1)


async def one_open_day(shop: Facts, units: int) -> None:
    """No day of the node has room but the first."""
    await limit(shop, 0)
    [first] = await shipping_days(shop, 1)
    await load(shop.database, {"capacity": HEADER + f"{NODE},{first},,{units}\n".encode()})


async def backordered(shop: Facts) -> set[str]:
    return {row.order_id for row in await shop.rows("SELECT order_id FROM order_line WHERE backordered > 0")}


async def owed(shop: Facts) -> list[str]:
    return [row.order_id for row in await shop.rows("SELECT order_id FROM wake ORDER BY wake_id")]


async def test_a_day_that_frees_up_is_first_looked_at_by_who_is_served_first(shop: Facts) -> None:
    await one_open_day(shop, 2)
    first, plain, late, vip = [await shop.keep((shop.sku(), 2), priority=priority) for priority in (3, 3, 3, 1)]
    for order_id in (first, plain, late, vip):
        await shop.source(order_id)
    assert await backordered(shop) == {plain, late, vip}
    await shop.cancel(first)
    assert await owed(shop) == [vip]
    await shop.source(vip)
    await shop.source(plain)
    assert await backordered(shop) == {plain, late}


async def test_a_day_given_more_room_is_looked_at_by_all_that_wait_for_it(shop: Facts) -> None:
    await one_open_day(shop, 0)
    plain, vip = [await shop.keep((shop.sku(), 1), priority=priority) for priority in (3, 1)]
    elsewhere = await shop.keep((shop.sku(1), 1))
    for order_id in (plain, vip, elsewhere):
        await shop.source(order_id)
    assert await backordered(shop) == {plain, vip, elsewhere}
    [first] = await shipping_days(shop, 1)
    [loaded], woken = await load(shop.database, {"capacity": HEADER + f"{NODE},{first},,1\n".encode()})
    assert (loaded.orders_woken, woken, await owed(shop)) == (2, [vip, plain], [vip, plain])


async def test_what_leaves_gives_nobody_a_day(shop: Facts) -> None:
    await one_open_day(shop, 2)
    first, plain = [await shop.keep((shop.sku(), 2)) for _ in range(2)]
    for order_id in (first, plain):
        await shop.source(order_id)
    await shop.release(first)
    await shop.ship(first)
    assert await owed(shop) == []


async def test_shipped_units_use_their_day_up_and_short_ones_give_it_back(shop: Facts) -> None:
    await limit(shop, 10)
    order_id = await shop.keep((shop.sku(), 6))
    await shop.source(order_id)
    await shop.release(order_id)
    await shop.ship(order_id, short=2)
    assert await used(shop) == {(await shipping_days(shop, 1))[0]: (0, 4)}


async def test_a_rejected_one_gives_its_day_back(shop: Facts) -> None:
    await limit(shop, 10)
    order_id = await shop.keep((shop.sku(), 6))
    await shop.source(order_id)
    await shop.release(order_id)
    await shop.reject(order_id)
    assert await used(shop) == {(await shipping_days(shop, 1))[0]: (0, 0)}


async def test_a_peak_and_a_closure_are_loaded_by_day(shop: Facts) -> None:
    await limit(shop, 10)
    first, second, third = await shipping_days(shop, 3)
    rows = f"{NODE},{first},,0\n{NODE},{second},,15\n".encode()
    [loaded] = (await load(shop.database, {"capacity": HEADER + rows}))[0]
    assert (loaded.added, loaded.changed) == (2, 0)
    for units in (12, 6):
        await shop.source(await shop.keep((shop.sku(), units)))
    assert await days_of_orders(shop) == {second: 12, third: 6}


async def test_a_service_has_a_limit_of_its_own(shop: Facts) -> None:
    first, second = await shipping_days(shop, 2)
    await limit(shop, None)
    await load(shop.database, {"capacity": HEADER + f"{NODE},{first},standard,3\n".encode()})
    standard, expedited = ServiceLevel.STANDARD, ServiceLevel.EXPEDITED
    for service, units in ((standard, 2), (expedited, 5), (standard, 2)):
        await shop.source(await shop.keep((shop.sku(), units), service=service))
    assert await days_of_orders(shop) == {first: 7, second: 2}
    async with shop.database.reading() as connection:
        [found] = await read_node_days(connection, NODE, since=first, days=3)
    assert [(day.service, day.units, day.reserved, day.free) for day in found.days] == [("standard", 3, 2, 1)]


async def test_a_limit_lowered_below_what_is_taken_is_told_and_adds_nothing(shop: Facts) -> None:
    await limit(shop, 10)
    order_id = await shop.keep((shop.sku(), 9))
    await shop.source(order_id)
    first, second = await shipping_days(shop, 2)
    await load(shop.database, {"capacity": HEADER + f"{NODE},{first},,4\n".encode()})
    [day] = await shop.rows("SELECT units, reserved, excess FROM capacity_use")
    assert tuple(day) == (4, 9, 5)
    await shop.source(await shop.keep((shop.sku(), 1)))
    assert await days_of_orders(shop) == {first: 9, second: 1}
    await shop.cancel(order_id)
    assert [tuple(row) for row in await shop.rows("SELECT reserved, excess FROM capacity_use ORDER BY day")] == [
        (0, 0),
        (1, 0),
    ]


async def test_a_lifted_limit_asks_for_nothing_any_more(shop: Facts) -> None:
    await limit(shop, 2)
    kept = await shop.keep((shop.sku(), 2))
    await shop.source(kept)
    await limit(shop, None)
    await shop.source(await shop.keep((shop.sku(), 40)))
    [first] = await shipping_days(shop, 1)
    assert await days_of_orders(shop) == {first: 42}
    await shop.cancel(kept)
    assert await used(shop) == {first: (0, 0)}


async def test_without_a_limit_there_is_no_row(shop: Facts) -> None:
    await limit(shop, None)
    await shop.source(await shop.keep((shop.sku(), 40)))
    assert await shop.rows("SELECT 1 FROM capacity_use") == []


async def test_faults_of_a_capacity_table_are_told_by_row(shop: Facts) -> None:
    rows = b"nowhere,2026-12-24,,5\nwh-columbus,2026-02-30,,5\nwh-columbus,2026-12-24,soon,-1\n"
    with pytest.raises(InvalidInput) as refused:
        await load(shop.database, {"capacity": HEADER + rows})
    assert {(fault.pointer, fault.code) for fault in refused.value.faults} >= {
        ("/2/node_id", "unknown_node_id"),
        ("/3/day", "unknown_value"),
    }
    assert {fault.pointer for fault in refused.value.faults} >= {"/4/service", "/4/units"}


async def test_a_row_of_a_capacity_table_limits_something(shop: Facts) -> None:
    with pytest.raises(InvalidInput, match="units, orders or both"):
        await load(shop.database, {"capacity": HEADER + f"{NODE},2026-12-24,,\n".encode()})


async def test_sums_hold_when_backends_are_killed_in_the_middle(shop: Facts, fresh_database_url: str) -> None:
    await limit(shop, 20)
    order_ids = [await shop.keep((shop.sku(), 2)) for _ in range(40)]
    async with aclosing(Orders(shop.database)) as orders:
        work = asyncio.create_task(source_all([orders], order_ids))
        killed = 0
        async with await psycopg.AsyncConnection.connect(
            fresh_database_url.replace("+psycopg", ""), autocommit=True
        ) as hand:
            while not work.done():
                rows = await hand.execute("""
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
                      AND random() < 0.2
                """)
                killed += len(await rows.fetchall())
                if killed > 12:
                    break
        await asyncio.gather(work, return_exceptions=True)
        assert killed
        for _ in range(3):
            # As their processes do, those that lost the race for days too often look again.
            await source_all([orders], order_ids)
    found = await days_of_orders(shop)
    assert (sum(found.values()), max(found.values())) == (80, 20)
    assert await used(shop) == {day: (units, 0) for day, units in found.items()}
