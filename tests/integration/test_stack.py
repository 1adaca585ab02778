"""The embedded servers survive being killed, and keep their port and their data."""

from __future__ import annotations

import psycopg

from tests.support.stack import fresh_database
from workers.stack.postgres import EmbeddedPostgres


def test_each_database_is_fresh(postgres_server: EmbeddedPostgres) -> None:
    with fresh_database(postgres_server, "template1") as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
