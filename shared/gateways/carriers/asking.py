"""Carriers asked for quotes all at once: whoever answers in time is heard, nobody is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shared.domain.quotes import CarrierQuote
from shared.errors import GatewayError
from shared.gateways.directory import Gateways
from shared.gateways.protocol import QuoteRequest

#: Seconds a client has to say itself that the time is up, which its breaker counts; a package's may never do.
_GRACE = 0.1


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
        async with asyncio.timeout(within + _GRACE):
            quotes = await gateways.quotes(carrier).quote(request, within=within)
    except TimeoutError:
        return f"no answer within {within:g} s"
    except GatewayError as error:
        return str(error)[:200]
    except Exception as error:  # whatever a package's connector raises costs nothing but its quotes
        return f"{type(error).__name__}: {error}"[:200]
    foreign = any(quote.carrier != carrier for quote in quotes)
    return "quotes in another carrier's name" if foreign else quotes
