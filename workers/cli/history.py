"""The orders a question is asked about: stored ones since a time, or those of a file."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.domain.sourcing.simulation import Replay


async def history_body(orders: str, since: datetime | None) -> bytes:
    """The order documents of a file, - for standard input; nothing when stored orders are meant.

    Raises:
        InvalidInput: both are given, or neither.
    """
    from shared.errors import Fault, InvalidInput

    if bool(orders) == (since is not None):
        raise InvalidInput([Fault(pointer="/orders", code="one_of", message="give either --orders or --since")])
    if orders == "-":
        return sys.stdin.buffer.read()
    return await asyncio.to_thread(Path(orders).read_bytes) if orders else b""


async def read_history(connection: AsyncConnection, body: bytes, since: datetime | None, limit: int) -> Replay:
    """The orders with the network and its stock; the connection's transaction begins with ``AGREEING``."""
    from shared.database import replays
    from shared.intake import read_orders

    if since is None:
        return await replays.documents(connection, read_orders(body, source="auto"), datetime.now(UTC))
    aware = since if since.tzinfo else since.replace(tzinfo=UTC)
    return await replays.stored_orders(connection, aware, limit)
