"""The main job on real input: a retailer's invoices become orders, its cancellations cancels and returns."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from shared.client import Doms
from shared.domain.orders import OrderDocument
from shared.errors import Conflict, InvalidInput
from shared.messages import CancelOrder, LineQuantity, ReturnRequest, order_id_of
from workers.demo.cpu import cpu_seconds
from workers.demo.job import Job, in_turn, patiently
from workers.demo.load import load_world
from workers.demo.retail_csv import Cancellation, RetailFile, Tally
from workers.demo.retail_world import constructed_world, read_catalogue
from workers.demo.run import hurried, stage, summarise
from workers.demo.shelves import fill_shelves
from workers.demo.summary import Summary

_PLACERS = 12


async def replay(
    file: Path,
    *,
    limit: int | None,
    since: date | None,
    seed: int,
    workers: int,
    keep: bool,
) -> tuple[Summary, Table]:
    """Replay the file: what became of its orders, and a table of what became of its rows."""
    console = Console(stderr=True)
    catalogue = await asyncio.to_thread(read_catalogue, file)
    run = uuid.uuid4().hex[:6]
    source = RetailFile(file, channel=f"retail-{run}", seed=seed, limit=limit, since=since)
    async with stage(workers=workers, keep=keep, console=console) as (settings, addresses, doms):
        world = constructed_world(catalogue, seed)
        booked = await load_world(doms.database, world, addresses.sandbox_url, f"replay-{run}")
        await fill_shelves(addresses.sandbox_url, booked)
        async with hurried(doms.database, f"replay-{run}"):
            job, before = Job(doms, console, limit), cpu_seconds(settings)
            async with job.shown():
                cancellations = await _place_all(job, source)
                undone = await _undo(doms, source, cancellations)
                stuck = await job.until_over()
        summary = await summarise(job, settings, before, stuck)
    tally = source.tally
    extra = {"rows": tally.model_dump(mode="json"), "adds_up": tally.adds_up, "undone_units": dict(undone)}
    changes = {"currency": "GBP", "returned": undone["returned"], "extra": extra}
    return summary.model_copy(update=changes), _rows(tally, job.refused)


async def _place_all(job: Job, source: RetailFile) -> list[Cancellation]:
    """Place every invoice as an order, in the file's order; gives the cancellations, which need their orders first."""
    cancellations: list[Cancellation] = []
    documents = _documents(source, cancellations)

    async def one() -> bool:
        document = next(documents, None)
        if document is None:
            return False
        await job.place(document)
        return True

    await in_turn(one, _PLACERS)
    return cancellations


def _documents(source: RetailFile, cancellations: list[Cancellation]) -> Iterator[OrderDocument]:
    for event in source.events():
        if isinstance(event, OrderDocument):
            yield event
        elif isinstance(event, Cancellation):
            cancellations.append(event)


async def _undo(doms: Doms, source: RetailFile, cancellations: list[Cancellation]) -> Counter[str]:
    """Cancel what has not left and return what has; counts units by what became of them."""
    undone: Counter[str] = Counter()
    todo = iter([(invoice.invoice, order, lines) for invoice in cancellations for order, lines in _by_order(invoice)])

    async def one() -> bool:
        job = next(todo, None)
        if job is None:
            return False
        invoice, channel_order_id, lines = job
        await _undo_one(doms, invoice, order_id_of(source.channel, channel_order_id), lines, undone)
        return True

    await in_turn(one, _PLACERS)
    return undone


def _by_order(invoice: Cancellation) -> list[tuple[str, tuple[LineQuantity, ...]]]:
    orders: dict[str, list[LineQuantity]] = {}
    for line in invoice.lines:
        wanted = LineQuantity(line_no=line.line_no, quantity=line.quantity)
        orders.setdefault(line.channel_order_id, []).append(wanted)
    return [(order_id, tuple(lines)) for order_id, lines in orders.items()]


async def _undo_one(
    doms: Doms, invoice: str, order_id: str, lines: tuple[LineQuantity, ...], undone: Counter[str]
) -> None:
    wanted = sum(line.quantity for line in lines)
    cancelled = await _cancel(doms, invoice, order_id, lines)
    undone["cancelled"] += cancelled
    if cancelled == wanted:
        return
    returned = await _send_back(doms, invoice, order_id, lines)
    undone["returned"] += returned
    undone["neither"] += wanted - cancelled - returned


async def _cancel(doms: Doms, invoice: str, order_id: str, lines: tuple[LineQuantity, ...]) -> int:
    try:
        async for attempt in patiently():
            with attempt:
                command = CancelOrder(actor="customer", reason=f"invoice {invoice}", lines=lines)
                return (await doms.cancel(order_id, command)).units
    except Conflict:
        return 0
    raise AssertionError("a retry either returns or raises")


async def _send_back(doms: Doms, invoice: str, order_id: str, lines: tuple[LineQuantity, ...]) -> int:
    """Return what is delivered of these lines; waits until the order is over, for what is on its way."""
    async for _ in doms.watch(order_id):
        pass
    story = await doms.get(order_id)
    delivered = {line.line_no: line.units.delivered for line in story.lines}
    left = tuple(
        LineQuantity(line_no=line.line_no, quantity=min(line.quantity, delivered.get(line.line_no, 0)))
        for line in lines
        if delivered.get(line.line_no, 0)
    )
    if not left:
        return 0
    request = ReturnRequest(
        order_id=order_id, lines=left, actor="customer", reason=f"invoice {invoice}", request_id=invoice
    )
    try:
        async for attempt in patiently():
            with attempt:
                return (await doms.return_units(request)).units
    except InvalidInput:
        return 0
    raise AssertionError("a retry either returns or raises")


def _rows(tally: Tally, refused: Counter[str]) -> Table:
    table = Table(title="What became of the rows", show_header=False, title_justify="left")
    table.add_row("rows read", f"{tally.rows_in:,}")
    if tally.rows_skipped:
        table.add_row("skipped, before the first day", f"{tally.rows_skipped:,}")
    table.add_row("in an order", f"{tally.rows_ordered:,}")
    table.add_row("in a cancellation", f"{tally.rows_cancelled:,}")
    for reason, count in sorted(tally.refused.items(), key=lambda pair: -pair[1]):
        table.add_row(f"refused: {reason}", f"{count:,}")
    for code, count in refused.items():
        table.add_row(f"orders refused at the door: {code}", f"{count:,}")
    table.add_row("adds up", "yes" if tally.adds_up else "NO")
    return table
