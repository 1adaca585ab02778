"""The process of one return: approved or declined, received, settled, refunded."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shared.contracts import STATUS, OrderActivities, PaymentActivities, ReturnActivities
    from shared.messages import (
        CommandOutcome,
        DecideReturn,
        PaymentRequest,
        RaiseCase,
        ReturnInput,
        ReturnOutcome,
        ReturnStep,
        ReturnVerdict,
        Wake,
    )
    from workflows.kit import call, refusal, step, to_the_end


@workflow.defn(name="Return")
class ReturnWorkflow:
    """One return. Staff decide what the policy does not; the receiving node's message wakes it."""

    @workflow.init
    def __init__(self, request: ReturnInput) -> None:
        self._request = request
        self._steps = 0
        self._waits_for_staff = False
        self._decision: DecideReturn | None = None
        self._received = False
        self._abandoned = False

    @workflow.run
    async def run(self, request: ReturnInput) -> ReturnOutcome:
        """Live the story; cancelled, wait no longer for what has not come."""
        return await to_the_end(self._story(), self._abandon)

    async def _abandon(self) -> None:
        self._abandoned = True

    async def _story(self) -> ReturnOutcome:
        """Judge, receive, settle, refund, close. Nothing is refunded that did not come back."""
        verdict = await self._judge()
        if verdict.decision != "approved":
            return await self._close(verdict.decision if verdict.decision == "declined" else "expired")
        told = await call(ReturnActivities.announce, self._step("announce"), f"announce to {verdict.node_id}")
        if not told.done:
            await self._open_case("return_refused", told.reason)
        self._show("approved", f"waits for the goods at {verdict.node_id}")
        if not await self._goods_arrive():
            return await self._close("expired")
        await step(ReturnActivities.settle, self._step("settle"), "restock or write off")
        await self._refund()
        return await self._close("closed")

    async def _judge(self) -> ReturnVerdict:
        verdict = await step(ReturnActivities.judge, self._step("judge"), "what the policy says")
        if verdict.decision != "ask_staff":
            return verdict
        if verdict.decided is not None:
            self._decision = DecideReturn(actor="doms", reason="decided before", approve=verdict.decided)
        self._waits_for_staff = True
        self._show("requested", f"waits for staff: {verdict.reason}")
        try:
            await workflow.wait_condition(
                lambda: self._decision is not None or self._abandoned,
                timeout=self._request.policy.return_within,
                timeout_summary="staff must approve or decline",
            )
        except TimeoutError:
            return verdict
        finally:
            self._waits_for_staff = False
        if self._decision is None:
            return verdict
        decided = self._step("decide", self._decision.reason or "staff", actor=self._decision.actor)
        if not self._decision.approve:
            return await step(ReturnActivities.decline, decided, "declined by staff")
        return await step(ReturnActivities.approve, decided, "approved by staff")

    async def _goods_arrive(self) -> bool:
        try:
            await workflow.wait_condition(
                lambda: self._received or self._abandoned,
                timeout=self._request.policy.return_within,
                timeout_summary="the goods must arrive",
            )
        except TimeoutError:
            return False
        return self._received

    async def _refund(self) -> None:
        reference = f"{self._request.return_id}/refund"
        outcome = await call(
            PaymentActivities.refund,
            PaymentRequest(order_id=self._request.order_id, reference=reference),
            "refund what came back",
        )
        if not outcome.succeeded:
            await self._open_case("refund", outcome.reason)
        self._show("received", f"refunded {outcome.amount_minor}" if outcome.succeeded else outcome.reason)

    async def _open_case(self, kind: str, why: str) -> None:
        """Something did not go as it should; somebody has to look."""
        case = RaiseCase(
            kind=kind, reference=self._request.return_id, order_id=self._request.order_id, detail={"why": why[:500]}
        )
        await step(OrderActivities.raise_case, case)

    async def _close(self, status: str) -> ReturnOutcome:
        await workflow.wait_condition(workflow.all_handlers_finished)
        outcome = await step(ReturnActivities.close, self._step("close", status))
        self._show(status, f"{outcome.received_units} units came back, {outcome.refund_minor} refunded")
        return outcome

    @workflow.update(name="decide")
    async def decide(self, decision: DecideReturn) -> CommandOutcome:
        """Approve or decline a return that waits for staff."""
        self._decision = decision
        word = "approved" if decision.approve else "declined"
        return CommandOutcome(done=True, units=self._request.units, message=f"return {word}")

    @decide.validator
    def _may_decide(self, decision: DecideReturn) -> None:
        if not self._waits_for_staff or self._decision is not None:
            raise refusal("conflict", "the return does not wait for a decision")

    @workflow.signal(name="return_received")
    def return_received(self, wake: Wake) -> None:
        """The goods are in; what came is recorded. Never raises."""
        self._received = True

    def _step(self, name: str, reason: str = "", *, actor: str = "doms") -> ReturnStep:
        self._steps += 1
        return ReturnStep(
            step_key=f"{self._request.return_id}/{name}/{self._steps}",
            return_id=self._request.return_id,
            as_of=workflow.now(),
            actor=actor,
            reason=reason,
        )

    def _show(self, status: str, details: str) -> None:
        workflow.upsert_search_attributes([STATUS.value_set(status)])
        workflow.set_current_details(f"**{status}**: {details}")
