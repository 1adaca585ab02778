"""A job: many orders through a running DOMS, watched until the last one is over."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from statistics import quantiles

from rich.console import Console
from rich.live import Live
from rich.table import Table
from sqlalchemy import text
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

from shared.client import Doms
from shared.database.engine import is_unreachable
from shared.database.figures import stage_counts
from shared.domain.orders import OrderDocument
from shared.errors import Conflict, InvalidInput, Unavailable

_OPEN = text("SELECT count(*) FROM orders WHERE order_id = ANY(:order_ids) AND closed_at IS NULL")
_LAST_CLOSED = text("SELECT max(event_id) FROM timeline")
#: An order is called stuck when nothing at all has happened to any order for this long, in seconds.
_STANDSTILL = 90.0


def patiently() -> AsyncRetrying:
    """Retries around one call of ours: a server that was killed comes back within a minute or two."""
    return AsyncRetrying(
        retry=retry_if_exception(lambda e: isinstance(e, Unavailable) or is_unreachable(e)),
        wait=wait_exponential_jitter(initial=0.2, max=3),
        stop=stop_after_delay(180),
        reraise=True,
    )


class Job:
    """Places orders and keeps count of them.

    Attributes:
        placed: Ids of the orders accepted.
        refused: Orders turned away, by the code of their first fault.
    """

    def __init__(self, doms: Doms, console: Console, total: int | None) -> None:
        self.doms = doms
        self.placed: list[str] = []
        self.refused: Counter[str] = Counter()
        self._console = console
        self._total = total
        self._verdicts: list[float] = []
        self._started = time.monotonic()

    async def place(self, document: OrderDocument) -> str | None:
        """Submit one order, again and again while a server is away; its id, or ``None`` when it was refused."""
        begun = time.monotonic()
        try:
            async for attempt in patiently():
                with attempt:
                    verdict = await self.doms.submit(document)
        except InvalidInput as error:
            self.refused[error.faults[0].code] += 1
            return None
        except Conflict as error:
            self.refused[error.code] += 1
            return None
        self._verdicts.append(time.monotonic() - begun)
        self.placed.append(verdict.order_id)
        return verdict.order_id

    async def until_over(self) -> int:
        """Wait until every order is over, or nothing moves any more; returns how many are not."""
        last_event, quiet_since = -1, time.monotonic()
        while True:
            still_open, event = await self._progress()
            if not still_open:
                return 0
            if event != last_event:
                last_event, quiet_since = event, time.monotonic()
            if time.monotonic() - quiet_since > _STANDSTILL:
                return still_open
            await asyncio.sleep(0.25)

    async def _progress(self) -> tuple[int, int]:
        async for attempt in patiently():
            with attempt:
                async with self.doms.database.reading() as connection:
                    values = {"order_ids": self.placed}
                    still_open = int((await connection.execute(_OPEN, values)).scalar_one())
                    event = int((await connection.execute(_LAST_CLOSED)).scalar_one() or 0)
        return still_open, event

    def verdict_ms(self) -> tuple[float, float]:
        """Median and 95th percentile of the channel's wait, milliseconds."""
        if len(self._verdicts) < 2:
            return (0.0, 0.0)
        cuts = quantiles(self._verdicts, n=20, method="inclusive")
        return round(cuts[9] * 1000, 1), round(cuts[18] * 1000, 1)

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Show the orders by stage while the block runs; on a terminal live, elsewhere a line now and then."""
        showing = asyncio.create_task(self._show())
        try:
            yield
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    async def _show(self) -> None:
        live = self._console.is_terminal
        with Live(console=self._console, refresh_per_second=4, transient=True) if live else nullcontext() as screen:
            while True:
                try:
                    async with self.doms.database.reading() as connection:
                        stages = await stage_counts(connection)
                except Exception as error:
                    if not is_unreachable(error):
                        raise
                    stages = {"database restarting": 0}
                if screen is not None:
                    screen.update(self._table(stages))
                else:
                    self._console.print(self._line(stages))
                await asyncio.sleep(0.5 if live else 3)

    def _table(self, stages: dict[str, int]) -> Table:
        table = Table(title=self._headline(), title_justify="left")
        table.add_column("stage")
        table.add_column("orders", justify="right")
        for stage, count in sorted(stages.items(), key=lambda pair: -pair[1]):
            table.add_row(stage, str(count))
        return table

    def _line(self, stages: dict[str, int]) -> str:
        counts = ", ".join(f"{count} {stage}" for stage, count in sorted(stages.items(), key=lambda pair: -pair[1]))
        return f"{self._headline()}: {counts}"

    def _headline(self) -> str:
        seconds = max(time.monotonic() - self._started, 0.001)
        of = f" of {self._total}" if self._total else ""
        return f"{len(self.placed)}{of} orders placed, {len(self.placed) / seconds:.1f}/s, {seconds:.0f} s"

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._started, 1)


async def in_turn(work: Callable[[], Awaitable[bool]], workers: int) -> None:
    """Run ``work`` from several tasks until it says there is no more."""

    async def one() -> None:
        while await work():
            pass

    await asyncio.gather(*(one() for _ in range(workers)))
