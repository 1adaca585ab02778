"""The process of one order, from the channel's call to the last parcel's delivery.

The workflow decides what happens next and waits for the world; stock, money and documents are facts in
Postgres that only activities and recorded partner messages change. What it remembers are references and
counts, so that a page of the Web UI and a handful of payloads tell the whole order.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shared.contracts import OrderActivities, PaymentActivities
    from shared.domain.orders import HoldKind, Verdict
    from shared.messages import CancelOrder, CloseOrder, HoldState, OrderOutcome, PaymentRequest
    from workflows.kit import call, step, to_the_end
    from workflows.order_commands import OrderCommands


#: An order that lost every race for stock looks again this soon; the winners may have left some.
_AFTER_LOST_RACES = timedelta(seconds=5)


class OrderStory(OrderCommands):
    """An order from acceptance to its close, over its commands and its memory."""

    async def live(self) -> OrderOutcome:
        """Live the story; cancelled, give back what can be given back and see the rest delivered."""
        return await to_the_end(self._story(), self._abandon)

    async def _story(self) -> OrderOutcome:
        """Accept, authorise, fulfil, close."""
        await self._accept()
        await self._authorize()
        await self._fulfil()
        return await self._close()

    @workflow.update(name="submit")
    async def submit(self) -> Verdict:
        """The channel's synchronous answer, the same for every repeat."""
        await workflow.wait_condition(lambda: self._verdict is not None)
        assert self._verdict is not None
        return self._verdict

    async def _accept(self) -> None:
        """Plan and reserve; the channel's call is answered with what was promised."""
        if self._verdict is not None:
            self._resume_processes()
            return
        await self._source()
        self._verdict = Verdict(
            order_id=self.order_id, promised_at=self._promised_at, backordered_units=self._backordered
        )

    async def _authorize(self) -> None:
        while not self._authorized and self._has_open_units():
            outcome = await call(
                PaymentActivities.authorize,
                PaymentRequest(order_id=self.order_id, reference=self.next_key("authorize")),
                f"authorise {self._order.total_minor} {self._order.currency} in minor units",
            )
            self._authorized = outcome.succeeded
            if not outcome.succeeded:
                await self._hold_for_payment(outcome.reason)

    async def _fulfil(self) -> None:
        while not self._finished():
            if self._may_catch_up():
                await self._catch_up()
            elif not self._may_source():
                await self._wait_for_the_world()
            elif self._winding_down:
                await self._cancel_waiting("order cancelled")
            else:
                await self._source()

    async def _close(self) -> OrderOutcome:
        await self._come_to_rest()
        if self._authorized and self._cancelled:
            await self._void_the_rest()
            await self._come_to_rest()
        outcome = await step(OrderActivities.close, CloseOrder(step_key=self.next_key("close"), order_id=self.order_id))
        self._holds.clear()
        self.publish()
        await self._come_to_rest()
        return outcome

    async def _void_the_rest(self) -> None:
        outcome = await call(
            PaymentActivities.void,
            PaymentRequest(order_id=self.order_id, reference=self.next_key("void")),
            "void what will not be captured",
        )
        if not outcome.succeeded:
            self.needs_person(f"void: {outcome.reason}")

    async def _abandon(self) -> None:
        await self._cancel_units(self.next_key("cancel"), CancelOrder(actor="operator", reason="workflow cancelled"))

    # --- sourcing and backorders --------------------------------------------------------------------------

    async def _source(self) -> None:
        async with self._deciding:
            await self._source_deciding()

    def _resume_processes(self) -> None:
        for process in self._processes.values():
            if not process.done:
                self._tasks.append(asyncio.create_task(process.run()))

    def _may_source(self) -> bool:
        wanted = self._unallocated or self._unsure or (self._backordered and self._stock_arrived)
        return bool(wanted) and not self._deciding.locked() and (self._winding_down or not self.queued)

    def _may_catch_up(self) -> bool:
        return self._facts_moved and not self._deciding.locked()

    async def _catch_up(self) -> None:
        async with self._deciding:
            await self._catch_up_deciding()

    def _finished(self) -> bool:
        return not self._has_open_units() and not self._facts_moved and not self._deciding.locked()

    async def _wait_for_the_world(self) -> None:
        self._raise_if_broken()
        if self._backordered or self._holds:
            self.publish()  # otherwise its fulfillment orders do, when they come to wait
        try:
            await workflow.wait_condition(
                lambda: (
                    self._finished()
                    or self._may_catch_up()
                    or self._may_source()
                    or self._should_roll()
                    or self._broken()
                ),
                timeout=self._until_backorder_moves() if self._backordered else None,
                timeout_summary="backorder: look for stock again",
            )
        except TimeoutError:
            await self._move_backorder()
        if self._should_roll():
            await self._roll_over()

    def _until_backorder_moves(self) -> timedelta:
        patience = self._patience_ends() - workflow.now()
        retry = min(self.policy.backorder_retry, _AFTER_LOST_RACES) if self._contended else self.policy.backorder_retry
        return max(min(retry, patience), timedelta(0))

    async def _move_backorder(self) -> None:
        if workflow.now() < self._patience_ends():
            self._stock_arrived = True
        else:
            stage_said_so = self._cancel_at is not None and workflow.now() >= self._cancel_at
            await self._cancel_waiting(
                "no stock in the time its policy's stage gives" if stage_said_so else "backorder patience is over"
            )

    async def _cancel_waiting(self, reason: str) -> None:
        async with self._deciding:
            await self._cancel_now(self.next_key("cancel"), CancelOrder(actor="doms", reason=reason), only_waiting=True)

    # --- payment ------------------------------------------------------------------------------------------

    async def _hold_for_payment(self, reason: str) -> None:
        hold = HoldState(
            hold_id=self.next_key("payment"),
            kind=HoldKind.PAYMENT,
            reason=reason,
            expires_at=workflow.now() + self.policy.payment_patience,
        )
        self._holds[hold.hold_id] = hold
        await self._record_hold(hold, placed=True, actor="doms", reason=reason)
        self.publish()
        try:
            await workflow.wait_condition(
                lambda: hold.hold_id not in self._holds or not self._has_open_units(),
                timeout=self.policy.payment_patience,
                timeout_summary="payment was declined: wait for a decision",
            )
        except TimeoutError:
            command = CancelOrder(actor="doms", reason=f"payment declined: {reason}")
            await self._cancel_units(self.next_key("cancel"), command)
        if self._holds.pop(hold.hold_id, None):
            await self._record_hold(hold, placed=False, actor="doms", reason="order cancelled")

    # --- long lives ---------------------------------------------------------------------------------------

    def _broken(self) -> bool:
        return any(task.done() and not task.cancelled() and task.exception() for task in self._tasks)

    def _raise_if_broken(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()
        self._tasks = [task for task in self._tasks if not task.done()]

    async def _come_to_rest(self) -> None:
        """Wait until nothing is half done: no task, no command, no decision; each may begin another."""

        def resting() -> bool:
            busy = self._deciding.locked() or any(not task.done() for task in self._tasks)
            return not busy and workflow.all_handlers_finished()

        await workflow.wait_condition(resting)
        self._raise_if_broken()

    def _should_roll(self) -> bool:
        return workflow.info().is_continue_as_new_suggested() and not self._deciding.locked()

    async def _roll_over(self) -> None:
        """Start a new run from this one's state, when nothing is half done."""
        self.rolling = True
        await self._come_to_rest()
        workflow.continue_as_new(self._order.model_copy(update={"state": self._snapshot()}))
