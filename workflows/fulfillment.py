"""The process of one fulfillment order: from the plan to the customer's door.

A coroutine of its order's workflow. It acts on recorded facts only: a partner's message is applied to the
database before the process hears of it, and what it hears late or twice changes nothing.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from shared.contracts import FulfillmentActivities, PaymentActivities
    from shared.domain.fulfillment import REVOCABLE, Happened, Stage, advance
    from shared.messages import (
        AskCancel,
        CallOutcome,
        FulfillmentCall,
        FulfillmentState,
        PaymentRequest,
        Wake,
        fulfillment_order_id,
    )
    from workflows.fulfillment_owner import GiveBack, Owner
    from workflows.kit import call, long_call, step


#: What failed for good is shown to people, and tried again after this: every step is safe to repeat.
_AGAIN = timedelta(minutes=10)
#: A store that did not take back what was not fetched is asked again after this.
_COUNTER_AGAIN = timedelta(days=1)


class FulfillmentProcess:
    """One fulfillment order of a running order."""

    def __init__(self, order: Owner, state: FulfillmentState) -> None:
        self._order = order
        self.n = state.n
        self.node_id = state.node_id
        self.units = state.units
        self.stage = state.stage
        self.shipped_units = state.shipped_units
        self._deliver_by = state.deliver_by
        self._release_at = state.release_at
        self._answer_by = state.answer_by
        self._delivered = state.delivered
        self._pickup = state.pickup
        self._pickup_by = state.pickup_by
        self._label_at = state.label_at
        self._unlabelled = state.unlabelled
        self._pending = list(state.pending)
        #: Held while the node is being talked to, so that a request and its cancellation never cross.
        self._talking = asyncio.Lock()

    def snapshot(self) -> FulfillmentState:
        """What the next run of the workflow needs to go on from here."""
        return FulfillmentState(
            n=self.n,
            node_id=self.node_id,
            units=self.units,
            stage=self.stage,
            deliver_by=self._deliver_by,
            release_at=self._release_at,
            answer_by=self._answer_by,
            shipped_units=self.shipped_units,
            delivered=self._delivered,
            pickup=self._pickup,
            pickup_by=self._pickup_by,
            label_at=self._label_at,
            unlabelled=self._unlabelled,
            pending=tuple(self._pending),
        )

    @property
    def done(self) -> bool:
        return self.stage is Stage.DONE

    @property
    def revocable(self) -> bool:
        return self.stage in REVOCABLE

    @property
    def untold(self) -> bool:
        """The node knows nothing of it, and is not being told."""
        return self.stage is Stage.PLANNED and not self._talking.locked()

    def hear(self, wake: Wake) -> None:
        """Take in a recorded fact; the process acts on it when it is ready to."""
        self._pending.append(wake)

    async def run(self) -> None:
        """Carry the fulfillment order to its end, or to a point where the workflow may roll over."""
        while not self.done and not self._order.rolling:
            try:
                await self._go_on()
            except ActivityError as error:
                await self._stumble(error)
        if self.done and not self.shipped_units and workflow.patched("2026-11-parcels"):
            await step(FulfillmentActivities.leave_parcel, self._reference(), f"nobody waits for f{self.n} any more")

    async def _go_on(self) -> None:
        match self.stage:
            case Stage.PLANNED:
                await self._release()
            case Stage.PACKED if self._pickup:
                self.stage = Stage.READY
                self._pickup_by = workflow.now() + self._order.policy.pickup_within
            case Stage.PACKED if self._label_at is None:
                await self._buy_labels()
            case Stage.SHIPPED:
                await self._capture()
            case _:
                await self._listen()

    async def _stumble(self, error: ActivityError) -> None:
        self._order.needs_person(f"failed step: {error.activity_type} of f{self.n}: {error.cause}")
        try:
            await workflow.wait_condition(
                lambda: self.done or self._order.rolling,
                timeout=_AGAIN,
                timeout_summary=f"try {error.activity_type} of f{self.n} again",
            )
        except TimeoutError:
            return

    # --- towards the node ---------------------------------------------------------------------------------

    async def _release(self) -> None:
        await workflow.wait_condition(lambda: self._order.may_release or self.done or self._order.rolling)
        if await self._held_back():
            return
        async with self._talking:
            if self.done or not self._order.may_release:
                return
            outcome = await self._tell_node()
        if outcome.done:
            self.stage = Stage.REQUESTED
            self._answer_by = workflow.now() + self._order.policy.answer_within
        elif outcome.replanned:
            self._order.facts_moved()
            await workflow.wait_condition(lambda: self.done or self._order.rolling)
        elif not self.done:
            self._end_unshipped(outcome.units)

    async def _held_back(self) -> bool:
        """Let the time pass in which it may be planned again; true when it has come to something else meanwhile."""
        if self._release_at is None or self._release_at <= workflow.now() or self.n in self._order.summoned:
            return False
        try:
            await workflow.wait_condition(
                lambda: self.done or self._order.rolling or self.n in self._order.summoned,
                timeout=self._release_at - workflow.now(),
                timeout_summary=f"{self.node_id} is told of f{self.n} then",
            )
        except TimeoutError:
            return False
        return self.n not in self._order.summoned

    async def _tell_node(self) -> CallOutcome:
        return await call(
            FulfillmentActivities.release, self._reference(), f"ask {self.node_id} to ship {self.units} units"
        )

    def _reference(self) -> FulfillmentCall:
        return FulfillmentCall(order_id=self._order.order_id, n=self.n)

    async def _buy_labels(self) -> None:
        async with self._talking:
            if self.stage is not Stage.PACKED:
                return
            outcome = await long_call(
                FulfillmentActivities.buy_labels, self._reference(), f"labels for f{self.n} at {self.node_id}"
            )
        if outcome.wait_until is not None:
            self._label_at = outcome.wait_until
            return
        refused = not outcome.done and not self.done
        if refused and workflow.patched("2026-11-label-again"):
            self._label_at = workflow.now() + _AGAIN  # or when a mate has bought it
        elif self.stage is Stage.PACKED:
            self.stage = Stage.LABELLED
        if refused:
            self._order.needs_person(f"label: {outcome.reason}")

    async def _void_labels(self) -> None:
        await long_call(FulfillmentActivities.void_labels, self._reference(), f"void labels of f{self.n}")

    async def give_back(self, request: GiveBack) -> bool:
        """Ask the node to give the fulfillment order back. False when it ships, has shipped, or has answered."""
        async with self._talking:
            if not self.revocable or self.stage is Stage.PLANNED:
                return False
            outcome = await self._ask_node(request)
            if not outcome.done or self.done:
                return False
            labelled = self.stage in (Stage.PACKED, Stage.LABELLED)
            self._end_unshipped(outcome.units)
            if labelled:
                await self._void_labels()
            return True

    async def _ask_node(self, request: GiveBack) -> CallOutcome:
        return await call(
            FulfillmentActivities.ask_cancel,
            AskCancel(
                step_key=self._order.next_key("give-back"),
                order_id=self._order.order_id,
                n=self.n,
                because=request.because,
                actor=request.actor,
                exclude=request.exclude,
                unanswered_only=request.unanswered_only,
            ),
            f"ask {self.node_id} to give f{self.n} back: {request.because}",
        )

    def _end_unshipped(self, units: int) -> None:
        self.stage = Stage.DONE
        self._order.take_back(units)

    def withdrawn(self, units_left: int) -> None:
        """The database took units back before the node was told; with none left the process is over."""
        self.units = units_left
        if not units_left:
            self.stage = Stage.DONE

    def replanned(self) -> None:
        """A wave has planned the units again, before the node was told."""
        self.stage = advance(self.stage, Happened.REPLANNED)

    # --- from the node and the carrier --------------------------------------------------------------------

    async def _listen(self) -> None:
        if not self._pending:
            self._order.publish()  # otherwise what people would see is over before they could
        if self._delivered and self.stage is Stage.IN_TRANSIT:
            self.stage = Stage.DONE
            return
        if await self._something_comes():
            await self._act_on(self._pending.pop(0))
        elif self._out_of_patience():
            await self._wait_no_longer()

    async def _something_comes(self) -> bool:
        def ready() -> bool:
            return bool(self._pending) or self.done or self._order.rolling

        until = self._patience_ends()
        try:
            await workflow.wait_condition(
                ready,
                timeout=None if until is None else max(until - workflow.now(), timedelta(0)),
                timeout_summary=f"{self._whose_turn()} f{self.n}",
            )
        except TimeoutError:
            return False
        return bool(self._pending) and not self.done

    def _whose_turn(self) -> str:
        match self.stage:
            case Stage.READY:
                return "the customer must fetch"
            case Stage.PACKED:
                return "look again for the label of"
            case _:
                return f"{self.node_id} must answer"

    def _patience_ends(self) -> datetime | None:
        """How long is waited for what comes next; ``None`` is for as long as it takes."""
        match self.stage:
            case Stage.REQUESTED:
                return self._answer_by
            case Stage.READY:
                return self._pickup_by
            case Stage.PACKED:
                return self._label_at
            case _:
                return None

    def _out_of_patience(self) -> bool:
        until = self._patience_ends()
        return not self._pending and until is not None and workflow.now() >= until

    async def _wait_no_longer(self) -> None:
        match self.stage:
            case Stage.REQUESTED:
                self._answer_by = None
                await self.give_back(GiveBack(because="no answer", unanswered_only=True))
            case Stage.READY:
                await self._take_off_the_counter()
            case Stage.PACKED:
                self._label_at = None

    async def _take_off_the_counter(self) -> None:
        """Put back on the shelf and cancel what the customer has not fetched; a store that refuses is asked again."""
        if await self.give_back(GiveBack(because="not fetched in time", exclude=False)):
            self._order.wind_down()
        elif self.stage is Stage.READY and not self._pending:
            self._pickup_by = workflow.now() + _COUNTER_AGAIN
            self._order.needs_person(f"pickup: {self.node_id} does not take f{self.n} back")

    async def _act_on(self, wake: Wake) -> None:
        happened = Happened(wake.kind)
        if happened is Happened.DELIVERED:
            self._delivered = True
        elif happened is Happened.LABEL_DUE:
            self._label_at = None
        before, after = self.stage, advance(self.stage, happened)
        if after is before:
            return
        self.stage = after
        if happened is Happened.REJECTED:
            self._order.take_back(wake.units)
            if before is not Stage.REQUESTED:
                await self._void_labels()
        elif happened is Happened.SHIPPED:
            self._unlabelled = before is Stage.PACKED
            await self._ship(wake)

    async def _ship(self, wake: Wake) -> None:
        self.shipped_units = wake.units
        self._delivered = self._delivered or self._pickup  # handed over is both
        if wake.short_units:
            self._order.take_back(wake.short_units)
        if not wake.units:
            self.stage = Stage.DONE
            await self._void_unused()

    async def _void_unused(self) -> None:
        """Give the labels back of what was packed and did not ship after all, or left without them."""
        unused = self._unlabelled or self.shipped_units < self.units
        if unused and not self._pickup and workflow.patched("2026-11-unused-labels"):
            await self._void_labels()

    # --- money --------------------------------------------------------------------------------------------

    async def _capture(self) -> None:
        reference = f"{fulfillment_order_id(self._order.order_id, self.n)}/capture"
        outcome = await call(
            PaymentActivities.capture,
            PaymentRequest(order_id=self._order.order_id, reference=reference),
            f"capture for f{self.n}",
        )
        if not outcome.succeeded:
            self._order.needs_person(f"capture: {outcome.reason}")
        await self._void_unused()
        self.stage = Stage.IN_TRANSIT
