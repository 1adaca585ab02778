"""What people read of stock: where it lies, and the ledger replayed to today's balance."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from shared.database.engine import Database
from shared.database.inbounds import depart, keep_inbound
from shared.database.item_stock import read_item
from shared.database.plans import committer
from shared.database.positions import list_positions, read_history
from shared.database.publishing import confirm, next_push
from shared.database.reservations import Claim
from shared.database.stock import Move, Settle, receive, settle
from shared.domain.supply import Inbound, InboundKind, InboundLine
from shared.errors import NotFound
from tests.support.stock import draft, place, reserve, seed
from tests.support.tables import put

NOW = datetime.now(UTC)


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


async def test_an_item_shows_what_is_to_come_and_who_has_what(database: Database) -> None:
    orders = {"p": [(1, "s1", 3)], "q": [(1, "s1", 2)]}
    await place(database, orders)
    plans = committer(database)
    for name, lines in orders.items():
        assert await plans.submit(draft(name, [("n1", *line) for line in lines]))
    await plans.close()
    order = Inbound(
        inbound_id="PO-2",
        kind=InboundKind.PURCHASE_ORDER,
        node_id="n1",
        expected_at=NOW + timedelta(days=3),
        lines=(InboundLine(sku="s1", quantity=7),),
    )
    transfer = order.model_copy(
        update={"inbound_id": "T-1", "kind": InboundKind.TRANSFER, "origin_node_id": "n2", "expected_at": NOW}
    )
    async with database.transaction() as connection:
        for each in (order, transfer):
            await keep_inbound(connection, each, actor="test")
        for statement in (
            "UPDATE fulfillment_order SET request_status = 'accepted' WHERE order_id = 'p'",
            "UPDATE inbound_line SET bound = 4 WHERE inbound_id = 'PO-2'",
            "UPDATE node SET node_type = 'vendor' WHERE node_id = 'n2'",
            "INSERT INTO feed_source (source_id, definition, defined_by) VALUES ('erp', '{}', 'test')",
            "INSERT INTO stock_source (node_id, source_id, as_of, state) VALUES ('n2', 'erp', '2026-01-02Z', 'fresh')",
            "UPDATE stock_position SET feed_buffer = 1, count_buffer = 2 WHERE node_id = 'n2' AND sku = 's1'",
        ):
            await connection.execute(text(statement))
    async with database.transaction() as connection:
        await depart(connection, "T-1", actor="test")
    async with database.reading() as connection:
        item = await read_item(connection, "s1")
    first, second = item.positions
    assert (first.reserved, first.committed, first.supplier, first.source_id) == (5, 3, False, None)
    assert first.as_of == max(move.at for move in item.moves if move.node_id == "n1")
    assert (second.on_hand, second.buffer, second.feed_buffer, second.available) == (3, 3, 1, 0)
    assert (second.supplier, second.source_id, second.source_state) == (True, "erp", "fresh")
    assert second.as_of == datetime(2026, 1, 2, tzinfo=UTC)
    assert [(c.inbound_id, c.open, c.bound, c.in_transit) for c in item.coming] == [
        ("T-1", 7, 0, True),
        ("PO-2", 7, 4, False),
    ]
    assert item.stages.model_dump() == {
        "available": 5,
        "reserved": 5,
        "committed": 3,
        "held": 0,
        "quarantined": 0,
        "in_transit": 7,
        "expected": 14,
        "backordered": 0,
    }


async def test_an_item_shows_what_each_channel_sells_and_was_told(database: Database) -> None:
    tables = {
        "partners": "partner_id,kind,base_url\nshop,channel,http://localhost\n",
        "channels": "channel,rank,partner_id\nweb,1,shop\napp,2,\n",
        "allocation": "channel,sku,pool,cap,floor,buffer\nweb,,4,,,\nweb,s1,,15,3,1\n",
    }
    await put(database, **tables)
    async with database.transaction() as connection:
        push, _ = await next_push(connection, "web")
        assert push is not None
    async with database.reading() as connection:
        web, app = (await read_item(connection, "s1")).channels
    assert (web.channel, web.available, web.pool, web.cap, web.floor, web.buffer) == ("web", 15, None, 15, 3, 1)
    assert (web.published, web.waiting, app.available, app.cap) == (None, True, 20, None)
    async with database.transaction() as connection:
        await confirm(connection, "web", push)
    async with database.reading() as connection:
        web, app = (await read_item(connection, "s1")).channels
    assert (web.published, web.sequence, web.waiting, app.published) == (15, 1, False, None)
    assert web.told_at is not None


async def test_positions_are_listed_page_by_page(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE node SET node_type = 'store' WHERE node_id = 'n2'"))
    async with database.reading() as connection:
        page = await list_positions(connection, limit=3)
        rest = await list_positions(connection, limit=3, after=(page[-1].node_id, page[-1].sku))
        stores = await list_positions(connection, node_type="store")
        one = await list_positions(connection, node_id="n1", node_type="store")
    assert [(p.node_id, p.sku) for p in page + rest] == [("n1", "s1"), ("n1", "s2"), ("n2", "s1"), ("n2", "s2")]
    assert [(p.node_id, p.available) for p in stores] == [("n2", 10), ("n2", 10)]
    assert one == []


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


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("INSERT INTO stock_position (node_id, sku) VALUES ('n9', 's1')", "no node n9"),
        ("INSERT INTO stock_position (node_id, sku) SELECT 'n1', 's' || n FROM generate_series(1, 3) n "
         "ON CONFLICT DO NOTHING", "no item s3"),
        ("UPDATE stock_position SET sku = 's3' WHERE sku = 's2'", "stock_position keeps its key"),
        ("UPDATE item SET sku = 's3' WHERE sku = 's2'", "item keeps its key"),
        ("DELETE FROM item WHERE sku = 's2'", "item keeps its key, and stays"),
        ("UPDATE node SET node_id = 'n9' WHERE node_id = 'n2'", "stock at n2"),
        ("DELETE FROM node WHERE node_id = 'n2'", "stock at n2"),
    ],
)  # fmt: skip
async def test_a_position_is_of_a_node_and_an_item_that_are_there(
    database: Database, statement: str, told: str
) -> None:
    with pytest.raises(IntegrityError, match=told):
        async with database.transaction() as connection:
            await connection.execute(text(statement))


async def test_a_node_does_not_go_while_its_first_position_is_opened(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("DELETE FROM stock_position WHERE node_id = 'n2'"))
    async with database.transaction() as opening:
        await opening.execute(text("INSERT INTO stock_position (node_id, sku) VALUES ('n2', 's1')"))
        async with database.transaction() as removing:
            await removing.execute(text("SET LOCAL lock_timeout = '200ms'"))
            with pytest.raises(OperationalError, match="lock timeout"):
                await removing.execute(text("DELETE FROM node WHERE node_id = 'n2'"))
            await removing.rollback()
