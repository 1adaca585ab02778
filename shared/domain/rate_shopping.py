"""Who sells the label of a packed parcel: the cheapest that keeps the promise, of those that answered.

An account that does not quote takes part by its card where the plan chose it. Who was asked and did not answer does
not: a carrier that cannot say its price in time may not sell in time either. Only when nobody answers the plan's own
choice is bought, as it would be without shopping. Who refuses to sell after all leaves it to the next best of the same
answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from shared.domain.base import Currency, Identifier, Instant, Minor, Model
from shared.domain.calendars import deliver_by, ready_by
from shared.domain.geo import distance_km
from shared.domain.network import Node, Place
from shared.domain.quotes import CarrierQuote
from shared.domain.sourcing.freight import compile_tariff, zone_at
from shared.domain.sourcing.models import ServiceRate
from shared.domain.trade import TradeRules

_NEVER = datetime.max.replace(tzinfo=UTC)


class Parcel(Model):
    """A packed parcel and all that decides who may take it.

    Attributes:
        deliver_by: What the customer was promised.
        carrier, service: The plan's own choice.
        rates: The cards of every carrier; a service without one is not used.
        zone: The planned carrier's number of the parcel's zone, 0 where distance decides.
        hazmat: Whether there are dangerous goods in it.
    """

    reference: str
    weight_g: int
    node: Node
    ship_to: Place
    deliver_by: Instant
    currency: Currency
    carrier: Identifier
    service: Identifier
    rates: tuple[ServiceRate, ...]
    zone: int = 0
    rules: TradeRules = TradeRules()
    hazmat: bool = False


class RateOffer(Model):
    """One way to send the parcel.

    Attributes:
        quote_id: The quote it can be bought under; empty for a price of the card.
        delivered_by: When it would be there, handed over at the node's next collection; ``None`` for never.
    """

    carrier: Identifier
    service: Identifier
    price_minor: Minor
    delivered_by: Instant | None
    quote_id: str = ""


class ShopReason(StrEnum):
    """Why a way was chosen."""

    CHEAPEST_IN_TIME = "cheapest_in_time"
    SOONEST = "soonest"  #: none is in time
    NOBODY_ANSWERED = "nobody_answered"  #: with a quote that can be used; it is the plan's own


class Seller(NamedTuple):
    """Who is to sell a label, and for what; ``price_minor`` is ``None`` where nobody knows."""

    carrier: Identifier
    service: Identifier
    quote_id: str
    price_minor: Minor | None
    delivered_by: datetime | None


class Refusal(Model):
    """A seller that would not sell the label, for good."""

    carrier: Identifier
    service: Identifier
    reason: str


class RateShop(Model):
    """The choice, written down before the label is bought, with what it was chosen from.

    Attributes:
        price_minor: What was quoted, or the card's price; ``None`` where the plan's own choice has no card any more.
        offers: All that were in question, the chosen one among them, cheapest first.
        unanswered: Why a carrier that was asked is not among them.
        refusals: The first of ``sellers``, as far as they refused and there was a next one to turn to.
    """

    reference: str
    weight_g: int
    deliver_by: Instant
    carrier: Identifier
    service: Identifier
    quote_id: str
    price_minor: Minor | None
    currency: Currency
    delivered_by: Instant | None
    because: ShopReason
    offers: tuple[RateOffer, ...] = ()
    unanswered: Mapping[str, str] = {}
    refusals: tuple[Refusal, ...] = ()

    @property
    def sellers(self) -> tuple[Seller, ...]:
        """Who is asked for the label, one after the other: the choice, then what else keeps the promise by price."""
        chosen = Seller(self.carrier, self.service, self.quote_id, self.price_minor, self.delivered_by)
        others = (one for one in self.offers if (one.carrier, one.service) != (self.carrier, self.service))
        in_time = (one for one in others if (one.delivered_by or _NEVER) <= self.deliver_by)
        return chosen, *(
            Seller(one.carrier, one.service, one.quote_id, one.price_minor, one.delivered_by) for one in in_time
        )

    @property
    def seller(self) -> Seller:
        """Who sells it, as far as is known."""
        return self.sellers[len(self.refusals)]

    @property
    def next_seller(self) -> Seller | None:
        """Who is asked when ``seller`` refuses."""
        return next(iter(self.sellers[len(self.refusals) + 1 :]), None)

    @property
    def purchase(self) -> str:
        """What the label is bought under: a name for each seller who is asked, for the first one the parcel's."""
        return f"{self.reference}/{len(self.refusals) + 1}" if self.refusals else self.reference

    @property
    def alternatives(self) -> tuple[RateOffer, ...]:
        """The offers of others than the seller."""
        return tuple(one for one in self.offers if (one.carrier, one.service) != self.seller[:2])


