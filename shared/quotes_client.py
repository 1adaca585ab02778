"""Carriers asked what lanes cost, and their answers kept for plans to come.

Nobody waits longer than the deadline, and a carrier that does not answer costs nothing but its quotes: what is not
quoted is planned by the card.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable
from typing import NamedTuple
from uuid import uuid4

from shared.database import quotes
from shared.database.engine import Database
from shared.domain.quotes import LaneQuote, QuoteLane
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder
from shared.domain.sourcing.plans import Plan
from shared.gateways.carriers.asking import ask_all
from shared.gateways.directory import Gateways
from shared.gateways.protocol import QuoteRequest

#: Seconds a promise waits for carriers.
PROMISE_WAITS = 0.3
#: Nodes whose lanes a promise has quoted: those that would ship the cart for least by what is known already.
PROMISE_NODES = 5
#: Seconds between two notes of one lane by one process.
_NOTE_LASTS = 3600.0
#: Lanes a process remembers to have noted.
_NOTED = 50_000


class LaneAnswers(NamedTuple):
    """What was quoted, and how many lanes were not."""

    quotes: tuple[LaneQuote, ...]
    unanswered: int


class Quoting:
    """Asks the carriers of a directory for quotes."""

    def __init__(self, database: Database, gateways: Gateways) -> None:
        self._database = database
        self._gateways = gateways

    async def ask(self, lanes: Collection[QuoteLane], *, within: float) -> LaneAnswers:
        """Ask about lanes, all at once, and keep the answers.

        Args:
            within: Seconds until what is not answered counts as unanswered.
        """
        told = await asyncio.gather(*(self._ask(lane, within) for lane in lanes))
        found = tuple(quote for of_lane in told for quote in of_lane)
        if found:
            async with self._database.statement() as connection:
                await quotes.keep_quotes(connection, found)
        return LaneAnswers(found, sum(not of_lane for of_lane in told))

    async def _ask(self, lane: QuoteLane, within: float) -> tuple[LaneQuote, ...]:
        request = QuoteRequest(
            reference=f"lane/{uuid4().hex}",
            from_node=lane.node_id,
            country=lane.country,
            postal_code=lane.postal_code,
            weight_g=lane.weight_g,
        )
        answers = await ask_all(self._gateways, [lane.carrier], request, within=within)
        where = {"node_id": lane.node_id, "destination": lane.destination, "weight_g": lane.weight_g}
        return tuple(LaneQuote(**(quote.model_dump() | where)) for told in answers.quotes.values() for quote in told)

    async def freshened(self, order: SourcingOrder, seen: Snapshot, policy: Policy, currency: str) -> Snapshot:
        """The snapshot with quotes for what has none yet, asked for now, within a promise's patience."""
        from shared.domain.sourcing.engine import plan  # loads numpy, which most calls do without
        from shared.domain.sourcing.quote_lanes import lanes_of

        carriers = self._gateways.quoting
        if not carriers:
            return seen
        found = plan(order, seen, policy)
        nodes = _best_nodes(found)
        lanes = [lane for lane in lanes_of(order, seen, policy, found, carriers) if lane.node_id in nodes]
        async with self._database.statement() as connection:
            await quotes.note_lanes(connection, lanes)
        there = {(quote.carrier, quote.node_id, quote.destination, quote.weight_g) for quote in seen.quotes}
        new = [lane for lane in lanes if (lane.carrier, lane.node_id, lane.destination, lane.weight_g) not in there]
        answers = await self.ask(new, within=PROMISE_WAITS)
        usable = tuple(quote for quote in answers.quotes if quote.currency == currency)
        return seen.model_copy(update={"quotes": seen.quotes + usable})


def _best_nodes(found: Plan) -> set[str]:
    alone = sorted((one.alone.total, one.node_id) for one in found.candidates if one.alone is not None)
    return {node_id for _, node_id in alone[:PROMISE_NODES]} | {one.node_id for one in found.shipments}


class LaneBook:
    """Notes what orders are planned for, so that its quotes are kept fresh; each lane once an hour."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[tuple[str, str, str, int], float] = {}

    async def note(
        self, order: SourcingOrder, seen: Snapshot, policy: Policy, found: Plan, carriers: Iterable[str]
    ) -> None:
        from shared.domain.sourcing.quote_lanes import lanes_of

        now = time.monotonic()
        new = [lane for lane in lanes_of(order, seen, policy, found, carriers) if self._is_new(lane, now)]
        if new:
            async with self._database.statement() as connection:
                await quotes.note_lanes(connection, new)

    def _is_new(self, lane: QuoteLane, now: float) -> bool:
        key = (lane.carrier, lane.node_id, lane.destination, lane.weight_g)
        if now - self._noted.get(key, -_NOTE_LASTS) < _NOTE_LASTS:
            return False
        if len(self._noted) >= _NOTED:
            self._noted.clear()
        self._noted[key] = now
        return True
