"""Look at the shadow prices of stock and capacity, and work them out now.

A price says what later orders are expected to lose by one unit less: of an item at a node until its next supply,
or of what a node can ship on a day. Plans count it as the cost terms `scarcity` and `capacity`; nobody pays it.
A policy for which both weigh 0 plans without prices, as the preset `cheapest` does.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cyclopts import App

from workers.cli.output import Answer, table, when
from workers.connect import doms_client, settings_in_effect, temporal_client

if TYPE_CHECKING:
    from shared.domain.pricing.models import PriceVersion

app = App(name="prices", help=__doc__)
#: Rows shown to people; programs get all of them.
_ROWS = 40


@app.command
async def show(version: str = "", *, node: str = "", sku: str = "") -> Answer:
    """Show a price version, the latest when none is named, the dearest first.

    An order's decision names the version it was planned with: `doms explain`.

    ```
    doms prices show
    doms prices show --node wh-columbus
    doms --json prices show --sku TRN-1001 | jq .stock
    ```

    Args:
        version: A version, such as a decision names it.
        node: Only prices of this node.
        sku: Only prices of this item.
    """
    from shared.database.prices import read_version

    async with doms_client() as doms, doms.database.reading() as connection:
        kept = await read_version(connection, version)
    stock = tuple(each for each in kept.stock if node in ("", each.node_id) and sku in ("", each.sku))
    days = tuple(each for each in kept.days if node in ("", each.node_id) and not sku)
    found = kept.model_copy(update={"stock": stock, "days": days})
    return Answer(found, show=lambda: _drawn(found))


@app.command
async def solve(*, horizon: int = 14, history: int = 56) -> Answer:
    """Work the prices out now instead of waiting for the schedule; orders are planned with them within seconds.

    A worker of the planning queue does it: one is part of `doms up`, elsewhere it is `doms worker --queue planning`.
    Prices last for four intervals of the schedule (an hour); without later ones, orders are then planned without any.

    ```
    doms prices solve
    doms prices solve --horizon 28
    ```

    Args:
        horizon: Days of demand to look ahead, where no supply comes sooner.
        history: Days of orders to expect the next ones from.
    """
    from shared.client import reachable
    from shared.contracts import PLANNING_QUEUE
    from shared.messages import PriceInput
    from workflows.prices import PricingWorkflow

    client = await temporal_client(settings_in_effect(), program="doms-prices")
    with reachable():
        result = await client.execute_workflow(
            PricingWorkflow.run,
            PriceInput(horizon_days=horizon, history_days=history),
            id=f"pricing/by-hand/{uuid.uuid4().hex[:8]}",
            task_queue=PLANNING_QUEUE,
            execution_timeout=timedelta(minutes=5),
        )
    doubted = f"; {result.doubted} item(s) priced lower: demand did not come as forecast" if result.doubted else ""
    told = f"{result.stock_prices} price(s) of stock, {result.shipping_prices} of shipping days{doubted}"
    return Answer(result, text=f"{result.version}: {told}")


def _drawn(kept: PriceVersion) -> Any:
    from rich.console import Group

    stale = " (expired: planners ignore it)" if kept.expires_at <= datetime.now(UTC) else ""
    title = (
        f"prices {kept.version}, until {when(kept.expires_at)}{stale}: {kept.orders:.0f} order(s) of {kept.kinds} "
        f"kind(s) expected in {kept.horizon_days} days; policy {kept.policy_version}"
    )
    stock = sorted(kept.stock, key=lambda each: (-each.unit_milli, each.node_id, each.sku))
    doubted = set(kept.doubted)
    rows = [
        (each.node_id, each.sku, f"{each.unit_milli / 1000:.3f}", "doubted" if each.sku in doubted else "")
        for each in stock[:_ROWS]
    ]
    days = [(each.node_id, each.day, f"{each.unit_milli / 1000:.3f}") for each in kept.days]
    more = f"; {len(stock) - _ROWS} more are cheaper" if len(stock) > _ROWS else ""
    return Group(
        table(title, ("node", "item", "minor units#", "forecast"), rows),
        table(f"shipping days{more}", ("node", "day", "minor units#"), days),
    )
