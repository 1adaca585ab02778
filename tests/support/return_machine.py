"""Steps of the state machine that have to do with returns: brought, asked for, decided, inspected, settled."""

from __future__ import annotations

import asyncio
from typing import cast

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from temporalio.testing import ActivityEnvironment

from activities.returns import Returns
from shared.client import Doms
from shared.database import inbox, returns
from shared.database.engine import Database
from shared.errors import InvalidInput
from shared.gateways.directory import Gateways
from shared.gateways.partner_messages import (
    Grade,
    GradedLine,
    PartnerMessage,
    ReturnReceived,
    TrackingStatus,
    TrackingUpdated,
)
from shared.messages import CallOutcome, LineQuantity, ReturnRequest, ReturnStep, ReturnVerdict
from tests.support.feed_machine import FeedMachine
from tests.support.stock import AS_OF, Line

CARRIER = "parcelpost"
_GRADED = st.tuples(st.integers(0, 2), st.integers(0, 2))


def tracking_no(owner: str) -> str:
    """The number of a fulfillment order's one parcel."""
    return f"TRK-{owner}"


class ReturnMachine(FeedMachine):
    """Returns as carriers and nodes tell of them and processes take them on, against the model."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        super().__init__(runner, database)
        self.orders: dict[str, list[Line]] = {}
        self.messages = self.requests = 0

    def said(self, partner_id: str, message: PartnerMessage) -> None:
        """A partner's message comes twice, and then once more under another name."""
        self.messages += 1
        for name in (f"m{self.messages}", f"m{self.messages}", f"m{self.messages}-again"):
            named = message.model_copy(update={"message_id": name})
            self.do(lambda connection, named=named: inbox.take(connection, partner_id, named))  # type: ignore[misc]

    @precondition(lambda self: self.shipped())
    @rule(data=st.data())
    def bring_parcel(self, data: st.DataObject) -> None:
        self.bring(data.draw(st.sampled_from(self.shipped())))

    def bring(self, owner: str) -> None:
        scan = TrackingUpdated(message_id="m", reference=tracking_no(owner), at=AS_OF, status=TrackingStatus.DELIVERED)
        self.said(CARRIER, scan)
        self.model.hand_over(owner)

    def shipped(self) -> list[str]:
        return sorted({unit.owner for unit in self.model.units if unit.state == "shipped"})

    @precondition(lambda self: self.delivered())
    @rule(data=st.data(), straight_on=st.booleans())
    def ask_return(self, data: st.DataObject, straight_on: bool) -> None:
        """Some of what was delivered, or more than that; policy decides, or staff does; it may be here at once."""
        order_id = data.draw(st.sampled_from(self.delivered()))
        line_nos = st.sampled_from([line_no for line_no, _, _ in self.orders[order_id]])
        lines = data.draw(st.dictionaries(line_nos, st.integers(1, 3), min_size=1))
        expected = self.model.ask_return(order_id, lines)
        self.requests += 1
        request = ReturnRequest(
            actor="test",
            order_id=order_id,
            lines=tuple(LineQuantity(line_no=n, quantity=units) for n, units in lines.items()),
            reason="test",
            request_id=f"r{self.requests}",
        )
        try:
            first, again = (self.do(lambda connection: returns.open_return(connection, request)) for _ in range(2))
        except InvalidInput:
            assert expected is None
            self.happened["return refused"] += 1
            return
        assert (first, first.return_id) == (again, expected)
        self._decide(first.return_id, approve=data.draw(st.booleans()))
        if straight_on and first.return_id in self.coming():
            self._inspect(data, first.return_id)
            self._settle(first.return_id)

    def delivered(self) -> list[str]:
        return sorted({unit.order_id for unit in self.model.units if unit.state == "delivered"})

    def _decide(self, name: str, *, approve: bool) -> None:
        verdict = self._step("judge", name)
        assert isinstance(verdict, ReturnVerdict)
        if verdict.decision == "ask_staff":
            verdict = self._step("approve" if approve else "decline", name)
            assert isinstance(verdict, ReturnVerdict)
        shipped_from = {one.node_id for one in self.model.fulfillments.values()}
        assert verdict.decision == "declined" or verdict.node_id in shipped_from
        self.model.decide(name, verdict.decision, verdict.node_id)

    @precondition(lambda self: self.coming())
    @rule(data=st.data())
    def inspect_return(self, data: st.DataObject) -> None:
        """All, some, more or none of it is there, as new or not."""
        self._inspect(data, data.draw(st.sampled_from(self.coming())))

    def _inspect(self, data: st.DataObject, name: str) -> None:
        skus = {line_no: sku for line_no, sku, _ in self.orders[self.model.returns[name].order_id]}
        came = data.draw(st.dictionaries(st.sampled_from(sorted(skus)), _GRADED, min_size=1))
        graded = [
            GradedLine(line_no=n, sku=skus[n], quantity=units, grade=grade)
            for n, (as_new, worn) in came.items()
            for units, grade in ((as_new, Grade.A), (worn, Grade.C))
            if units
        ]
        if not graded:
            return
        self.said("p", ReturnReceived(message_id="m", reference=name, at=AS_OF, lines=tuple(graded)))
        self.model.inspect_return(name, came)

    def coming(self) -> list[str]:
        return sorted(name for name, one in self.model.returns.items() if one.node_id)

    @precondition(lambda self: any(one.status == "received" for one in self.model.returns.values()))
    @rule(data=st.data())
    def settle_return(self, data: st.DataObject) -> None:
        there = sorted(name for name, one in self.model.returns.items() if one.status == "received")
        self._settle(data.draw(st.sampled_from(there)))

    def _settle(self, name: str) -> None:
        if self.model.returns[name].status != "received":
            return
        first, again = (self._step("settle", name) for _ in range(2))
        assert isinstance(first, CallOutcome)
        assert first == again
        assert first.units == self.model.settle(name)
        came = self.model.returns[name].came.values()
        self.happened["return settled"] += 1
        self.happened["return restocked"] += any(as_new for _, as_new in came)
        self.happened["return written off"] += any(units > as_new for units, as_new in came)
        self._step("close", name)

    def _step(self, name: str, return_id: str) -> object:
        """A step of the return's process."""
        doms = cast(Doms, self)
        activities = Returns(self.database, cast(Gateways, None), doms)
        step = ReturnStep(step_key=f"{return_id}/{name}", return_id=return_id, as_of=AS_OF, reason="closed")
        return self.runner.run(ActivityEnvironment().run(getattr(activities, name), step))
