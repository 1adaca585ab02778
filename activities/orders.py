"""An order's facts: sourced, cancelled, withdrawn, held, closed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio import activity

from shared import supply_client
from shared.client import Doms
from shared.consolidations_client import form, wake_mates
from shared.contracts import OrderActivities
from shared.database import (
    bindings,
    candidates,
    consolidations,
    holds,
    overdue,
    rises,
    snapshots,
    sourcing,
    steps,
    units,
)
from shared.database.capacity import Full
from shared.database.consolidations import Mate
from shared.database.engine import Database
from shared.database.plans import Draft, committer
from shared.database.sourcing import Network, Question
from shared.domain.capacity import works_of
from shared.domain.releasing import release_at
from shared.domain.sourcing import plan
from shared.domain.sourcing.batches import place_of
from shared.domain.sourcing.models import Snapshot, WantedLine
from shared.domain.sourcing.plans import Plan
from shared.domain.sourcing.timetable import Timetable
from shared.messages import (
    CancelledUnits,
    CancelUnits,
    CatchUp,
    CaughtUp,
    CloseOrder,
    CommandOutcome,
    OrderOutcome,
    RaiseCase,
    RecordHold,
    Separate,
    SourceRequest,
    SourceResult,
    TryReroute,
    Withdraw,
    Withdrawn,
)
from shared.quotes_client import LaneBook
from shared.wakes_client import tell

#: A plan that loses the race for stock or days this often leaves its units waiting; the next attempt comes by itself.
_ATTEMPTS = 3
#: Orders up to this size are planned in a few milliseconds.
_QUICK_LINES = 12


class Orders(OrderActivities):
    """The order activities over the database, with this process's memory of the network.

    Plans of orders that are sourced at the same time are committed together. With ``doms``, what an order does not need
    any more is passed on to the orders that wait, whose processes are woken.
    """

    def __init__(self, database: Database, doms: Doms | None = None) -> None:
        self._database = database
        self._doms = doms
        self._network = Network()
        self._lanes = LaneBook(database)
        self._crowded = asyncio.Lock()
        self._plans = committer(database, self._wake)

    async def aclose(self) -> None:
        """Finish the plans that are being committed; call it before the database is closed."""
        await self._plans.close()

    @activity.defn(name="orders.source")
    async def source(self, request: SourceRequest) -> SourceResult:
        result = await self._source_or_wait(request)
        if request.policy.consolidate:
            await self._consolidate(request.order_id)
        return result

    async def _source_or_wait(self, request: SourceRequest) -> SourceResult:
        with suppress(Full):
            return await self._source(request)
        # All at once would find the same next day; one after the other, each finds the one that is left for it.
        async with self._crowded:
            for _ in range(_ATTEMPTS):
                with suppress(Full):
                    return await self._source(request)
        return await self._leave_waiting(request)

    async def _consolidate(self, order_id: str) -> None:
        """Have what is planned share parcels. Repeated, it finds the same; who plans last sees all of the others."""
        async with self._database.reading() as connection:
            found = await candidates.alike(connection, order_id)
        for owners in found:
            await form(self._database, owners, because="one recipient")

    async def _source(self, request: SourceRequest) -> SourceResult:
        for _ in range(_ATTEMPTS):
            question = await self._read(request)
            if question.answered is not None:
                return question.answered
            if not question.order.lines:
                return SourceResult(fulfillments=question.unknown)
            answer = await _plan(question)
            result = await self._commit(request, question, answer)
            if result is not None:
                await self._note_lanes(question, answer)
                if not question.first:
                    await self._pass_on(request.order_id)
                contended = await self._has_risen(question, answer)
                fulfillments = question.unknown + result.fulfillments
                return result.model_copy(update={"fulfillments": fulfillments, "contended": contended})
        return await self._leave_waiting(request)

    async def _has_risen(self, question: Question, answer: Plan) -> bool:
        """Whether there is more by now of what was left waiting: nobody wakes an order that did not wait yet."""
        short = {line.sku for line in _left_waiting(question, answer)}
        if not short:
            return False
        async with self._database.reading() as connection:
            return await snapshots.has_risen(connection, question.snapshot, answer, short)

    async def _note_lanes(self, question: Question, answer: Plan) -> None:
        if question.quoting:
            await self._lanes.note(question.order, question.snapshot, question.policy, answer, question.quoting)

    async def _wake(self, served: Collection[str]) -> None:
        if self._doms is not None:
            await tell(self._database, self._doms, served)

    async def _pass_on(self, order_id: str) -> None:
        if self._doms is not None:
            await supply_client.pass_on(self._doms, order_id)

    async def _read(self, request: SourceRequest) -> Question:
        return await self._unblocked(
            lambda connection: sourcing.read_question(connection, self._network, request, time.monotonic())
        )

    async def _unblocked(self, read: Callable[[AsyncConnection], Awaitable[Question]]) -> Question:
        """The question, read again if overdue carts were in the way: what they held goes to who waits first."""
        async with self._database.reading() as connection:
            question = await read(connection)
        served = await overdue.pass_on(self._database, question.overdue)
        if served is None:
            return question
        await self._wake(served)
        async with self._database.reading() as connection:
            return await read(connection)

    async def _commit(self, request: SourceRequest, question: Question, answer: Plan) -> SourceResult | None:
        dates = await self._dates(question, answer)
        snapshot = question.snapshot
        limited = {load.node_id for load in snapshot.loads if load.days is not None}
        works = works_of(answer, snapshot.nodes, limited, question.order.service)
        releases = _releases(request, snapshot, answer)
        place = place_of(question.order, question.policy, request.as_of)
        return await self._plans.submit(
            Draft(request, answer, question.first, dates, snapshot.pooled, works, releases, place)
        )

    async def _dates(self, question: Question, answer: Plan) -> dict[int, dict[str, datetime]]:
        """When the customer would have what the plan leaves waiting, by line and inbound."""
        short = _left_waiting(question, answer)
        if not short:
            return {}
        async with self._database.reading() as connection:
            coming = await bindings.read_coming(connection, sorted({line.sku for line in short}))
        timetable = Timetable(question.snapshot)
        return {
            line.line_no: timetable.dates(
                question.order, line, question.policy, coming[line.sku], as_of=question.snapshot.as_of
            )
            for line in short
            if line.sku in coming
        }

    async def _leave_waiting(self, request: SourceRequest) -> SourceResult:
        question = await self._read(request)
        nothing = Plan(
            order_id=request.order_id,
            policy_version=question.policy.version,
            as_of=request.as_of,
            optimal=False,
        )
        result = question.answered or await self._commit(request, question, nothing)
        assert result is not None, "a plan that takes no stock cannot lose a race for it"
        return result.model_copy(update={"contended": True})

    @activity.defn(name="orders.catch_up")
    async def catch_up(self, request: CatchUp) -> CaughtUp:
        # What was planned again may wait no more, and leave supply that it was bound to.
        await self._pass_on(request.order_id)
        async with self._database.reading() as connection:
            return await units.catch_up(connection, request)

    @activity.defn(name="orders.try_reroute")
    async def try_reroute(self, request: TryReroute) -> CommandOutcome:
        question = await self._unblocked(
            lambda connection: sourcing.read_reroute(connection, self._network, request, time.monotonic())
        )
        answer = await _plan(question)
        where = request.to_node or "another node"
        if not answer.shortages:
            return CommandOutcome(done=True, message=f"{where} can take fulfillment order {request.n}")
        known = not request.to_node or any(node.node_id == request.to_node for node in question.snapshot.nodes)
        reasons = sorted({f"{short.sku}: {short.because}" for short in answer.shortages})
        seen = sorted({str(c.because) for c in answer.candidates if c.node_id == request.to_node and c.because})
        return CommandOutcome(
            done=False,
            message=f"{where} cannot take fulfillment order {request.n}",
            refused=tuple(seen + reasons) if known else (f"there is no node {request.to_node}",),
        )

    @activity.defn(name="orders.cancel")
    async def cancel(self, request: CancelUnits) -> CancelledUnits:
        answer, served = await rises.give_back(
            self._database, request.order_id, lambda connection: units.cancel_units(connection, request)
        )
        await self._wake(served)
        await self._pass_on(request.order_id)
        return answer

    @activity.defn(name="orders.withdraw")
    async def withdraw(self, request: Withdraw) -> Withdrawn:
        answer, served = await rises.give_back(
            self._database, request.order_id, lambda connection: units.withdraw(connection, request)
        )
        await self._wake(served)
        return answer

    @activity.defn(name="orders.record_hold")
    async def record_hold(self, request: RecordHold) -> None:
        async with self._database.transaction() as connection:
            await holds.record(connection, request)
            waiting = await consolidations.waiting(connection, request.order_id) if request.placed else []
        await self._wake_mates(waiting)

    @activity.defn(name="orders.separate")
    async def separate(self, request: Separate) -> CommandOutcome:
        async with self._database.transaction() as connection:
            outcome = await consolidations.separate(connection, request)
            waiting = await consolidations.waiting(connection, request.order_id)
        await self._wake_mates(waiting)
        return outcome

    async def _wake_mates(self, waiting: Iterable[Mate]) -> None:
        """Have those look again who have packed and perhaps waited for this order."""
        if self._doms is not None:
            await wake_mates(self._doms, waiting, "label_due")

    @activity.defn(name="orders.close")
    async def close(self, request: CloseOrder) -> OrderOutcome:
        async with self._database.transaction() as connection:
            return await holds.close_order(connection, request)

    @activity.defn(name="orders.raise_case")
    async def raise_case(self, request: RaiseCase) -> None:
        async with self._database.transaction() as connection:
            await steps.open_case(connection, request.kind, request.reference, request.order_id, **request.detail)


def _left_waiting(question: Question, answer: Plan) -> list[WantedLine]:
    """The lines with the units of each that the plan gives no source."""
    planned = Counter[int]()
    for shipment in answer.shipments:
        for line in shipment.lines:
            planned[line.line_no] += line.quantity
    return [
        line.model_copy(update={"quantity": line.quantity - planned[line.line_no]})
        for line in question.order.lines
        if line.quantity > planned[line.line_no]
    ]


def _releases(request: SourceRequest, snapshot: Snapshot, answer: Plan) -> dict[str, datetime]:
    """When the plan's nodes are told, where they are not told at once."""
    if request.only or not request.policy.release_after:
        return {}
    planned = {shipment.node_id for shipment in answer.shipments}
    found = {
        node.node_id: release_at(node, request.as_of, request.policy.release_after)
        for node in snapshot.nodes
        if node.node_id in planned
    }
    return {node_id: moment for node_id, moment in found.items() if moment is not None}


async def _plan(question: Question) -> Plan:
    """Ask the planner; what takes it long is not done where everything else waits."""
    arguments = (question.order, question.snapshot, question.policy)
    if len(question.order.lines) <= _QUICK_LINES:
        return plan(*arguments)
    return await asyncio.to_thread(plan, *arguments)
