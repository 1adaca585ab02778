"""Stock and shipping days priced by what orders are expected. Imported only by workers of the planning queue."""

from __future__ import annotations

import asyncio

from temporalio import activity

from activities.beating import beating
from shared.contracts import PriceActivities
from shared.database import outlooks, prices
from shared.database.engine import Database
from shared.database.snapshots import AGREEING
from shared.domain.pricing.models import PriceVersion
from shared.domain.pricing.pricing import price
from shared.messages import PriceResult, PriceStep
from shared.messages.prices import STALE_AFTER


class Pricing(PriceActivities):
    """The pricing activity over the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name="prices.solve")
    async def solve(self, step: PriceStep) -> PriceResult:
        """Read what is expected, price it, and keep the prices as a version.

        Raises:
            Unsolved: the solver gave up; the prices before stay in force until they are stale.
        """
        async with beating():
            async with self._database.reading() as connection:
                kept = await prices.find_run(connection, step.run_id)
            if kept is None:
                kept = await self._version(step)
                async with self._database.transaction() as connection:
                    await prices.keep(connection, kept, step.run_id)
        return PriceResult(
            version=kept.version,
            stock_prices=len(kept.stock),
            shipping_prices=len(kept.days),
            doubted=len(kept.doubted),
        )

    async def _version(self, step: PriceStep) -> PriceVersion:
        async with self._database.transaction() as connection:
            await connection.execute(AGREEING)
            outlook = await outlooks.read_outlook(
                connection, step.started_at, horizon_days=step.horizon_days, history_days=step.history_days
            )
        found = await asyncio.to_thread(price, outlook)
        expires_at = step.started_at + STALE_AFTER * step.every
        return PriceVersion.of(found, outlook, outlooks.hash_of(outlook), expires_at)
