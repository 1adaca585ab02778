"""Real servers for the tests: one Postgres and one Temporal per session, one fresh database per test module."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql

from workers.stack.postgres import EmbeddedPostgres, postgres_running
from workers.stack.temporal import EmbeddedTemporal, temporal_running

TEMPLATE = "doms_template"
#: A copied database is 800 files, which a disk takes 0.5 s to make and memory 0.02 s: a minute and more of a session.
_MEMORY = Path("/dev/shm")
#: Bytes that must be free for what the servers of a session write, most of it Postgres' journal.
_ROOM = 4 * 2**30


@contextmanager
def short_home(*, within: Path | None = None) -> Iterator[Path]:
    """Yield a directory that ``nobody`` can enter, as pytest's own, which are private, cannot be for root."""
    home = Path(tempfile.mkdtemp(prefix="doms-", dir=within))
    home.chmod(0o755)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def in_memory() -> Path | None:
    """Where files are kept in memory, if there is such a place, it has room, and programs may be run there."""
    if not os.access(_MEMORY, os.W_OK):
        return None
    place = os.statvfs(_MEMORY)
    free = min(place.f_bavail * place.f_frsize, psutil.virtual_memory().available)
    return None if place.f_flag & os.ST_NOEXEC or free < _ROOM else _MEMORY


@contextmanager
def fresh_database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Yield the URL of a new database copied from a template, and drop it afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _administer(server, "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, template)
    try:
        yield server.url(name)
    finally:
        _administer(server, "DROP DATABASE {} WITH (FORCE)", name)


def _administer(server: EmbeddedPostgres, statement: str, *names: str) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@pytest.fixture
def stack_home() -> Iterator[Path]:
    """An empty home for a stack of the test's own; one at a time, as all stacks prefer the same ports."""
    with (Path(tempfile.gettempdir()) / f"doms-tests-{os.getuid()}.lock").open("a") as turn, short_home() as home:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield home


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """The Postgres of this test session, without fsync."""
    with short_home(within=in_memory()) as home, postgres_running(home, fsync=False) as server:
        yield server


@pytest.fixture(scope="session")
def temporal_server() -> Iterator[EmbeddedTemporal]:
    """The Temporal server of this test session; workflows may have their clocks moved."""
    with short_home(within=in_memory()) as home, temporal_running(home, time_skipping=True) as server:
        yield server


@pytest.fixture(scope="session")
def database_template(postgres_server: EmbeddedPostgres) -> str:
    """The name of a migrated database, which ``database_url`` copies: migrations run once per session."""
    from shared.database.migrate import upgrade

    _administer(postgres_server, "CREATE DATABASE {}", TEMPLATE)
    upgrade(postgres_server.url(TEMPLATE))
    return TEMPLATE


@pytest.fixture(scope="module")
def database_url(postgres_server: EmbeddedPostgres, database_template: str) -> Iterator[str]:
    """The URL of a migrated, empty database of this module's own."""
    with fresh_database(postgres_server, database_template) as url:
        yield url


@pytest.fixture
def fresh_database_url(postgres_server: EmbeddedPostgres, database_template: str) -> Iterator[str]:
    """The URL of a migrated, empty database of one test's own, for tests that count rows or break things."""
    with fresh_database(postgres_server, database_template) as url:
        yield url
