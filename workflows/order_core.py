"""The memory of an order's process, how it finds sources, and what people see of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate

with workflow.unsafe.imports_passed_through():
    from shared.contracts import EXCEPTION, NODES, PROMISED_AT, STATUS, OrderActivities
    from shared.domain.fulfillment import Happened, Stage
    from shared.domain.orders import HoldKind, UnitCount, fulfillment_of
    from shared.domain.sourcing.stages import Rest
    from shared.messages import (
        CancelledUnits,
        CancelOrder,
        CancelUnits,
        CatchUp,
        FulfillmentState,
        HoldState,
        OrderInput,
        OrderState,
        RaiseCase,
        RecordHold,
        SourceRequest,
        Wake,
    )
    from workflows.fulfillment import FulfillmentProcess
    from workflows.kit import step


_HAPPENED = frozenset(Happened)
#: Name of the holds that a policy's stage places.
_QUEUED = "sourcing"


class OrderCore:
    """What an order remembers, and the steps its story and its commands share."""

    def __init__(self, order: OrderInput) -> None:
        state = order.state or OrderState()
        self._order = order
        self.order_id = order.order_id
        self.policy = order.policy
        self.rolling = False
        self._verdict = state.verdict
        self._authorized = state.authorized
        self._holds = {hold.hold_id: hold for hold in state.holds}
        self._unallocated = state.unallocated
        self._backordered = state.backordered
        self._cancelled = state.cancelled
        self._winding_down = state.winding_down
        self._promised_at = state.promised_at
        self._steps = state.steps
        self._exception = state.exception
        self._unsure = state.unsure
        self._contended = False
        self._stock_arrived = state.stock_arrived
        self.summoned = set(state.summoned)
        self._facts_moved = state.facts_moved
        #: Heard of fulfillment orders that are not remembered: a process started anew has first to find them again.
        self._early = list(state.early)
        self._cancel_at = state.cancel_at
        self._published: tuple[str, str, list[str], datetime | None] | None = None
        self._processes = {f.n: FulfillmentProcess(self, f) for f in state.fulfillments}
        self._tasks: list[asyncio.Task[None]] = []
        #: Held by whoever moves units between sources: one command or sourcing at a time.
        self._deciding = asyncio.Lock()

    def _snapshot(self) -> OrderState:
        return OrderState(
            verdict=self._verdict,
            authorized=self._authorized,
            fulfillments=tuple(process.snapshot() for process in self._processes.values()),
            holds=tuple(self._holds.values()),
            unallocated=self._unallocated,
            backordered=self._backordered,
            cancelled=self._cancelled,
            winding_down=self._winding_down,
            unsure=self._unsure,
            stock_arrived=self._stock_arrived,
            summoned=tuple(sorted(self.summoned)),
            facts_moved=self._facts_moved,
            early=tuple(self._early),
            promised_at=self._promised_at,
            steps=self._steps,
            exception=self._exception,
            cancel_at=self._cancel_at,
        )

    def next_key(self, name: str) -> str:
        """A key for one step, the same on every retry and replay of it."""
        self._steps += 1
        return f"{self.order_id}/{name}/{self._steps}"

    def command_key(self, name: str) -> str:
        """A key for a step of the command that runs, the same whatever else happens meanwhile."""
        return f"{self.order_id}/{name}/{self.command_id()}"

    def command_id(self) -> str:
        """The id of the command that runs."""
        command = workflow.current_update_info()
        assert command is not None, "only a command's handler may ask"
        return command.id

    # --- where the units are ------------------------------------------------------------------------------

    @property
    def may_release(self) -> bool:
        return self._authorized and all(hold.kind is HoldKind.SOURCING for hold in self._holds.values())

    @property
    def queued(self) -> bool:
        """Whether a person is to decide about the units without a source."""
        return any(hold.kind is HoldKind.SOURCING for hold in self._holds.values())

    def take_back(self, units: int) -> None:
        """A fulfillment order ended without shipping these; they need a source again."""
        self._unallocated += units

    def wind_down(self) -> None:
        """What is given back from now on, and what waits, is cancelled."""
        self._winding_down = True

    def _has_open_units(self) -> bool:
        waiting = self._unallocated or self._backordered or self._unsure
        return bool(waiting or any(not process.done for process in self._processes.values()))

    def _units(self) -> UnitCount:
        states = dict.fromkeys(("allocated", "released", "shipped", "delivered"), 0)
        for process in self._processes.values():
            if process.stage is Stage.PLANNED:
                states["allocated"] += process.units
            elif process.revocable:
                states["released"] += process.units
            else:
                states["delivered" if process.done else "shipped"] += process.shipped_units
        return UnitCount(
            unallocated=self._unallocated, backordered=self._backordered, cancelled=self._cancelled, **states
        )

    # --- steps --------------------------------------------------------------------------------------------

    async def _source_deciding(self, only: tuple[str, ...] = ()) -> int:
        """Plan and reserve what has no source, by whoever holds ``_deciding``; returns the units that found one."""
        self._stock_arrived = False
        waiting = self._unallocated
        request = SourceRequest(
            step_key=self.next_key("source"),
            order_id=self.order_id,
            as_of=workflow.now(),
            policy=self.policy,
            only=only,
            known=max(self._processes, default=0),
        )
        result = await step(OrderActivities.source, request, "find sources and reserve")
        for fulfillment in result.fulfillments:
            self._begin(fulfillment)
        self._unallocated -= waiting  # what was taken back meanwhile is still to be sourced
        self._backordered, self._contended = result.backordered, result.contended
        self._unsure = result.look_again
        if result.order_promised_at is not None:
            self._promised_at = result.order_promised_at
        elif result.promised_at is not None:
            self._promised_at = max(self._promised_at or result.promised_at, result.promised_at)
        if not only and not self._contended:
            await self._follow(result.rest)
        return sum(fulfillment.units for fulfillment in result.fulfillments)

    async def _catch_up_deciding(self) -> None:
        """Take in what a wave has planned again, by whoever holds ``_deciding``; the facts say what."""
        self._facts_moved = False
        request = CatchUp(order_id=self.order_id, known=tuple(self._processes))
        found = await step(OrderActivities.catch_up, request, "what a wave has planned again")
        self._end_replanned(found.replanned)
        for fulfillment in found.unknown:
            self._begin(fulfillment)
        self._backordered, self._promised_at = found.backordered, found.promised_at
        await self._follow(None)

    def _end_replanned(self, numbers: Iterable[int]) -> None:
        for n in numbers:
            if n in self._processes:
                self._processes[n].replanned()

    async def _follow(self, rest: Rest | None) -> None:
        """Do with the units that wait as the policy's stage says; what was said stands as long as any of them wait."""
        if not self._backordered:
            self._cancel_at = None
        await self._leave_queue()
        if rest is None or not workflow.patched("2026-11-after-actions"):
            return
        if rest.after is not None:
            end = workflow.now() + rest.after
            self._cancel_at = min(self._cancel_at or end, end)
        elif not self.queued:
            await self._queue(f"stage {rest.stage} found no source for {self._backordered} units")

    async def _queue(self, reason: str) -> None:
        """Have a person decide about what waits. The case is open before its hold can be released."""
        hold = HoldState(hold_id=self.next_key(_QUEUED), kind=HoldKind.SOURCING, reason=reason)
        self._holds[hold.hold_id] = hold
        why = f"queued: {reason}"
        if workflow.patched("2026-11-case-before-hold"):
            self._exception = why[:200]
            await self._open_case(why)
            await self._record_hold(hold, placed=True, actor="doms", reason=reason)
        else:
            await self._record_hold(hold, placed=True, actor="doms", reason=reason)
            self.needs_person(why)

    async def _leave_queue(self) -> None:
        """Release what was queued once none of it waits: nobody has anything to decide."""
        own = [hold for hold in self._holds.values() if hold.hold_id.startswith(f"{self.order_id}/{_QUEUED}/")]
        if self._unallocated or self._backordered or not own or not workflow.patched("2026-11-leave-queue"):
            return
        for hold in own:
            self._no_longer_queued(hold)
            await self._record_hold(hold, placed=False, actor="doms", reason="none of it waits any more")

    def _no_longer_queued(self, hold: HoldState) -> None:
        self._holds.pop(hold.hold_id, None)
        if self._exception == f"queued: {hold.reason}"[:200]:
            self._exception = ""

    def _begin(self, fulfillment: FulfillmentState) -> None:
        if fulfillment.n in self._processes:
            return
        process = FulfillmentProcess(self, fulfillment)
        self._processes[fulfillment.n] = process
        for wake in [wake for wake in self._early if wake.n == fulfillment.n]:
            self._early.remove(wake)
            process.hear(wake)
        self._tasks.append(asyncio.create_task(process.run()))

    async def _cancel_now(
        self, key: str, command: CancelOrder, *, only_waiting: bool = False, keep: tuple[int, ...] = ()
    ) -> CancelledUnits:
        """Cancel what no node was told of, by whoever holds ``_deciding``."""
        waiting = self._unallocated
        request = CancelUnits(
            step_key=key,
            order_id=self.order_id,
            lines=command.lines,
            actor=command.actor,
            reason=command.reason,
            only_waiting=only_waiting,
            known=max(self._processes, default=0),
            keep=keep,
        )
        answer = await step(OrderActivities.cancel, request, f"cancel: {command.reason}")
        self._cancelled = max(self._cancelled, answer.cancelled)
        self._unallocated += answer.unallocated - waiting
        self._backordered = answer.backordered
        self._unsure = answer.look_again
        self._end_replanned(answer.replanned)
        for fulfillment in answer.unknown:
            self._begin(fulfillment)
        for n, units in answer.planned.items():
            if n in self._processes:
                self._processes[n].withdrawn(units)
        await self._leave_queue()
        return answer

    async def _record_hold(self, hold: HoldState, *, placed: bool, actor: str, reason: str) -> None:
        record = RecordHold(order_id=self.order_id, hold=hold, placed=placed, actor=actor, reason=reason)
        await step(OrderActivities.record_hold, record)

    # --- what the world says ------------------------------------------------------------------------------

    # Each says that a fact was recorded which the process has to act on, under its own name for who reads the
    # history. None ever raises; one that is late is dropped, and one that is early is kept.

    @workflow.signal(name="rejected")
    def rejected(self, wake: Wake) -> None:
        self._hear(wake)

    @workflow.signal(name="packed")
    def packed(self, wake: Wake) -> None:
        self._hear(wake)

    @workflow.signal(name="shipped")
    def shipped(self, wake: Wake) -> None:
        self._hear(wake)

    @workflow.signal(name="delivered")
    def delivered(self, wake: Wake) -> None:
        self._hear(wake)

    @workflow.signal(name="release_due")
    def release_due(self, wake: Wake) -> None:
        self.summoned.add(wake.n)

    @workflow.signal(name="label_due")
    def label_due(self, wake: Wake) -> None:
        self._hear(wake)

    @workflow.signal(name="replanned")
    def replanned(self, wake: Wake) -> None:
        self.facts_moved()

    @workflow.signal(name="stock_arrived")
    def stock_arrived(self, wake: Wake) -> None:
        self._stock_arrived = True

    @workflow.signal(name="supply_changed")
    def supply_changed(self, wake: Wake) -> None:
        self._stock_arrived = True

    def facts_moved(self) -> None:
        """Others have changed the order's facts, which have to be read again."""
        self._facts_moved = True

    def _hear(self, wake: Wake) -> None:
        if wake.kind not in _HAPPENED:
            return
        if wake.n in self._processes:
            self._processes[wake.n].hear(wake)
        elif workflow.patched("2026-11-heard-early") and wake not in self._early:
            self._early.append(wake)

    @workflow.query(name="state")
    def state(self) -> OrderState:
        """What the process remembers."""
        return self._snapshot()

    # --- what people see ----------------------------------------------------------------------------------

    def needs_person(self, why: str) -> None:
        """Show that the order needs somebody, and open a case for it."""
        self._exception = why[:200]
        self._tasks.append(asyncio.create_task(self._open_case(why)))

    async def _open_case(self, why: str) -> None:
        case = RaiseCase(
            kind=why.partition(":")[0], reference=self.order_id, order_id=self.order_id, detail={"why": why[:500]}
        )
        await step(OrderActivities.raise_case, case)

    def _status(self) -> str:
        """As the Web UI lists it: held, or the fulfilment roll-up."""
        return "on_hold" if self._holds else fulfillment_of(self._units()).value

    def publish(self) -> None:
        """Bring search attributes and current details up to date; costs nothing when nothing changed."""
        nodes = sorted({process.node_id for process in self._processes.values() if not process.done})
        now = (self._status(), self._exception, nodes, self._promised_at)
        before = self._published or ("placed", "", [], None)
        if now == before:
            return
        self._published = now
        status, exception, _, promised_at = now
        changes: list[SearchAttributeUpdate[Any]] = [STATUS.value_set(status)]
        if exception != before[1]:
            changes.append(EXCEPTION.value_set(exception))
        if nodes != before[2]:
            changes.append(NODES.value_set(nodes))
        if promised_at and promised_at != before[3]:
            changes.append(PROMISED_AT.value_set(promised_at))
        workflow.upsert_search_attributes(changes)
        workflow.set_current_details(self._details())

    def _details(self) -> str:
        lines = [f"**{self._status()}**, promised {self._promised_at or 'no date yet'}"]
        lines += [f"- held: {hold.kind} ({hold.reason})" for hold in self._holds.values()]
        lines += [
            f"- fulfillment order {p.n}: {p.units} units at {p.node_id}, {p.stage}" for p in self._processes.values()
        ]
        if self._backordered:
            lines.append(f"- {self._backordered} units wait for stock until {self._patience_ends():%Y-%m-%d %H:%M} UTC")
        if self._exception:
            lines.append(f"- needs a person: {self._exception}")
        return "\n".join(lines)

    def _patience_ends(self) -> datetime:
        end = self._order.received_at + self.policy.backorder_patience
        return min(end, self._cancel_at) if self._cancel_at is not None else end
