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
from shared.database import partner_stock, reconciliation, rises
from shared.database.engine import Database, around_races
from shared.database.partner_stock import NodeCompared
from shared.database.reconciliation import Break
from shared.errors import GatewayError
from shared.gateways.directory import Gateways
from shared.messages import ReconcileResult, ReconcileStep
from shared.order_processes import OrderProcesses
from shared.wakes_client import Processes, tell, tell_waiting

#: Processes and nodes asked at a time.
_AT_ONCE = 8
_PAGE = 5_000
#: How far another clock may be ahead of ours: a partner's further ahead says nothing of the moment of its figures.
_SKEW = timedelta(minutes=1)
_FAILED = (WorkflowExecutionStatus.FAILED, WorkflowExecutionStatus.TIMED_OUT)
#: What is not over: an order that rolled over goes on in another run.
_ALIVE = (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW)


class Comparisons(ComparisonActivities):
    """The comparisons. Each may be cut off and repeated, or run twice at once, and comes to the same.

    What they make free goes to the orders that wait, whose processes ``doms`` wakes.
    """

    def __init__(self, database: Database, gateways: Gateways, processes: OrderProcesses, doms: Processes) -> None:
        self._database = database
        self._gateways = gateways
        self._processes = processes
        self._doms = doms

    # --- processes ----------------------------------------------------------------------------------------

    @activity.defn(name="comparisons.compare_processes")
    async def compare_processes(self, step: ReconcileStep) -> ReconcileResult:
        """Compare open orders with running processes; restart those that are gone, release what ended orders hold."""
        async with beating():
            before = step.started_at - step.resend_after
            running = {order_id async for order_id in self._processes.running()}
            checked, without = await self._without_process(running, before)
            left, unknown = await self._without_order(running, before)
            missing, ended = await self._gone(without)
            breaks = {
                "recon.process_missing": [_break(order_id) for order_id in missing],
                "recon.process_ended": [_break(order_id, status.name) for order_id, status in ended.items()],
                "recon.process_left": [_break(order_id) for order_id in left],
                "recon.process_unknown": [Break(reference=order_id) for order_id in unknown],
            }
            for kind, found in breaks.items():
                async with self._database.transaction() as connection:
                    await reconciliation.keep_breaks(connection, kind, found, run_id=step.run_id)
            failed = [order_id for order_id, status in ended.items() if status in _FAILED]
            repaired = await self._restart([*missing, *failed]) + await self._release()
        count = sum(map(len, breaks.values()))
        return ReconcileResult(
            run_id=step.run_id, checked={"processes": checked + len(running)}, breaks=count, repaired=repaired
        )

    async def _without_process(self, running: set[str], before: datetime) -> tuple[int, list[str]]:
        """How many orders are open, and those that no running process is listed for."""
        count, after = 0, ""
        without: list[str] = []
        while True:
            async with self._database.reading() as connection:
                page = await reconciliation.open_orders(connection, before=before, after=after, limit=_PAGE)
            if not page:
                return count, without
            count, after = count + len(page), page[-1]
            without += (order_id for order_id in page if order_id not in running)

    async def _gone(self, suspects: Sequence[str]) -> tuple[list[str], dict[str, WorkflowExecutionStatus]]:
        """Of orders that no process is listed for: those that have none, and those whose process is over.

        The list may be behind, so each is asked for itself; and an order may have ended meanwhile.
        """
        found = dict(zip(suspects, await self._ask(suspects), strict=True))
        dead = [order_id for order_id, status in found.items() if status not in _ALIVE]
        async with self._database.reading() as connection:
            over = await reconciliation.not_open(connection, dead, before=datetime.now(UTC) + _SKEW) if dead else {}
        dead = [order_id for order_id in dead if order_id not in over]
        ended = {order_id: status for order_id in dead if (status := found[order_id]) is not None}
        return [order_id for order_id in dead if found[order_id] is None], ended

    async def _without_order(self, running: set[str], before: datetime) -> tuple[list[str], list[str]]:
        """Processes that still run although their order is over for a while, or although nobody knows it."""
        suspects: dict[str, bool] = {}
        for page in _pages(sorted(running)):
            async with self._database.reading() as connection:
                suspects |= await reconciliation.not_open(connection, page, before=before)
        statuses = dict(zip(suspects, await self._ask(list(suspects)), strict=True))
        alive = {order_id: known for order_id, known in suspects.items() if statuses[order_id] in _ALIVE}
        return [o for o, known in alive.items() if known], [o for o, known in alive.items() if not known]

    async def _ask(self, order_ids: Sequence[str]) -> list[WorkflowExecutionStatus | None]:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(order_id: str) -> WorkflowExecutionStatus | None:
            async with limit:
                return await self._processes.status(order_id)

        return await asyncio.gather(*(one(order_id) for order_id in order_ids))

    async def _restart(self, order_ids: Sequence[str]) -> int:
        done = 0
        for order_id in order_ids:
            try:
                await self._processes.restart(order_id)
            except Exception as error:
                activity.logger.warning("%s not started, the next run tries again: %s", order_id, error)
            else:
                done += 1
        return done

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


def _break(order_id: str, status: str = "") -> Break:
    return Break(reference=order_id, order_id=order_id, detail={"status": status.lower()} if status else {})


def _pages(order_ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (order_ids[start : start + _PAGE] for start in range(0, len(order_ids), _PAGE))
