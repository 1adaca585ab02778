"""Many channels at once for the last units: as many orders as there are units get one, the rest wait."""

from __future__ import annotations

import asyncio

from tests.support.system import System

CLIENTS, UNITS = 64, 5


async def test_sixty_four_clients_race_for_the_last_units(shop: System) -> None:
    sku = shop.world.items[0].sku
    await shop.stock(sku, wh_columbus=UNITS - 2, vnd_alder=2)

    verdicts = await asyncio.gather(*(shop.doms.submit(shop.order((sku, 1))) for _ in range(CLIENTS)))

    promised = [verdict for verdict in verdicts if not verdict.backordered_units]
    assert len(promised) == UNITS
    assert all(verdict.promised_at for verdict in promised)
    assert all(verdict.promised_at is None for verdict in verdicts if verdict.backordered_units)
    for verdict in promised:
        assert (await shop.finished(verdict.order_id)).status == "delivered"
    left = await shop.rows("SELECT on_hand, reserved FROM stock_position WHERE sku = :sku", sku=sku)
    assert sum(row.on_hand for row in left) == sum(row.reserved for row in left) == 0
    taken = [e for e in shop.effects() if e.effect.endswith(".shipped")]
    assert len(taken) == UNITS
