"""Many want the same stock at once: nobody gets what is not there, nobody is given it twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from shared.database import carts
from shared.database.batcher import Batcher
from shared.database.engine import Database, is_unreachable
from shared.database.plans import Draft, committer
from shared.errors import Conflict, NotFound
from shared.messages import SourceResult
from tests.support.killer import Killer
from tests.support.stock import Line, draft, place, residuals, seed

P = ParamSpec("P")
T = TypeVar("T")
Committer = Batcher[Draft, SourceResult | None]
LATER = datetime.now(UTC) + timedelta(hours=1)
#: As the clock would, and as nobody else may: only under the position's lock does a hold's row change.
EXPIRE = text("""
    WITH locked AS MATERIALIZED (
        SELECT p.node_id, p.sku FROM stock_position p JOIN cart_hold_line h USING (node_id, sku)
        WHERE h.cart_hold_id = :cart ORDER BY p.node_id, p.sku FOR NO KEY UPDATE OF p
    )
    UPDATE cart_hold_line h SET expires_at = now() - interval '1 second'
    FROM locked l WHERE h.cart_hold_id = :cart AND h.node_id = l.node_id AND h.sku = l.sku
""")


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    database = Database(fresh_database_url)
    yield database
    await database.close()


@asynccontextmanager
async def processes(url: str, count: int) -> AsyncIterator[list[Committer]]:
    """Committers with connections of their own, as that many worker processes have."""
    async with AsyncExitStack() as stack:
        databases = [Database(url, pool_size=2) for _ in range(count)]
        for database in databases:
            stack.push_async_callback(database.close)
        committers = [committer(database) for database in databases]
        for one in committers:
            stack.push_async_callback(one.close)
        yield committers


async def value(database: Database, statement: str) -> Any:
    async with database.reading() as connection:
        return (await connection.execute(text(statement))).scalar_one()


async def check_books(database: Database) -> None:
    async with database.reading() as connection:
        assert await residuals(connection) == {}


def planned(order_id: str, lines: Sequence[Line], node_id: str = "n1", **options: Any) -> Draft:
    return draft(order_id, [(node_id, *line) for line in lines], **options)


@pytest.mark.parametrize("units", [1, 5, 20, 64])
async def test_exactly_the_last_units_are_sold(database: Database, fresh_database_url: str, units: int) -> None:
    await seed(database, nodes=1, skus=1, on_hand=units)
    orders: dict[str, list[Line]] = {f"o{n}": [(1, "s1", 1)] for n in range(64)}
    await place(database, orders)
    async with processes(fresh_database_url, 8) as committers:
        answers = await asyncio.gather(
            *(committers[n % 8].submit(planned(order_id, lines)) for n, (order_id, lines) in enumerate(orders.items()))
        )
    assert sum(answer is not None for answer in answers) == units
    assert await value(database, "SELECT reserved FROM stock_position") == units
    await check_books(database)


async def test_the_earlier_of_a_batch_goes_first_and_smaller_ones_fill_up(database: Database) -> None:
    await seed(database, nodes=1, skus=2, on_hand=10)
    orders: dict[str, list[Line]] = {
        "a": [(1, "s1", 6)],
        "b": [(1, "s1", 6), (2, "s2", 1)],
        "c": [(1, "s1", 4)],
        "d": [(1, "s2", 10)],
    }
    await place(database, orders)
    async with committing(database) as plans:
        answers = await asyncio.gather(*(plans.submit(planned(name, lines)) for name, lines in orders.items()))
    assert [answer is not None for answer in answers] == [True, False, True, True]
    await check_books(database)


async def test_lines_in_any_order_never_deadlock(database: Database, fresh_database_url: str) -> None:
    await seed(database, nodes=1, skus=10, on_hand=1_000_000)
    chance = random.Random(7)
    orders: dict[str, list[Line]] = {
        f"o{n}": [(i, f"s{sku}", 1) for i, sku in enumerate(chance.sample(range(1, 11), 3), start=1)]
        for n in range(1600)
    }
    await place(database, orders)
    async with processes(fresh_database_url, 16) as committers:
        answers = await asyncio.gather(
            *(committers[n % 16].submit(planned(name, lines)) for n, (name, lines) in enumerate(orders.items()))
        )
    assert None not in answers
    assert await value(database, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0
    await check_books(database)


@pytest.mark.parametrize(("on_hand", "fits"), [(5, False), (6, True)])
async def test_lines_of_one_sku_count_together(database: Database, on_hand: int, fits: bool) -> None:
    await seed(database, nodes=1, skus=1, on_hand=on_hand)
    lines = [(1, "s1", 2), (2, "s1", 1), (3, "s1", 3)]
    await place(database, {"o": lines})
    async with committing(database) as plans:
        assert (await plans.submit(planned("o", lines)) is not None) is fits
    assert await value(database, "SELECT reserved FROM stock_position") == (6 if fits else 0)
    await check_books(database)


async def test_only_who_is_to_blame_fails(database: Database) -> None:
    """One order's reservation is in the way, one order does not exist, one plans more than is wanted."""
    await seed(database, nodes=2, skus=3, on_hand=1000)
    orders: dict[str, list[Line]] = {f"o{n}": [(1, f"s{n % 3 + 1}", 1)] for n in range(60)}
    await place(database, orders)
    in_the_way = "INSERT INTO reservation VALUES ('o7/f1', 1, 'o7', 'n2', 's1', 1, 0, 0, 1)"
    async with database.transaction() as connection:
        await connection.execute(text(in_the_way))
    drafts = {name: planned(name, lines) for name, lines in orders.items()}
    drafts["o9"] = planned("nobody", orders["o9"])
    drafts["o11"] = planned("o11", [(1, "s3", 2)])
    async with committing(database) as plans:
        answers = await asyncio.gather(*map(plans.submit, drafts.values()), return_exceptions=True)
    by_name = dict(zip(drafts, answers, strict=True))
    assert isinstance(by_name.pop("o7"), IntegrityError)
    assert isinstance(by_name.pop("o9"), NotFound)
    assert by_name.pop("o11") is None
    assert all(isinstance(answer, SourceResult) for answer in by_name.values())
    assert await value(database, "SELECT sum(reserved) FROM stock_position") == 57
    await check_books(database)


