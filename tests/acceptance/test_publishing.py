"""Channels told what they may sell: only what changed, in order, once, whatever fails on the way."""

from __future__ import annotations

import json
import sqlite3
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from shared.contracts import CHANNELS_QUEUE
from shared.database.network import save_partners
from shared.database.publishing import Publication, read_publications
from shared.domain.partners import PartnerEndpoint, PartnerKind
from shared.domain.supply import Inbound, InboundKind, InboundLine
from shared.supply_client import create_inbound
from tests.support.system import System


async def _told(shop: System, channel: str) -> dict[str, int]:
    """What the channel knows it may sell, by its own file."""
    connection = sqlite3.connect(f"file:{shop.log}?mode=ro", uri=True)
    try:
        return dict(connection.execute("SELECT sku, available FROM shelf WHERE channel = ?", (channel,)).fetchall())
    finally:
        connection.close()


async def _stands(shop: System, channel: str) -> Publication:
    async with shop.database.reading() as connection:
        return next(each for each in await read_publications(connection) if each.channel == channel)


async def _open(shop: System) -> str:
    """A channel with a partner, being followed."""
    channel = f"market-{uuid.uuid4().hex[:8]}"
    partner = PartnerEndpoint(partner_id=channel, kind=PartnerKind.CHANNEL, base_url=f"{shop.sandbox_url}/{channel}")
    async with shop.database.transaction() as connection:
        await save_partners(connection, [partner])
        await connection.execute(
            text("INSERT INTO channel (channel, partner_id) VALUES (:channel, :channel)"), {"channel": channel}
        )
    await shop.temporal.execute_workflow(
        "StartPublishing", id=f"start-{channel}", task_queue=CHANNELS_QUEUE, result_type=int
    )
    return channel


async def _close(shop: System, channel: str) -> None:
    async with shop.database.transaction() as connection:
        await connection.execute(
            text("UPDATE channel SET partner_id = NULL WHERE channel = :channel"), {"channel": channel}
        )
    await shop.temporal.get_workflow_handle(f"publishing/{channel}").result()


async def test_a_channel_is_told_everything_once_and_then_what_changes(shop: System) -> None:
    sku, other = (item.sku for item in shop.world.items[:2])
    await shop.stock(sku, wh_columbus=7)
    channel = await _open(shop)
    await shop.until(lambda: _knows(shop, channel, sku, 7))
    everything = await shop.doms.availability(channel)
    assert await _told(shop, channel) == {item.sku: item.available for item in everything.items}

    told = (await _stands(shop, channel)).sequence
    await shop.arrives(sku, "wh-columbus", 5)
    await shop.until(lambda: _knows(shop, channel, sku, 12))
    await shop.until(lambda: _confirmed(shop, channel, told + 1))
    assert [push.items for push in await _pushes(shop, channel, told)] == [[{"sku": sku, "available": 12}]]

    # A change and its opposite, before anybody looked, is no news; the next real one is.
    async with shop.database.transaction() as connection:
        for units in (3, 0):
            await connection.execute(
                text("UPDATE stock_position SET safety = :units WHERE sku = :sku"), {"units": units, "sku": other}
            )
    await shop.arrives(sku, "wh-columbus", 1)
    await shop.until(lambda: _knows(shop, channel, sku, 13))
    items = [item for push in await _pushes(shop, channel, told) for item in push.items]
    assert all(item["sku"] == sku for item in items)
    await _close(shop, channel)


async def test_updates_wait_for_a_channel_that_is_away_and_come_in_order_and_once(shop: System) -> None:
    sku = shop.world.items[2].sku
    await shop.stock(sku, wh_columbus=3)
    channel = await _open(shop)
    await shop.until(lambda: _knows(shop, channel, sku, 3))
    await shop.fault(channel, "drop_response")
    await shop.arrives(sku, "wh-columbus", 1)
    await shop.until(lambda: _knows(shop, channel, sku, 4))
    await shop.arrives(sku, "wh-columbus", 1)
    await shop.until(lambda: _failed(shop, channel))
    assert await _told(shop, channel) | {sku: 4} == await _told(shop, channel)
    await shop.fault(channel, "ok")
    await shop.until(lambda: _knows(shop, channel, sku, 5))
    await _close(shop, channel)
    effects = [each for each in shop.effects() if each.partner == channel and each.effect == "availability.told"]
    assert [each.reference for each in effects] == [f"availability/{channel}/{n + 1}" for n in range(len(effects))]


async def test_supply_is_told_by_date_within_seconds_of_coming_near_enough(shop: System) -> None:
    sku = shop.world.items[3].sku
    await shop.stock(sku, wh_columbus=2)
    channel = await _open(shop)
    await shop.doms.load({"in_stock": f"channel,future_days\n{channel},1\n".encode()})
    await shop.until(lambda: _knows(shop, channel, sku, 2))
    near = datetime.now(UTC) + timedelta(seconds=2)
    lines = (InboundLine(sku=sku, quantity=4),)
    told = Inbound(
        inbound_id=f"PO-{channel}", kind=InboundKind.PURCHASE_ORDER, node_id="wh-columbus", lines=lines,
        expected_at=near + timedelta(days=1),
    )  # fmt: skip
    await create_inbound(shop.doms, told, actor="test")
    await shop.until(lambda: _comes(shop, channel, sku, 4))
    assert timedelta(0) <= datetime.now(UTC) - near < timedelta(seconds=10)
    await _close(shop, channel)


async def _comes(shop: System, channel: str, sku: str, units: int) -> bool:
    connection = sqlite3.connect(f"file:{shop.log}?mode=ro", uri=True)
    try:
        row = connection.execute("SELECT coming FROM shelf WHERE channel = ? AND sku = ?", (channel, sku)).fetchone()
    finally:
        connection.close()
    return bool(row) and [more["units"] for more in json.loads(row[0])["coming"]] == [units]


async def _knows(shop: System, channel: str, sku: str, units: int) -> bool:
    return (await _told(shop, channel)).get(sku) == units


async def _failed(shop: System, channel: str) -> bool:
    return bool((await _stands(shop, channel)).fault)


async def _confirmed(shop: System, channel: str, sequence: int) -> bool:
    stands = await _stands(shop, channel)
    return stands.sequence >= sequence and not stands.waiting


async def _pushes(shop: System, channel: str, after: int) -> list[Any]:
    return await shop.rows(
        "SELECT items FROM channel_push WHERE channel = :c AND sequence > :n ORDER BY sequence", c=channel, n=after
    )
