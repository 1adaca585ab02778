"""What customers send back, in the storm: asked for, graded by the node that receives it, and settled."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, cast

from temporalio.testing import ActivityEnvironment

from activities.returns import Returns
from shared.database import inbox, returns
from shared.database.engine import Database, around_races
from shared.gateways.partner_messages import Grade, GradedLine, PartnerMessage, ReturnReceived
from shared.messages import LineQuantity, ReturnRequest, ReturnStep
from tests.support.stock import AS_OF, Line
from tests.support.storm_stock import Step, StockSteps

CARRIER = "parcelpost"


def tracking_no(reference: str) -> str:
    """The number of a fulfillment order's one parcel."""
    return f"TRK-{reference}"


class ReturnSteps(StockSteps):
    """Steps of returns, each of them repeatable; a return waits in a list for the next one."""

    def __init__(
        self, hands: Sequence[Database], orders: dict[str, list[Line]], chance: random.Random, *, nodes: int, skus: int
    ) -> None:
        super().__init__(hands, chance, nodes=nodes, skus=skus)
        self._lines = orders
        self._delivered: list[str] = []
        self._approved: list[tuple[str, str]] = []
        self._graded: list[str] = []

    async def _tell_us(self, hand: Database, partner_id: str, message: PartnerMessage) -> str:
        async for attempt in around_races():
            with attempt:
                async with hand.transaction() as connection:
                    taken = await inbox.take(connection, partner_id, message)
        return "served others" if taken.served else "applied"

    def _ask(self, key: str) -> Step:
        """One unit of the first line; more than was delivered, when others of it come back already."""
        order_id = self._chance.choice(self._delivered) if self._delivered else "o0"
        lines = (LineQuantity(line_no=1, quantity=1),)
        request = ReturnRequest(actor="test", order_id=order_id, lines=lines, reason="test", request_id=key)

        async def step(hand: Database) -> str:
            if not self._delivered:
                return "nothing"
            async with hand.transaction() as connection:
                opened = await returns.open_return(connection, request)
            await self._take_step(hand, "judge", opened.return_id)
            self._approved.append((order_id, opened.return_id))
            return "approved"

        return step

    def _grade(self, key: str) -> Step:
        """It is there: as new, or worn and written off."""
        chosen = self._approved.pop() if self._approved else None
        grade = self._chance.choice((Grade.A, Grade.A, Grade.C))

        async def step(hand: Database) -> str:
            if chosen is None:
                return "nothing"
            order_id, return_id = chosen
            line = GradedLine(line_no=1, sku=self._lines[order_id][0][1], quantity=1, grade=grade)
            received = ReturnReceived(message_id=key, reference=return_id, at=AS_OF, lines=(line,))
            await self._tell_us(hand, "p", received)
            self._graded.append(return_id)
            return "as new" if grade is Grade.A else "worn"

        return step

    def _settle(self, key: str) -> Step:
        return_id = self._graded.pop() if self._graded else ""

        async def step(hand: Database) -> str:
            if not return_id:
                return "nothing"
            await self._take_step(hand, "settle", return_id)
            await self._take_step(hand, "close", return_id)
            return "settled"

        return step

    async def _take_step(self, hand: Database, name: str, return_id: str) -> None:
        activities = Returns(hand, cast(Any, None), self._doms(hand))
        step = ReturnStep(step_key=f"{return_id}/{name}", return_id=return_id, as_of=AS_OF, reason="closed")
        await ActivityEnvironment().run(getattr(activities, name), step)
