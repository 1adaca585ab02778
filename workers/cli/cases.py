"""What needs a person: breaks that reconciliation found, late parcels, answers that make no sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from workers.cli.output import Answer, table, when
from workers.cli.staff import Actor
from workers.connect import doms_client, settings_in_effect, temporal_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.database.cases import Case

app = App(name="cases", help=__doc__)

_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60


@app.command(name="list")
async def list_(
    *,
    kind: str = "",
    order: str = "",
    resolved: Annotated[bool, Parameter(negative="")] = False,
    limit: int = 100,
) -> Answer:
    """List open cases, the latest first, with their age.

    ```
    doms cases list
    doms cases list --kind recon --limit 20
    doms cases list --resolved --order webshop/1001
    ```

    Args:
        kind: Only this kind, or all whose name begins so: recon, overdue_shipment.
        order: Only of this order.
        resolved: Those that are resolved instead.
        limit: How many.
    """
    from shared.database import cases

    async with doms_client() as doms, doms.database.reading() as connection:
        found = await cases.list_cases(connection, resolved=resolved, kind=kind, order_id=order, limit=limit)
    return Answer(found, show=lambda: _listed(found))


@app.command
async def show(case_id: int) -> Answer:
    """Show a case: what it means, what to do, and what was seen.

    ```
    doms cases show 12
    ```
    """
    from shared.database import cases

    async with doms_client() as doms, doms.database.reading() as connection:
        case = await cases.find_case(connection, case_id)
    return Answer(case, show=lambda: _shown(case))


@app.command
async def resolve(case_id: int, *, because: str, actor: Actor = "staff") -> Answer:
    """Note how a case was resolved.

    Cases that reconciliation opened resolve themselves when the break is gone. One that is resolved while the break is
    still there is opened again by the next run.

    ```
    doms cases resolve 12 --because "parcel intercepted"
    ```

    Args:
        because: What was done.
    """
    from shared.database import cases

    async with doms_client() as doms, doms.database.transaction() as connection:
        case = await cases.resolve_case(connection, case_id, actor=actor, resolution=because)
    return Answer(case, text=f"case {case_id} is resolved: {case.resolution}")


@app.command
async def restart(order: str) -> Answer:
    """Start the process of an open order or return again, whose process was terminated, failed or is lost.

    Nothing is done twice: what its steps did is on record, and what they asked of partners is looked up. A
    process that runs is left alone.

    ```
    doms cases restart webshop/1001
    ```

    Args:
        order: The order, as CHANNEL/ID, or the return, as CHANNEL/ID/rN.
    """
    from shared.database.returns import is_return
    from shared.order_processes import OrderProcesses
    from shared.return_processes import ReturnProcesses

    temporal = await temporal_client(settings_in_effect(), program="doms-cases")
    async with doms_client() as doms:
        async with doms.database.reading() as connection:
            kind = ReturnProcesses if await is_return(connection, order) else OrderProcesses
        processes = kind(temporal, doms.database)
        await processes.restart(order)
    watched = processes.order_of(order)
    return Answer({"order_id": watched}, text=f"{order} goes on; follow it with `doms orders watch {watched}`")


def _listed(found: Sequence[Case]) -> Any:
    rows = ((c.case_id, c.kind, c.reference, c.order_id, age_of(c.age), when(c.opened_at)) for c in found)
    return table(f"{len(found)} cases", ("case#", "kind", "reference", "order", "age#", "since"), rows)


def _shown(case: Case) -> Any:
    facts = {"order": case.order_id, "since": when(case.opened_at), "age": age_of(case.age)} | case.detail
    if case.resolved_at:
        facts |= {"resolved": when(case.resolved_at), "resolution": case.resolution}
    from rich.console import Group
    from rich.text import Text

    title = f"case {case.case_id}: {case.kind} {case.reference}"
    return Group(table(title, ("", ""), facts.items()), Text(case.explanation))


def age_of(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit, length in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
