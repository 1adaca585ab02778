"""The file that a source sent last, when what it said needs no second look where the next one says the same.

What that file said was resolved and booked. It still holds where nothing else was booked of the position since, unless
the source means something else by it now, an offer has changed, or something is held back of old figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import BinaryIO

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.copying import copied_text, copy_in
from shared.database.feed_runs import bring_back
from shared.domain.feeds import CsvTemplate, FeedSource, Freshness, freshness
from shared.gateways.feeds.figures import FeedFile, feed_file
from shared.gateways.feeds.repeats import Item, Lookout, can_repeat, said
from shared.messages.feeds import FeedRun

#: Read before anything it is compared with: what changes from now on makes a difference, whoever sees it first.
_GROUND = text("""
    SELECT s.defined_at, o.version AS offers, CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS horizon
    FROM feed_source s, offer_version o WHERE s.source_id = :source_id
""")
_STAND_ON = text("""
    UPDATE feed_run SET defined_at = :defined_at, offers = :offers, horizon = CAST(:horizon AS xid8)
    WHERE run_id = :run_id
""")
_LAST = text("""
    SELECT r.run_id, r.as_of, CAST(r.horizon AS text) AS horizon
    FROM feed_source s JOIN feed_run r ON r.run_id = s.last_run
    WHERE s.source_id = :source_id AND r.status = 'applied' AND r.floored = 0
      AND r.defined_at = :defined_at AND r.offers = :offers
      AND EXISTS (SELECT FROM feed_chunk c WHERE c.run_id = r.run_id)
      AND NOT EXISTS (SELECT FROM stock_source n WHERE n.node_id = ANY(r.node_ids) AND n.state <> 'fresh')
""")
_REFUSED = text("SELECT row FROM feed_refusal WHERE run_id = :run_id")
#: Positions at which something else was booked since, by the figures' moment or by what was not committed yet.
_MOVED = text("""
    CREATE TEMP TABLE feed_doubt ON COMMIT DROP AS
    SELECT node_id, sku FROM stock_move
    WHERE on_hand <> 0 AND cause <> 'feed' AND at > :as_of AND node_id = ANY(:node_ids)
    UNION
    SELECT node_id, sku FROM stock_move
    WHERE on_hand <> 0 AND cause <> 'feed' AND tx >= CAST(:horizon AS xid8) AND node_id = ANY(:node_ids)
""")
_OWN = text("SELECT node_id, sku AS number FROM feed_doubt")
_PARTNERS = text("""
    SELECT node_id, o.partner_sku AS number FROM feed_doubt JOIN source_offer o USING (node_id, sku)
""")
_GONE = text("CREATE TEMP TABLE feed_gone (node_id text, number text) ON COMMIT DROP")
_DOUBT_OWN = text("INSERT INTO feed_doubt SELECT node_id, number FROM feed_gone")
_DOUBT_PARTNERS = text("""
    INSERT INTO feed_doubt
    SELECT g.node_id, o.sku FROM feed_gone g
    JOIN source_offer o ON o.node_id = g.node_id AND o.partner_sku = g.number
""")


class Repeats:
    """What a run is compared with.

    Attributes:
        lookout: Tells which of its rows are to be looked at. Positions it names nowhere that may have to change are
            in ``feed_doubt`` after ``doubt_what_is_gone``.
    """

    def __init__(self, source: FeedSource, last: FeedFile, file: BinaryIO, lookout: Lookout) -> None:
        self._source, self._last, self._file, self.lookout = source, last, file, lookout

    async def doubt_what_is_gone(self, connection: AsyncConnection) -> None:
        """Note what the last file named and this one, which is read, does not."""
        self._file.seek(0)
        await connection.execute(_GONE)
        await copy_in(connection, "COPY feed_gone FROM STDIN", _lines(self.lookout.gone(self._last, self._file)))
        await connection.execute(_DOUBT_OWN if _names_own(self._source) else _DOUBT_PARTNERS)


async def find_repeats(
    connection: AsyncConnection, run: FeedRun, source: FeedSource, file: BinaryIO, now: datetime
) -> Repeats | None:
    """The last file of a run's source, written to ``file``, if the run's own can be compared with it.

    What the next one's comparison takes is kept with the run, which must have claimed the source.
    """
    ground = dict((await connection.execute(_GROUND, {"source_id": source.source_id})).one()._mapping)
    await connection.execute(_STAND_ON, ground | {"run_id": run.run_id})
    last = (await connection.execute(_LAST, ground | {"source_id": source.source_id})).first()
    if not can_repeat(source) or last is None or freshness(source, last.as_of, now) is not Freshness.FRESH:
        return None
    since = {"as_of": last.as_of, "horizon": last.horizon, "node_ids": sorted(source.node_ids)}
    await connection.execute(_MOVED, since)
    moved = await connection.execute(_OWN if _names_own(source) else _PARTNERS)
    wanted = [Item(row.node_id, row.number) for row in moved]
    refused = list((await connection.execute(_REFUSED, {"run_id": last.run_id})).scalars())
    await bring_back(connection, last.run_id, file)
    reading = feed_file(source)
    told = await asyncio.to_thread(said, source, reading, file, refused)
    return Repeats(source, reading, file, Lookout(source, told, wanted))


def _names_own(source: FeedSource) -> bool:
    return isinstance(source.reading, CsvTemplate) and source.reading.sku is not None


def _lines(items: Iterable[Item]) -> Iterator[bytes]:
    return (f"{copied_text(item.node_id)}\t{copied_text(item.number)}\n".encode() for item in items)
