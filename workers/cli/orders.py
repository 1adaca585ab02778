"""Place orders, follow them, steer them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from workers.cli.failures import as_doms_error, exit_code
from workers.cli.output import Answer, money, table, when
from workers.cli.staff import Actor, Lines, quantities, told
from workers.connect import doms_client

if TYPE_CHECKING:
    from shared.client import Doms
    from shared.domain.orders import OrderDocument
    from shared.domain.story import OrderSummary

#: Orders of one file that are under way at a time.
_AT_ONCE = 16

#: A path, or "-", which is not the start of an option here.
InputFile = Annotated[str, Parameter(allow_leading_hyphen=True)]

app = App(name="orders", help=__doc__)


@app.command(name="list")
async def list_(
    *,
    status: str | None = None,
    channel: str | None = None,
    waiting: bool = False,
    held: bool = False,
    merged: bool = False,
    limit: int = 50,
    after: str | None = None,
) -> Answer:
    """List orders, newest first.

    ```
    doms orders list --status released
    doms orders list --waiting --limit 10
    doms orders list --merged
    doms --json orders list --held | jq -r '.[].order_id'
    ```

    Args:
        status: A lifecycle or fulfilment status: placed, open, closed, cancelled, backordered, shipped, ...
        channel: Only orders of this channel.
        waiting: Only orders with units that have no source.
        held: Only orders that a hold stands on.
        merged: Only orders that share a parcel which has not left.
        limit: At most so many.
        after: Go on after this order, the last of the page before.
    """
    async with doms_client() as doms:
        listed = await doms.list_orders(
            status=status, channel=channel, waiting=waiting, held=held, merged=merged, limit=limit, after=after
        )
    return Answer(listed, show=lambda: _listed(listed))


def _listed(orders: list[OrderSummary]) -> Any:
    columns = ("order", "status", "units#", "total#", "service", "promised", "at", "needs")
    rows = [
        (
            order.order_id,
            "on_hold" if order.on_hold else order.fulfillment,
            order.units.ordered,
            money(order.total_minor, order.currency),
            order.service,
            when(order.promised_at),
            ", ".join(order.nodes),
            f"{order.cases} case(s)" if order.cases else "",
        )
        for order in orders
    ]
    return table(f"{len(orders)} order(s)", columns, rows)


@app.command
async def show(order_id: str) -> Answer:
    """Tell an order's whole story: units, nodes, parcels, money, the plan's reasons, and what it waits for.

    ```
    doms orders show webshop/W7-000001
    doms --json orders show webshop/W7-000001 | jq .plan.candidates
    ```

    Args:
        order_id: The channel and the channel's own id, as CHANNEL/ID.
    """
    from workers.cli.drawing import story

    async with doms_client() as doms:
        told_story = await doms.get(order_id)
    return Answer(told_story, show=lambda: story(told_story))


@app.command
async def submit(file: InputFile, *, source: Literal["doms", "shopify", "auto"] = "auto") -> Answer:
    """Place orders from a file: one order, a JSON array of them, or one per line. Safe to repeat.

    ```
    doms orders submit order.json
    cat orders.jsonl | doms orders submit -
    ```

    Args:
        file: The file, or - for standard input.
        source: Whose layout it has: ours, a Shopify order, or either.
    """
    from shared.intake import read_orders

    body = sys.stdin.buffer.read() if file == "-" else await asyncio.to_thread(Path(file).read_bytes)
    documents = read_orders(body, source=source)
    async with doms_client() as doms:
        if len(documents) == 1:
            verdict = await doms.submit(documents[0])
            return Answer([verdict], text=_promised(verdict.order_id, verdict.promised_at, verdict.backordered_units))
        limit = asyncio.Semaphore(_AT_ONCE)
        results = await asyncio.gather(*(_submit(doms, document, limit) for document in documents))
    code = max((result.code for result in results), default=0)
    return Answer([result.data for result in results], text="\n".join(r.text for r in results), code=code)


async def _submit(doms: Doms, document: OrderDocument, limit: asyncio.Semaphore) -> Answer:
    """Place one of many; its failure is its own."""
    order_id = f"{document.channel}/{document.channel_order_id}"
    async with limit:
        try:
            verdict = await doms.submit(document)
        except Exception as error:
            known = as_doms_error(error)
            if known is None:
                raise
            failure = {"order_id": order_id, "accepted": False, "error": {"code": known.code, "message": str(known)}}
            return Answer(failure, text=f"{order_id}  refused: {known}", code=exit_code(known))
    return Answer(verdict, text=_promised(order_id, verdict.promised_at, verdict.backordered_units))


def _promised(order_id: str, promised_at: Any, backordered: int) -> str:
    promise = f"promised {when(promised_at)}" if promised_at else "no date yet"
    return f"{order_id}  accepted, {promise}" + (f", {backordered} units wait for stock" if backordered else "")


@app.command
async def cancel(order_id: str, *, line: Lines = (), reason: str = "", actor: Actor = "staff") -> Answer:
    """Cancel an order or parts of it. What a node was told of is asked back; what has left is to be returned.

    ```
    doms orders cancel webshop/W7-000001 --reason "customer changed their mind"
    doms orders cancel webshop/W7-000001 --line 1:2 --line 3:1
    ```

    Args:
        order_id: The order.
        reason: Why; it is kept in the timeline.
    """
    from shared.messages import CancelOrder

    command = CancelOrder(actor=actor, reason=reason, lines=quantities(line))
    async with doms_client() as doms:
        return told(await doms.cancel(order_id, command))


@app.command
async def reroute(order_id: str, n: int, *, to: str = "", reason: str = "", actor: Actor = "staff") -> Answer:
    """Take a fulfillment order from its node, to another one or to the best other one.

    ```
    doms orders reroute webshop/W7-000001 1
    doms orders reroute webshop/W7-000001 1 --to 3pl-reno --reason "flood in Columbus"
    ```

    Args:
        order_id: The order.
        n: The number of its fulfillment order.
        to: The node that shall ship; the planner chooses when left out.
        reason: Why; it is kept in the timeline.
    """
    from shared.messages import Reroute

    command = Reroute(actor=actor, reason=reason, n=n, to_node=to)
    async with doms_client() as doms:
        return told(await doms.reroute(order_id, command))


@app.command
async def merge(*order_ids: str, reason: str = "", actor: Actor = "staff") -> Answer:
    """Have orders of one recipient travel in one parcel, under one label.

    They share it where they ship from the same node by the same service and the node was not told of them yet. When
    it is told of one, it is told of all that may go; a policy's `consolidate` does the same by itself.

    ```
    doms orders merge webshop/W7-000001 webshop/W7-000002
    doms orders list --merged
    ```

    Args:
        order_ids: Two orders or more.
        reason: Why; it is kept in the timelines.
    """
    from shared import consolidations_client

    async with doms_client() as doms:
        merged = await consolidations_client.merge(doms, order_ids, reason=reason, actor=actor)
    lines = [f"{name}: {', '.join(together)} in one parcel" for name, together in merged.parcels.items()]
    return Answer(merged, text="\n".join([*lines, *(f"  but: {why}" for why in merged.apart)]))


@app.command
async def unmerge(order_id: str, *, reason: str = "", actor: Actor = "staff") -> Answer:
    """Have an order travel alone again. It works until the label of its parcel is being bought.

    ```
    doms orders unmerge webshop/W7-000002 --reason "wants it gift-wrapped"
    ```

    Args:
        order_id: The order; those that it shared a parcel with stay together.
        reason: Why; it is kept in the timelines.
    """
    from shared import consolidations_client
    from shared.messages import Unmerge

    async with doms_client() as doms:
        return told(await consolidations_client.unmerge(doms, order_id, Unmerge(actor=actor, reason=reason)))


@app.command
async def hold(
    order_id: str,
    *,
    kind: Literal["payment", "fraud", "address", "staff", "sourcing"] = "staff",
    reason: str = "",
    actor: Actor = "staff",
) -> Answer:
    """Stop everything that no node was told of. Prints the hold's id, which `release` wants.

    ```
    doms orders hold webshop/W7-000001 --kind fraud --reason "three cards in one day"
    ```

    Args:
        order_id: The order.
        kind: What the hold is about; sourcing stops only the search for sources, the others stop releasing to nodes.
        reason: Why; it is kept in the timeline.
    """
    from shared.domain.orders import HoldKind
    from shared.messages import PlaceHold

    command = PlaceHold(actor=actor, reason=reason, kind=HoldKind(kind))
    async with doms_client() as doms:
        return told(await doms.hold(order_id, command))


@app.command
async def release(order_id: str, hold_id: str, *, reason: str = "", actor: Actor = "staff") -> Answer:
    """Lift one hold; the order goes on when no other stands.

    ```
    doms orders release webshop/W7-000001 webshop/W7-000001/fraud/4
    ```

    Args:
        order_id: The order.
        hold_id: The hold, as `orders hold` and `orders show` name it.
        reason: Why; it is kept in the timeline.
    """
    from shared.messages import ReleaseHold

    command = ReleaseHold(actor=actor, reason=reason, hold_id=hold_id)
    async with doms_client() as doms:
        return told(await doms.release(order_id, command))


@app.command
async def watch(order_id: str) -> AsyncIterator[Answer]:
    """Print what happened to an order and what happens next, until it is over.

    ```
    doms orders watch webshop/W7-000001
    doms --json orders watch webshop/W7-000001 | jq .event
    ```

    Args:
        order_id: The order.
    """
    from workers.cli.drawing import event_line

    async with doms_client() as doms:
        async for event in doms.watch(order_id):
            yield Answer(event, text=event_line(event))
