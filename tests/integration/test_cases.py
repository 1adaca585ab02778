"""Cases as staff see them: what they mean, how old they are, and how they were resolved."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.database import cases
from shared.database.checks import CHECKS
from shared.database.engine import Database
from shared.database.steps import open_case
from shared.domain.cases import EXPLANATIONS, explain
from shared.errors import Conflict, NotFound

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    database = Database(fresh_database_url, pool_size=1)
    async with database.transaction() as connection:
        await open_case(connection, "recon.stock_moves", "n1/s1", None, on_hand=3)
        await open_case(connection, "overdue_shipment", "o/f1", "o", node_id="n1")
    yield database
    await database.close()


async def test_open_cases_are_listed_with_what_they_mean(database: Database) -> None:
    async with database.reading() as connection:
        every = await cases.list_cases(connection)
        recon = await cases.list_cases(connection, kind="recon")
        of_order = await cases.list_cases(connection, order_id="o")
        assert await cases.list_cases(connection, kind="rec") == []
    assert [case.kind for case in every] == ["overdue_shipment", "recon.stock_moves"]
    assert [case.reference for case in recon] == ["n1/s1"]
    assert (recon[0].detail, recon[0].explanation) == ({"on_hand": 3}, explain("recon.stock_moves"))
    assert recon[0].age >= 0
    assert [case.order_id for case in of_order] == ["o"]


async def test_a_case_is_resolved_once_and_by_whom(database: Database) -> None:
    async with database.transaction() as connection:
        (case,) = await cases.list_cases(connection, kind="recon")
        done = await cases.resolve_case(connection, case.case_id, actor="agent-1", resolution="counted again")
    assert done.resolution == "agent-1: counted again"
    async with database.reading() as connection:
        assert [c.case_id for c in await cases.list_cases(connection, resolved=True)] == [case.case_id]
    with pytest.raises(Conflict, match="counted again"):
        async with database.transaction() as connection:
            await cases.resolve_case(connection, case.case_id, actor="agent-2", resolution="again")
    with pytest.raises(NotFound):
        async with database.reading() as connection:
            await cases.find_case(connection, 99)


def test_every_check_says_what_its_break_means() -> None:
    assert [check.name for check in CHECKS if check.case_kind not in EXPLANATIONS] == []


def test_every_case_that_is_opened_says_what_it_means() -> None:
    opened = _named(r'open_case\(\s*connection,\s*"([^"]+)"', "shared/database")
    by_processes = _named(r'(?:needs_person\(|_open_case\(|why = )f?"([a-z_ ]+)', "workflows")
    assert (len(opened) > 4, len(by_processes) > 4) == (True, True)
    assert {kind for kind in opened | by_processes if kind not in EXPLANATIONS} == set()


def _named(pattern: str, folder: str) -> set[str]:
    return set(re.findall(pattern, "\n".join(path.read_text() for path in (ROOT / folder).glob("*.py"))))
