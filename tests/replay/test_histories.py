"""Every stored history, closed and open, replays against today's code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.histories import load, replay

STORED = sorted((Path(__file__).parent / "histories").glob("*.json.gz"))


def test_enough_paths_are_stored() -> None:
    assert len(STORED) >= 50


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name.partition(".")[0])
async def test_a_stored_history_replays(path: Path) -> None:
    await replay(load(path))
