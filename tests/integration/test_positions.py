"""What people read of stock: where it lies, and the ledger replayed to today's balance."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from shared.database.engine import Database
from shared.database.positions import read_history, read_item
from shared.database.reservations import Claim, reserve
from shared.database.stock import Move, Settle, receive, settle
from shared.errors import NotFound
from tests.support.stock import place, seed


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    """Ten of each item at two nodes; at the first, four were reserved, three of them shipped, and five came in."""
    database = Database(fresh_database_url)
    await seed(database, nodes=2, skus=2, on_hand=10)
    await place(database, {"o": [(1, "s1", 4)]})
    claim = Claim(owner="o/f1", line_no=1, order_id="o", node_id="n1", sku="s1", quantity=4)
    async with database.transaction() as connection:
        assert await reserve(connection, [claim])
        await settle(connection, [Settle(owner="o/f1", line_no=1, shipped=3, released=1)], reference="o/f1")
        await receive(connection, [Move(node_id="n1", sku="s1", cause="receive", on_hand=5, reference="PO-1")])
        await connection.execute(text("UPDATE stock_position SET safety = 2 WHERE node_id = 'n1'"))
    yield database
    await database.close()


async def test_an_item_shows_its_positions_and_latest_moves(database: Database) -> None:
    async with database.reading() as connection:
        item = await read_item(connection, "s1", moves=2)
    assert [(p.node_id, p.on_hand, p.reserved, p.safety, p.available) for p in item.positions] == [
        ("n1", 12, 0, 2, 10),
        ("n2", 10, 0, 0, 10),
    ]
    assert [move.reference for move in item.moves] == ["PO-1", "o/f1"]


async def test_the_ledger_is_replayed_to_todays_balance(database: Database) -> None:
    async with database.reading() as connection:
        first, second = await read_history(connection, "s1")
    assert [move.cause for move in first.moves[:2]] == ["receive", "reserve"]
    assert sorted(move.cause for move in first.moves[2:]) == ["receive", "release", "ship"]
    assert [(m.on_hand_then, m.reserved_then) for m in first.moves][:2] == [(10, 0), (10, 4)]
    assert (first.moves[-1].on_hand_then, first.moves[-1].reserved_then) == (12, 0)
    assert (first.agrees, first.replayed, second.agrees, second.replayed) == (True, 5, True, 1)


async def test_all_is_replayed_when_little_is_shown(database: Database) -> None:
    async with database.reading() as connection:
        (position,) = await read_history(connection, "s1", node_id="n1", moves=1)
    assert (len(position.moves), position.replayed, position.agrees) == (1, 5, True)


async def test_a_position_that_was_changed_by_hand_is_seen(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE stock_position SET on_hand = on_hand + 1 WHERE node_id = 'n2'"))
        first, second = await read_history(connection, "s1")
    assert (first.agrees, second.agrees) == (True, False)


async def test_no_stock_there_ever_was(database: Database) -> None:
    async with database.reading() as connection:
        with pytest.raises(NotFound, match="nowhere"):
            await read_history(connection, "s1", node_id="nowhere")
