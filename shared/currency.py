"""Currencies in use, and how their amounts are written.

The exponents are CLDR's (by babel), which count what is used in practice: the yen has none, and neither have
some currencies whose ISO 4217 minor unit is no longer minted (RSD, IQD).
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from babel.core import get_global
from babel.numbers import get_currency_precision

#: Longer amounts are not money, and ``int`` of thousands of digits is slow on purpose.
_MAX_DIGITS = 18
_AMOUNT = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)


@cache
def currencies() -> frozenset[str]:
    """ISO 4217 codes that are legal tender somewhere today: no test codes, metals or history."""
    uses = get_global("territory_currencies").values()
    return frozenset(code for entries in uses for code, _start, end, tender in entries if end is None and tender)


@lru_cache(maxsize=512)
def exponent(currency: str) -> int:
    """How many decimals an amount in this currency has."""
    return int(get_currency_precision(currency))


def parse_minor(text: str, currency: str) -> int:
    """Read a decimal string as minor units, exactly: ``"19.90"`` USD is 1990, ``"1990"`` JPY is 1990.

    Zero or more only, ASCII digits only, a point and no grouping, sign, exponent or leading zero. Fewer
    decimals than the currency has are filled up; more are refused, also when they are zeros.

    Raises:
        ValueError: it is not such a string.
    """
    match = _AMOUNT.fullmatch(text) if len(text) <= _MAX_DIGITS else None
    if match is None:
        raise ValueError("must be a plain decimal amount, such as 19.90")
    whole, decimals = match[1], match[2] or ""
    places = exponent(currency)
    if len(decimals) > places:
        raise ValueError(f"has {len(decimals)} decimals; {currency} has {places}")
    return int(whole + decimals.ljust(places, "0"))
