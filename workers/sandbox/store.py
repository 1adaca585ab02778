"""The sandbox's one SQLite file: what was received, what was done, what is known, what is still to do.

Nothing is answered before it is committed, so that a killed sandbox has done exactly what its log says. Commits
are shared: everything written within a few milliseconds is committed together.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

GROUP_SECONDS = 0.002

_SCHEMA = """
CREATE TABLE IF NOT EXISTS effect (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, partner TEXT NOT NULL, effect TEXT NOT NULL, business_key TEXT NOT NULL,
  reference TEXT NOT NULL, amount INTEGER, at REAL NOT NULL, body_hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS request (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, partner TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
  reference TEXT NOT NULL, at REAL NOT NULL, body_hash TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS effect_kept BEFORE DELETE ON effect BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS effect_fixed BEFORE UPDATE ON effect BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS request_kept BEFORE DELETE ON request BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS request_fixed BEFORE UPDATE ON request BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TABLE IF NOT EXISTS answer (
  partner TEXT, family TEXT, reference TEXT, fingerprint TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (partner, family, reference)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS action (
  id INTEGER PRIMARY KEY AUTOINCREMENT, due REAL NOT NULL, name TEXT NOT NULL, partner TEXT NOT NULL,
  reference TEXT NOT NULL, payload TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS action_subject ON action (partner, reference);
CREATE TABLE IF NOT EXISTS authorization (
  id TEXT PRIMARY KEY, partner TEXT NOT NULL, token TEXT NOT NULL, currency TEXT NOT NULL, amount INTEGER NOT NULL,
  captured INTEGER NOT NULL DEFAULT 0, refunded INTEGER NOT NULL DEFAULT 0, voided INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS first_decline (token TEXT PRIMARY KEY, reference TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quote (
  quote_id TEXT PRIMARY KEY, partner TEXT NOT NULL, service TEXT NOT NULL, price INTEGER NOT NULL,
  expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS label (
  label_id TEXT PRIMARY KEY, partner TEXT NOT NULL, reference TEXT NOT NULL, tracking_no TEXT NOT NULL,
  state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS job (
  partner TEXT, reference TEXT, kind TEXT NOT NULL, state TEXT NOT NULL, behaviour TEXT NOT NULL,
  packages INTEGER NOT NULL, awaiting INTEGER NOT NULL, PRIMARY KEY (partner, reference)) WITHOUT ROWID;
-- Apart from the job, because a thousand labels change the job and these may be a megabyte.
CREATE TABLE IF NOT EXISTS job_content (
  partner TEXT, reference TEXT, kind TEXT, body TEXT NOT NULL, PRIMARY KEY (partner, reference, kind));
CREATE TABLE IF NOT EXISTS job_label (
  partner TEXT, reference TEXT, package_no INTEGER, body TEXT NOT NULL, together TEXT NOT NULL,
  PRIMARY KEY (partner, reference, package_no)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shared_parcel (
  partner TEXT, consolidation TEXT, parcel_no INTEGER, weight_g INTEGER NOT NULL,
  PRIMARY KEY (partner, consolidation, parcel_no)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shelf (
  partner TEXT, channel TEXT, sku TEXT, available INTEGER NOT NULL, coming TEXT NOT NULL, sequence INTEGER NOT NULL,
  PRIMARY KEY (partner, channel, sku)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node_stock (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, sku TEXT NOT NULL, units INTEGER NOT NULL,
  why TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS node_stock_sku ON node_stock (node, sku);
CREATE TABLE IF NOT EXISTS setting (kind TEXT, name TEXT, value TEXT NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
"""


class Action(NamedTuple):
    """Something that will happen."""

    id: int
    due: float
    name: str
    partner: str
    reference: str
    payload: str
    attempts: int


class Store:
    """The file. Everything but :meth:`commit` is synchronous and takes microseconds."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        # NORMAL outlives kill -9 of this process (the pages are the system's by then), which is what is tested.
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=5000;")
        self._db.executescript(_SCHEMA)
        self._flush: asyncio.Future[None] | None = None

    def execute(self, sql: str, *values: Any) -> int:
        """Run one writing statement; returns how many rows it changed."""
        self._begin()
        return self._db.execute(sql, values).rowcount

    def insert(self, sql: str, *values: Any) -> int:
        """Run one INSERT; returns the new row's id."""
        self._begin()
        return self._db.execute(sql, values).lastrowid or 0

    def one(self, sql: str, *values: Any) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        return self._db.execute(sql, values).fetchall()

    @contextmanager
    def unit(self) -> Iterator[None]:
        """All of the writes inside or, after an error, none. Must not await."""
        self._begin()
        self._db.execute("SAVEPOINT unit")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK TO unit")
            raise
        finally:
            self._db.execute("RELEASE unit")

    async def commit(self) -> None:
        """Return once everything written so far is durable."""
        if not self._db.in_transaction:
            return
        if self._flush is None:
            loop = asyncio.get_running_loop()
            self._flush = loop.create_future()
            loop.call_later(GROUP_SECONDS, self._commit_group)
        await asyncio.shield(self._flush)

    def close(self) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT")
        self._db.close()

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def _commit_group(self) -> None:
        flush, self._flush = self._flush, None
        assert flush is not None
        try:
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            flush.set_exception(error)
        else:
            flush.set_result(None)
