"""See which levels of stock crossed their thresholds, and take care of them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import App

from workers.cli.output import Answer, table, when
from workers.cli.staff import Actor
from workers.connect import doms_client, settings_in_effect, temporal_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.database.alerts import Alert, Suggestion
    from shared.database.cases import Case

app = App(name="alerts", help=__doc__)

Status = Literal["standing", "open", "acknowledged", "resolved", "all"]


@app.command(name="list")
async def list_(
    *, status: Status = "standing", kind: str = "", sku: str = "", node: str = "", limit: int = 100
) -> Answer:
    """List alerts, the latest first, and the feeds that are stale.

    Thresholds are loaded with `doms load thresholds FILE.csv`. A crossing raises one alert: low and shortage below,
    excess and aged above their threshold. It is over by itself when the level is back at its other level (low_clear,
    high_clear), and only then can it be raised again.

    ```
    doms alerts list
    doms alerts list --status all --kind low --node wh-columbus
    ```

    Args:
        status: standing is open or acknowledged.
        kind: low, excess, aged or shortage.
        sku: Only of this item.
        node: Only at this node.
        limit: How many.
    """
    from shared.database import alerts, cases

    async with doms_client() as doms, doms.database.reading() as connection:
        found = await alerts.list_alerts(
            connection, status="" if status == "all" else status, kind=kind, sku=sku, node_id=node, limit=limit
        )
        stale = [] if kind or sku else await cases.list_cases(connection, kind="feed.stale", limit=limit)
    return Answer({"alerts": found, "stale_feeds": stale}, show=lambda: _listed(found, stale))


@app.command
async def ack(alert_id: int, *, actor: Actor = "staff") -> Answer:
    """Say that you take care of an alert. The first who says so is kept.

    ```
    doms alerts ack 17 --actor buyer-2
    ```
    """
    from shared.database import alerts

    async with doms_client() as doms, doms.database.transaction() as connection:
        alert = await alerts.acknowledge(connection, alert_id, actor=actor)
    return Answer(alert, text=f"alert {alert_id} is taken care of by {alert.acknowledged_by}")


@app.command
async def resolve(alert_id: int, *, because: str, actor: Actor = "staff") -> Answer:
    """Put an alert away before its level is back. It is not raised again until the level was back once.

    ```
    doms alerts resolve 17 --because "ordered, PO-88"
    ```

    Args:
        because: What was done.
    """
    from shared.database import alerts

    async with doms_client() as doms, doms.database.transaction() as connection:
        alert = await alerts.resolve(connection, alert_id, actor=actor, resolution=because)
    return Answer(alert, text=f"alert {alert_id} is resolved: {alert.resolution}")


@app.command
async def run() -> Answer:
    """Compare all levels with their thresholds now instead of waiting for the schedule.

    ```
    doms alerts run
    ```
    """
    from shared.contracts import BATCH_QUEUE
    from shared.messages import WatchInput
    from workflows.alerts import StockWatchWorkflow

    client = await temporal_client(settings_in_effect(), program="doms-alerts")
    result = await client.execute_workflow(
        StockWatchWorkflow.run,
        WatchInput(),
        id=f"stock-watch/by-hand/{uuid.uuid4().hex[:8]}",
        task_queue=BATCH_QUEUE,
        execution_timeout=timedelta(minutes=15),
    )
    said = f"{result.levels} levels: {result.raised} alerts raised, {result.cleared} cleared"
    return Answer(result, text=f"{said}; {result.buffers} count buffers changed")


async def replenish(*, node: str = "") -> Answer:
    """List what to order: items whose available and expected units are below `low`, up to their `target`.

    Needed at is when what is here and comes is used up at the demand of the last 28 days. Targets are loaded with
    `doms load thresholds FILE.csv`.

    ```
    doms stock replenish --node wh-columbus
    ```

    Args:
        node: Only for this node.
    """
    from shared.database import alerts

    async with doms_client() as doms, doms.database.reading() as connection:
        found = await alerts.suggestions(connection, as_of=datetime.now(UTC), node_id=node)
    return Answer(found, show=lambda: _suggested(found))


def _listed(found: Sequence[Alert], stale: Sequence[Case]) -> Any:
    rows: list[tuple[object, ...]] = [
        (a.alert_id, a.status, a.kind, a.sku, a.node_id or a.channel or "all", a.level, a.threshold, when(a.opened_at))
        for a in found
    ]
    rows += [("", "open", "stale feed", "", case.reference, "", "", when(case.opened_at)) for case in stale]
    columns = ("alert#", "status", "kind", "sku", "where", "level#", "threshold#", "since")
    return table(f"{len(rows)} alerts", columns, rows)


def _suggested(found: Sequence[Suggestion]) -> Any:
    rows = (
        (s.sku, s.node_id or "all", s.quantity, s.available, s.inbound, f"{s.daily_demand:.1f}", when(s.needed_at))
        for s in found
    )
    columns = ("sku", "node", "order#", "available#", "expected#", "a day#", "needed at")
    return table("to order", columns, rows)
