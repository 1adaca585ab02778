"""What staff may tell a running order: cancel, reroute, hold, release. Validated, answered, and recorded.

Each command is an update: the caller learns what was done and what was refused, and one that cannot be is
turned away by its validator before anything is written.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shared.contracts import OrderActivities
    from shared.domain.orders import HoldKind
    from shared.messages import (
        CancelledUnits,
        CancelOrder,
        CommandOutcome,
        HoldState,
        PlaceHold,
        ReleaseHold,
        Reroute,
        Separate,
        TryReroute,
        Unmerge,
        Withdraw,
    )
    from workflows.fulfillment import FulfillmentProcess
    from workflows.fulfillment_owner import GiveBack
    from workflows.kit import refusal, step
    from workflows.order_core import OrderCore


class OrderCommands(OrderCore):
    """The commands of an order, over its memory."""

    async def _obey(self, work: Coroutine[Any, Any, CommandOutcome]) -> CommandOutcome:
        await workflow.wait_condition(lambda: self._verdict is not None)
        outcome = await work
        self.publish()
        return outcome

    def _refuse_if_over(self) -> None:
        if self._verdict is not None and not self._has_open_units():
            raise refusal("conflict", "the order is over: every unit was delivered or cancelled")

    # --- cancel -------------------------------------------------------------------------------------------

    @workflow.update(name="cancel")
    async def cancel(self, command: CancelOrder) -> CommandOutcome:
        """Cancel the order or parts of it. What has left cannot be cancelled; nodes may refuse the rest."""
        return await self._obey(self._cancel_units(self.command_key("cancel"), command))

    @cancel.validator
    def _may_cancel(self, command: CancelOrder) -> None:
        self._refuse_if_over()

    async def _cancel_units(self, key: str, command: CancelOrder) -> CommandOutcome:
        """Cancel at once what no node was told of, and ask the nodes for the rest, one after the other as they refuse.

        Args:
            key: Names the command; its steps are keyed under it.
        """
        self._winding_down = self._winding_down or not command.lines
        kept: list[FulfillmentProcess] = []
        async with self._deciding:
            first = answer = await self._cancel_now(key, command)
            units = answer.units
            for turn in itertools.count(1):
                if not answer.ask:
                    break
                kept += await self._ask_nodes(command, answer.ask)
                rest = command.model_copy(update={"lines": answer.wanted})
                answer = await self._cancel_now(f"{key}/{turn}", rest, keep=tuple(process.n for process in kept))
                units += answer.units
        refused = tuple(f"{p.node_id} does not give fulfillment order {p.n} back: it ships" for p in kept)
        refused += _beyond(first)
        return CommandOutcome(done=units > 0, units=units, message=f"{units} units cancelled", refused=refused)

    async def _ask_nodes(self, command: CancelOrder, numbers: tuple[int, ...]) -> list[FulfillmentProcess]:
        """Ask for the named fulfillment orders back; returns those that are not given."""
        asked = [self._processes[n] for n in numbers]
        request = GiveBack(because=f"cancelled: {command.reason}", actor=command.actor, exclude=False)
        given = await asyncio.gather(*(process.give_back(request) for process in asked))
        return [process for process, back in zip(asked, given, strict=True) if not back]

    # --- reroute ------------------------------------------------------------------------------------------

    @workflow.update(name="reroute")
    async def reroute(self, command: Reroute) -> CommandOutcome:
        """Take a fulfillment order from its node and source its units elsewhere."""
        return await self._obey(self._reroute(self.command_key("reroute"), command))

    @reroute.validator
    def _may_reroute(self, command: Reroute) -> None:
        self._refuse_if_over()
        process = self._processes.get(command.n)
        if process is None:
            raise refusal("not_found", f"there is no fulfillment order {command.n}")
        if not process.revocable:
            raise refusal("conflict", f"fulfillment order {command.n} is {process.stage}: it cannot be rerouted")
        if command.to_node == process.node_id:
            raise refusal("conflict", f"fulfillment order {command.n} is already at {command.to_node}")

    async def _reroute(self, key: str, command: Reroute) -> CommandOutcome:
        async with self._deciding:
            if self._facts_moved:
                await self._catch_up_deciding()
            process = self._processes[command.n]
            if not process.revocable:
                return CommandOutcome(done=False, message=f"fulfillment order {process.n} is {process.stage} by now")
            possible = await self._can_take(command)
            if not possible.done:
                return possible
            if not await self._take_from_node(key, process, command):
                return CommandOutcome(done=False, message=f"{process.node_id} does not give it back: it ships")
            moved = await self._source_deciding((command.to_node,) if command.to_node else ())
            # What one node could not take after all, or what waited before, may be found elsewhere.
            self._stock_arrived = self._stock_arrived or bool(command.to_node)
            waiting = (f"{self._backordered} units wait for stock",) if self._backordered else ()
        return CommandOutcome(done=True, units=moved, message=f"{moved} units moved", refused=waiting)

    async def _can_take(self, command: Reroute) -> CommandOutcome:
        request = TryReroute(
            order_id=self.order_id, n=command.n, to_node=command.to_node, as_of=workflow.now(), policy=self.policy
        )
        where = command.to_node or "another node"
        return await step(OrderActivities.try_reroute, request, f"can {where} take f{command.n}?")

    async def _take_from_node(self, key: str, process: FulfillmentProcess, command: Reroute) -> bool:
        because = f"rerouted: {command.reason}"
        if process.untold:
            request = Withdraw(
                step_key=key,
                order_id=self.order_id,
                n=process.n,
                because=because,
                actor=command.actor,
            )
            taken = await step(OrderActivities.withdraw, request, f"withdraw f{process.n}")
            if taken.done:
                process.withdrawn(0)
                self.take_back(taken.units)
                return True
        return await process.give_back(GiveBack(because=because, actor=command.actor))

    # --- unmerge ------------------------------------------------------------------------------------------

    @workflow.update(name="unmerge")
    async def unmerge(self, command: Unmerge) -> CommandOutcome:
        """Have the order travel alone. Once the label of its parcel is being bought it is too late."""
        request = Separate(
            step_key=self.command_key("unmerge"), order_id=self.order_id, actor=command.actor, reason=command.reason
        )
        return await self._obey(step(OrderActivities.separate, request, "travel alone"))

    @unmerge.validator
    def _may_unmerge(self, command: Unmerge) -> None:
        self._refuse_if_over()

    # --- hold and release ---------------------------------------------------------------------------------

    @workflow.update(name="hold")
    async def hold(self, command: PlaceHold) -> CommandOutcome:
        """Keep everything that no node was told of from being released."""
        hold = HoldState(hold_id=f"{command.kind}/{self.command_id()}", kind=command.kind, reason=command.reason)
        self._holds[hold.hold_id] = hold
        return await self._obey(self._hold(hold, command.actor))

    @hold.validator
    def _may_hold(self, command: PlaceHold) -> None:
        self._refuse_if_over()

    async def _hold(self, hold: HoldState, actor: str) -> CommandOutcome:
        await self._record_hold(hold, placed=True, actor=actor, reason=hold.reason)
        reached = hold.kind is not HoldKind.SOURCING
        live = [process for process in self._processes.values() if reached and not process.done]
        stopped = sum(process.units for process in live if process.untold)
        running = tuple(
            f"{process.node_id} was already told to ship fulfillment order {process.n}"
            for process in live
            if not process.untold
        )
        units = stopped + self._unallocated + self._backordered
        return CommandOutcome(done=True, units=units, message=hold.hold_id, refused=running)

    @workflow.update(name="release")
    async def release(self, command: ReleaseHold) -> CommandOutcome:
        """Lift one hold. The order goes on when no other stands."""
        return await self._obey(self._release_hold(command))

    @release.validator
    def _may_release(self, command: ReleaseHold) -> None:
        if command.hold_id not in self._holds:
            raise refusal("not_found", f"no hold {command.hold_id!r}; standing: {sorted(self._holds) or 'none'}")

    async def _release_hold(self, command: ReleaseHold) -> CommandOutcome:
        hold = self._holds.pop(command.hold_id, None)
        if hold is None:
            return CommandOutcome(done=False, message=f"hold {command.hold_id} no longer stands")
        if hold.kind is HoldKind.SOURCING and workflow.patched("2026-11-leave-queue"):
            self._no_longer_queued(hold)
        # Who releases what was queued wants it looked at now.
        self._stock_arrived = self._stock_arrived or hold.kind is HoldKind.SOURCING
        await self._record_hold(hold, placed=False, actor=command.actor, reason=command.reason)
        left = ", ".join(sorted(self._holds))
        return CommandOutcome(done=True, message=f"released; still held by {left}" if left else "released")


def _beyond(answer: CancelledUnits) -> tuple[str, ...]:
    """What was asked for and is not there to cancel."""
    late = f"{answer.too_late} units have left: return them instead"
    missing = f"the order does not have {answer.missing} of these units, or they were cancelled before"
    return ((late,) if answer.too_late else ()) + ((missing,) if answer.missing else ())
