"""What is done to stock from outside: it comes, goes, is counted, and is said to be there."""

from __future__ import annotations

import asyncio
import io
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy.exc import IntegrityError
from temporalio.testing import ActivityEnvironment

from activities.feeds import Feeds
from shared import counts_client, supply_client
from shared.client import Doms
from shared.database import rises
from shared.database.engine import Database, is_unreachable
from shared.database.quarantine import Disposal
from shared.database.stock import Move
from shared.domain.counts import Count
from shared.domain.feeds import FeedSource
from shared.domain.supply import Inbound, InboundKind, InboundLine, Receipt, ReceiptLine
from shared.errors import Conflict, InvalidInput, NotFound, Unavailable
from shared.feeds_client import take_in
from shared.loading import load
from shared.messages import Wake
from shared.messages.feeds import FeedRunInput

Step = Callable[[Database], Awaitable[str]]

LATER = datetime.now(UTC) + timedelta(hours=1)
#: Lost races and locks that were waited for too long: what callers must not see.
_BLAMES_US = ("40P01", "40001", "55P03", "57014")


class _Desk:
    """Stands in for the client where no process runs: nobody is woken."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def wake(self, workflow_id: str, wake: Wake) -> None:
        return None


class StockSteps:
    """Steps drawn at random, each taken until it is answered.

    Attributes:
        outcomes: How often each kind of step ended how.
        unknown: Answers that were lost; each step was repeated under its key until it had one.
    """

    def __init__(
        self,
        hands: Sequence[Database],
        chance: random.Random,
        *,
        nodes: int,
        skus: int,
    ) -> None:
        self._hands, self._chance = hands, chance
        self._nodes = [f"n{n}" for n in range(1, nodes + 1)]
        self._skus = [f"s{n}" for n in range(1, skus + 1)]
        self._inbounds: list[tuple[str, str]] = []
        self._transfers: list[str] = []
        self._source_at = datetime.now(UTC)
        self._one_at_a_time = {"snapshot": asyncio.Lock(), "delta": asyncio.Lock()}
        self._sources = {
            kind: FeedSource.model_validate(
                {
                    "source_id": kind,
                    "node_id": node_id,
                    "reading": {"format": "csv", "sku": "sku", "quantity": "qty"},
                    "counts": "on_hand",
                    "kind": kind,
                }
            )
            for kind, node_id in zip(self._one_at_a_time, self._nodes, strict=False)
        }
        self.outcomes = Counter[tuple[str, str]]()
        self.unknown = 0

    async def _persist(self, step: Step) -> str:
        while True:
            try:
                return await step(self._chance.choice(self._hands))
            except (Conflict, NotFound, InvalidInput):
                return "refused"
            except IntegrityError as error:
                if "never_oversold" not in str(error):
                    raise
                return "refused"
            except Exception as error:
                database = error.__cause__ if isinstance(error, Unavailable) else error
                blamed = getattr(getattr(database, "orig", None), "sqlstate", None) in _BLAMES_US
                if blamed or database is None or not is_unreachable(database):
                    raise
                self.unknown += 1

    def _doms(self, hand: Database) -> Doms:
        return cast(Doms, _Desk(hand))

    def _some(self, at_most: int = 3) -> int:
        return self._chance.randint(1, at_most)

    def _key(self) -> tuple[str, str]:
        return self._chance.choice(self._nodes), self._chance.choice(self._skus)

    async def _answered(self, outcome: str, step: Awaitable[Any]) -> str:
        await step
        return outcome

    # --- what comes and goes ------------------------------------------------------------------------------

    def _arrive(self, key: str) -> Step:
        at = {self._key() for _ in range(3)}
        moves = [Move(node_id=n, sku=s, cause="receive", on_hand=self._some(), reference=key) for n, s in at]
        return lambda hand: self._answered("booked", rises.book_arrival(hand, moves, as_of=datetime.now(UTC)))

    def _write_off(self, key: str) -> Step:
        at = {self._key() for _ in range(2)}
        moves = [Move(node_id=n, sku=s, cause="write_off", on_hand=-self._some(), reference=key) for n, s in at]
        return lambda hand: self._answered("booked", rises.book_arrival(hand, moves, as_of=datetime.now(UTC)))

    def _expect(self, key: str, *, transfer: bool | None = None) -> Step:
        origin, to = self._chance.sample(self._nodes, 2)
        transfer = self._chance.random() < 0.5 if transfer is None else transfer
        skus = sorted(self._chance.sample(self._skus, 2))
        inbound = Inbound(
            inbound_id=key,
            kind=InboundKind.TRANSFER if transfer else InboundKind.PURCHASE_ORDER,
            node_id=to,
            origin_node_id=origin if transfer else None,
            expected_at=LATER,
            lines=tuple(InboundLine(sku=sku, quantity=self._some(2 if transfer else 6)) for sku in skus),
        )

        async def step(hand: Database) -> str:
            await supply_client.create_inbound(self._doms(hand), inbound, actor="test")
            self._inbounds += [(key, sku) for sku in skus]
            self._transfers += [key] * transfer
            return "told"

        return step

    def _inbound(self) -> tuple[str, str]:
        return self._chance.choice(self._inbounds) if self._inbounds else ("none", "s1")

    def _depart(self, key: str) -> Step:
        name = self._chance.choice(self._transfers) if self._transfers else "none"

        async def step(hand: Database) -> str:
            left = await supply_client.depart(self._doms(hand), name, actor="test")
            return "departed" if left else "left before"

        return step

    def _slip(self, key: str) -> Step:
        (name, _), at = self._inbound(), LATER + timedelta(days=self._some(9))
        return lambda hand: self._answered("dated", supply_client.slip(self._doms(hand), name, at))

    def _give_up(self, key: str) -> Step:
        name, _ = self._inbound()
        return lambda hand: self._answered("given up", supply_client.cancel_inbound(self._doms(hand), name))

    def _receive(self, key: str) -> Step:
        name, sku = self._inbound()
        line = ReceiptLine(sku=sku, good=self._some(4), damaged=self._some(2), short=self._chance.random() < 0.3)
        receipt = Receipt(inbound_id=name, reference=key, lines=(line,))
        return lambda hand: self._answered("booked", supply_client.receive(self._doms(hand), receipt, actor="test"))

    def _inspect(self, key: str) -> Step:
        node_id, sku = self._key()
        disposal = Disposal(node_id=node_id, sku=sku, quantity=1, reference=key)
        if self._chance.random() < 0.5:
            return lambda hand: self._answered(
                "released", supply_client.release_quarantine(self._doms(hand), disposal, actor="test")
            )
        return lambda hand: self._answered(
            "written off", supply_client.write_off_quarantine(self._doms(hand), disposal, actor="test")
        )

    # --- what is said to be there -------------------------------------------------------------------------

    def _count(self, key: str) -> Step:
        """Of now, or of a moment ago."""
        node_id, sku = self._key()
        at = datetime.now(UTC) - timedelta(seconds=self._chance.choice((0, 0, 2, 10)))
        count = Count(node_id=node_id, sku=sku, counted=self._chance.randint(0, 200), counted_at=at)
        return lambda hand: self._answered(
            "counted", counts_client.record_count(self._doms(hand), count, reference=key, actor="test")
        )

    def _snapshot(self, key: str) -> Step:
        """A snapshot of some items, as old as a few seconds."""
        return self._feed(key, "snapshot", {sku: self._chance.randint(0, 200) for sku in self._feed_of()})

    def _delta(self, key: str) -> Step:
        """What has come to some items, or left them."""
        return self._feed(key, "delta", {sku: self._chance.randint(-9, 9) for sku in self._feed_of()})

    def _feed_of(self) -> list[str]:
        return self._chance.sample(self._skus, 6)

    def _feed(self, key: str, kind: str, figures: dict[str, int]) -> Step:
        content = "sku,qty,note\n" + "".join(f"{sku},{units},{key}\n" for sku, units in figures.items())

        async def step(_: Database) -> str:
            async with self._one_at_a_time[kind]:
                source, at = self._sources[kind], self._source_at  # the same moment again, or it is another file
                return await self._persist(lambda again: self._run_feed(again, key, source, content, at))

        return step

    async def _run_feed(self, hand: Database, key: str, source: FeedSource, content: str, at: datetime) -> str:
        run = await take_in(hand, source, io.BytesIO(content.encode()), name=key, as_of=at, actor="test")
        request = FeedRunInput(source_id=run.source_id, run_id=run.run_id)
        activities, env = Feeds(hand, cast(Any, _Desk(hand)), {}), ActivityEnvironment()
        for activity in (activities.stage, activities.apply, activities.finish):
            try:
                run = await env.run(activity, request)
            except (Conflict, IntegrityError) as error:
                raise AssertionError(f"{key}: no figure of a feed is ever refused") from error
            if run.over:
                break
        self._source_at = datetime.now(UTC)
        return str(run.status)

    def _load(self, key: str) -> Step:
        keys = sorted({self._key() for _ in range(2)})
        rows = "".join(f"{node_id},{sku},{self._chance.randint(300, 500)},\n" for node_id, sku in keys)
        table = f"node_id,sku,on_hand,safety\n{rows}".encode()
        return lambda hand: self._answered("loaded", load(hand, {"stock": table}))
