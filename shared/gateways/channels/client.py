"""A sales channel over HTTP: it is told how many units of each item it may sell, now and by date.

Updates of a channel are numbered from 1 without a gap and sent one at a time. An update says what holds for its
items from then on; the channel forgets what it knew of them. The same number is always the same update.
"""

from __future__ import annotations

from typing import Annotated, Protocol

from pydantic import Field

from shared.domain.base import Identifier, Instant, Model
from shared.gateways.http import PartnerHttp


class ComingUnits(Model):
    """Units that may be sold beside those that are there, as they are expected from a moment on."""

    at: Instant
    units: Annotated[int, Field(ge=1)]


class ItemAvailability(Model):
    """Units of an item the channel may sell.

    Attributes:
        available: Units that are there.
        coming: By date, where the channel's policy counts what is to come; each adds to those before it.
    """

    sku: str
    available: Annotated[int, Field(ge=0)]
    coming: tuple[ComingUnits, ...] = ()


class AvailabilityUpdate(Model):
    """What changed. ``reference`` is ``availability/{channel}/{sequence}``."""

    reference: str
    channel: Identifier
    sequence: Annotated[int, Field(ge=1)]
    as_of: Instant
    items: tuple[ItemAvailability, ...]


class AvailabilityReceipt(Model):
    """The channel has it."""

    reference: str
    sequence: int


class SalesChannel(Protocol):
    """A channel that is told. Raises ``GatewayError`` (see ``shared.errors``) when there is no receipt."""

    async def tell(self, update: AvailabilityUpdate) -> AvailabilityReceipt: ...


class ChannelClient:
    """A ``SalesChannel`` behind HTTP."""

    def __init__(self, http: PartnerHttp) -> None:
        self._http = http

    async def tell(self, update: AvailabilityUpdate) -> AvailabilityReceipt:
        return await self._http.post("/v1/availability", update, AvailabilityReceipt, reference=update.reference)
