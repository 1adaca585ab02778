"""Expected supply: purchase orders, transfers between nodes, advice of 3PLs; who waits for it, what came of it."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from workers.cli.output import Answer, table, when
from workers.cli.staff import Actor
from workers.connect import doms_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.database.receipts import Received
    from shared.database.supply import ExpectedSupply, InboundStory

app = App(name="supply", help=__doc__)


def _repeated(name: str, about: str) -> Parameter:
    return Parameter(name=name, negative="", show_default=False, help=f"{about}; may be repeated.")


Lines = Annotated[tuple[str, ...], _repeated("--line", "Item and units, as TRN-1001:40")]
Good = Annotated[tuple[str, ...], _repeated("--line", "Item and units that can be sold, as TRN-1001:38")]
Damaged = Annotated[tuple[str, ...], _repeated("--damaged", "Item and units that go to quarantine, as TRN-1001:2")]
Short = Annotated[
    tuple[str, ...], _repeated("--short", "An item of which nothing more comes: what is still open is missing")
]


@app.command(name="list")
async def list_(*, sku: str = "", node: str = "", every: bool = False, limit: int = 50) -> Answer:
    """List what is expected, the earliest first.

    ```
    doms supply list --sku TRN-1001
    ```

    Args:
        sku: Only inbounds with this item.
        node: Only what comes to this node.
        every: List what is over, too.
        limit: How many.
    """
    from shared.database.supply import list_inbounds

    async with doms_client() as doms, doms.database.reading() as connection:
        found = await list_inbounds(connection, sku=sku, node_id=node, every=every, limit=limit)
    return Answer(found, show=lambda: _listed(found))


@app.command
async def show(inbound_id: str) -> Answer:
    """Show an inbound: what came of its units, its receipts, and the orders that wait for it in their order of service.

    ```
    doms supply show PO-1234
    ```

    Args:
        inbound_id: The inbound.
    """
    from shared.database.supply import tell_inbound

    async with doms_client() as doms, doms.database.reading() as connection:
        told = await tell_inbound(connection, inbound_id)
    return Answer(told, show=lambda: _shown(told))


@app.command
async def create(
    inbound_id: str,
    *,
    node: str,
    expected_at: datetime,
    line: Lines,
    kind: Literal["purchase_order", "transfer", "advice"] = "purchase_order",
    origin: str | None = None,
    reference: str = "",
    actor: Actor = "staff",
) -> Answer:
    """Tell of supply that will come; orders that wait are promised by it. The same again changes nothing.

    A transfer counts as supply once it has departed: until then its units are stock of its origin.
    Many at once: `doms load supply FILE`.

    ```
    doms supply create PO-1234 --node wh-columbus --expected-at 2026-12-01 --line TRN-1001:40 --line KIT-1007:12
    doms supply create T-7 --kind transfer --origin st-1 --node wh-columbus --expected-at 2026-12-01 --line TRN-1001:4
    ```

    Args:
        inbound_id: Its name, which nothing else has.
        node: Where it comes to.
        expected_at: When, in UTC unless it says otherwise.
        kind: A purchase order, a transfer between nodes, or what the receiving node told us.
        origin: The node a transfer comes from.
        reference: What the outside calls it.
    """
    from shared.intake.supply import read_inbound
    from shared.supply_client import create_inbound

    inbound = read_inbound(
        {
            "inbound_id": inbound_id,
            "kind": kind,
            "node_id": node,
            "origin_node_id": origin,
            "expected_at": _utc(expected_at),
            "reference": reference,
            "lines": [{"sku": sku, "quantity": units} for sku, units in _units(line).items()],
        }
    )
    async with doms_client() as doms:
        new = await create_inbound(doms, inbound, actor=actor)
    said = "is expected" if new else "was told before"
    return Answer({"inbound_id": inbound_id, "new": new}, text=f"{inbound_id} {said}")


@app.command
async def depart(inbound_id: str, *, actor: Actor = "staff") -> Answer:
    """Send a transfer off: its units leave their node's stock and are on their way. Repeated, nothing more happens.

    ```
    doms supply depart T-7
    ```

    Args:
        inbound_id: The transfer.
    """
    from shared import supply_client

    async with doms_client() as doms:
        left = await supply_client.depart(doms, inbound_id, actor=actor)
    return Answer({"inbound_id": inbound_id, "departed": left}, text=f"{inbound_id} is on its way")


@app.command
async def slip(inbound_id: str, expected_at: datetime, *, reason: str = "") -> Answer:
    """Date supply anew, later or earlier: orders that wait for it are promised anew, or wait for other supply.

    ```
    doms supply slip PO-1234 2026-12-15 --reason "the ship waits at Suez"
    ```

    Args:
        inbound_id: The inbound.
        expected_at: When it is expected now, in UTC unless it says otherwise.
        reason: Why; it is kept in the timelines of the orders.
    """
    from shared import supply_client

    async with doms_client() as doms:
        orders = await supply_client.slip(doms, inbound_id, _utc(expected_at), because=reason)
    data = {"inbound_id": inbound_id, "expected_at": _utc(expected_at), "orders_promised_anew": orders}
    return Answer(data, text=f"{inbound_id} is expected {when(_utc(expected_at))}; {orders} order(s) promised anew")


@app.command
async def receive(
    inbound_id: str,
    *,
    reference: str,
    line: Good = (),
    damaged: Damaged = (),
    short: Short = (),
    actor: Actor = "staff",
) -> Answer:
    """Count a delivery in, whole or in part: good units are kept for the orders that wait, damaged ones quarantined.

    What comes beyond the expected is taken in and opens a case. The same reference counts once.

    ```
    doms supply receive PO-1234 --reference asn-1 --line TRN-1001:38 --damaged TRN-1001:2
    doms supply receive PO-1234 --reference asn-2 --line KIT-1007:10 --short KIT-1007
    ```

    Args:
        inbound_id: The inbound.
        reference: Names the delivery.
    """
    from shared import supply_client
    from shared.intake.supply import read_receipt

    receipt = read_receipt({"inbound_id": inbound_id, "reference": reference, "lines": _counted(line, damaged, short)})
    async with doms_client() as doms:
        received = await supply_client.receive(doms, receipt, actor=actor)
    return Answer(received, show=lambda: _received(received))


@app.command
async def advice(file: str, *, actor: Actor = "staff") -> Answer:
    """Count in what a 3PL says it has received, from a file of X12 944 stock transfer receipt advices.

    W17 names the inbound as the depositor's order number. A receipt that was booked before counts once.

    ```
    doms supply advice 944-20260714.edi
    ```

    Args:
        file: The file, or - for standard input.
    """
    from shared import supply_client
    from shared.gateways.supply.x12 import read_receipt_advice

    content = sys.stdin.buffer.read() if file == "-" else await asyncio.to_thread(Path(file).read_bytes)
    receipts = read_receipt_advice(content)
    async with doms_client() as doms:
        booked = [await supply_client.receive(doms, receipt, actor=actor) for receipt in receipts]
    return Answer(booked, show=lambda: _all_received(booked))


@app.command
async def cancel(inbound_id: str, *, reason: str = "") -> Answer:
    """Give up what has not come: orders that waited for it wait for other supply. Repeated, nothing more happens.

    ```
    doms supply cancel PO-1234 --reason "vendor is sold out"
    ```

    Args:
        inbound_id: The inbound.
        reason: Why; it is kept in the timelines of the orders.
    """
    from shared import supply_client

    async with doms_client() as doms:
        done = await supply_client.cancel_inbound(doms, inbound_id, because=reason)
    return Answer({"inbound_id": inbound_id, "cancelled": done}, text=f"{inbound_id} is cancelled")


def _utc(at: datetime) -> datetime:
    from datetime import UTC

    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _counted(good: tuple[str, ...], damaged: tuple[str, ...], short: tuple[str, ...]) -> list[dict[str, Any]]:
    counted: dict[str, dict[str, Any]] = {}
    for name, entries in (("good", _units(good)), ("damaged", _units(damaged))):
        for sku, units in entries.items():
            counted.setdefault(sku, {"sku": sku})[name] = units
    for sku in short:
        counted.setdefault(sku, {"sku": sku})["short"] = True
    return list(counted.values())


def _units(entries: tuple[str, ...]) -> dict[str, int]:
    """Read ``TRN-1001:38`` as 38 units of an item.

    Raises:
        InvalidInput: an entry is not that, or an item stands there twice.
    """
    from shared.errors import Fault, InvalidInput

    read: dict[str, int] = {}
    faults = []
    for place, entry in enumerate(entries):
        sku, _, units = entry.rpartition(":")
        pointer = f"/lines/{place}"
        if not sku or not units.isdecimal():
            message = f"{entry!r} is not ITEM:UNITS, such as TRN-1001:40"
            faults.append(Fault(pointer=pointer, code="not_a_quantity", message=message))
        elif sku in read:
            faults.append(
                Fault(pointer=pointer, code="duplicate", message=f"{sku} stands there twice: add its units up")
            )
        else:
            read[sku] = int(units)
    if faults:
        raise InvalidInput(faults)
    return read


def _listed(found: Sequence[ExpectedSupply]) -> Any:
    columns = ("inbound", "kind", "to", "from", "expected", "status", "units to come#", "waited for#", "reference")
    rows = [
        (
            each.inbound_id,
            each.kind,
            each.node_id,
            each.origin_node_id,
            when(each.expected_at),
            each.status,
            each.units,
            sum(line.bound for line in each.lines),
            each.reference,
        )
        for each in found
    ]
    return table(f"{len(found)} inbound(s)", columns, rows)


def _shown(told: InboundStory) -> Any:
    from rich.console import Group

    columns = ("item", "expected#", "to come#", "waited for#", "good#", "damaged#", "missing#", "over#")
    lines = [(n.sku, n.quantity, n.open, n.bound, n.received, n.damaged, n.missing, n.over) for n in told.lines]
    origin = f" from {told.origin_node_id}" if told.origin_node_id else ""
    where = f"{told.inbound_id}: {told.kind}{origin} to {told.node_id}"
    parts: list[Any] = [table(f"{where}, {told.status}, expected {when(told.expected_at)}", columns, lines)]
    if told.advice is not None:
        since = when(told.advice.sent_at) or "nothing yet"
        parts.append(f"{told.advice.partner_id} was told {since} {told.advice.fault}".rstrip())
    if told.waiting:
        waiting = [(w.order_id, w.line_no, w.sku, w.quantity, w.priority, when(w.promised_at)) for w in told.waiting]
        parts.append(table("who waits", ("order", "line#", "item", "units#", "priority#", "promised"), waiting))
    if told.receipts:
        receipts = [(when(r.at), r.reference, r.actor) for r in told.receipts]
        parts.append(table("receipts", ("at", "reference", "by"), receipts))
    return Group(*parts)


def _all_received(booked: Sequence[Received]) -> Any:
    from rich.console import Group

    return Group(*map(_received, booked))


def _received(received: Received) -> Any:
    columns = ("item", "good#", "damaged#", "over#", "missing#", "still to come#")
    rows = [(n.sku, n.good, n.damaged, n.over, n.missing, n.open) for n in received.lines]
    what = "was booked before" if received.again else "is booked"
    closed = ", which is closed now" if received.closed else ""
    title = (
        f"{received.reference} of {received.inbound_id}{closed} {what}; {len(received.orders)} waiting order(s) served"
    )
    return table(title, columns, rows)
