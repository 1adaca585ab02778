"""The facts compared with themselves, and what a crash left behind taken up again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from temporalio import activity

from activities.beating import beating
from shared.contracts import ReconciliationActivities
from shared.database import inbox, reconciliation, wakes
from shared.database.checks import CHECKS, Check
from shared.database.engine import Database, around_races
from shared.database.inbox import WakeUp
from shared.database.wakes import AskedWake
from shared.errors import NotFound
from shared.messages import ReconcileResult, ReconcileStep, ReturnInput, Wake
from shared.wakes_client import tell, tell_waiting

#: Processes started or signalled at a time.
_AT_ONCE = 8

K = TypeVar("K")
T = TypeVar("T")


class Resume(Protocol):
    """What takes a process up again; ``shared.client.Doms`` does. Each is safe to repeat."""

    async def wake(self, workflow_id: str, wake: Wake) -> bool: ...
    async def resume_order(self, order_id: str) -> None: ...
    async def resume_return(self, opened: ReturnInput) -> None: ...


class Reconciliation(ReconciliationActivities):
    """The reconciliation activities over the database and the running processes."""

    def __init__(self, database: Database, resume: Resume) -> None:
        self._database = database
        self._resume = resume

    @activity.defn(name="reconciliation.check_facts")
    async def check_facts(self, step: ReconcileStep) -> ReconcileResult:
        """Run every check, each in a transaction of its own."""
        async with beating():
            async with self._database.reading() as connection:
                known = await reconciliation.find_run(connection, step.run_id)
            if known is not None:
                return known
            checked: dict[str, int] = {}
            breaks = 0
            for check in CHECKS:
                found = await self._run(check, step)
                checked[check.name] = found.checked
                breaks += 0 if check.late else found.breaks
            result = ReconcileResult(run_id=step.run_id, checked=checked, breaks=breaks)
            async with self._database.transaction() as connection:
                await reconciliation.keep_run(connection, result, step.started_at)
            return result

    async def _run(self, check: Check, step: ReconcileStep) -> reconciliation.Found:
        async for attempt in around_races():
            with attempt:
                async with self._database.transaction() as connection:
                    return await reconciliation.run_check(
                        connection, check, run_id=step.run_id, started_at=step.started_at
                    )
        raise AssertionError("a retry either returns or raises")

    @activity.defn(name="reconciliation.resume_stragglers")
    async def resume_stragglers(self, step: ReconcileStep) -> ReconcileResult:
        """Send lost wake-ups again, and start the processes of orders and returns that have none."""
        older_than = step.resend_after.total_seconds()
        async with beating():
            counts = {
                "wake_ups": await self._send_wake_ups(older_than) + await self._tell_owed(older_than),
                "orders": await self._start_orders(older_than),
                "returns": await self._start_returns(older_than),
            }
        return ReconcileResult(run_id=step.run_id, repaired=sum(counts.values()), checked=counts)

    async def _send_wake_ups(self, older_than: float) -> int:
        unheard = self._pages(
            inbox.unsignalled, older_than, lambda wake_up: (wake_up.partner_id, wake_up.message_id), after=("", "")
        )
        return sum([await _each(page, self._send) async for page in unheard])

    async def _send(self, wake_up: WakeUp) -> None:
        heard = await self._resume.wake(wake_up.workflow_id, wake_up.wake)
        async with self._database.statement() as connection:
            settled = await inbox.mark_signalled(connection, wake_up, heard=heard)
        if not settled:
            raise NotFound(f"{wake_up.workflow_id} does not run although its order is open, or was started anew")

    async def _tell_owed(self, older_than: float) -> int:
        """Tell who is to look again and was not told, because whoever was about to died."""
        async with self._database.statement() as connection:
            await wakes.forget_moot(connection, older_than=older_than)
        owed = self._pages(wakes.untold, older_than, lambda asked: asked.wake_id, after=0)
        return sum([await _each(page, self._tell_one) async for page in owed])

    async def _tell_one(self, asked: AskedWake) -> None:
        if asked.sku is not None:
            await tell_waiting(self._database, self._resume, [asked.sku])
        elif asked.order_id is not None:
            await tell(self._database, self._resume, [asked.order_id], wake=asked.wake)

    async def _start_orders(self, older_than: float) -> int:
        orders = self._pages(reconciliation.orders_without_verdict, older_than, lambda order_id: order_id, after="")
        return sum([await _each(page, self._resume.resume_order) async for page in orders])

    async def _start_returns(self, older_than: float) -> int:
        returns = self._pages(
            reconciliation.returns_without_judgement, older_than, lambda opened: opened.return_id, after=""
        )
        return sum([await _each(page, self._resume.resume_return) async for page in returns])

    async def _pages(
        self, read: Callable[..., Awaitable[Sequence[T]]], older_than: float, key: Callable[[T], K], *, after: K
    ) -> AsyncIterator[Sequence[T]]:
        """All that ``read`` finds: each page is behind the last key of the one before, whatever became of that."""
        while True:
            async with self._database.reading() as connection:
                page = await read(connection, older_than=older_than, after=after)
            if not page:
                return
            after = key(page[-1])
            yield page


async def _each(page: Sequence[T], resume: Callable[[T], Awaitable[None]]) -> int:
    """Resume each; returns how many it worked for. One that cannot be resumed does not stop the others."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(subject: T) -> bool:
        async with limit:
            try:
                await resume(subject)
            except Exception as error:
                activity.logger.warning("not resumed, the next run tries again: %s", error)
                return False
            return True

    return sum(await asyncio.gather(*(one(subject) for subject in page)))
