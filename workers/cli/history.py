"""The orders a question is asked about: all stored ones, those since a time, or those of a file."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.domain.sourcing.simulation import Replay


#: Before any order.
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


async def history_body(orders: str, since: datetime | None) -> bytes | None:
    """The order documents of a file, - for standard input; ``None`` when stored orders are meant.

    Raises:
        InvalidInput: a file and a time are given.
    """
    from shared.errors import Fault, InvalidInput

    if orders and since is not None:
        message = "give --orders for those of a file or --since for stored ones, not both"
        raise InvalidInput([Fault(pointer="/orders", code="one_of", message=message)])
    if orders == "-":
        return sys.stdin.buffer.read()
    return await asyncio.to_thread(Path(orders).read_bytes) if orders else None


async def read_history(connection: AsyncConnection, body: bytes | None, since: datetime | None, limit: int) -> Replay:
    """The orders with the network and its stock; the connection's transaction begins with ``AGREEING``."""
    from shared.database import replays
    from shared.intake import read_orders

    if body is not None:
        return await replays.documents(connection, read_orders(body, source="auto"), datetime.now(UTC))
    first = since or _BEGINNING
    return await replays.stored_orders(connection, first if first.tzinfo else first.replace(tzinfo=UTC), limit)