async def test_a_repeat_answers_with_the_first_result(database: Database, fresh_database_url: str) -> None:
    """At the same time in one process and in others, and later with another plan."""
    await seed(database, nodes=2, skus=1, on_hand=100)
    await place(database, {"o": [(1, "s1", 5)]})
    async with processes(fresh_database_url, 4) as committers:
        plan = planned("o", [(1, "s1", 5)])
        answers = await asyncio.gather(*(committers[n % 4].submit(plan) for n in range(12)))
        later = await committers[0].submit(planned("o", [(1, "s1", 5)], node_id="n2"))
    assert len({fulfillments(answer) for answer in [*answers, later]}) == 1
    assert await value(database, "SELECT sum(reserved) FROM stock_position") == 5
    await check_books(database)


async def test_a_large_order_does_not_hold_up_small_ones(database: Database) -> None:
    await seed(database, nodes=1, skus=2000, on_hand=100)
    large: list[Line] = [(n, f"s{n}", 1) for n in range(1, 1991)]
    await place(database, {"large": large, **{f"o{n}": [(1, "s2000", 1)] for n in range(20)}})
    async with committing(database) as plans:
        heavy = asyncio.create_task(plans.submit(planned("large", large)))
        small = [asyncio.create_task(plans.submit(planned(f"o{n}", [(1, "s2000", 1)]))) for n in range(20)]
        await asyncio.wait([heavy, *small], return_when=asyncio.FIRST_COMPLETED)
        assert not heavy.done()
        assert None not in await asyncio.gather(heavy, *small)
    await check_books(database)


@pytest.mark.slow
async def test_connections_die_and_the_books_still_agree(database: Database, fresh_database_url: str) -> None:
    """10,000 orders, a twentieth of them sent twice, more than there is stock for, and a backend killed every 250."""
    attempts, skus, seed_ = 10_000, 12, 20260803
    await seed(database, nodes=3, skus=skus, on_hand=360)
    chance = random.Random(seed_)
    orders: dict[str, list[Line]] = {}
    for n in range(attempts):
        wanted = chance.sample(range(1, skus + 1), chance.choice((1, 1, 2)))
        orders[f"o{n}"] = [(i, f"s{sku}", chance.choice((1, 1, 1, 2))) for i, sku in enumerate(wanted, start=1)]
    await place(database, orders)
    answers: dict[str, list[SourceResult | None]] = {}
    async with processes(fresh_database_url, 3) as committers, Killer(fresh_database_url, every=250) as killer:
        todo = iter(orders.items())

        async def client() -> None:
            for name, lines in todo:
                plan = planned(name, lines, node_id=f"n{chance.randrange(3) + 1}")
                repeats = 2 if chance.random() < 0.05 else 1
                sent = (persist(chance.choice(committers), plan) for _ in range(repeats))
                answers[name] = list(await asyncio.gather(*sent))
                killer.count()

        async with asyncio.TaskGroup() as clients:  # one that fails ends the others
            for _ in range(300):
                clients.create_task(client())
    assert killer.killed >= 30
    await check_books(database)
    await check_answers(database, answers)


