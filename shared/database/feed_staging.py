"""A file's rows resolved to positions, in key order, and the rows that cannot be, with the reason.

The rows are copied as they are read, so a file of any length takes little memory. All of it is one transaction:
a file is staged whole, or not at all.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from tempfile import TemporaryFile
from typing import BinaryIO

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.copying import copied_text, copy_in
from shared.database.feed_moves import BUFFER, differs
from shared.database.feed_reading import read_rows, rows_read
from shared.database.feed_repeats import Repeats, find_repeats
from shared.database.feed_runs import refuse, stage_table
from shared.database.feeds import is_later, run_of
from shared.domain.feeds import FeedSource, OurOrders, buffer_of, freshness
from shared.gateways.feeds.figures import FeedFile, UnreadableError, feed_file
from shared.messages.feeds import FeedRun

#: Clocks differ; figures of a later moment than this would keep every next file out.
_AHEAD = timedelta(minutes=5)

#: A million rows may take more than a step may. Hash tables that fit the processor's cache are the fastest, and no
#: statement here is worth compiling.
_SETTINGS = text("""
    SELECT set_config('statement_timeout', '10min', true), set_config('jit', 'off', true),
           set_config('work_mem', '8MB', true), set_config('default_statistics_target', '10', true)
""")
#: Item numbers that several items of a node share: nobody can say which of them is meant.
_AMBIGUOUS = """
    CREATE TEMP TABLE feed_ambiguous ON COMMIT DROP AS
    SELECT node_id, partner_sku FROM source_offer WHERE node_id = ANY(:node_ids) {asked}
    GROUP BY node_id, partner_sku HAVING count(*) > 1
"""
_ASKED = "AND partner_sku IN (SELECT r.partner_sku FROM ({rows}) AS r)"
_OFFER = """
    LEFT JOIN feed_ambiguous a ON a.node_id = r.node_id AND a.partner_sku = r.partner_sku
    LEFT JOIN source_offer o ON a.partner_sku IS NULL AND o.node_id = r.node_id AND o.partner_sku = r.partner_sku
"""
_OTHER_OFFER = """
    LEFT JOIN LATERAL (
        SELECT f.sku FROM unnest(r.others) WITH ORDINALITY AS u(number, n)
        JOIN source_offer f ON f.node_id = r.node_id AND f.partner_sku = u.number
        WHERE NOT EXISTS (SELECT FROM feed_ambiguous a WHERE a.node_id = f.node_id AND a.partner_sku = f.partner_sku)
        ORDER BY u.n LIMIT 1
    ) x ON o.sku IS NULL AND r.others IS NOT NULL
"""
_FOUND = """
    CREATE TEMP TABLE feed_found ON COMMIT DROP AS
    SELECT r.row, r.node_id, {sku} AS sku, r.quantity FROM ({rows}) AS r {joins}
"""
_PACKS = text("""
    UPDATE feed_found f SET quantity = f.quantity * o.pack_size
    FROM source_offer o WHERE o.node_id = f.node_id AND o.sku = f.sku AND o.pack_size > 1
""")
_WITHOUT_PACK = text("""
    UPDATE feed_found f SET quantity = NULL
    WHERE f.sku IS NOT NULL AND f.quantity IS NOT NULL
      AND NOT EXISTS (SELECT FROM source_offer o WHERE o.node_id = f.node_id AND o.sku = f.sku)
    RETURNING f.row
""")
#: Of several rows of a snapshot about one position the first counts. Numbers are sorted sooner than names, and
#: nearly every file has no two alike.
_AGAIN = text("""
    CREATE TEMP TABLE feed_again ON COMMIT DROP AS
    SELECT row, node_id, sku FROM (
        SELECT row, node_id, sku, row_number() OVER (PARTITION BY node_id, sku ORDER BY row) AS nth
        FROM feed_found
        WHERE sku IS NOT NULL AND quantity IS NOT NULL AND hashtextextended(sku, hashtext(node_id)) IN (
            SELECT hashtextextended(sku, hashtext(node_id)) AS mark FROM feed_found
            WHERE sku IS NOT NULL AND quantity IS NOT NULL GROUP BY mark HAVING count(*) > 1)
    ) AS alike WHERE nth > 1
""")
_SNAPSHOT = """
    SELECT f.node_id, f.sku, f.quantity FROM feed_found f
    WHERE f.sku IS NOT NULL AND f.quantity IS NOT NULL AND NOT EXISTS (SELECT FROM feed_again a WHERE a.row = f.row)
"""
#: Several rows of a delta add up.
_DELTA = """
    SELECT node_id, sku, CAST(sum(quantity) AS bigint) AS quantity FROM feed_found
    WHERE sku IS NOT NULL AND quantity IS NOT NULL GROUP BY node_id, sku
