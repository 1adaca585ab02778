"""Bytes sent to and fetched from the database as they are."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import AsyncConnection as Driver
from sqlalchemy.ext.asyncio import AsyncConnection


async def driver_of(connection: AsyncConnection) -> Driver:
    """The driver's own connection, for what SQLAlchemy has no words for."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, Driver)
    return driver


async def copy_in(connection: AsyncConnection, statement: str, blocks: Iterator[bytes]) -> None:
    """Send blocks of bytes to a COPY statement."""
    driver = await driver_of(connection)
    async with driver.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for block in blocks:
            await copy.write(block)


def copied_text(value: str) -> str:
    """A text as COPY reads it."""
    escaped = value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return escaped.replace("\x00", "")
