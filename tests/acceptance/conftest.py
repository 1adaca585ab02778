"""One running system per module of acceptance tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.system import System, system
from workers.stack.temporal import EmbeddedTemporal


@pytest.fixture(scope="module")
async def shop(
    database_url: str, temporal_server: EmbeddedTemporal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """A whole DOMS and its partners; every test brings its own stock and order."""
    home: Path = tmp_path_factory.mktemp("shop")
    async with system(database_url, temporal_server.address, home) as running:
        yield running
