"""Bring a database to the newest schema. Safe to run again and from several processes at once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from shared.database.engine import driver_url

#: Any number, the same in every process: the advisory lock that lets one migration run at a time.
_ONE_AT_A_TIME = 7_301_044


def upgrade(url: str) -> None:
    """Run every migration the database has not seen.

    Raises:
        sqlalchemy.exc.OperationalError: the database cannot be reached.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = create_engine(driver_url(url))
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
