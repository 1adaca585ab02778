"""What a channel counts as in stock: versions, suppliers' stock, dated supply apart, and followers that hear of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from shared.database.availability import Available, read_availability, read_changes
from shared.database.engine import Database
from shared.database.in_stock import read_versions
from shared.database.inbounds import keep_inbound
from shared.database.publishing import confirm, next_push
from shared.domain.supply import Inbound, InboundKind, InboundLine
from shared.loading import load
from tests.support.stock import seed

NOW = datetime.now(UTC).replace(microsecond=0)
HEADER = "channel,effective_at,counts_supplier,future_days,threshold\n"


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    """Ten of each of two items at a warehouse, at a vendor, and at a node where the channel does not sell."""
    database = Database(fresh_database_url)
    await seed(database, nodes=3, skus=2, on_hand=10)
    tables = {
        "partners": "partner_id,kind,base_url\nshop,channel,http://localhost\n",
        "channels": "channel,partner_id\nweb,shop\n",
        "eligibility": "channel,node_id,sells\nweb,n3,false\n",
    }
    await load(database, {kind: content.encode() for kind, content in tables.items()})
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE node SET node_type = 'vendor' WHERE node_id = 'n2'"))
    yield database
    await database.close()


def days(count: float) -> datetime:
    return NOW + timedelta(days=count)


async def put(database: Database, *rows: str, actor: str = "mia") -> int:
    (loaded,), _ = await load(database, {"in_stock": (HEADER + "\n".join(rows)).encode()}, actor=actor)
    return loaded.added


async def expect(database: Database, inbound_id: str, node_id: str, at: datetime, units: int) -> None:
    inbound = Inbound(
        inbound_id=inbound_id,
        kind=InboundKind.PURCHASE_ORDER,
        node_id=node_id,
        expected_at=at,
        lines=(InboundLine(sku="s1", quantity=units),),
    )
    async with database.transaction() as connection:
        assert await keep_inbound(connection, inbound, actor="test")


async def told(database: Database, sku: str = "s1") -> Available:
    async with database.reading() as connection:
        return (await read_availability(connection, "web", [sku])).items[0]


async def test_without_a_version_suppliers_count_and_the_future_does_not(database: Database) -> None:
    await expect(database, "PO-1", "n1", days(2), 5)
    item = await told(database)
    assert (item.available, item.coming, item.orderable) == (20, (), 20)


async def test_what_comes_is_told_apart_with_its_dates(database: Database) -> None:
    await put(database, "web,,false,7,")
    for number, (node_id, at, units) in enumerate(
        [("n1", days(2), 5), ("n1", days(1), 3), ("n1", days(8), 90), ("n1", days(-1), 70), ("n2", days(1), 60),
         ("n3", days(1), 50)]
    ):  # fmt: skip
        await expect(database, f"PO-{number}", node_id, at, units)
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE inbound_line SET bound = 4 WHERE inbound_id = 'PO-0'"))
    item = await told(database)
    assert (item.available, item.orderable) == (10, 14)
    assert [(more.at, more.units) for more in item.coming] == [(days(1), 3), (days(2), 1)]
    assert item.model_dump(mode="json")["orderable"] == 14


async def test_fewer_than_the_threshold_are_none(database: Database) -> None:
    await put(database, "web,,false,3,11")
    assert (await told(database)).available == 0
    await expect(database, "PO-1", "n1", days(1), 1)
    item = await told(database)
    assert (item.available, item.orderable) == (0, 11)


async def test_the_latest_version_in_effect_counts(database: Database) -> None:
    later = days(30).isoformat()
    assert await put(database, "web,,false,,", f"web,{later},true,9,3") == 2
    assert await put(database, "web,,false,,", f"web,{later},true,9,3", actor="tom") == 0
    assert await put(database, f"web,{later},true,9,4", actor="tom") == 1
    assert (await told(database)).available == 10
    async with database.reading() as connection:
        versions = await read_versions(connection, "web")
    assert [(v.version, v.actor, v.in_effect, v.threshold) for v in versions] == [
        (3, "tom", False, 4),
        (2, "mia", False, 3),
        (1, "mia", True, 0),
    ]
    with pytest.raises(Exception, match="append-only"):
        async with database.transaction() as connection:
            await connection.execute(text("UPDATE in_stock_policy SET threshold = 1"))


async def test_followers_hear_of_a_version_when_it_takes_effect(database: Database) -> None:
    async def version() -> int:
        async with database.reading() as connection:
            return (await read_availability(connection, "web", ())).version

    async def reload(after: int) -> tuple[bool, int]:
        async with database.reading() as connection:
            changes = await read_changes(connection, "web", after)
        return changes.reload, changes.version

    since = await version()
    await put(database, f"web,{days(1).isoformat()},false,,")
    heard, since = await reload(since)
    assert heard
    assert await reload(since) == (False, await version())
    async with database.transaction() as connection:  # a day passes
        await connection.execute(text("UPDATE in_stock_due SET effective_at = now()"))
    since = (await reload(since))[1]
    heard, since = await reload(since)
    assert heard
    assert not (await reload(since))[0]


async def test_a_channel_is_told_what_a_new_version_makes_of_its_stock(database: Database) -> None:
    async def push() -> dict[str, int]:
        items: dict[str, int] = {}
        for _ in range(6):
            async with database.transaction() as connection:
                update, _ = await next_push(connection, "web")
                if update is not None:
                    await confirm(connection, "web", update)
                    items |= {item.sku: item.available for item in update.items}
        return items

    assert await push() == {"s1": 20, "s2": 20}
    await put(database, "web,,false,,")
    assert await push() == {"s1": 10, "s2": 10}


async def test_supply_that_is_told_moved_or_promised_is_a_change_where_it_counts(database: Database) -> None:
    await put(database, "web,,true,30,")
    async with database.reading() as connection:
        since = (await read_availability(connection, "web", ())).version
    for statement in (
        "UPDATE inbound_line SET bound = 2 WHERE inbound_id = 'PO-1'",
        "UPDATE inbound SET expected_at = expected_at + interval '1 day' WHERE inbound_id = 'PO-1'",
        None,
    ):
        if statement is None:
            await expect(database, "PO-2", "n2", days(4), 1)
        else:
            if statement.startswith("UPDATE inbound_line"):
                await expect(database, "PO-1", "n1", days(2), 5)
            async with database.transaction() as connection:
                await connection.execute(text(statement))
        async with database.reading() as connection:
            changes = await read_changes(connection, "web", since)
        assert [item.sku for item in changes.items] == ["s1"], statement
        since = changes.version
    assert (await told(database)).orderable == 20 + 3 + 1


async def test_supply_is_told_as_it_comes_near_enough_and_when_it_is_overdue(database: Database) -> None:
    """Nothing is written to it: the time that passes is the only change. It is moved by moving what was noted."""

    async def heard(after: int) -> tuple[list[str], int]:
        async with database.reading() as connection:
            changes = await read_changes(connection, "web", after)
        return [item.sku for item in changes.items], changes.version

    async def time_passes(inbound_id: str, at: datetime) -> None:
        """As if it had been told long ago, the followers had looked yesterday, and now were now."""
        async with database.transaction() as connection:
            await connection.execute(text("ALTER TABLE inbound DISABLE TRIGGER coming_dated"))
            values = {"inbound": inbound_id, "at": at}
            await connection.execute(text("UPDATE inbound SET expected_at = :at WHERE inbound_id = :inbound"), values)
            await connection.execute(text("ALTER TABLE inbound ENABLE TRIGGER coming_dated"))
            await connection.execute(text("UPDATE supply_window SET noted_until = now() - interval '1 day'"))

    await put(database, "web,,true,7,")
    await expect(database, "PO-1", "n1", days(30), 5)
    async with database.reading() as connection:
        since = (await read_availability(connection, "web", ())).version
    assert (await heard(since))[0] == []
    await time_passes("PO-1", datetime.now(UTC) + timedelta(days=6.9))
    assert (await heard(since))[0] == [], "it is noted now, and told from the next time on"
    news, since = await heard(since)
    assert news == ["s1"]
    assert [more.units for more in (await told(database)).coming] == [5]
    assert (await heard(since))[0] == []
    await time_passes("PO-1", datetime.now(UTC) - timedelta(hours=1))
    await heard(since)
    assert (await heard(since))[0] == ["s1"]
    assert (await told(database)).coming == ()


async def test_what_comes_is_part_of_what_a_channel_is_told(database: Database) -> None:
    async def push() -> list[dict[str, object]]:
        items: list[dict[str, object]] = []
        for _ in range(6):
            async with database.transaction() as connection:
                update, _ = await next_push(connection, "web")
                if update is not None:
                    await confirm(connection, "web", update)
                    items += [item.model_dump(include={"sku", "available", "coming"}) for item in update.items]
        return items

    await put(database, "web,,true,7,")
    await push()
    await expect(database, "PO-1", "n1", days(2), 5)
    assert await push() == [{"sku": "s1", "available": 20, "coming": ({"at": days(2), "units": 5},)}]
    assert await push() == []
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE inbound SET expected_at = :at"), {"at": days(3)})
    assert await push() == [{"sku": "s1", "available": 20, "coming": ({"at": days(3), "units": 5},)}]
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE inbound_line SET bound = open"))
    assert await push() == [{"sku": "s1", "available": 20, "coming": ()}]
