"""Sources of stock figures: define them, hand in their files, see what became of each row."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from workers.cli.output import Answer, table, when
from workers.cli.staff import Actor
from workers.connect import doms_client, settings_in_effect, temporal_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.database.feeds import KnownSource
    from shared.feeds_client import FeedDesk
    from shared.messages.feeds import FeedRun

app = App(name="feeds", help=__doc__)

_EXAMPLE = """{
  "source_id": "acme",
  "nodes": {"01": "acme-east", "02": "acme-west"},
  "reading": {"format": "csv", "partner_sku": "Item", "quantity": "Qty", "node": "Whse",
              "as_of": "Exported", "thousands": ","},
  "kind": "snapshot",
  "counts": "available",
  "our_orders": "deducted",
  "unit": "each",
  "missing_means_zero": true,
  "buffer_units": 2,
  "buffer_percent": 5,
  "stale_after": "PT4H",
  "stale_percent": 50,
  "hide_after": "P1D",
  "time_zone": "America/New_York",
  "sftp": {"host": "sftp.acme.example", "username": "retailer", "host_key": "ssh-ed25519 AAAA...",
           "directory": "outbound", "pattern": "stock_*.csv", "every": "PT5M"}
}"""


@app.command
async def define(
    file: str = "", *, template: Annotated[bool, Parameter(negative="")] = False, actor: Actor = "staff"
) -> Answer:
    """Keep a source of stock figures, or change it, from a JSON file.

    A source speaks for one node (`node_id`) or for several (`nodes`, by the partner's own codes), and a node has one
    source. `reading` is `csv`, with columns by header or by number from 1, or `x12_846`. What its figures count:

    - `counts`: `on_hand` is all units that are there, `available` those not promised to anybody.
    - `our_orders`: `included` when units of our open orders are still in an available figure, `deducted` when the
      partner has taken them off once it was told of the order.
    - `unit`: `each`, or `pack` of as many units as the item's offer says.

    Durations are written as in ISO 8601, such as PT4H. Passwords and keys of SFTP servers are never part of a source:
    workers have them by source in DOMS_SFTP_PASSWORDS='{"acme": "..."}' or DOMS_SFTP_KEYS='{"acme": "/path/of/key"}'.

    ```
    doms feeds define --template > acme.json
    doms feeds define acme.json
    ```

    Args:
        file: The JSON file, or - for standard input.
        template: Print an example instead.
    """
    from shared.errors import Fault, InvalidInput
    from shared.intake.feeds import read_definition

    if template:
        return Answer({"template": _EXAMPLE}, text=_EXAMPLE)
    if not file:
        raise InvalidInput([Fault(pointer="/file", code="missing", message="must name a file; - is standard input")])
    content = sys.stdin.buffer.read() if file == "-" else await asyncio.to_thread(Path(file).read_bytes)
    source = read_definition(content)
    async with _desk() as desk:
        await desk.define(source, actor=actor)
    return Answer(source, text=f"{source.source_id} speaks for {', '.join(source.node_ids)}")


@app.command(name="list")
async def list_() -> Answer:
    """List the sources, with the moment of their figures and how far they can be believed.

    `fresh` figures are sold as the source's buffer says, of `stale` ones a part is held back, `hidden` ones are not
    sold at all.
    """
    return await _sources("")


@app.command
async def show(source: str) -> Answer:
    """Show a source as it was defined, its nodes, and its latest runs.

    ```
    doms feeds show acme
    ```

    Args:
        source: The source.
    """
    from shared.database import feeds
    from shared.errors import NotFound

    async with doms_client() as doms, doms.database.reading() as connection:
        known = await feeds.list_sources(connection, source)
        latest = await feeds.list_runs(connection, source)
    if not known:
        raise NotFound(f"there is no feed source {source}", source_id=source)
    return Answer({"source": known[0], "runs": latest}, show=lambda: _shown(known[0], latest))


@app.command
async def run(source: str, file: Path, *, as_of: datetime | None = None, actor: Actor = "staff") -> Answer:
    """Apply a source's file and tell what became of it.

    The same content again changes nothing and is answered with its first run. A file that was cut off, or is older
    than what is applied already, is refused as a whole, with exit code 4; rows that cannot be applied are refused
    one by one and listed by `doms feeds refusals`.

    ```
    doms feeds run acme stock_0601.csv
    ```

    Args:
        source: The source.
        file: Its file.
        as_of: The moment of the figures, if the file does not say it; else that of the file itself.
    """
    at = as_of or datetime.fromtimestamp((await asyncio.to_thread(file.stat)).st_mtime, UTC)
    moment = at if at.tzinfo else at.replace(tzinfo=UTC)
    with await asyncio.to_thread(file.open, "rb") as content:
        async with _desk() as desk:
            handed_in = await desk.hand_in(source, content, name=file.name, actor=actor, as_of=moment)
            done = await desk.outcome(handed_in)
    return Answer(done, show=lambda: _runs(_said(done), [done]), code=4 if done.status == "refused" else 0)


@app.command
async def runs(source: str = "", *, limit: int = 20) -> Answer:
    """List the latest runs, of one source or of all; a run that is not over shows how far it is.

    Args:
        source: Only runs of this source.
        limit: How many.
    """
    from shared.database import feeds

    async with doms_client() as doms, doms.database.reading() as connection:
        latest = await feeds.list_runs(connection, source, limit)
    return Answer(latest, show=lambda: _runs("runs, the latest first", latest))


@app.command
async def refusals(run: str, *, out: Path | None = None) -> Answer:
    """List the rows of a run that were not applied, or write them to a CSV file with the reason of each.

    ```
    doms feeds refusals 3f0c9a... --out refused.csv
    ```

    Args:
        run: The run, as `doms feeds runs` names it.
        out: The CSV file to write: row, field, code, message, line.
    """
    from shared.database import feeds

    async with doms_client() as doms:
        async with doms.database.reading() as connection:
            await feeds.read_run(connection, run)
        refused = feeds.refusals(doms.database, run)
        if out is not None:
            count = await _written(refused, out)
            return Answer({"run_id": run, "refused": count, "out": str(out)}, text=f"{count} rows written to {out}")
        rows = [row async for part in refused for row in part]
    cells = [(row.row, row.field, row.code, row.message, row.line[:80]) for row in rows]
    return Answer(
        rows, show=lambda: table(f"{len(rows)} rows refused", ("row#", "field", "code", "why", "line"), cells)
    )


async def _written(refused: AsyncIterator[Sequence[Any]], out: Path) -> int:
    from shared.database.feeds import RefusedRow

    def opened() -> IO[str]:
        return out.open("w", newline="", encoding="utf-8")

    count = 0
    with await asyncio.to_thread(opened) as file:
        writer = csv.writer(file)
        writer.writerow(RefusedRow.model_fields)
        async for part in refused:
            writer.writerows(row.model_dump().values() for row in part)
            count += len(part)
    return count


@asynccontextmanager
async def _desk() -> AsyncIterator[FeedDesk]:
    from shared.database.engine import Database
    from shared.feeds_client import FeedDesk

    settings = settings_in_effect()
    temporal = await temporal_client(settings, program="doms-feeds")
    database = Database(settings.database_url, pool_size=2)
    try:
        yield FeedDesk(temporal, database)
    finally:
        await database.close()


async def _sources(source: str) -> Answer:
    from shared.database import feeds

    async with doms_client() as doms, doms.database.reading() as connection:
        known = await feeds.list_sources(connection, source)
    return Answer(known, show=lambda: _nodes("sources", known))


def _nodes(title: str, known: Sequence[KnownSource]) -> Any:
    rows = [
        (each.source_id, node_id, node.state, when(node.as_of), when(node.received_at), each.applying)
        for each in known
        for node_id, node in each.nodes.items()
    ]
    return table(title, ("source", "node", "figures", "as of", "received", "applying"), rows)


def _shown(known: KnownSource, latest: Sequence[FeedRun]) -> Any:
    from rich.console import Group
    from rich.text import Text

    definition = Text(known.definition.model_dump_json(indent=2, exclude_none=True))
    return Group(definition, _nodes("nodes", [known]), _runs("runs, the latest first", latest))


def _runs(title: str, latest: Sequence[FeedRun]) -> Any:
    columns = ("run", "source", "file", "status", "as of", "rows#", "changed#", "unchanged#", "refused#", "zeroed#", "")
    rows = [
        (r.run_id, r.source_id, r.file_name, r.status, when(r.as_of), r.rows, r.changed, r.unchanged, r.refused,
         r.zeroed, _remark(r))
        for r in latest
    ]  # fmt: skip
    return table(title, columns, rows)


def _remark(run: FeedRun) -> str:
    if run.status == "refused":
        return run.message
    if not run.over:
        return f"{run.done} of {run.staged} positions"
    return f"{run.floored} kept at what is claimed" if run.floored else ""


def _said(run: FeedRun) -> str:
    if run.again:
        return "this content was taken in before; nothing was changed"
    return f"{run.status}; {run.orders_woken} waiting order(s) woken"
