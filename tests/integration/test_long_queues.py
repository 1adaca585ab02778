"""Thousands wait for one item: what rises or is to come is the first ones', and nobody else is held up by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import text

from shared import supply_client
from shared.client import Doms
from shared.database import rises
from shared.database.engine import Database
from shared.database.stock import Move, receive
from shared.domain.sourcing.models import SourcingOrder
from shared.domain.sourcing.timetable import Timetable
from tests.support.books import books_agree
from tests.support.long_queue import begin, coming, delivered, touched
from tests.support.supply_desk import SOON, Desk

WAITING = 2_000
_NOT_LOCKED = text("SELECT order_id FROM orders FOR NO KEY UPDATE SKIP LOCKED")
_WAITS_FOR_AN_ORDER = text("""
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
""")


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    """``o0000`` to ``o1999`` wait for a unit of ``s1`` each, in this order."""
    database = Database(fresh_database_url)
    await begin(database, WAITING)
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
    await supply_client.create_inbound(cast(Doms, Desk(database)), coming("PO-1", 1, 0), actor="buyer")
    assert await bound(database) == {"PO-1": {"o0502"}}


async def test_who_is_being_changed_further_back_is_told_that_something_is_left(database: Database) -> None:
    async with database.transaction() as busy:
        await busy.execute(text("SELECT FROM orders WHERE order_id = 'o1999' FOR UPDATE"))
        served, _ = await rise(database, WAITING, "asn-1")
    async with database.reading() as connection:
        kept = (await connection.execute(text("SELECT order_id FROM orders WHERE cart_hold_id IS NOT NULL"))).scalars()
        assert set(kept) == orders(range(WAITING - 1))
    assert served == orders(range(WAITING))


async def bound(database: Database) -> dict[str, set[str]]:
    async with database.reading() as connection:
        found: dict[str, set[str]] = {}
        for row in await connection.execute(text("SELECT inbound_id, order_id FROM supply_binding")):
            found.setdefault(row.inbound_id, set()).add(row.order_id)
        return found


async def test_supply_that_changes_locks_who_is_bound_anew(database: Database) -> None:
    doms = cast(Doms, Desk(database))
    some = supply_client.create_inbound(doms, coming("PO-1", 3, 10), actor="buyer")
    assert await touched(database, some) == orders(range(3))
    assert await bound(database) == {"PO-1": orders(range(3))}
    earlier = supply_client.create_inbound(doms, coming("PO-0", 1, 0), actor="buyer")
    assert await touched(database, earlier) == {"o0000", "o0003"}
    later = supply_client.create_inbound(doms, coming("PO-2", 1, 30), actor="buyer")
    assert await touched(database, later) == {"o0004"}
    slipped = supply_client.slip(doms, "PO-1", SOON + timedelta(days=20))
    assert await touched(database, slipped) == orders(range(1, 4))
    cancelled = supply_client.cancel_inbound(doms, "PO-0")
    assert await touched(database, cancelled) == {"o0000"}
    received = await touched(database, supply_client.receive(doms, delivered("PO-1", 1), actor="dock"))
    assert len(received) == 100
    assert await bound(database) == {"PO-1": {"o0002", "o0003"}, "PO-2": {"o0004"}}
    await supply_client.receive(doms, delivered("PO-1", 0, damaged=1), actor="dock")
    assert await bound(database) == {"PO-1": {"o0002"}, "PO-2": {"o0004"}}
    await books_agree(database)


async def test_supply_waits_for_the_order_it_would_be_bound_to(database: Database) -> None:
    """What is worked out of an order that somebody is changing holds no more when they are done."""
    doms = cast(Doms, Desk(database))
    async with database.transaction() as busy:
        await busy.execute(text("UPDATE order_line SET backordered = 0, cancelled = 1 WHERE order_id = 'o0000'"))
        await busy.execute(text("SELECT FROM orders WHERE order_id = 'o0000' FOR UPDATE"))
        telling = asyncio.create_task(supply_client.create_inbound(doms, coming("PO-1", 1, 0), actor="buyer"))
        async with database.reading() as connection:
            while not (await connection.execute(_WAITS_FOR_AN_ORDER)).scalar_one():
                assert not telling.done()
    assert await telling
    assert await bound(database) == {"PO-1": {"o0001"}}
