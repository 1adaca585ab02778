"""Natural batching, its two lanes, and whose fault is whose."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from shared.database.batcher import Batcher


class Gate:
    """Work that waits to be let on, doubles numbers, and remembers its batches."""

    def __init__(self, *, poison: frozenset[int] = frozenset()) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Semaphore(0)
        self._changed = asyncio.Condition()
        self.poison = poison

    async def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        async with self._changed:
            self.batches.append(list(items))
            self._changed.notify_all()
        await self.open.acquire()
        if self.poison & set(items):
            raise ValueError("poison")
        return [LookupError(str(item)) if item < 0 else 2 * item for item in items]

    async def begun(self, batches: int) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: len(self.batches) >= batches)


def let_on(gate: Gate, times: int = 1000) -> None:
    for _ in range(times):
        gate.open.release()


def submit(batcher: Batcher[int, int], *items: int) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(batcher.submit(item)) for item in items]


async def test_what_comes_during_a_batch_shares_the_next_one() -> None:
    gate = Gate()
    batcher = Batcher(gate)
    first = submit(batcher, 1)
    await gate.begun(1)
    rest = submit(batcher, 2, 3, 4)
    await asyncio.sleep(0)
    let_on(gate)
    assert await asyncio.gather(*first, *rest) == [2, 4, 6, 8]
    assert gate.batches == [[1], [2, 3, 4]]


async def test_a_batch_is_full_at_its_limit() -> None:
    gate = Gate()
    batcher = Batcher(gate, limit=4)
    let_on(gate)
    assert await asyncio.gather(*submit(batcher, *range(10))) == [2 * n for n in range(10)]
    assert [len(batch) for batch in gate.batches] == [4, 4, 2]


async def test_the_heavy_have_a_lane_of_their_own() -> None:
    gate = Gate()
    batcher = Batcher(gate, weigh=lambda item: item, limit=10)
    heavy = submit(batcher, 90)
    await gate.begun(1)
    light = submit(batcher, 1, 2)
    await gate.begun(2)
    let_on(gate)
    assert await asyncio.gather(*heavy, *light) == [180, 2, 4]
    assert gate.batches == [[90], [1, 2]]


async def test_several_batches_may_be_at_work() -> None:
    gate = Gate()
    batcher = Batcher(gate, limit=3, at_once=2)
    tasks = submit(batcher, *range(8))
    await gate.begun(2)
    assert gate.batches == [[0, 1, 2], [3, 4, 5]]
    let_on(gate)
    assert await asyncio.gather(*tasks) == [2 * n for n in range(8)]
    assert gate.batches[2:] == [[6, 7]]


@pytest.mark.parametrize("at_once", [1, 2])
async def test_nothing_is_forgotten_between_two_batches(at_once: int) -> None:
    """Each answer brings the next item, in the very moment in which the lane falls idle."""
    gate = Gate()
    let_on(gate)
    batcher = Batcher(gate, at_once=at_once)
    async with asyncio.timeout(30):
        for item in range(500):
            assert await batcher.submit(item) == 2 * item
    assert len(gate.batches) == 500


async def test_two_of_one_key_are_never_in_one_batch() -> None:
    gate = Gate()
    batcher = Batcher(gate, key=lambda item: item % 2)
    let_on(gate)
    assert await asyncio.gather(*submit(batcher, 1, 3, 2, 5, 4)) == [2, 6, 4, 10, 8]
    assert gate.batches == [[1, 2], [3, 4], [5]]


async def test_an_outcome_that_is_an_exception_is_its_callers_alone() -> None:
    gate = Gate()
    let_on(gate)
    good, bad = submit(Batcher(gate), 1, -1)
    assert await good == 2
    with pytest.raises(LookupError):
        await bad
    assert gate.batches == [[1, -1]]


@given(st.integers(1, 40), st.frozensets(st.integers(0, 39), max_size=6))
def test_only_the_poisonous_fail(size: int, poison: frozenset[int]) -> None:
    async def run() -> None:
        gate = Gate(poison=poison)
        let_on(gate)
        outcomes = await asyncio.gather(*submit(Batcher(gate), *range(size)), return_exceptions=True)
        for item, outcome in enumerate(outcomes):
            assert isinstance(outcome, ValueError) if item in poison else outcome == 2 * item

    asyncio.run(run())


async def test_a_lost_connection_is_told_to_all_at_once() -> None:
    calls = 0

    async def gone(items: Sequence[int]) -> list[int]:
        nonlocal calls
        calls += 1
        raise OperationalError("", {}, ConnectionError("gone"))

    outcomes = await asyncio.gather(*submit(Batcher(gone), 1, 2, 3), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OperationalError] * 3
    assert calls == 1


async def test_a_caller_that_gives_up_takes_nobody_with_it() -> None:
    gate = Gate()
    batcher = Batcher(gate)
    working, mate = submit(batcher, 1, 2)
    await gate.begun(1)
    waiting, other = submit(batcher, 3, 4)
    await asyncio.sleep(0)
    working.cancel()
    waiting.cancel()
    let_on(gate)
    assert (await mate, await other) == (4, 8)
    assert gate.batches == [[1, 2], [4]], "who gave up before the batch began is not in it"


async def test_closing_finishes_what_was_submitted() -> None:
    gate = Gate()
    batcher = Batcher(gate, limit=2)
    tasks = submit(batcher, 1, 2, 3)
    await gate.begun(1)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    assert not closing.done()
    with pytest.raises(RuntimeError):
        await batcher.submit(9)
    let_on(gate)
    await closing
    assert [task.result() for task in tasks] == [2, 4, 6]
