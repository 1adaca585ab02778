"""An order's decisions as the planner's own words, on a real Postgres."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest
from rich.console import Console

from shared.database.decisions import explain
from shared.domain.decisions import Explanation
from shared.domain.sourcing.plans import Because
from shared.errors import NotFound
from tests.support.facts import Facts
from workers.cli.explain import drawn


@pytest.fixture(scope="module")
async def shop(database_url: str) -> AsyncIterator[Facts]:
    facts = await Facts.load(database_url)
    yield facts
    await facts.database.close()


async def explained(shop: Facts, order_id: str) -> Explanation:
    async with shop.database.reading() as connection:
        return await explain(connection, order_id)


async def test_every_decision_tells_every_node(shop: Facts) -> None:
    await shop.stock(shop.sku(), wh_columbus=1, **{"3pl_reno": 5})
    order_id = await shop.keep((shop.sku(), 1))
    assert (await explained(shop, order_id)).decisions == ()
    await shop.source(order_id)
    await shop.release(order_id)
    await shop.reject(order_id)
    await shop.run(
        "UPDATE order_line SET unallocated = quantity, allocated = 0, released = 0 WHERE order_id = :id", id=order_id
    )
    await shop.run(
        "UPDATE fulfillment_order SET excludes_node = true, ended_at = now() WHERE order_id = :id", id=order_id
    )
    await shop.source(order_id)
    told = await explained(shop, order_id)
    first, second = told.decisions
    assert [len(one.plan.candidates) for one in told.decisions] == [len(shop.world.nodes)] * 2
    assert first.runner_up_minor == first.total_minor + (first.difference_minor or 0) > first.total_minor
    (chosen,) = [one for one in first.plan.candidates if one.chosen]
    assert chosen.alone is not None
    assert chosen.alone.total == first.total_minor
    reasons = {one.node_id: one.because for one in second.plan.candidates}
    assert reasons[chosen.node_id] is Because.EXCLUDED
    assert second.runner_up_minor is None


async def test_what_is_short_is_told(shop: Facts) -> None:
    await shop.stock(shop.sku(1), wh_columbus=1)
    order_id = await shop.keep((shop.sku(1), 3))
    await shop.source(order_id)
    told = await explained(shop, order_id)
    (decision,) = told.decisions
    assert (decision.units, decision.short_units) == (1, 2)
    console = Console(file=io.StringIO(), width=250)
    console.print(drawn(told))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "no other set of nodes can ship as much" in shown
    assert "fell out: no_stock" in shown
    assert "not_enough_stock" in shown


async def test_an_unknown_order_is_not_found(shop: Facts) -> None:
    with pytest.raises(NotFound):
        await explained(shop, "webshop/nobody")
