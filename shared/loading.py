"""Load a merchant's tables: read all, check all, and only then write, in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import loads, orders
from shared.database.engine import Database
from shared.database.loads import Loaded
from shared.errors import Fault, InvalidInput
from shared.intake.columns import TABLES
from shared.intake.tables import Sheet, check_references, read_table

#: A fault of one table among several says which, by this name of its kind.
Tables = Mapping[str, bytes]
#: Tables whose rows become moves of the ledger: each tells the SKUs of which there is more, too.
_MOVING = {"stock": loads.save_stock, "counts": loads.save_counts}


async def load(
    database: Database, tables: Tables, *, actor: str = "staff", dry_run: bool = False
) -> tuple[list[Loaded], list[str]]:
    """Load tables, by kind; returns what became of each, and the orders that wait for what arrived.

    Raises:
        InvalidInput: any row of any table has a fault; nothing was written.
    """
    sheets = [read_table(kind, tables[kind]) for kind in TABLES if kind in tables]
    async with database.transaction() as connection:
        await _check(connection, sheets)
        loaded: list[Loaded] = []
        waiting: list[str] = []
        for sheet in sheets:
            outcome, woken = await _save(connection, sheet, actor=actor, several=len(sheets) > 1)
            loaded.append(outcome)
            waiting += woken
        if dry_run:
            await connection.rollback()
    return loaded, [] if dry_run else waiting


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
        return await loads.save_table(connection, sheet.kind, list(sheet.rows.values())), []
    reference = f"load/{sheet.content_hash[:24]}"
    try:
        loaded, more = await _MOVING[sheet.kind](connection, sheet.rows, reference=reference, actor=actor)
    except InvalidInput as error:
        raise InvalidInput([_placed(fault, sheet, several=several) for fault in error.faults]) from error
    waiting = await orders.orders_waiting_for(connection, more) if more else []
    return loaded.model_copy(update={"orders_woken": len(waiting)}), waiting


def _placed(fault: Fault, sheet: Sheet, *, several: bool) -> Fault:
    return fault.model_copy(update={"pointer": f"/{sheet.kind}.csv{fault.pointer}"}) if several else fault
