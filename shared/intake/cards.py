"""Card numbers are refused wherever they are typed: what is never stored cannot leak.

Two rules, because one would turn honest orders away:

* **Free text** (names, addresses, notes): any 13 to 19 digits that pass the Luhn check, however they are
  spaced and in whatever script their digits are written.
* **Numbers by nature** (order and customer numbers, SKUs, telephone numbers, tokens): one in ten of all long
  numbers passes Luhn, so these are refused only when they are also as long as a card of the big brands and
  begin like one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any
from unicodedata import decimal

from shared.errors import Fault
from shared.intake.strict_json import token

#: Fields whose values are numbers by nature.
NUMBERS = frozenset({"channel", "channel_order_id", "cart_id", "customer_ref", "sku", "phone", "token", "placed_at"})

_RUN = re.compile(r"\d(?:[\W_]{0,3}\d)+")
_BRANDED = re.compile(r"4\d{15}|5[1-5]\d{14}|2[2-7]\d{14}|6011\d{12}|64[4-9]\d{13}|65\d{14}|35\d{14}|3[47]\d{13}")


def card_faults(value: Any, pointer: str = "", field: str = "") -> Iterator[Fault]:
    """Every text under ``value`` that reads like a card number."""
    if isinstance(value, str):
        if holds_card(value, number=field in NUMBERS):
            message = "reads like a card number; send a payment provider's token instead"
            yield Fault(pointer=pointer, code="card_number", message=message)
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from card_faults(child, f"{pointer}/{token(key)}", key)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from card_faults(child, f"{pointer}/{index}", field)


def holds_card(text: str, *, number: bool = False) -> bool:
    """Whether a text holds a card number; ``number`` says that it is a number by nature."""
    if len(text) < 13:
        return False
    return any(_is_card(digits, number) for run in _RUN.finditer(_ascii(text)) for digits in _windows(run[0]))


def luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of those before it."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _is_card(digits: str, number: bool) -> bool:
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    return (not number or _BRANDED.fullmatch(digits) is not None) and luhn(digits)


def _ascii(text: str) -> str:
    if text.isascii():
        return text
    return "".join(str(decimal(ch)) if ch.isdecimal() else ch for ch in text)


def _windows(run: str) -> Iterator[str]:
    """Every stretch of whole digit groups that a card could be: a house number may stand before it."""
    groups = re.findall(r"\d+", run)[:40]
    for start, end in combinations(range(len(groups) + 1), 2):
        digits = "".join(groups[start:end])
        if len(digits) >= 13:
            yield digits
