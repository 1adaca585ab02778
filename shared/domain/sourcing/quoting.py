"""Carriers' quotes in the place of their card's prices, for as long as they last.

A quote is of a parcel of one step of the card's weights; of the other steps the card still tells the price, so that a
plan with no quotes is a plan by cards. Nobody is promised a faster way than its quote or its card says.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from shared.domain.network import Node, Place
from shared.domain.quotes import LaneQuote, destination_of
from shared.domain.sourcing.freight import Tariff, compile_tariff
from shared.domain.sourcing.models import ServiceRate

#: Of one node, by carrier and service and then by weight.
_OfNode = dict[tuple[str, str], dict[int, LaneQuote]]


class Quotes:
    """What was quoted to one destination and is still so at one moment."""

    def __init__(
        self, quotes: Iterable[LaneQuote], rates: Iterable[ServiceRate], ship_to: Place, as_of: datetime
    ) -> None:
        destination = destination_of(ship_to.country, ship_to.postal_code)
        self._quoted: dict[str, _OfNode] = {}
        for quote in quotes:
            if quote.destination == destination and quote.expires_at > as_of:
                of_node = self._quoted.setdefault(quote.node_id, {})
                of_node.setdefault((quote.carrier, quote.service), {})[quote.weight_g] = quote
        self._rates = {(rate.carrier, rate.service, rate.max_distance_km): rate for rate in rates if self._quoted}

    def on(self, node: Node, tariffs: tuple[Tariff, ...]) -> tuple[Tariff, ...]:
        """The tariffs from a node, with what was quoted from there."""
        quoted = self._quoted.get(node.node_id) if self._quoted else None
        return tuple(self._with(tariff, quoted) for tariff in tariffs) if quoted else tariffs

    def _with(self, tariff: Tariff, quoted: _OfNode) -> Tariff:
        quotes = quoted.get((tariff.carrier, tariff.service))
        if not quotes:
            return tariff
        return compile_tariff(self._rates[tariff.carrier, tariff.service, tariff.reach_km], quotes)
