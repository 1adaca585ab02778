"""What most integration tests begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.facts import Facts


@pytest.fixture
async def shop(fresh_database_url: str) -> AsyncIterator[Facts]:
    """The facts of one test's own retailer."""
    facts = await Facts.load(fresh_database_url)
    yield facts
    await facts.database.close()
