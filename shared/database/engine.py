"""Connections to the facts: one engine a process, one transaction a step."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pydantic_core import to_json
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

#: Postgres defaults to waiting for ever; nothing of ours does.
_SESSION = "-c statement_timeout=60000 -c lock_timeout=20000 -c idle_in_transaction_session_timeout=30000"
_SERIALIZATION_FAILURE, _DEADLOCK = "40001", "40P01"


class LostRace(Exception):
    """Others were faster: the same transaction, run again, will do."""


def driver_url(url: str) -> str:
    """The SQLAlchemy address for a plain ``postgresql://`` one."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else url


def _dumps(value: Any) -> str:
    return to_json(value).decode()


class Database:
    """The pool of connections of one process."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.engine: AsyncEngine = create_async_engine(
            driver_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            pool_pre_ping=False,
            json_serializer=_dumps,
            json_deserializer=json.loads,
            connect_args={"options": _SESSION, "connect_timeout": 5, "application_name": "doms"},
        )
        #: The same pool; each statement is a transaction of its own, without the round trips of BEGIN and COMMIT.
        self._each = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        async with self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """One connection for a step that is a single statement: it is committed with it."""
        async with self._each.connect() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """One connection for reads, each of which sees what is committed when it begins."""
        async with self._each.connect() as connection:
            yield connection

    async def close(self) -> None:
        await self.engine.dispose()


def is_lost_race(error: BaseException) -> bool:
    """As ``LostRace``, a serialization failure or a deadlock."""
    return isinstance(error, LostRace) or (
        isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in (_SERIALIZATION_FAILURE, _DEADLOCK)
    )


def is_unreachable(error: BaseException) -> bool:
    """The server is gone or going; whether the last commit took effect is not known."""
    return isinstance(error, OperationalError | InterfaceError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


def around_races() -> AsyncRetrying:
    """Retries for one database transaction that is safe to repeat: ``async for attempt in around_races()``."""
    return _around(is_lost_race)


def around_faults() -> AsyncRetrying:
    """As ``around_races``, and also when the connection is lost: a repeat must find what was committed, if it was."""
    return _around(lambda error: is_lost_race(error) or is_unreachable(error))


def _around(fault: Callable[[BaseException], bool]) -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception(fault),
        wait=wait_random_exponential(multiplier=0.02, max=1),
        stop=stop_after_attempt(8),
        reraise=True,
    )
