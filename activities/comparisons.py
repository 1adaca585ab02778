"""The facts compared with what others know: the processes in Temporal, and the partners' own books of stock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus

from activities.beating import beating
from shared.contracts import ComparisonActivities
from shared.database import lives, partner_stock, reconciliation, rises
from shared.database.engine import Database, around_races
from shared.database.partner_stock import NodeCompared
from shared.database.reconciliation import Break
from shared.errors import GatewayError
from shared.gateways.directory import Gateways
from shared.messages import ReconcileResult, ReconcileStep
from shared.processes import Processes
from shared.wakes_client import Processes as Wakes
from shared.wakes_client import tell, tell_waiting

#: Processes and nodes asked at a time.
_AT_ONCE = 8
_PAGE = 5_000
#: How far another clock may be ahead of ours: a partner's further ahead says nothing of the moment of its figures.
_SKEW = timedelta(minutes=1)
_FAILED = (WorkflowExecutionStatus.FAILED, WorkflowExecutionStatus.TIMED_OUT)
#: What is not over: a process that rolled over goes on in another run.
_ALIVE = (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW)


class Comparisons(ComparisonActivities):
    """The comparisons. Each may be cut off and repeated, or run twice at once, and comes to the same.

    What they make free goes to the orders that wait, whose processes ``doms`` wakes.

    Args:
        kinds: The processes that are compared with what is open, by kind.
    """

    def __init__(self, database: Database, gateways: Gateways, kinds: Sequence[Processes], doms: Wakes) -> None:
        self._database = database
        self._gateways = gateways
        self._kinds = kinds
        self._doms = doms

    # --- processes ----------------------------------------------------------------------------------------

    @activity.defn(name="comparisons.compare_processes")
    async def compare_processes(self, step: ReconcileStep) -> ReconcileResult:
        """Compare what is open with what runs; restart processes that are gone, release what ended orders hold."""
        async with beating():
            compared = [await self._compare(processes, step) for processes in self._kinds]
            released = await self._release()
        return ReconcileResult(
            run_id=step.run_id,
            checked={"processes": sum(each.checked["processes"] for each in compared)},
            breaks=sum(each.breaks for each in compared),
            repaired=sum(each.repaired for each in compared) + released,
        )

    async def _compare(self, processes: Processes, step: ReconcileStep) -> ReconcileResult:
        before = step.started_at - step.resend_after
        running = {subject async for subject in processes.running()}
        checked, without = await self._without_process(processes, running, before)
        left, unknown = await self._left_over(processes, running, before)
        missing, ended = await self._gone(processes, without)

        def broken(subject: str, status: str = "") -> Break:
            detail = {"status": status.lower()} if status else {}
            return Break(reference=subject, order_id=processes.order_of(subject), detail=detail)

        breaks = {
            "missing": [broken(subject) for subject in missing],
            "ended": [broken(subject, status.name) for subject, status in ended.items()],
            "left": [broken(subject) for subject in left],
            "unknown": [Break(reference=subject) for subject in unknown],
        }
        for what, found in breaks.items():
            async with self._database.transaction() as connection:
                kind = f"recon.{processes.kind}_{what}"
                await reconciliation.keep_breaks(connection, kind, found, run_id=step.run_id)
        failed = [subject for subject, status in ended.items() if status in _FAILED]
        return ReconcileResult(
            run_id=step.run_id,
            checked={"processes": checked + len(running)},
            breaks=sum(map(len, breaks.values())),
            repaired=await _restart(processes, [*missing, *failed]),
        )

    async def _without_process(
        self, processes: Processes, running: set[str], before: datetime
    ) -> tuple[int, list[str]]:
        """How many orders or returns are open, and those that no running process is listed for."""
        count, after = 0, ""
        without: list[str] = []
        while True:
            async with self._database.reading() as connection:
                page = await lives.find_open(connection, processes.lives, before=before, after=after, limit=_PAGE)
            if not page:
                return count, without
            count, after = count + len(page), page[-1]
            without += (subject for subject in page if subject not in running)

    async def _gone(
        self, processes: Processes, suspects: Sequence[str]
    ) -> tuple[list[str], dict[str, WorkflowExecutionStatus]]:
        """Of those that no process is listed for: which have none, and whose process is over.

        The list may be behind, so each is asked for itself; and it may have come to its end meanwhile.
        """
        found = dict(zip(suspects, await _ask(processes, suspects), strict=True))
        dead = [subject for subject, status in found.items() if status not in _ALIVE]
        over = await self._not_open(processes, dead, datetime.now(UTC) + _SKEW)
        dead = [subject for subject in dead if subject not in over]
        ended = {subject: status for subject in dead if (status := found[subject]) is not None}
        return [subject for subject in dead if found[subject] is None], ended

    async def _left_over(
        self, processes: Processes, running: set[str], before: datetime
    ) -> tuple[list[str], list[str]]:
        """What still has a process although it is over for a while, or although nobody knows it."""
        suspects = await self._not_open(processes, sorted(running), before)
        statuses = dict(zip(suspects, await _ask(processes, list(suspects)), strict=True))
        alive = {subject: known for subject, known in suspects.items() if statuses[subject] in _ALIVE}
        return [s for s, known in alive.items() if known], [s for s, known in alive.items() if not known]

    async def _not_open(self, processes: Processes, subjects: Sequence[str], before: datetime) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for page in _pages(subjects):
            async with self._database.reading() as connection:
                found |= await lives.not_open(connection, processes.lives, page, before=before)
        return found

    async def _release(self) -> int:
        """Give back what orders that are over still reserve; returns how many had something."""
        async with self._database.reading() as connection:
            over = await reconciliation.releasable_orders(connection)
        done = 0
        for order_id in over:
            released, served = await rises.give_back(
                self._database, order_id, partial(reconciliation.release_ended, order_id=order_id)
            )
            await tell(self._database, self._doms, served)
            done += bool(released)
        return done

    # --- partners -----------------------------------------------------------------------------------------

    @activity.defn(name="comparisons.compare_partners")
    async def compare_partners(self, step: ReconcileStep) -> ReconcileResult:
        """Compare every partner's own figures of stock with the ledger. One that does not answer is passed over."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(node_id: str, partner_id: str) -> NodeCompared:
            async with limit:
                return await self._compare_node(node_id, partner_id)

        async with beating():
            async with self._database.reading() as connection:
                nodes = await partner_stock.nodes_of_partners(connection)
            done = await asyncio.gather(*(one(*node) for node in nodes))
        return ReconcileResult(
            run_id=step.run_id,
            checked={"partner_stock": sum(each.checked for each in done)},
            breaks=sum(each.breaks for each in done),
            repaired=sum(each.repaired for each in done),
        )

    async def _compare_node(self, node_id: str, partner_id: str) -> NodeCompared:
        try:
            snapshot = await self._gateways.fulfillment(partner_id).stock_snapshot(node_id)
        except GatewayError as error:
            activity.logger.warning("%s did not tell the stock of %s: %s", partner_id, node_id, error)
            return NodeCompared()
        if snapshot is None or snapshot.as_of > datetime.now(UTC) + _SKEW:
            return NodeCompared()
        async for attempt in around_races():
            with attempt:
                async with self._database.transaction() as connection:
                    compared = await partner_stock.compare(connection, snapshot)
        await tell_waiting(self._database, self._doms, compared.more)
        return compared


async def _ask(processes: Processes, subjects: Sequence[str]) -> list[WorkflowExecutionStatus | None]:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(subject: str) -> WorkflowExecutionStatus | None:
        async with limit:
            return await processes.status(subject)

    return await asyncio.gather(*(one(subject) for subject in subjects))


async def _restart(processes: Processes, subjects: Sequence[str]) -> int:
    done = 0
    for subject in subjects:
        try:
            await processes.restart(subject)
        except Exception as error:
            activity.logger.warning("%s not started, the next run tries again: %s", subject, error)
        else:
            done += 1
    return done


def _pages(subjects: Sequence[str]) -> Iterable[Sequence[str]]:
    return (subjects[start : start + _PAGE] for start in range(0, len(subjects), _PAGE))
