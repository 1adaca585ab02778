"""Plan and record cycle counts, and see how right the records of stock are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from workers.cli.output import Answer, table, when
from workers.cli.staff import Actor
from workers.connect import doms_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.database.counts import Accuracy, Counted, Due

app = App(name="counts", help=__doc__)


@app.command
async def plan(node: str, *, limit: int = 20) -> Answer:
    """Show which positions of a node to count next.

    Class A is counted every 30 days, B every 90, C every 180: items are ranked by the cost of what was shipped of them
    in 90 days, and those that make the first 80 % are A, the next 15 % B. What was never counted comes first.

    ```
    doms counts plan wh-columbus --limit 10
    ```

    Args:
        node: The node to count at.
        limit: How many positions.
    """
    from shared.database import counts

    async with doms_client() as doms, doms.database.reading() as connection:
        due = await counts.plan(connection, node, as_of=datetime.now(UTC), limit=limit)
    return Answer(due, show=lambda: _planned(node, due))


@app.command
async def record(
    node: str,
    sku: str,
    counted: int,
    *,
    reason: str = "unknown",
    at: datetime | None = None,
    reference: str = "",
    actor: Actor = "staff",
) -> Answer:
    """Book what was counted, and wake the orders that wait for what was found.

    The count is compared with what the ledger says of the moment it was made; what moved since is kept. Units that
    orders and carts have claimed stay on hand, and a case tells that they are missing. Many counts are loaded
    from a file with `doms load counts FILE.csv`.

    ```
    doms counts record wh-columbus TRN-1001 38 --reason lost
    doms counts record wh-columbus TRN-1001 38 --at 2026-08-03T06:30:00-04:00 --reference sheet-17
    ```

    Args:
        node: Where it was counted.
        sku: The item.
        counted: Units on the shelf, reserved ones included, quarantined ones not.
        reason: unknown, damaged, lost, found, misplaced, receiving_error, shipping_error, wrong_item, wrong_unit.
        at: When it was counted, with its offset; now if left out.
        reference: Names the count; the same one of the same item is booked once. Made up of place and time if left out.
    """
    from shared.counts_client import record_count

    at = at or datetime.now(UTC)
    count = _count(node_id=node, sku=sku, counted=counted, counted_at=at, reason=reason)
    reference = reference or f"count/{node}/{sku}/{at.isoformat()}"
    async with doms_client() as doms:
        booked = await record_count(doms, count, reference=reference, actor=actor)
    data = {"reference": reference, "again": not booked, "counted": booked}
    return Answer(data, text="\n".join(map(_told, booked)) or f"{reference} was booked before")


@app.command
async def accuracy(
    *,
    node: str = "",
    days: Annotated[int, Parameter(help="How far back counts are looked at.")] = 90,
    tolerance: Annotated[float, Parameter(help="Percent of the count by which a record may be off.")] = 0.0,
) -> Answer:
    """Show how right the records of each node were, and why they were not.

    Accuracy is the share of counts that agreed with the record; unit accuracy is 1 - sum of |recorded - counted| over
    what was counted. Nodes whose records are wrong hold units back from sale until three exact counts in a row.

    ```
    doms counts accuracy
    doms counts accuracy --node wh-columbus --days 30 --tolerance 1
    ```

    Args:
        node: Only this node.
    """
    from shared.database import counts

    since = datetime.now(UTC) - timedelta(days=days)
    async with doms_client() as doms, doms.database.reading() as connection:
        found = await counts.accuracy(connection, since=since, node_id=node, tolerance=tolerance)
    return Answer(found, show=lambda: _measured(found, days))


def _count(**values: Any) -> Any:
    from pydantic import ValidationError

    from shared.domain.counts import Count
    from shared.errors import InvalidInput
    from shared.intake.validation import fault_of

    try:
        return Count.model_validate(values)
    except ValidationError as error:
        faults = (fault_of(fault["type"], fault["msg"], f"/{fault['loc'][0]}") for fault in error.errors())
        raise InvalidInput(list(faults)) from error


def _told(counted: Counted) -> str:
    said = f"{counted.node_id} {counted.sku}: {counted.counted} counted, {counted.recorded} recorded"
    if counted.superseded:
        return f"{said}; nothing booked, a later count or correction knows better"
    if counted.booked != counted.variance:
        return f"{said}; {counted.booked:+} booked, the rest is claimed: see `doms cases list`"
    return f"{said}; {counted.booked:+} booked"


def _planned(node: str, due: Sequence[Due]) -> Any:
    rows = ((d.sku, d.count_class, d.on_hand, d.moved_minor, when(d.counted_at) or "never", _share(d)) for d in due)
    columns = ("sku", "class", "on hand#", "cost shipped#", "last counted", "due#")
    return table(f"to count next at {node}", columns, rows)


def _share(due: Due) -> str:
    return "" if due.overdue is None else f"{due.overdue:.0%}"


def _measured(found: Sequence[Accuracy], days: int) -> Any:
    rows = (
        (
            a.node_id,
            a.counts,
            f"{a.accuracy:.1%}",
            "" if a.unit_accuracy is None else f"{a.unit_accuracy:.1%}",
            ", ".join(f"{reason} {n}" for reason, n in a.reasons.items()),
        )
        for a in found
    )
    columns = ("node", "counts#", "accuracy#", "unit accuracy#", "reasons of what was wrong")
    return table(f"counts of {days} days", columns, rows)
