"""Levels compared with their thresholds in the database: an alert once a crossing, over when the level is back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.alerts import Alerts
from shared.client import Doms
from shared.database import alerts
from shared.database.alerts import Alert
from shared.database.engine import Database
from shared.database.stock import Move, move
from shared.errors import Conflict, InvalidInput, NotFound
from shared.loading import load
from shared.messages import WatchResult, WatchStep
from tests.support.stock import seed

NOW = datetime.now(UTC)
HEADER = b"sku,node_id,channel,low,low_clear,high,high_clear,aged_days,lead_days,safety_days,target\n"


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    database = Database(fresh_database_url)
    await seed(database, nodes=2, skus=4, on_hand=10)
    await load(database, {"channels": b"channel\nwebshop\n"})
    yield database
    await database.close()


async def watch(database: Database, *rows: bytes) -> None:
    await load(database, {"thresholds": HEADER + b"\n".join(rows) + b"\n"})


async def changes(database: Database, sku: str, units: int, node_id: str = "n1", cause: str = "adjust") -> None:
    reference = f"t/{uuid.uuid4().hex[:8]}"
    async with database.transaction() as connection:
        await move(connection, [Move(node_id=node_id, sku=sku, cause=cause, on_hand=units, reference=reference)])


async def look(database: Database, *, later: timedelta = timedelta()) -> tuple[int, int]:
    async with database.transaction() as connection:
        done = await alerts.evaluate(connection, as_of=datetime.now(UTC) + later)
    return done.raised, done.cleared


async def listed(database: Database, **filters: Any) -> list[Alert]:
    async with database.reading() as connection:
        return await alerts.list_alerts(connection, **filters)


async def test_a_level_that_falls_raises_one_alert_and_clears_it_when_it_is_back(database: Database) -> None:
    await watch(database, b"s1,n1,,8,10,,,,,,")
    assert await look(database) == (0, 0)
    await changes(database, "s1", -3)
    assert await look(database) == (1, 0)
    assert await look(database) == (0, 0)
    await changes(database, "s1", 2)  # 9: above the threshold, not back yet
    assert await look(database) == (0, 0)
    await changes(database, "s1", 1)
    assert await look(database) == (0, 1)
    (alert,) = await listed(database)
    assert (alert.kind, alert.level, alert.threshold, alert.status) == ("low", 7, 8, "resolved")
    assert (alert.resolved_by, alert.resolution) == ("doms", "the level is back")
    await changes(database, "s1", -3)
    assert await look(database) == (1, 0)
    assert len(await listed(database)) == 2


async def test_each_place_has_its_own_level(database: Database) -> None:
    await watch(database, b"s1,,,21,,,,,,,", b"s1,n2,,,,5,,,,,", b"s1,,webshop,12,,,,,,,", b"s2,n1,,8,,,,,,,")
    allocation = b"channel,sku,cap\nwebshop,s1,11\n"
    await load(database, {"allocation": allocation})
    assert await look(database) == (3, 0)
    found = {(a.kind, a.node_id, a.channel): (a.level, a.threshold) for a in await listed(database)}
    assert found == {
        ("low", None, None): (20, 21),
        ("excess", "n2", None): (10, 5),
        ("low", None, "webshop"): (11, 12),
    }
    assert [a.kind for a in await listed(database, node_id="n2")] == ["excess"]


async def test_an_alert_that_staff_resolved_is_not_raised_again_before_the_level_was_back(database: Database) -> None:
    await watch(database, b"s1,n1,,8,,,,,,,")
    await changes(database, "s1", -5)
    await look(database)
    (alert,) = await listed(database, status="open")
    async with database.transaction() as connection:
        assert (await alerts.acknowledge(connection, alert.alert_id, actor="a")).status == "acknowledged"
        assert (await alerts.acknowledge(connection, alert.alert_id, actor="b")).acknowledged_by == "a"
        done = await alerts.resolve(connection, alert.alert_id, actor="b", resolution="ordered")
        assert (done.status, done.resolution) == ("resolved", "ordered")
        assert await alerts.resolve(connection, alert.alert_id, actor="c", resolution="twice") == done
    with pytest.raises(Conflict):
        async with database.transaction() as connection:
            await alerts.acknowledge(connection, alert.alert_id, actor="a")
    with pytest.raises(NotFound):
        async with database.transaction() as connection:
            await alerts.resolve(connection, 999, actor="a", resolution="")
    assert await look(database) == (0, 0)
    await changes(database, "s1", 5)
    assert await look(database) == (0, 1)
    assert (await listed(database))[0].resolution == "ordered"
    await changes(database, "s1", -5)
    assert await look(database) == (1, 0)


async def test_a_threshold_that_is_taken_away_takes_its_alert_along(database: Database) -> None:
    await watch(database, b"s1,n1,,80,,,,,,,")
    assert await look(database) == (1, 0)
    await watch(database, b"s1,n1,,,,,,,,,")
    assert await look(database) == (0, 1)


async def test_stock_of_which_nothing_leaves_is_aged_until_some_does(database: Database) -> None:
    await watch(database, b"s1,n1,,,,,,30,,,", b"s2,n1,,,,,,30,,,", b"s3,n1,,,,,,30,,,")
    await changes(database, "s2", -10)
    assert await look(database, later=timedelta(days=29)) == (0, 0)
    assert await look(database, later=timedelta(days=31)) == (2, 0)
    await changes(database, "s1", -1, cause="ship")
    assert await look(database, later=timedelta(days=1)) == (0, 2)


async def test_a_shortage_is_told_before_a_delivery_could_come_unless_one_does(database: Database) -> None:
    await watch(database, b"s1,n1,,,,,,,14,2,")
    await changes(database, "s1", 21)
    await changes(database, "s1", -28, cause="ship")  # one a day; three are left, sixteen days to go
    assert await look(database) == (1, 0)
    (alert,) = await listed(database)
    assert (alert.kind, alert.level) == ("shortage", -13)
    insert = text("""
        WITH i AS (INSERT INTO inbound (inbound_id, kind, node_id, expected_at, content_hash, actor)
                   VALUES (:id, 'purchase_order', 'n1', :at, '', 'test') RETURNING inbound_id)
        INSERT INTO inbound_line (inbound_id, sku, quantity, open) SELECT inbound_id, 's1', 20, 20 FROM i
    """)
    async with database.transaction() as connection:
        await connection.execute(insert, {"id": "late", "at": NOW + timedelta(days=20)})
    assert await look(database) == (0, 0)
    async with database.transaction() as connection:
        await connection.execute(insert, {"id": "in-time", "at": NOW + timedelta(days=9)})
    assert await look(database) == (0, 1)


async def test_looks_that_overlap_raise_one_alert(database: Database) -> None:
    await watch(database, b"s1,n1,,80,,,,,,,", b"s2,n1,,80,,,,,,,")
    done = await asyncio.gather(*(look(database) for _ in range(6)))
    assert sum(each[0] for each in done) == 2
    assert len(await listed(database)) == 2


async def test_what_to_order_most_urgent_first(database: Database) -> None:
    await watch(database, b"s1,n1,,12,,,,,,,30", b"s2,n1,,12,,,,,,,40", b"s3,n1,,5,,,,,,,40")
    await changes(database, "s2", -5, cause="ship")
    now = datetime.now(UTC)
    async with database.reading() as connection:
        first, second = await alerts.suggestions(connection, as_of=now)
        assert await alerts.suggestions(connection, as_of=now, node_id="n2") == []
    assert (first.sku, first.quantity, first.available) == ("s2", 35, 5)
    assert first.needed_at is not None
    assert first.needed_at == now + timedelta(days=28)
    assert (second.sku, second.quantity, second.needed_at) == ("s1", 20, None)


async def test_faults_of_thresholds_are_told_by_row(database: Database) -> None:
    with pytest.raises(InvalidInput) as refused:
        await watch(database, b"s1,n1,webshop,8,,,,,,,", b"s9,n1,,8,,,,,,,", b"s1,n1,,-1,,,,,,,", b"s1,,x,8,,,,,,,")
    assert [fault.pointer for fault in refused.value.faults] == ["/2", "/3/sku", "/4/low", "/5/channel"]


async def test_the_activity_looks_at_every_page(database: Database) -> None:
    await watch(database, b"s1,n1,,80,,,,,,,", b"s2,n1,,,,,,,,,")
    step = WatchStep(as_of=datetime.now(UTC))
    activity = Alerts(database, Doms(None, database))  # type: ignore[arg-type] # nobody waits, so nobody is woken
    result: WatchResult = await ActivityEnvironment().run(activity.evaluate, step)
    assert (result.levels, result.raised) == (1, 1)
    again: WatchResult = await ActivityEnvironment().run(activity.evaluate, step)
    assert (again.levels, again.raised, again.cleared) == (1, 0, 0)
    assert (await ActivityEnvironment().run(activity.widen_buffers, step)).buffers == 0
