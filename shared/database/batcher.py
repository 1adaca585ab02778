"""Natural batching: while a batch is at work, the next one collects.

A lone item is worked on at once, no timer delays it; under load a transaction, with its one wait for the disk,
is shared by everybody who came meanwhile. Members of a batch do not know of each other: the fault of one, or its
caller giving up, is its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from shared.database.engine import is_unreachable

T = TypeVar("T")
R = TypeVar("R")

#: Does the work of a batch, all or nothing; one outcome per item, in their order. An outcome that is an
#: exception is raised to that item's caller. It may be called again for the same items.
Work = Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]]


@dataclass(frozen=True, eq=False)
class _Entry(Generic[T, R]):
    item: T
    key: Hashable
    weight: int
    answer: asyncio.Future[R]


class Batcher(Generic[T, R]):
    """Two lanes of batches; what is heavy has a lane of its own, one batch at a time, and delays nobody else.

    Args:
        key: Two items of one key are never in one batch: the later one finds the work of the earlier one done.
        weigh: What an item adds to its batch; never less than 1 is counted.
        limit: The weight at which a batch is full. An item heavier than half of it is heavy.
        at_once: Ordinary batches at work at the same time.
    """

    def __init__(
        self,
        work: Work[T, R],
        *,
        key: Callable[[T], Hashable] = lambda _: object(),
        weigh: Callable[[T], int] = lambda _: 1,
        limit: int = 200,
        at_once: int = 1,
    ) -> None:
        self._key, self._weigh, self._limit = key, weigh, limit
        self._ordinary, self._heavy = _Lane(work, limit, at_once), _Lane(work, limit, 1)
        self._closed = False

    async def submit(self, item: T) -> R:
        """The item's outcome, when its batch is done. A caller that gives up does not stop the work."""
        if self._closed:
            raise RuntimeError("the batcher is closed")
        weight = max(1, self._weigh(item))
        lane = self._heavy if weight > self._limit // 2 else self._ordinary
        return await lane.put(item, self._key(item), weight)

    async def close(self) -> None:
        """Finish what was submitted and take nothing more."""
        self._closed = True
        await self._ordinary.idle()
        await self._heavy.idle()


class _Lane(Generic[T, R]):
    """A queue and the tasks that work it off; there is none while the queue is empty."""

    def __init__(self, work: Work[T, R], limit: int, at_once: int) -> None:
        self._work, self._limit, self._at_once = work, limit, at_once
        self._waiting: deque[_Entry[T, R]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, item: T, key: Hashable, weight: int) -> asyncio.Future[R]:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Entry(item, key, weight, answer))
        if len(self._tasks) < self._at_once:
            self._tasks.add(asyncio.create_task(self._drain()))
        return answer

    async def idle(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _drain(self) -> None:
        batch: list[_Entry[T, R]] = []
        try:
            while self._waiting:
                batch = self._next()
                await self._settle(batch)
        finally:
            # Here and not in a callback, which would run a moment too late for what is put meanwhile.
            self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))
            for entry in (*batch, *self._waiting):
                entry.answer.cancel()  # does nothing to those that have their answer

    def _next(self) -> list[_Entry[T, R]]:
        """The oldest items that are still wanted, no two of one key, up to the limit."""
        batch: dict[Hashable, _Entry[T, R]] = {}
        later: list[_Entry[T, R]] = []
        weight = 0
        while self._waiting and (not batch or weight + self._waiting[0].weight <= self._limit):
            entry = self._waiting.popleft()
            if entry.key in batch:
                later.append(entry)
            elif not entry.answer.done():
                batch[entry.key] = entry
                weight += entry.weight
        self._waiting.extendleft(reversed(later))
        return list(batch.values())

    async def _settle(self, batch: Sequence[_Entry[T, R]]) -> None:
        """Work on a batch; when it fails, on its halves, so that only who is to blame fails."""
        if not batch:
            return
        try:
            outcomes: Sequence[R | Exception] = await self._work([entry.item for entry in batch])
        except Exception as error:
            if len(batch) > 1 and not is_unreachable(error):
                await self._settle(batch[: len(batch) // 2])
                await self._settle(batch[len(batch) // 2 :])
                return
            outcomes = [error] * len(batch)
        for entry, outcome in zip(batch, outcomes, strict=True):
            _tell(entry.answer, outcome)


def _tell(answer: asyncio.Future[R], outcome: R | Exception) -> None:
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
