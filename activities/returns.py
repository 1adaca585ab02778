"""A return's facts, and the node that receives it."""

from __future__ import annotations

from temporalio import activity

from shared.client import Doms
from shared.contracts import ReturnActivities
from shared.database import returns
from shared.database.engine import Database, around_races
from shared.errors import PartnerRefused
from shared.gateways.directory import Gateways
from shared.messages import CallOutcome, ReturnOutcome, ReturnStep, ReturnVerdict
from shared.wakes_client import tell_waiting


class Returns(ReturnActivities):
    """The return activities over the database and the receiving nodes.

    With ``doms``, orders that wait for what came back are woken.
    """

    def __init__(self, database: Database, gateways: Gateways, doms: Doms | None = None) -> None:
        self._database = database
        self._gateways = gateways
        self._doms = doms

    @activity.defn(name="returns.judge")
    async def judge(self, step: ReturnStep) -> ReturnVerdict:
        async with self._database.transaction() as connection:
            return await returns.judge_return(connection, step)

    @activity.defn(name="returns.approve")
    async def approve(self, step: ReturnStep) -> ReturnVerdict:
        async with self._database.transaction() as connection:
            return await returns.decide_return(connection, step, approve=True)

    @activity.defn(name="returns.decline")
    async def decline(self, step: ReturnStep) -> ReturnVerdict:
        async with self._database.transaction() as connection:
            return await returns.decide_return(connection, step, approve=False)

    @activity.defn(name="returns.announce")
    async def announce(self, step: ReturnStep) -> CallOutcome:
        async with self._database.reading() as connection:
            announcement = await returns.read_announcement(connection, step.return_id)
        node = self._gateways.fulfillment(announcement.partner_id)
        try:
            if activity.info().attempt == 1 or not await node.find_return(step.return_id):
                await node.expect_return(announcement.request)
        except PartnerRefused as error:
            return CallOutcome(done=False, reason=str(error)[:200])
        return CallOutcome(done=True)

    @activity.defn(name="returns.settle")
    async def settle(self, step: ReturnStep) -> CallOutcome:
        async for attempt in around_races():
            with attempt:
                async with self._database.transaction() as connection:
                    outcome = await returns.settle_return(connection, step)
        if self._doms is not None:
            async with self._database.reading() as connection:
                restocked = await returns.restocked_items(connection, step.return_id)
            await tell_waiting(self._database, self._doms, restocked)
        return outcome

    @activity.defn(name="returns.close")
    async def close(self, step: ReturnStep) -> ReturnOutcome:
        async with self._database.transaction() as connection:
            return await returns.close_return(connection, step)
