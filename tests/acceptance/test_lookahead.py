"""Two nodes and what later orders need: planned order by order, and with the prices of a real pricing run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.contracts import PLANNING_QUEUE
from shared.database import policies
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing.models import Policy
from shared.messages import PriceInput
from tests.support.facts import Facts
from tests.support.system import System
from workers.planning import planning
from workflows.prices import PricingWorkflow

NEAR, FAR = "wh-columbus", "3pl-reno"


async def history(shop: System, *lines: tuple[str, int]) -> None:
    """One such order on each of the last 28 days, long over."""
    facts = Facts(shop.database, shop.world)
    async with shop.database.transaction() as connection:
        await policies.keep(connection, Policy(), ProcessPolicy())
    for day in range(28):
        order_id = await facts.keep(*lines, channel_order_id=f"history-{day}-{len(lines)}")
        came = datetime.now(UTC) - timedelta(days=day, hours=1)
        over = "UPDATE orders SET received_at = :came, closed_at = :came, accepted = true WHERE order_id = :o"
        await facts.run(over, came=came, o=order_id)


async def shipments(shop: System, *orders_lines: tuple[tuple[str, int], ...]) -> list[list[str]]:
    """The nodes each order ships from, placed one after the other."""
    found = []
    for lines in orders_lines:
        order_id = await shop.place(shop.order(*lines))
        found.append(sorted((await shop.nodes(order_id)).values()))
    return found


async def test_the_only_source_of_an_item_is_kept_for_whom_it_saves_most(shop: System, database_url: str) -> None:
    scarce, companion, other = (item.sku for item in shop.world.items[:3])
    await history(shop, (scarce, 1), (companion, 1))
    await history(shop, (scarce, 1))
    alone, together = ((scarce, 1),), ((scarce, 1), (companion, 1))

    async def refill() -> None:
        await shop.stock(scarce, wh_columbus=2, **{FAR.replace("-", "_"): 50})
        await shop.stock(companion, wh_columbus=50)
        await shop.stock(other, wh_columbus=5000)

    async def planned_with() -> str | None:
        order_id = await shop.place(shop.order((other, 1)))
        version: str | None = await shop.value(
            "SELECT plan ->> 'price_version' FROM decision WHERE order_id = :o", o=order_id
        )
        return version

    await refill()
    myopic = await shipments(shop, alone, alone, together, together)
    # The two units near the customers went to whoever came first, and those who need both items wait for two parcels.
    assert myopic == [[NEAR], [NEAR], [FAR, NEAR], [FAR, NEAR]]

    await refill()
    async with planning(shop.temporal, database_url):
        result = await shop.temporal.execute_workflow(
            PricingWorkflow.run, PriceInput(), id="pricing/test", task_queue=PLANNING_QUEUE
        )
    assert result.stock_prices >= 1

    async def known() -> bool:
        return await planned_with() == result.version

    await shop.until(known)
    looking_ahead = await shipments(shop, alone, alone, together, together)
    assert looking_ahead == [[FAR], [FAR], [NEAR], [NEAR]]
