"""Sites for a merchant's orders and their report, on a real Postgres."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from shared.database.snapshots import AGREEING
from shared.domain.sourcing.presets import PRESETS
from shared.domain.sourcing.simulation import Replay, compare
from shared.errors import InvalidInput, NotFound
from shared.intake import read_orders
from tests.support.facts import Facts
from workers.cli.history import history_body, read_history
from workers.cli.locate import drawn, located
from workers.demo.orders import make_orders
from workers.report.pages import locations_page, simulation_page


async def history(shop: Facts, body: bytes | None, since: datetime | None = None) -> Replay:
    async with shop.database.transaction() as connection:
        await connection.execute(AGREEING)
        return await read_history(connection, body, since, 100)


async def test_sites_and_policies_of_one_file_of_orders(shop: Facts) -> None:
    documents = list(make_orders(shop.world, 60, 1, datetime.now(UTC) - timedelta(hours=1)))
    body = b"\n".join(document.model_dump_json().encode() for document in documents)
    assert len(read_orders(body, source="auto")) == 60
    replay = await history(shop, body)
    found = located(replay, 2)
    assert (found.orders, len(found.alone), len(found.beside), len(found.gravity)) == (60, 2, 2, 2)
    assert found.beside[1].freight_minor <= found.beside[0].freight_minor <= found.today.freight_minor
    assert found.alone[1].freight_minor <= found.alone[0].freight_minor
    assert found.gravity[1].mean_km <= found.gravity[0].mean_km
    assert sum(site.share for site in found.alone[1].sites) == pytest.approx(1, abs=0.001)
    console = Console(file=io.StringIO(), width=250)
    console.print(drawn(found))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "60 order(s)" in shown
    assert "proven best" in shown
    assert found.alone[0].sites[0].place.city in shown
    assert str(found.today.freight_minor) in locations_page(found, replay)
    comparison = compare(replay, [PRESETS["cheapest"], PRESETS["clear-overstock"]])
    assert comparison.policies[0].revenue_minor > 0
    assert str(comparison.policies[1].profit_per_order_minor) in simulation_page(comparison, replay)


async def test_stored_orders_are_located_alike(shop: Facts) -> None:
    began = datetime.now(UTC) - timedelta(hours=1)
    sku = shop.sku()
    await shop.stock(sku, wh_columbus=3)
    await shop.keep((sku, 1))
    for since in (began, None):
        found = located(await history(shop, None, since), 1)
        assert (found.orders, [site.place.region for site in found.alone[0].sites]) == (1, ["NY"])


async def test_nothing_to_look_at_is_said(shop: Facts) -> None:
    with pytest.raises(NotFound, match="no orders"):
        located(await history(shop, None, datetime.now(UTC)), 1)
    with pytest.raises(InvalidInput, match="the body is empty"):
        await history(shop, b"")
    with pytest.raises(InvalidInput, match="not both"):
        await history_body("orders.json", datetime.now(UTC))
