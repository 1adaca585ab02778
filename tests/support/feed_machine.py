"""Steps of the state machine that have to do with feeds: files of sources that count in different ways."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule
from temporalio.testing import ActivityEnvironment

from activities.feeds import Feeds
from shared.database import feeds
from shared.database.engine import Database
from shared.domain.feeds import FeedSource
from shared.feeds_client import take_in
from shared.messages.feeds import FeedRun, FeedRunInput
from tests.support.supply_machine import NODES, SKUS, SupplyMachine

#: How a source may count: its definition, and what the model calls it.
WAYS: dict[str, tuple[dict[str, Any], dict[str, bool]]] = {
    "on hand": ({"counts": "on_hand"}, {}),
    "on hand, whole": ({"counts": "on_hand", "missing_means_zero": True}, {"whole": True}),
    "available": ({"counts": "available"}, {}),
    "available but our orders": ({"counts": "available", "our_orders": "deducted"}, {"deducted": True}),
    "delta": ({"counts": "on_hand", "kind": "delta"}, {"delta": True}),
}


class FeedMachine(SupplyMachine):
    """Files through the activities that take them in, against the model. Each node's source may change its ways."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        super().__init__(runner, database)
        self.files = 0

    @rule(
        data=st.data(),
        node_id=st.sampled_from(NODES),
        way=st.sampled_from(sorted(WAYS)),
        figures=st.dictionaries(st.sampled_from(SKUS), st.integers(0, 9), min_size=1),
    )
    def feed(self, data: st.DataObject, node_id: str, way: str, figures: dict[str, int]) -> None:
        """Of now, or of a moment before what was booked since; each file is handed in twice."""
        settings, meaning = WAYS[way]
        moments: list[tuple[int | None, datetime | None]] = [(None, None), *self.moments]
        moment, at = data.draw(st.sampled_from(moments))
        if meaning.get("delta"):
            figures = {sku: units - 4 for sku, units in figures.items()}
        self.files += 1
        rows = "".join(f"{sku},{units},{self.files}\n" for sku, units in figures.items())
        file, as_of = f"sku,qty,note\n{rows}".encode(), at or datetime.now(UTC)
        moment = moment or self.model.tick()
        first = self.runner.run(self._run(node_id, settings, file, as_of))
        applied = self.model.feed(node_id, figures, moment, **meaning)
        assert (first.status, first.code) == (("applied", "") if applied else ("refused", "older_than_applied"))
        self.happened[f"feed {way}" if applied else "feed refused"] += 1
        self.happened["feed of an earlier moment"] += applied and at is not None
        self.happened["feed changed stock"] += first.changed + first.zeroed > 0
        self.happened["feed stopped at claims"] += first.floored > 0
        again = self.runner.run(self._run(node_id, settings, file, as_of))
        assert (again.status, again.again) == (first.status, applied)

    async def _run(self, node_id: str, settings: dict[str, Any], content: bytes, as_of: datetime) -> FeedRun:
        reading = {"format": "csv", "sku": "sku", "quantity": "qty"}
        source = FeedSource.model_validate(
            {"source_id": f"of-{node_id}", "node_id": node_id, "reading": reading} | settings
        )
        async with self.database.transaction() as connection:
            await feeds.define(connection, source, actor="test")
        name = f"{self.files}.csv"
        run = await take_in(self.database, source, io.BytesIO(content), name=name, as_of=as_of, actor="test")
        request = FeedRunInput(source_id=run.source_id, run_id=run.run_id)
        activities, env = Feeds(self.database, self, {}), ActivityEnvironment()
        for step in (activities.stage, activities.apply, activities.finish):
            if not run.over:
                run = await env.run(step, request)
        return run
