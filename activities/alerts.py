"""Levels of stock: what counts hold back of them, and the alerts they are worth."""

from __future__ import annotations

from temporalio import activity

from activities.beating import beating
from shared.client import Doms
from shared.contracts import AlertActivities
from shared.database import alerts, counts, wakes
from shared.database.engine import Database, around_races
from shared.messages import WatchResult, WatchStep
from shared.wakes_client import tell_waiting


class Alerts(AlertActivities):
    """The alert activities over the database. Repeated, each finds its work done."""

    def __init__(self, database: Database, doms: Doms) -> None:
        self._database = database
        self._doms = doms

    @activity.defn(name="alerts.widen_buffers")
    async def widen_buffers(self, step: WatchStep) -> WatchResult:
        """Bring the buffers to what counts say, and wake the orders that wait for what they give free."""
        async with beating():
            widened = await self._widen(step)
            await tell_waiting(self._database, self._doms, widened.more)
        return WatchResult(buffers=widened.changed)

    async def _widen(self, step: WatchStep) -> counts.Widened:
        async for attempt in around_races():
            with attempt:
                async with self._database.transaction() as connection:
                    widened = await counts.widen_buffers(connection, as_of=step.as_of)
                    await wakes.ask_waiting(connection, widened.more)
        return widened

    @activity.defn(name="alerts.evaluate")
    async def evaluate(self, step: WatchStep) -> WatchResult:
        """Look at every level, a page of items at a time, each in a transaction of its own."""
        done = WatchResult()
        after = ""
        async with beating():
            while True:
                async with self._database.transaction() as connection:
                    page = await alerts.evaluate(connection, as_of=step.as_of, after=after)
                if not page.last:
                    return done
                after = page.last
                done = WatchResult(
                    levels=done.levels + page.levels,
                    raised=done.raised + page.raised,
                    cleared=done.cleared + page.cleared,
                )