@pytest.mark.slow
async def test_carts_orders_and_time_race_for_few_units(database: Database, fresh_database_url: str) -> None:
    """64 clients: carts held, extended, given back, overdue and ordered beside plain orders; connections are killed."""
    attempts, skus, chance = 2_400, 6, random.Random(20260804)
    await seed(database, nodes=2, skus=skus, on_hand=100)
    orders: dict[str, list[Line]] = {f"o{n}": [(1, f"s{chance.randrange(skus) + 1}", 1)] for n in range(attempts)}
    of_carts = {f"o{n}": f"web/c{n}" for n in range(0, attempts, 2)}
    await place(database, orders, of_carts)
    held: dict[str, int] = {}
    async with processes(fresh_database_url, 3) as committers, Killer(fresh_database_url, every=100) as killer:
        hands = [Database(fresh_database_url, pool_size=4) for _ in range(3)]
        todo = iter(orders.items())

        async def client() -> None:
            for name, [(line_no, sku, _)] in todo:
                hand, node_id = chance.choice(hands), f"n{chance.randrange(2) + 1}"
                cart = of_carts.get(name)
                if cart is not None:
                    held[cart] = await again(hold_one, hand, cart, (node_id, sku), chance.choice((1, 2)))
                    await again(meddle, hand, cart, chance.random())
                elif chance.random() < 0.05:
                    await again(sweep_some, hand)
                await persist(chance.choice(committers), planned(name, [(line_no, sku, 1)], node_id=node_id))
                killer.count()

        async with asyncio.TaskGroup() as clients:  # one that fails ends the others
            for _ in range(64):
                clients.create_task(client())
        for hand in hands:
            await hand.close()
    assert killer.killed >= 10
    await check_books(database)
    fates = "SELECT count(*) FILTER (WHERE ordered > 0) > 20 AND count(*) FILTER (WHERE given_back > 0) > 20"
    assert await value(database, f"{fates} FROM cart_hold_line")
    assert await value(database, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0
    kept = await value(database, "SELECT coalesce(jsonb_object_agg(cart_hold_id, quantity), '{}') FROM cart_hold_line")
    assert {cart: units for cart, units in held.items() if units} == kept


async def hold_one(database: Database, cart: str, key: tuple[str, str], units: int) -> int:
    """The units held; one whose answer was lost is found on record."""
    taken = await carts.hold_units(
        database, cart, {key: units}, channel="web", lines=(), content_hash="", expires_at=LATER
    )
    if taken is not None:
        return taken[0].quantity
    async with database.reading() as connection:
        try:
            return (await carts.read_hold(connection, cart))[1].units[0].quantity
        except NotFound:
            return 0


async def meddle(database: Database, cart: str, chance: float) -> None:
    """What may become of a cart before it is ordered: time passes, it is extended or given back, or nothing does."""
    async with database.transaction() as connection:
        if chance < 0.4:
            await connection.execute(EXPIRE, {"cart": cart})
        elif chance < 0.6:
            with contextlib.suppress(Conflict):
                await carts.extend(connection, cart, LATER)
        elif chance < 0.7:
            await carts.release(connection, cart, actor="test")


async def sweep_some(database: Database) -> None:
    async with database.statement() as connection:
        await carts.give_back_of(connection, await carts.overdue_items(connection, limit=20))


async def again(step: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Take a step until its answer comes through."""
    while True:
        try:
            return await step(*args, **kwargs)
        except Exception as error:
            if not is_unreachable(error):
                raise


async def persist(committer: Committer, plan: Draft) -> SourceResult | None:
    """Send the same again until it is answered, as Temporal does."""
    while True:
        try:
            return await committer.submit(plan)
        except Exception as error:
            if not is_unreachable(error):
                raise


async def check_answers(database: Database, answers: dict[str, list[SourceResult | None]]) -> None:
    """What was answered is what is on record, for the first call and the second."""
    async with database.reading() as connection:
        rows = await connection.execute(
            text(
                "SELECT order_id, result FROM step_result JOIN orders ON step_key = 'order/' || order_id || '/source/1'"
            )
        )
        kept = {row.order_id: fulfillments(SourceResult.model_validate(row.result)) for row in rows}
    for name, given in answers.items():
        won = {fulfillments(answer) for answer in given if answer is not None}
        assert won == ({kept[name]} if name in kept else set()), name
    sold = sum(state.units for name in kept for answer in answers[name][:1] if answer for state in answer.fulfillments)
    assert 0 < len(kept) < len(answers), "there was less stock than orders"
    assert sold == await value(database, "SELECT sum(reserved) FROM stock_position")


def fulfillments(answer: SourceResult | None) -> Any:
    return answer and answer.fulfillments


@asynccontextmanager
async def committing(database: Database) -> AsyncIterator[Committer]:
    plans = committer(database)
    try:
        yield plans
    finally:
        await plans.close()