"""
#: What is as the file says, with nothing booked since, is left alone: whatever is booked from now on changes the
#: position and what the file comes to alike.
_STAGE = """
    CREATE TABLE {stage} AS
    SELECT row_number() OVER (ORDER BY node_id, sku) AS n, node_id, sku, quantity, missing, opens FROM (
        SELECT s.node_id, s.sku, s.quantity, false AS missing, p.sku IS NULL AS opens
        FROM ({told}) AS s LEFT JOIN stock_position p ON p.node_id = s.node_id AND p.sku = s.sku
        WHERE p.sku IS NULL OR {differs} OR p.feed_buffer <> {buffer} OR (
            EXISTS (SELECT FROM exception_case WHERE kind = 'stock.below_claims' AND resolved_at IS NULL)
            AND p.node_id || '/' || p.sku IN (
                SELECT reference FROM exception_case WHERE kind = 'stock.below_claims' AND resolved_at IS NULL))
        {missing}
    ) AS s
"""
#: A row that was refused still says that the item is not missing.
_MISSING = """
    UNION ALL SELECT p.node_id, p.sku, 0, true, false FROM stock_position p
    WHERE p.node_id = ANY(:node_ids) AND p.on_hand > 0
      AND NOT EXISTS (SELECT FROM feed_found f WHERE f.node_id = p.node_id AND f.sku = p.sku)
"""
#: Of a file that is not read whole, what repeats the last one is not missing.
_IN_DOUBT = "AND EXISTS (SELECT FROM feed_doubt d WHERE d.node_id = p.node_id AND d.sku = p.sku)"
_REFUSE_FOUND = """
    INSERT INTO feed_refusal (run_id, row, field, code, message)
    SELECT :run_id, r.row, 'item', CASE WHEN a.partner_sku IS NULL THEN 'unknown_item' ELSE 'ambiguous_item' END,
           coalesce(r.partner_sku, r.sku) || CASE WHEN a.partner_sku IS NULL
               THEN ' is no item number of an offer of ' ELSE ' is the number of several items of ' END || r.node_id
    FROM feed_found f JOIN ({rows}) AS r ON r.row = f.row
    LEFT JOIN feed_ambiguous a ON a.node_id = r.node_id AND a.partner_sku = r.partner_sku
    WHERE f.sku IS NULL AND f.quantity IS NOT NULL
"""
_REFUSE_AGAIN = text("""
    INSERT INTO feed_refusal (run_id, row, field, code, message)
    SELECT :run_id, row, 'item', 'duplicate', 'an earlier row is about ' || sku || ' at ' || node_id FROM feed_again
""")
_REFUSE_PACK = text("""
    INSERT INTO feed_refusal (run_id, row, field, code, message)
    SELECT :run_id, row, 'item', 'unknown_pack', 'there is no offer that says how many units a pack has'
    FROM unnest(CAST(:rows AS int[])) AS r(row)
""")
_UNTOLD = text("SELECT row FROM feed_refusal WHERE run_id = :run_id AND line = ''")
_LINES = text("CREATE TEMP TABLE feed_line (row int, line text) ON COMMIT DROP")
_TOLD = text("""
    UPDATE feed_refusal r SET line = l.line FROM feed_line l WHERE r.run_id = :run_id AND r.line = '' AND r.row = l.row
""")
_REPEATED = text("""
    SELECT run_id FROM feed_run
    WHERE source_id = :source_id AND control_no = :control_no AND run_id <> :run_id AND status = 'applied' LIMIT 1
""")
_LAST = text("SELECT as_of, control_no FROM feed_source WHERE source_id = :source_id")
_STAGED = """
    UPDATE feed_run SET status = 'staged', as_of = :as_of, control_no = :control_no,
        rows = :rows,
        refused = (SELECT count(*) FROM feed_refusal WHERE run_id = :run_id),
        node_ids = ARRAY(SELECT node_id FROM feed_found UNION SELECT unnest(CAST(:repeated AS text[]))),
        staged = (SELECT coalesce(max(n), 0) FROM {stage})
    WHERE run_id = :run_id RETURNING *
