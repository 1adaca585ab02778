"""A dirty file comes to the same stock and the same refusals, whether its plain lines are stored or read one by one."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from shared.database.engine import Database
from shared.gateways.feeds import csv_file
from tests.support.feed_desk import Desk
from tests.support.stock import residuals, seed

DIRTY = (
    "item,remark,qty,sku\r\n"
    "A-1,first,7,\r\n"
    "\r\n"
    "A-2,,8,\r\n"
    'A-2,"said ""again""\r\n",9,\r\n'
    "A-9,unknown,1,\r\n"
    "A-9,unknown and wrong,x,\r\n"
    "SHARED,which of them,1,\r\n"
    ",ours,11,s3\r\n"
    "A-3,late,12,\r\n"
    "A-4,fraction,2.5,\r\n"
    "A-5,no cells\r\n"
    ",,3,\r\n"
    "A-6,größer, 6 ,\r\n"
    "A-9,then ours,3,s7\r\n"
    "A-8,no end,4,"
)
TOLD = [
    (5, "item", "duplicate"), (6, "item", "unknown_item"), (7, "quantity", "not_a_number"),
    (8, "item", "ambiguous_item"), (10, "item", "duplicate"), (11, "quantity", "fraction"),
    (12, "", "wrong_number_of_cells"), (13, "partner_sku", "unknown_item"),
]  # fmt: skip
STOCK = {"s1": 7, "s2": 8, "s3": 11, "s4": 10, "s5": 0, "s6": 6, "s7": 3, "s8": 4, "s9": 0}


async def offer(database: Database) -> None:
    """Eight items under their partner's numbers at two nodes, and one number that a further one shares."""
    await seed(database, nodes=2, skus=9, on_hand=10)
    async with database.transaction() as connection:
        await connection.execute(
            text("""
                INSERT INTO source_offer SELECT node_id, 's' || n,
                    CASE WHEN n IN (5, 9) THEN 'SHARED' ELSE 'A-' || n END, 1, 1, 0
                FROM generate_series(1, 9) AS n, unnest(ARRAY['n1', 'n2']) AS v(node_id)
            """)
        )


async def test_plain_lines_are_stored_as_if_they_had_been_read(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(fresh_database_url)
    await offer(database)
    desk, found = Desk(database), []
    reading = {"format": "csv", "partner_sku": "item", "sku": "sku", "quantity": "qty"}
    for node_id in ("n1", "n2"):
        source = await desk.define(source_id=f"of_{node_id}", node_id=node_id, reading=reading, missing_means_zero=True)
        run = await desk.run(source, DIRTY)
        counts: dict[str, Any] = run.model_dump(include={"status", "rows", "refused", "changed", "zeroed", "staged"})
        found.append((await desk.refused(run), await desk.on_hand(node_id), counts))
        monkeypatch.setattr(csv_file, "can_be_plain", lambda *_: False)
    stored, read = found
    assert stored == read
    assert [refusal[:3] for refusal in stored[0]] == TOLD
    assert [line for row, _, _, line in stored[0] if row in (5, 13)] == ['A-2,"said ""again""\r\n",9,', ",,3,"]
    assert stored[1] == STOCK
    assert (stored[2]["rows"], stored[2]["refused"], stored[2]["zeroed"]) == (14, 8, 2)
    async with database.reading() as connection:
        assert not await residuals(connection)
    await database.close()
