"""Load a merchant's tables: network, catalogue, channels, stock, counts, thresholds."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from workers.cli.output import Answer, table
from workers.cli.staff import Actor
from workers.connect import doms_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.database.loads import Loaded


async def load(
    kind: str,
    file: str = "",
    *,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    template: Annotated[bool, Parameter(negative="")] = False,
    actor: Actor = "staff",
) -> Answer:
    """Load a table from a CSV file: every row, or none when any has a fault, and then each fault is listed.

    A row is the whole record; an empty cell is the default. Money is in minor units, weight in grams, sides in
    millimetres. `stock` says what was counted, reserved units included; the difference becomes moves of the ledger,
    and the same file again changes nothing. `partners` says of a carrier's account whether it is asked for `quotes`,
    and by which `connector` of an installed package a carrier or who runs nodes is spoken to (docs/extending.md).
    `counts` are cycle counts, compared with the record of the moment they
    were made at. `cartons` are what a node packs in, by its inside; those without a node are packed in by every node
    that has none of its own. With them, shipments are planned and priced as they are packed. `capacity` is what a node
    ships on a day, or of one service: in `units` (not its standing daily units), in fulfillment `orders`, or in both.
    `trade` is what carriers and customs ask of items, `lanes` what may not go where (empty cells stand for all),
    `customs` a country's duty in basis points. `in_stock` adds versions of what a channel counts as in stock. `all`
    loads each `KIND.csv` of a directory.

    ```
    doms load items --template
    doms load stock counts.csv --dry-run
    doms load all var/merchant
    ```

    Args:
        kind: partners, nodes, capacity, items, cartons, bundles, offers, rates, zones, trade, lanes, customs, channels,
            eligibility, allocation, in_stock, stock, supply, counts, thresholds, or all.
        file: The CSV file, or - for standard input; for all, the directory.
        dry_run: Check everything and count what would change, and change nothing.
        template: Print the header and an example row instead.
    """
    from shared.intake.columns import TABLES

    _check(kind, file, template=template)
    if template:
        text = TABLES[kind].template()
        return Answer({"kind": kind, "template": text}, text=text.rstrip())
    tables = await asyncio.to_thread(_read, kind, file)
    async with doms_client() as doms:
        loaded = await doms.load(tables, actor=actor, dry_run=dry_run)
    return Answer({"dry_run": dry_run, "loaded": loaded}, show=lambda: _shown(loaded, dry_run=dry_run))


def _check(kind: str, file: str, *, template: bool) -> None:
    from shared.errors import Fault, InvalidInput
    from shared.intake.columns import TABLES

    if kind not in TABLES and (kind != "all" or template):
        message = f"must be one of {', '.join(TABLES)}" + ("" if template else ", all")
        raise InvalidInput([Fault(pointer="/kind", code="unknown_value", message=message)])
    if not file and not template:
        raise InvalidInput([Fault(pointer="/file", code="missing", message="must name a file; - is standard input")])


def _read(kind: str, file: str) -> dict[str, bytes]:
    from shared.errors import NotFound
    from shared.intake.columns import TABLES
    from shared.intake.tables import MAX_TABLE_BYTES

    if kind != "all":
        return {kind: sys.stdin.buffer.read(MAX_TABLE_BYTES + 1) if file == "-" else Path(file).read_bytes()}
    paths = {each: Path(file) / f"{each}.csv" for each in TABLES}
    found = {each: path.read_bytes() for each, path in paths.items() if path.exists()}
    if not found:
        raise NotFound(f"no table in {file}: they are called {', '.join(path.name for path in paths.values())}")
    return found


def _shown(loaded: Sequence[Loaded], *, dry_run: bool) -> Any:
    rows = [(each.kind, each.rows, each.added, each.changed, each.unchanged, _remark(each)) for each in loaded]
    title = "nothing was written; this would become of it" if dry_run else "loaded"
    return table(title, ("kind", "rows#", "added#", "changed#", "unchanged#", ""), rows)


def _remark(loaded: Loaded) -> str:
    if loaded.again:
        return "this content was loaded before"
    return f"{loaded.orders_woken} waiting order(s) woken" if loaded.orders_woken else ""
