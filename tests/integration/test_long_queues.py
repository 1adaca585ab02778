"""Thousands wait for one item: what rises is given to the first of them, and nobody else is held up by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from shared.database import network, rises
from shared.database.engine import Database
from shared.database.stock import Move, receive
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.models import ServiceRate, SourcingOrder
from shared.domain.sourcing.timetable import Timetable
from tests.support.stock import place, seed

WAITING = 2_000
_NOT_LOCKED = text("SELECT order_id FROM orders FOR NO KEY UPDATE SKIP LOCKED")
_RATE = ServiceRate.model_validate(
    {
        "carrier": "p",
        "service": "ground",
        "level": ServiceLevel.STANDARD,
        "max_distance_km": 20_000,
        "breaks": [{"up_to_g": 70_000, "price_minor": 900}],
        "transit_days": 3,
    }
)


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    """``o0000`` to ``o1999`` wait for a unit of ``s1`` each, in this order."""
    database = Database(fresh_database_url)
    await seed(database, nodes=2, skus=1, on_hand=0)
    await place(database, {f"o{n:04}": [(1, "s1", 1)] for n in range(WAITING)})
    async with database.transaction() as connection:
        await network.save_rates(connection, [_RATE])
        await connection.execute(text("UPDATE order_line SET backordered = quantity, unallocated = 0"))
    yield database
    await database.close()


def orders(numbers: range) -> set[str]:
    return {f"o{n:04}" for n in numbers}


async def rise(database: Database, units: int, reference: str) -> tuple[set[str], int]:
    """Who got some, and how many orders were locked for it."""
    move = Move(node_id="n1", sku="s1", cause="receive", on_hand=units, reference=reference)
    async with database.transaction() as connection:
        queue = await rises.line_up(connection, ["s1"])
        await receive(connection, [move])
        served = await queue.serve(connection)
        async with database.transaction() as other:
            others = (await other.execute(_NOT_LOCKED)).all()
    return served, WAITING - len(others)


async def test_one_unit_locks_and_plans_few_of_thousands(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[str] = []
    dates = Timetable.dates

    def counted(timetable: Timetable, order: SourcingOrder, *wanted: Any, **at: Any) -> dict[str, datetime]:
        planned.append(order.order_id)
        return dates(timetable, order, *wanted, **at)

    monkeypatch.setattr(Timetable, "dates", counted)
    for n in range(3):
        served, locked = await rise(database, 1, f"asn-{n}")
        assert served == orders(range(n, n + 1))
        assert locked <= 100
    assert planned == sorted(orders(range(3)))


async def test_many_units_go_to_as_many_in_turn(database: Database) -> None:
    served, locked = await rise(database, 300, "asn-1")
    assert served == orders(range(300))
    assert locked == 300


async def test_units_pass_those_whom_the_node_cannot_serve(database: Database) -> None:
    """Who would rather fetch it elsewhere is passed, however many they are."""
    async with database.transaction() as connection:
        await connection.execute(
            text("UPDATE orders SET method = 'pickup', pickup_node_id = 'n2' WHERE order_id < 'o0500'")
        )
    served, _ = await rise(database, 2, "asn-1")
    assert served == orders(range(500, 502))


async def test_who_is_being_changed_further_back_is_told_that_something_is_left(database: Database) -> None:
    async with database.transaction() as busy:
        await busy.execute(text("SELECT FROM orders WHERE order_id = 'o1999' FOR UPDATE"))
        served, _ = await rise(database, WAITING, "asn-1")
    async with database.reading() as connection:
        kept = (await connection.execute(text("SELECT order_id FROM orders WHERE cart_hold_id IS NOT NULL"))).scalars()
        assert set(kept) == orders(range(WAITING - 1))
    assert served == orders(range(WAITING))
