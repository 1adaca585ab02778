"""Sources of stock figures, the runs of their files, and the rows that were refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import wakes
from shared.database.engine import Database
from shared.domain.base import Instant, Model
from shared.domain.feeds import FeedSource
from shared.errors import Conflict, Fault, InvalidInput, NotFound
from shared.messages.feeds import FeedRun

_NODES = text("SELECT node_id FROM node WHERE node_id = ANY(:node_ids)")
_OTHERS = text("SELECT node_id, source_id FROM stock_source WHERE node_id = ANY(:node_ids) AND source_id <> :source_id")
_DEFINE = text("""
    INSERT INTO feed_source (source_id, definition, defined_by) VALUES (:source_id, CAST(:definition AS jsonb), :actor)
    ON CONFLICT (source_id) DO UPDATE
    SET definition = excluded.definition, defined_at = now(), defined_by = excluded.defined_by
    RETURNING applying
""")
_LET_GO = text("DELETE FROM stock_source WHERE source_id = :source_id AND node_id <> ALL(:node_ids) RETURNING node_id")
_RESOLVE_STALE = text("""
    UPDATE exception_case SET resolved_at = now(), resolution = 'no longer fed by ' || :source_id
    WHERE resolved_at IS NULL AND kind = 'feed.stale'
      AND reference IN (SELECT :source_id || '/' || n FROM unnest(CAST(:left AS text[])) AS n)
""")
#: What is held back by another definition is looked at again when the state is worked out the next time.
_DOUBT = text("UPDATE stock_source SET state = 'unknown' WHERE source_id = :source_id")
_UNBUFFER = text("""
    WITH locked AS (
        SELECT node_id, sku FROM stock_position WHERE node_id = ANY(:left) AND feed_buffer > 0
        ORDER BY node_id, sku FOR NO KEY UPDATE
    )
    UPDATE stock_position p SET feed_buffer = 0 FROM locked l WHERE p.node_id = l.node_id AND p.sku = l.sku
    RETURNING p.sku
""")
_TAKE = text("""
    INSERT INTO stock_source (node_id, source_id) SELECT n, :source_id FROM unnest(CAST(:node_ids AS text[])) AS n
    ON CONFLICT DO NOTHING
""")
_SOURCE = text("SELECT definition FROM feed_source WHERE source_id = :source_id")
_SOURCES = text("""
    SELECT s.source_id, s.definition, s.defined_at, s.defined_by, s.applying, s.last_run, s.as_of,
           coalesce((SELECT jsonb_object_agg(node_id, jsonb_build_object(
                'state', state, 'as_of', as_of, 'received_at', received_at))
            FROM stock_source n WHERE n.source_id = s.source_id), '{}') AS nodes
    FROM feed_source s WHERE :source_id IN ('', s.source_id) ORDER BY s.source_id
""")
_RUNS = text("""
    SELECT * FROM feed_run WHERE :source_id IN ('', source_id) ORDER BY received_at DESC, run_id LIMIT :limit
""")
_RUN = text("SELECT * FROM feed_run WHERE run_id = :run_id")
_REFUSALS = text("""
    SELECT row, field, code, message, line FROM feed_refusal WHERE run_id = :run_id ORDER BY row
