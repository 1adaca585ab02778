"""What must agree when a test is over, whatever happened in it."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.database.checks import CHECKS
from shared.database.engine import Database
from shared.database.reconciliation import run_check


async def books_agree(database: Database, *, but: tuple[str, ...] = ()) -> None:
    """Every check of the reconciliation that is not about lateness finds nothing.

    Args:
        but: How the names begin of checks that do not hold, since a part was played by nobody.
    """
    for check in CHECKS:
        if not check.late and not check.name.startswith(but):
            async with database.transaction() as connection:
                found = await run_check(connection, check, run_id="test", started_at=datetime.now(UTC))
            assert not found.breaks, check.name