"""


async def stage(
    connection: AsyncConnection, run: FeedRun, source: FeedSource, file: BinaryIO, now: datetime
) -> FeedRun:
    """Read a run's file into its table of positions; a file that is refused as a whole leaves only the reason.

    The connection's transaction must hold nothing else: all of it is rolled back when the file is refused.
    """
    reading = feed_file(source)
    try:
        with TemporaryFile() as last:
            async with connection.begin_nested():
                await connection.execute(_SETTINGS)
                repeats = await find_repeats(connection, run, source, last, now)
                lookout = repeats.lookout if repeats else None
                rows = await read_rows(connection, run.run_id, source, reading, file, lookout=lookout)
                run = run.model_copy(update={"as_of": reading.as_of or run.as_of, "control_no": reading.control_no})
                await _check_order(connection, run, source, now)
                staged = await _resolve(connection, run, source, reading, file, rows=rows, repeats=repeats, now=now)
    except UnreadableError as error:
        return await refuse(connection, run, error.code, error.message)
    if staged.refused < staged.rows:
        return staged
    await connection.execute(text(f"DROP TABLE {stage_table(run.run_id)}"))
    return await refuse(connection, staged, "nothing_known", f"none of its {staged.rows} rows can be applied")


async def _check_order(connection: AsyncConnection, run: FeedRun, source: FeedSource, now: datetime) -> None:
    """Refuse what came before what is already applied: it would bring back stock that is gone.

    Deltas add up in any order, so only a repeated one is refused.
    """
    values = run.model_dump(include={"run_id", "source_id", "control_no"})
    if run.as_of is None:
        raise UnreadableError("bad_moment", "does not say of which moment its figures are")
    if run.as_of > now + _AHEAD:
        raise UnreadableError("from_the_future", f"its figures are of {run.as_of:%Y-%m-%d %H:%M %Z}, which is to come")
    if run.control_no is not None and (first := (await connection.execute(_REPEATED, values)).scalar()):
        message = f"interchange {run.control_no} was applied before, with other content, in run {first}"
        raise UnreadableError("repeated_control_number", message)
    last = (await connection.execute(_LAST, values)).one()
    if source.kind == "snapshot" and not is_later(run.as_of, run.control_no, last.as_of, last.control_no):
        message = f"is of {run.as_of:%Y-%m-%d %H:%M %Z}; figures of {last.as_of:%Y-%m-%d %H:%M %Z} are applied already"
        raise UnreadableError("older_than_applied", message)


async def _resolve(
    connection: AsyncConnection,
    run: FeedRun,
    source: FeedSource,
    reading: FeedFile,
    file: BinaryIO,
    *,
    rows: int,
    repeats: Repeats | None,
    now: datetime,
) -> FeedRun:
    table = stage_table(run.run_id)
    named = {"codes": list(source.nodes), "code_nodes": list(source.nodes.values()), "node_id": source.node_id}
    values = {"run_id": run.run_id, "node_ids": sorted(source.node_ids)} | named
    found = rows_read(source, reading.columns)
    asked = _ASKED.format(rows=found) if repeats else ""
    await connection.execute(text(_AMBIGUOUS.format(asked=asked)), values)
    await connection.execute(text(_finding(found, reading.columns)), values)
    if source.unit == "pack":
        without = list((await connection.execute(_WITHOUT_PACK)).scalars())
        await connection.execute(_REFUSE_PACK, values | {"rows": without})
        await connection.execute(_PACKS)
    await connection.execute(text("ANALYZE feed_found"))
    if source.kind == "snapshot":
        await connection.execute(_AGAIN)
        await connection.execute(_REFUSE_AGAIN, values)
    await connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    missing = ""
    if source.missing_means_zero:
        missing = _MISSING + (_IN_DOUBT if repeats else "")
        if repeats:
            await repeats.doubt_what_is_gone(connection)
    told = _SNAPSHOT if source.kind == "snapshot" else _DELTA
    differing = _STAGE.format(
        stage=table, told=told, differs=differs(source), buffer=BUFFER.format("p.on_hand"), missing=missing
    )
    held_back = buffer_of(source, freshness(source, run.as_of, now)).model_dump()
    deducted = source.our_orders is OurOrders.DEDUCTED
    await connection.execute(text(differing), values | held_back | {"as_of": run.as_of, "deducted": deducted})
    await connection.execute(text(_REFUSE_FOUND.format(rows=found)), values)
    await _tell_lines(connection, run.run_id, reading, file)
    await connection.execute(text(f"ALTER TABLE {table} ADD PRIMARY KEY (n)"))
    await connection.execute(text(f"ANALYZE {table}"))
    known = values | {"as_of": run.as_of, "control_no": run.control_no, "rows": rows}
    known["repeated"] = sorted(repeats.lookout.node_ids) if repeats else []
    return run_of((await connection.execute(text(_STAGED.format(stage=table)), known)).one())


def _finding(rows: str, columns: tuple[str, ...]) -> str:
    """How the rows' items are found; tables that no column needs are not joined."""
    own, partners = "sku" in columns, bool({"partner_sku", "upc"} & set(columns))
    others = {"partner_sku", "upc"} <= set(columns) or "others" in columns
    joins = ("LEFT JOIN item i ON i.sku = r.sku" if own else "") + (_OFFER if partners else "")
    joins += _OTHER_OFFER if others else ""
    skus = (["i.sku"] if own else []) + (["o.sku"] if partners else []) + (["x.sku"] if others else [])
    return _FOUND.format(sku=f"coalesce({', '.join(skus)}, NULL)", rows=rows, joins=joins)


async def _tell_lines(connection: AsyncConnection, run_id: str, reading: FeedFile, file: BinaryIO) -> None:
    """Give refused rows the text they were written as, from a second look into the file if any need it."""
    wanted = set((await connection.execute(_UNTOLD, {"run_id": run_id})).scalars())
    if not wanted:
        return
    file.seek(0)
    lines = reading.lines(file, wanted)
    await connection.execute(_LINES)
    told = (f"{row}\t{copied_text(line)}\n".encode() for row, line in lines)
    await copy_in(connection, "COPY feed_line FROM STDIN", told)
    await connection.execute(_TOLD, {"run_id": run_id})
