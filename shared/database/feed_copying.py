"""Bytes sent to a COPY statement."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import AsyncConnection as Driver
from sqlalchemy.ext.asyncio import AsyncConnection


async def copy_in(connection: AsyncConnection, statement: str, blocks: Iterator[bytes]) -> None:
    """Send blocks of bytes to a COPY statement."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, Driver)
    async with driver.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for block in blocks:
            await copy.write(block)


def copied_text(value: str) -> str:
    """A text as COPY reads it."""
    escaped = value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return escaped.replace("\x00", "")
