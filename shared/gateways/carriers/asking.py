"""Carriers asked for quotes all at once: whoever answers in time is heard, nobody is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shared.domain.quotes import CarrierQuote
from shared.errors import GatewayError
from shared.gateways.directory import Gateways
from shared.gateways.protocol import QuoteRequest


class Answers(NamedTuple):
    """What was quoted, by carrier, and why others did not."""

    quotes: Mapping[str, tuple[CarrierQuote, ...]]
    unanswered: Mapping[str, str]


async def ask_all(gateways: Gateways, carriers: Iterable[str], request: QuoteRequest, *, within: float) -> Answers:
    """Ask several carriers what one parcel costs.

    Args:
        within: Seconds until those that have not answered count as unanswered.
    """
    asked = list(carriers)
    told = await asyncio.gather(*(_ask(gateways, carrier, request, within) for carrier in asked))
    both = list(zip(asked, told, strict=True))
    return Answers(
        {carrier: answer for carrier, answer in both if not isinstance(answer, str)},
        {carrier: answer for carrier, answer in both if isinstance(answer, str)},
    )


async def _ask(
    gateways: Gateways, carrier: str, request: QuoteRequest, within: float
) -> tuple[CarrierQuote, ...] | str:
    try:
        return await gateways.quotes(carrier).quote(request, within=within)
    except GatewayError as error:
        return str(error)[:200]
