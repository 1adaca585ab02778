"""Steps of the state machine that have to do with supply: expected, sent, counted in, inspected, counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import counts_client, supply_client
from shared.client import Doms
from shared.database.engine import Database
from shared.database.quarantine import Disposal
from shared.domain.counts import Count
from shared.domain.supply import Inbound, InboundKind, InboundLine, Receipt, ReceiptLine
from shared.errors import Conflict
from shared.messages import Wake
from tests.support.return_model import ReturnModel

T = TypeVar("T")

#: What happened in all runs of the machine: a step that never does anything proves nothing.
HAPPENED = Counter[str]()

NODES, SKUS = ("n1", "n2"), ("s1", "s2", "s3")
KEYS = st.tuples(st.sampled_from(NODES), st.sampled_from(SKUS))
QUANTITIES = st.integers(1, 6)
_INSPECTIONS = st.sampled_from(["qa-1", "qa-2", "qa-3"])


class SupplyMachine(RuleBasedStateMachine):
    """Supply against Postgres and against the model; no order is served, for nothing ships from these nodes."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        super().__init__()
        self.runner, self.database = runner, database
        self.happened: Counter[str] = HAPPENED
        self.model = ReturnModel()
        self.moments: list[tuple[int, datetime]] = []
        self.counts = 0

    async def wake(self, workflow_id: str, wake: Wake) -> None:
        """No process runs here."""

    def do(self, step: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async def run() -> T:
            async with self.database.transaction() as connection:
                return await step(connection)

        return self.runner.run(run())

    def _told(self, step: Callable[[Doms], Awaitable[T]]) -> T | None:
        """What a client's call answers; ``None`` when it is refused."""

        async def run() -> T:
            return await step(cast(Doms, self))

        try:
            return self.runner.run(run())
        except Conflict:
            return None

    @rule(
        to=st.sampled_from(NODES),
        transfer=st.booleans(),
        lines=st.dictionaries(st.sampled_from(SKUS), QUANTITIES, min_size=1),
    )
    def expect(self, to: str, transfer: bool, lines: dict[str, int]) -> None:
        name = f"in-{len(self.model.deliveries) + 1}"
        origin = next(node for node in NODES if node != to) if transfer else ""
        inbound = Inbound(
            inbound_id=name,
            kind=InboundKind.TRANSFER if transfer else InboundKind.PURCHASE_ORDER,
            node_id=to,
            origin_node_id=origin or None,
            expected_at=datetime.now(UTC) + timedelta(days=1),
            lines=tuple(InboundLine(sku=sku, quantity=units) for sku, units in sorted(lines.items())),
        )
        assert self._told(lambda doms: supply_client.create_inbound(doms, inbound, actor="test"))
        assert self._told(lambda doms: supply_client.create_inbound(doms, inbound, actor="test")) is False
        self.model.expect(name, to, origin, lines)

    @precondition(lambda self: self.model.deliveries)
    @rule(data=st.data())
    def depart(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.deliveries)))
        answer = self._told(lambda doms: supply_client.depart(doms, name, actor="test"))
        assert answer == self.model.depart(name)

    @precondition(lambda self: self.model.deliveries)
    @rule(data=st.data(), sku=st.sampled_from(SKUS), good=st.integers(0, 6), damaged=QUANTITIES, short=st.booleans())
    def deliver(self, data: st.DataObject, sku: str, good: int, damaged: int, short: bool) -> None:
        """Whole or in parts, over and short, and of items that nobody expected; each delivery is told twice."""
        name = data.draw(st.sampled_from(sorted(self.model.deliveries)))
        line = ReceiptLine(sku=sku, good=good, damaged=damaged - 1, short=short or not (good or damaged > 1))
        self.counts += 1
        receipt = Receipt(inbound_id=name, reference=f"asn-{self.counts}", lines=(line,))
        first, again = (self._told(lambda doms: supply_client.receive(doms, receipt, actor="test")) for _ in range(2))
        assert (first is not None) == self.model.deliver(name, sku, good, damaged - 1, short=line.short)
        assert again == (first and first.model_copy(update={"again": True}))

    @precondition(lambda self: self.model.deliveries)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.deliveries)))
        assert self._told(lambda doms: supply_client.cancel_inbound(doms, name)) == self.model.give_up(name)

    @rule(key=KEYS, units=st.integers(1, 3), reference=_INSPECTIONS, sound=st.booleans())
    def inspect(self, key: tuple[str, str], units: int, reference: str, sound: bool) -> None:
        disposal = Disposal(node_id=key[0], sku=key[1], quantity=units, reference=reference)
        expected = self.model.inspect(reference, key, units, sound=sound)
        if sound:
            served = self._told(lambda doms: supply_client.release_quarantine(doms, disposal, actor="test"))
            assert served == (None if expected is None else 0)
        else:
            done = self._told(lambda doms: supply_client.write_off_quarantine(doms, disposal, actor="test"))
            assert done == expected

    @rule()
    def look_at_the_clock(self) -> None:
        self.moments.append((self.model.tick(), datetime.now(UTC)))

    @rule(data=st.data(), key=KEYS, counted=st.integers(0, 9))
    def count(self, data: st.DataObject, key: tuple[str, str], counted: int) -> None:
        """Of now or of a moment ago, booked once."""
        moments: list[tuple[int | None, datetime | None]] = [(None, None), *self.moments]
        moment, at = data.draw(st.sampled_from(moments))
        self.counts += 1
        name = f"count-{self.counts}"
        count = Count(node_id=key[0], sku=key[1], counted=counted, counted_at=at)
        booked = self._told(lambda doms: counts_client.record_count(doms, count, reference=name, actor="test"))
        assert booked
        expected = self.model.count(key, counted, self.model.tick() if moment is None else moment)
        assert booked[0].booked == expected
        assert not self._told(lambda doms: counts_client.record_count(doms, count, reference=name, actor="test"))
