"""Two floors: the smallest workflow there is, and one of an order's shape whose steps do nothing."""

from datetime import timedelta

from temporalio import activity, workflow


@workflow.defn(name="Noop")
class NoopWorkflow:
    """Does nothing, durably."""

    @workflow.run
    async def run(self) -> None:
        return None


@activity.defn(name="noop")
async def noop() -> None:
    return None


@workflow.defn(name="EmptyOrder")
class EmptyOrderWorkflow:
    """An order's messages with nothing behind them: an update, 2 local and 3 ordinary activities, 2 signals."""

    def __init__(self) -> None:
        self._planned = False
        self._shipped = False
        self._delivered = False

    @workflow.run
    async def run(self) -> None:
        await self._step()
        self._planned = True
        await self._call()
        await self._call()
        await workflow.wait_condition(lambda: self._shipped)
        await self._call()
        await workflow.wait_condition(lambda: self._delivered)
        await self._step()

    @workflow.update
    async def submit(self) -> None:
        await workflow.wait_condition(lambda: self._planned)

    @workflow.signal
    def shipped(self) -> None:
        self._shipped = True

    @workflow.signal
    def delivered(self) -> None:
        self._delivered = True

    async def _step(self) -> None:
        await workflow.execute_local_activity(noop, start_to_close_timeout=timedelta(seconds=5))

    async def _call(self) -> None:
        await workflow.execute_activity(noop, start_to_close_timeout=timedelta(seconds=5))
