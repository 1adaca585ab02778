"""Carriers asked who sells a packed parcel's label for least, and the choice kept before it is bought."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

from shared.database import rate_shops
from shared.database.engine import Database
from shared.database.rate_shops import Opened
from shared.domain.rate_shopping import RateShop, shop
from shared.gateways.carriers.asking import ask_all
from shared.gateways.directory import Gateways
from shared.gateways.protocol import BuyLabel, QuoteRequest

#: Seconds the carriers have. A node waits for its label, but not for long.
ANSWER_WITHIN = 2.0


class Purchase(NamedTuple):
    """A purchase as it is to be made, now and whenever it is tried again.

    Attributes:
        turn: How many refused before this seller.
        last: Nobody is left to turn to when this one refuses.
    """

    label: BuyLabel
    turn: int = 0
    last: bool = True


class RateShopping:
    """Chooses who sells a label, as long as any carrier is set up to quote."""

    def __init__(self, database: Database, gateways: Gateways) -> None:
        self._database = database
        self._gateways = gateways

    @property
    def on(self) -> bool:
        return bool(self._gateways.quoting)

    async def settled(self, owner: str, label: BuyLabel) -> Purchase:
        """How a label is bought: by the choice on record, which is made now where it is still open.

        Args:
            owner: The fulfillment order that buys.
            label: The purchase as it was planned.
        """
        found = await self._find(label)
        if found is None:
            return Purchase(label)
        return _purchase(label, found.shop or await self._choose(owner, label))

    async def standing(self, label: BuyLabel) -> Purchase:
        """How a label was bought, if it was."""
        found = await self._find(label)
        return Purchase(label) if found is None or found.shop is None else _purchase(label, found.shop)

    async def _find(self, label: BuyLabel) -> Opened | None:
        async with self._database.reading() as connection:
            return await rate_shops.find(connection, label.reference)

    async def _choose(self, owner: str, label: BuyLabel) -> RateShop:
        """Ask every account about the parcel; the choice is written down before anything is bought by it."""
        async with self._database.reading() as connection:
            parcel = await rate_shops.read_parcel(connection, owner, label)
        # Under a name of its own: an answer from before a crash may have expired.
        request = QuoteRequest(
            reference=f"{label.reference}/quote/{uuid4().hex[:12]}",
            from_node=label.from_node,
            country=label.ship_to.country,
            postal_code=label.ship_to.postal_code,
            weight_g=max(label.weight_g, 1),
        )
        answers = await ask_all(self._gateways, self._gateways.quoting, request, within=ANSWER_WITHIN)
        quotes = [quote for of_carrier in answers.quotes.values() for quote in of_carrier]
        choice = shop(parcel, quotes, answers.unanswered, as_of=datetime.now(UTC))
        async with self._database.transaction() as connection:
            return await rate_shops.keep(connection, owner, choice)


def _purchase(label: BuyLabel, found: RateShop) -> Purchase:
    carrier, service, quote_id, *_ = found.seller
    told = {"reference": found.purchase, "carrier": carrier, "service": service, "quote_id": quote_id}
    return Purchase(label.model_copy(update=told), len(found.refusals), found.next_seller is None)
