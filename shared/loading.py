"""Load a merchant's tables: read all, check all, and only then write, in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import bundles, in_stock, inbounds, loads, orders, turns, wakes
from shared.database.engine import Database, around_races
from shared.database.loads import Loaded
from shared.database.rises import Queue, line_up_for_table
from shared.database.turns import Overtaken
from shared.domain.availability import InStock
from shared.domain.base import Model
from shared.domain.supply import Inbound, SupplyRow
from shared.errors import Conflict, Fault, InvalidInput
from shared.intake.columns import TABLES
from shared.intake.supply import inbounds_of
from shared.intake.tables import Sheet, check_references, read_table
from shared.messages import Wake

#: A fault of one table among several says which, by this name of its kind.
Tables = Mapping[str, bytes]


async def _save_supply(
    connection: AsyncConnection, rows: Mapping[int, Model], *, reference: str, actor: str
) -> tuple[Loaded, list[str]]:
    """Tell of each inbound of the table; returns the items of those that are new, too.

    Raises:
        InvalidInput: rows of one inbound differ, or an inbound is on record with other content.
    """
    told = inbounds_of({number: row for number, row in rows.items() if isinstance(row, SupplyRow)})
    faults: list[Fault] = []
    new: list[Inbound] = []
    for number, inbound in told.items():
        try:
            if await inbounds.keep_inbound(connection, inbound, actor=actor):
                new.append(inbound)
        except Conflict as error:
            faults.append(Fault(pointer=f"/{number}/inbound_id", code=error.code, message=str(error)))
    if faults:
        raise InvalidInput(faults)
    added = sum(len(inbound.lines) for inbound in new)
    loaded = Loaded(kind="supply", rows=len(rows), added=added, changed=0, unchanged=len(rows) - added, again=not new)
    return loaded, sorted({line.sku for inbound in new for line in inbound.lines})


async def _save_in_stock(
    connection: AsyncConnection, rows: Mapping[int, Model], *, reference: str, actor: str
) -> tuple[Loaded, list[str]]:
    """Keep what channels count as in stock as versions; it does not change how much there is of anything."""
    told = [row for row in rows.values() if isinstance(row, InStock)]
    added = await in_stock.keep(connection, told, actor=actor)
    unchanged = len(rows) - added
    return Loaded(kind="in_stock", rows=len(rows), added=added, changed=0, unchanged=unchanged, again=not added), []


#: Tables whose rows become moves of the ledger, supply or versions: each tells the SKUs of which there is more, too.
_MOVING = {
    "stock": loads.save_stock,
    "counts": loads.save_counts,
    "supply": _save_supply,
    "in_stock": _save_in_stock,
}
#: Of those, the ones that say what is on hand: what they add is kept for the orders that wait.
_COUNTING = ("stock", "counts")

#: Tables that say what nodes can ship.
_ROOMY = ("nodes", "capacity")


async def load(
    database: Database, tables: Tables, *, actor: str = "staff", dry_run: bool = False
) -> tuple[list[Loaded], list[str]]:
    """Load tables, by kind; returns what became of each, and the orders that wait for what arrived.

    Raises:
        InvalidInput: any row of any table has a fault; nothing was written.
    """
    sheets = [read_table(kind, tables[kind]) for kind in TABLES if kind in tables]
    behind = set[str]()
    async for attempt in around_races():
        with attempt:
            try:
                async with database.transaction() as connection:
                    await turns.lock(connection, behind)
                    loaded, waiting = await _load(connection, sheets, actor=actor)
                    if dry_run:
                        await connection.rollback()
            except Overtaken as overtaken:
                behind |= overtaken.order_ids
                raise
    return loaded, [] if dry_run else waiting


async def _load(connection: AsyncConnection, sheets: Sequence[Sheet], *, actor: str) -> tuple[list[Loaded], list[str]]:
    await _check(connection, sheets)
    counted = (row for sheet in sheets if sheet.kind in _COUNTING for row in sheet.rows.values())
    skus = {sku for row in counted if (sku := getattr(row, "sku", None))}
    queue = await line_up_for_table(connection, skus) if skus else Queue()
    loaded: list[Loaded] = []
    waiting: list[str] = []
    for sheet in sheets:
        outcome, woken = await _save(connection, sheet, actor=actor, several=len(sheets) > 1)
        loaded.append(outcome)
        waiting += woken
    await queue.serve(connection)
    await _bind(connection, sheets)
    return loaded, waiting


async def _bind(connection: AsyncConnection, sheets: Sequence[Sheet]) -> None:
    """Promise new supply to who waits, in their order of service."""
    skus = sorted({row.sku for sheet in sheets for row in sheet.rows.values() if isinstance(row, SupplyRow)})
    if not skus or not await orders.orders_waiting_for(connection, skus, limit=1):
        return
    from shared.database.rebinding import Change, rebind  # it plans, which loads numpy
    from shared.database.timetables import read_timetable

    await inbounds.lock_lines(connection, skus)
    change = Change(connection, await read_timetable(connection), datetime.now(UTC), behind=())
    await rebind(change, skus, because="more supply is expected")


async def _check(connection: AsyncConnection, sheets: Sequence[Sheet]) -> None:
    faults: list[Fault] = []
    for sheet in sheets:
        found = sheet.faults + check_references(sheet, await _known(connection, sheet, sheets))
        found.sort(key=lambda fault: int(fault.pointer.split("/")[1] if fault.pointer else 0))
        faults += (_placed(fault, sheet, several=len(sheets) > 1) for fault in found)
    if faults:
        raise InvalidInput(faults)


async def _known(connection: AsyncConnection, sheet: Sheet, sheets: Sequence[Sheet]) -> Mapping[str, Collection[str]]:
    """What a table may refer to: what is on record, and what is loaded with it."""
    refers = TABLES[sheet.kind].refers
    named: dict[str, set[str]] = {kind: set() for kind in refers.values()}
    for _, column, cell in sheet.references:
        named[refers[column]].add(cell)
    found = {kind: await loads.known(connection, kind, names) for kind, names in named.items()}
    for other in sheets:
        if other.kind in found:
            found[other.kind] |= other.names
    return found


async def _save(connection: AsyncConnection, sheet: Sheet, *, actor: str, several: bool) -> tuple[Loaded, list[str]]:
    if sheet.kind not in _MOVING:
        saved = await loads.save_table(connection, sheet.kind, list(sheet.rows.values()))
        faults = await bundles.refused_components(connection, sheet.rows) if sheet.kind == "bundles" else []
        if faults:
            raise InvalidInput([_placed(fault, sheet, several=several) for fault in faults])
        waiting = await _waiting_for_room(connection, sheet) if sheet.kind in _ROOMY else []
        return saved.model_copy(update={"orders_woken": len(waiting)}), waiting
    reference = f"load/{sheet.content_hash[:24]}"
    counted = {number: sku for number, row in sheet.rows.items() if (sku := getattr(row, "sku", None))}
    if faults := await bundles.refused_stock(connection, counted):
        raise InvalidInput([_placed(fault, sheet, several=several) for fault in faults])
    try:
        loaded, more = await _MOVING[sheet.kind](connection, sheet.rows, reference=reference, actor=actor)
    except InvalidInput as error:
        raise InvalidInput([_placed(fault, sheet, several=several) for fault in error.faults]) from error
    waiting = await orders.orders_waiting_for(connection, more) if more else []
    await wakes.ask(connection, waiting, wake=Wake(kind="stock_arrived"))
    return loaded.model_copy(update={"orders_woken": len(waiting)}), waiting


async def _waiting_for_room(connection: AsyncConnection, sheet: Sheet) -> list[str]:
    """The orders that wait for a day of the table's nodes, for it may have more room now."""
    node_ids = {str(node_id) for row in sheet.rows.values() if (node_id := getattr(row, "node_id", None))}
    await wakes.ask_for_room(connection, node_ids, units=None)
    return await wakes.asked_here(connection)


def _placed(fault: Fault, sheet: Sheet, *, several: bool) -> Fault:
    return fault.model_copy(update={"pointer": f"/{sheet.kind}.csv{fault.pointer}"}) if several else fault