""")


class NodeFigures(Model):
    """Of which moment the stock of a node is, when we heard of it, and how far it can be believed."""

    state: str
    as_of: Instant | None
    received_at: Instant | None


class KnownSource(Model):
    """A source as it is on record.

    Attributes:
        applying: The run that changes stock now, if any.
        as_of: The moment of its last applied file.
    """

    source_id: str
    definition: FeedSource
    defined_at: Instant
    defined_by: str
    applying: str | None
    last_run: str | None
    as_of: Instant | None
    nodes: dict[str, NodeFigures]


class RefusedRow(Model):
    """A row of a file that was not applied."""

    row: int
    field: str
    code: str
    message: str
    line: str


async def define(connection: AsyncConnection, source: FeedSource, *, actor: str) -> None:
    """Keep a source, or change it; nodes it lets go of sell again what was held back of them.

    Raises:
        InvalidInput: it names nodes that do not exist, or that another source speaks for.
        Conflict: one of its files is being applied.
    """
    values = {"source_id": source.source_id, "node_ids": sorted(source.node_ids)}
    known = set((await connection.execute(_NODES, values)).scalars())
    taken = {row.node_id: row.source_id for row in await connection.execute(_OTHERS, values)}
    if faults := [fault for node_id in source.node_ids if (fault := _fault(source, node_id, known, taken))]:
        raise InvalidInput(faults)
    kept = await connection.execute(_DEFINE, values | {"definition": source.model_dump_json(), "actor": actor})
    if applying := kept.scalar_one():
        raise Conflict(f"run {applying} of {source.source_id} is being applied; try again when it is over")
    if left := list((await connection.execute(_LET_GO, values)).scalars()):
        freed = await connection.execute(_UNBUFFER, {"left": left})
        await wakes.ask_waiting(connection, set(freed.scalars()))
        await connection.execute(_RESOLVE_STALE, {"source_id": source.source_id, "left": left})
    await connection.execute(_DOUBT, values)
    await connection.execute(_TAKE, values)


def _fault(source: FeedSource, node_id: str, known: set[str], taken: dict[str, str]) -> Fault | None:
    code = next((code for code, each in source.nodes.items() if each == node_id), "")
    pointer = f"/nodes/{code.replace('~', '~0').replace('/', '~1')}" if code else "/node_id"
    if node_id not in known:
        return Fault(pointer=pointer, code="unknown_node", message=f"there is no node {node_id}")
    if node_id in taken:
        message = f"{taken[node_id]} speaks for the stock of {node_id}: a node has one source"
        return Fault(pointer=pointer, code="other_source", message=message)
    return None


async def read_source(connection: AsyncConnection, source_id: str) -> FeedSource:
    """A source's definition.

    Raises:
        NotFound: there is no such source.
    """
    definition = (await connection.execute(_SOURCE, {"source_id": source_id})).scalar_one_or_none()
    if definition is None:
        raise NotFound(f"there is no feed source {source_id}", source_id=source_id)
    return FeedSource.model_validate(definition)


async def list_sources(connection: AsyncConnection, source_id: str = "") -> list[KnownSource]:
    """Every source, or the one, with the freshness of its nodes."""
    rows = await connection.execute(_SOURCES, {"source_id": source_id})
    return [KnownSource.model_validate(dict(row._mapping)) for row in rows]


async def list_runs(connection: AsyncConnection, source_id: str = "", limit: int = 20) -> list[FeedRun]:
    """The latest runs, of one source or of all."""
    rows = await connection.execute(_RUNS, {"source_id": source_id, "limit": limit})
    return [run_of(row) for row in rows]


async def read_run(connection: AsyncConnection, run_id: str) -> FeedRun:
    """One run.

    Raises:
        NotFound: there is no such run.
    """
    row = (await connection.execute(_RUN, {"run_id": run_id})).first()
    if row is None:
        raise NotFound(f"there is no run {run_id}", run_id=run_id)
    return run_of(row)


async def refusals(database: Database, run_id: str) -> AsyncIterator[Sequence[RefusedRow]]:
    """The refused rows of a run, in the order of the file, some at a time: there may be as many as rows."""
    async with database.transaction() as connection:
        rows = await connection.stream(_REFUSALS, {"run_id": run_id})
        async for part in rows.partitions(1000):
            yield [RefusedRow.model_validate(dict(row._mapping)) for row in part]


def run_of(row: Any) -> FeedRun:
    """A row of ``feed_run`` as a message."""
    return FeedRun.model_validate({name: value for name, value in row._mapping.items() if name in FeedRun.model_fields})


def is_later(as_of: datetime, control_no: str | None, last_as_of: datetime | None, last_control_no: str | None) -> bool:
    """Whether a file comes after the last one applied: by the moment of its figures, then by its control number."""
    if last_as_of is None or as_of > last_as_of:
        return True
    same = as_of == last_as_of
    return same and (control_no is None or last_control_no is None or control_no >= last_control_no)