def shop(parcel: Parcel, quotes: Iterable[CarrierQuote], unanswered: Mapping[str, str], *, as_of: datetime) -> RateShop:
    """Choose who sells the label.

    Args:
        quotes: The answers, of any service and currency; what has expired or is not allowed is not in question.
        unanswered: Carriers that were asked and gave none, with why.
    """
    told = list(quotes)
    asked = {quote.carrier for quote in told} | unanswered.keys()
    quoted = list(_quoted(parcel, told, as_of))
    card = _card(parcel, as_of)
    own = [card] if card is not None else []
    if not quoted:
        return _chosen(parcel, card, ShopReason.NOBODY_ANSWERED, own, unanswered)
    offers = sorted([*quoted, *(own if parcel.carrier not in asked else [])], key=_by_price)
    in_time = [one for one in offers if (one.delivered_by or _NEVER) <= parcel.deliver_by]
    if in_time:
        return _chosen(parcel, in_time[0], ShopReason.CHEAPEST_IN_TIME, offers, unanswered)
    return _chosen(parcel, min(offers, key=_by_date), ShopReason.SOONEST, offers, unanswered)


def _quoted(parcel: Parcel, quotes: Iterable[CarrierQuote], as_of: datetime) -> Iterator[RateOffer]:
    used = {(rate.carrier, rate.service) for rate in parcel.rates}
    for quote in quotes:
        if (
            (quote.carrier, quote.service) in used
            and quote.currency == parcel.currency
            and quote.expires_at > as_of
            and parcel.rules.lets_pass(parcel.node, parcel.ship_to, quote.carrier, quote.service, hazmat=parcel.hazmat)
        ):
            yield RateOffer(
                carrier=quote.carrier,
                service=quote.service,
                price_minor=quote.price_minor,
                delivered_by=_delivered_by(parcel, quote.transit_days, as_of),
                quote_id=quote.quote_id,
            )


def _card(parcel: Parcel, as_of: datetime) -> RateOffer | None:
    """The plan's own choice, by its card."""
    rates = [rate for rate in parcel.rates if (rate.carrier, rate.service) == (parcel.carrier, parcel.service)]
    tariffs = sorted((compile_tariff(rate) for rate in rates), key=lambda tariff: tariff.reach_km)
    tariff = zone_at(tariffs, distance_km(parcel.node.place, parcel.ship_to), parcel.zone)
    if tariff is None:
        return None
    return RateOffer(
        carrier=parcel.carrier,
        service=parcel.service,
        price_minor=tariff.cost(parcel.weight_g)[0],
        delivered_by=_delivered_by(parcel, tariff.transit_days, as_of),
    )


def _delivered_by(parcel: Parcel, transit_days: int, as_of: datetime) -> datetime | None:
    """It is packed: the node's next collection takes it."""
    collected = ready_by(parcel.node.model_copy(update={"handling_days": 0}), as_of)
    return None if collected is None else deliver_by(collected, parcel.node.place, parcel.ship_to, transit_days)


def _by_price(offer: RateOffer) -> tuple[int, datetime, str, str]:
    return offer.price_minor, offer.delivered_by or _NEVER, offer.carrier, offer.service


def _by_date(offer: RateOffer) -> tuple[datetime, int, str, str]:
    return offer.delivered_by or _NEVER, offer.price_minor, offer.carrier, offer.service


def _chosen(
    parcel: Parcel,
    offer: RateOffer | None,
    because: ShopReason,
    offers: Iterable[RateOffer],
    unanswered: Mapping[str, str],
) -> RateShop:
    return RateShop(
        reference=parcel.reference,
        weight_g=parcel.weight_g,
        deliver_by=parcel.deliver_by,
        carrier=offer.carrier if offer else parcel.carrier,
        service=offer.service if offer else parcel.service,
        quote_id=offer.quote_id if offer else "",
        price_minor=offer.price_minor if offer else None,
        currency=parcel.currency,
        delivered_by=offer.delivered_by if offer else None,
        because=because,
        offers=tuple(offers),
        unanswered=dict(unanswered),
    )
