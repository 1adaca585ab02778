"""Take goods back: request, look, decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts import App

from workers.cli.output import Answer, money, table, when
from workers.cli.staff import Actor, Lines, quantities, told
from workers.connect import doms_client

if TYPE_CHECKING:
    from shared.domain.story import ReturnStory

app = App(name="returns", help=__doc__)


@app.command
async def request(
    order_id: str, *, line: Lines, reason: str = "", request_id: str = "", actor: Actor = "staff"
) -> Answer:
    """Ask to send delivered units back. Within the policy's window and limit it is approved at once.

    ```
    doms returns request webshop/W7-000001 --line 1:1 --reason "too small"
    ```

    Args:
        order_id: The order.
        reason: Why; it is kept in the timeline.
        request_id: The same request sent again gets the same return.
    """
    from shared.messages import ReturnRequest

    wanted = ReturnRequest(actor=actor, reason=reason, order_id=order_id, lines=quantities(line), request_id=request_id)
    async with doms_client() as doms:
        opened = await doms.return_units(wanted)
    return Answer(opened, text=f"{opened.return_id}  {opened.units} units to come back")


@app.command(name="list")
async def list_(*, status: str | None = None, order: str | None = None, limit: int = 50) -> Answer:
    """List returns, newest first.

    ```
    doms returns list --status requested
    ```

    Args:
        status: requested, approved, declined, received, settled, closed or expired.
        order: Only returns of this order.
        limit: At most so many.
    """
    from shared.database import story

    async with doms_client() as doms, doms.database.reading() as connection:
        listed = await story.list_returns(connection, status=status, order_id=order, limit=limit)
    return Answer(listed, show=lambda: _listed(listed))


@app.command
async def show(return_id: str) -> Answer:
    """Show one return and what came of each line.

    ```
    doms returns show webshop/W7-000001/r1
    ```

    Args:
        return_id: The return, as `returns request` and `returns list` name it.
    """
    from shared.database import story

    async with doms_client() as doms, doms.database.reading() as connection:
        found = await story.find_return(connection, return_id)
    return Answer(found, show=lambda: _shown(found))


@app.command
async def approve(return_id: str, *, reason: str = "", actor: Actor = "staff") -> Answer:
    """Approve a return that waits for staff.

    ```
    doms returns approve webshop/W7-000001/r1
    ```

    Args:
        return_id: The return.
        reason: Why; it is kept in the timeline.
    """
    return await _decide(return_id, reason=reason, actor=actor, approve=True)


@app.command
async def decline(return_id: str, *, reason: str = "", actor: Actor = "staff") -> Answer:
    """Decline a return that waits for staff.

    ```
    doms returns decline webshop/W7-000001/r1 --reason "worn"
    ```

    Args:
        return_id: The return.
        reason: Why; it is kept in the timeline.
    """
    return await _decide(return_id, reason=reason, actor=actor, approve=False)


async def _decide(return_id: str, *, reason: str, actor: str, approve: bool) -> Answer:
    from shared.database import story
    from shared.messages import DecideReturn

    command = DecideReturn(actor=actor, reason=reason, approve=approve)
    async with doms_client() as doms:
        async with doms.database.reading() as connection:
            await story.find_return(connection, return_id)
        return told(await doms.decide_return(return_id, command))


def _listed(returns: list[ReturnStory]) -> Any:
    rows = [
        (
            r.return_id,
            r.status,
            sum(line.quantity for line in r.lines),
            money(r.refund_minor, r.currency),
            r.node_id,
            when(r.requested_at),
            r.reason,
        )
        for r in returns
    ]
    columns = ("return", "status", "units#", "refunded#", "to node", "requested", "reason")
    return table(f"{len(returns)} return(s)", columns, rows)


def _shown(found: ReturnStory) -> Any:
    refunded = money(found.refund_minor, found.currency)
    title = f"{found.return_id}: {found.status}, {refunded} refunded ({found.reason or 'no reason given'})"
    rows = [(n.line_no, n.sku, n.quantity, n.received, n.restocked, n.written_off) for n in found.lines]
    return table(title, ("line#", "item", "asked#", "received#", "restocked#", "written off#"), rows)
