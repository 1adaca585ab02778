"""Channels told what they may sell, as it changes."""

from __future__ import annotations

import asyncio
from typing import Protocol

from temporalio import activity

from shared.contracts import PublishingActivities
from shared.database import publishing
from shared.database.availability import Available
from shared.database.engine import Database
from shared.database.publishing import Push
from shared.errors import PartnerRefused, PartnerUnavailable
from shared.gateways.channels.client import AvailabilityUpdate, ComingUnits, ItemAvailability
from shared.gateways.directory import Gateways
from shared.messages import PublishInput, PublishResult

#: Seconds between two looks at a channel that nothing has changed for.
_LOOK_EVERY = 0.5


class StartFollower(Protocol):
    """What starts the process that follows a channel, unless it runs; ``shared.publishing_client`` does."""

    async def __call__(self, channel: str) -> None: ...


class Publishing(PublishingActivities):
    """The publishing activities over the database and the channels."""

    def __init__(self, database: Database, gateways: Gateways, start_follower: StartFollower) -> None:
        self._database = database
        self._gateways = gateways
        self._start_follower = start_follower

    @activity.defn(name="publishing.start_followers")
    async def start_followers(self) -> int:
        """See to it that every channel with a partner is followed; returns how many are."""
        async with self._database.reading() as connection:
            channels = await publishing.followers(connection)
        for channel in channels:
            await self._start_follower(channel)
        return len(channels)

    @activity.defn(name="publishing.follow")
    async def follow(self, request: PublishInput) -> PublishResult:
        """Tell a channel whatever changes for it, until its time is up or it has no partner any more.

        Raises:
            PartnerUnavailable: the channel does not answer; what it was to be told waits and comes again as it was.
            PartnerRefused: the channel does not take the update: somebody must look at it.
        """
        until = asyncio.get_running_loop().time() + request.lasts.total_seconds()
        told = 0
        while asyncio.get_running_loop().time() < until:
            activity.heartbeat()
            async with self._database.reading() as connection:
                partner_id = await publishing.partner_of(connection, request.channel)
            if partner_id is None:
                return PublishResult(told=told, ended=True)
            async with self._database.transaction() as connection:
                push, more = await publishing.next_push(connection, request.channel)
            if push is not None:
                await self._tell(request.channel, partner_id, push)
                told += len(push.items)
            elif not more:
                await asyncio.sleep(_LOOK_EVERY)
        return PublishResult(told=told)

    async def _tell(self, channel: str, partner_id: str, push: Push) -> None:
        try:
            await self._gateways.channel(partner_id).tell(_update(channel, push))
        except (PartnerUnavailable, PartnerRefused) as error:
            async with self._database.transaction() as connection:
                await publishing.fail(connection, channel, push, str(error))
            raise
        async with self._database.transaction() as connection:
            await publishing.confirm(connection, channel, push)


def _update(channel: str, push: Push) -> AvailabilityUpdate:
    return AvailabilityUpdate(
        reference=f"availability/{channel}/{push.sequence}",
        channel=channel,
        sequence=push.sequence,
        as_of=push.as_of,
        items=tuple(map(_item, push.items)),
    )


def _item(item: Available) -> ItemAvailability:
    coming = tuple(ComingUnits(at=more.at, units=more.units) for more in item.coming)
    return ItemAvailability(sku=item.sku, available=item.available, coming=coming)
