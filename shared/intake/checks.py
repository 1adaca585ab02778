"""Checks that need more than one field, or a table: done on the raw JSON, so that they run whatever else is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from shared.currency import currencies
from shared.domain.orders import Method
from shared.errors import Fault
from shared.intake.addresses import address_faults
from shared.intake.cards import card_faults

#: What one authorisation may ask for; the sum of a very long order could pass it.
MAX_TOTAL_MINOR = 10**12

_MAX_QUANTITY = 1_000_000
_YEARS = range(2000, 2100)
#: RFC 3339. The offset is optional here: its absence has a fault of its own.
_DATE_TIME = re.compile(r"(\d{4})-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


def raw_faults(order: Mapping[str, Any]) -> Iterator[Fault]:
    """Everything wrong with an order that its types alone do not show."""
    yield from _date(order.get("placed_at"))
    yield from _currency(order.get("currency"))
    if isinstance(address := order.get("ship_to"), dict):
        yield from address_faults(address, "/ship_to")
    if isinstance(lines := order.get("lines"), list):
        yield from _lines(lines)
        yield from _total(lines, order.get("shipping_minor"))
    yield from _fetched(order)
    yield from card_faults(dict(order))


def _date(value: Any) -> Iterator[Fault]:
    if not isinstance(value, str):
        return
    match = _DATE_TIME.fullmatch(value)
    if match is None:
        message = "must be an RFC 3339 date and time, such as 2026-03-01T12:00:00Z"
        yield Fault(pointer="/placed_at", code="not_a_date_time", message=message)
    elif int(match[1]) not in _YEARS:
        message = f"the year must be from {_YEARS.start} to {_YEARS.stop - 1}"
        yield Fault(pointer="/placed_at", code="implausible_date", message=message)


def _currency(value: Any) -> Iterator[Fault]:
    if isinstance(value, str) and re.fullmatch("[A-Z]{3}", value) and value not in currencies():
        yield Fault(pointer="/currency", code="unknown_currency", message="not a currency in use (ISO 4217)")


def _lines(lines: list[Any]) -> Iterator[Fault]:
    seen: set[int] = set()
    for index, line in enumerate(lines):
        if not isinstance(line, dict):
            continue
        number = line.get("line_no")
        if _integer(number) and number in seen:
            message = "another line of the order has this number"
            yield Fault(pointer=f"/lines/{index}/line_no", code="repeated_line_no", message=message)
        elif _integer(number):
            seen.add(number)
        if _whole(line) and line.get("discount_minor", 0) > _price(line):
            message = "the discount is more than the line's price"
            yield Fault(pointer=f"/lines/{index}/discount_minor", code="discount_above_price", message=message)


def _total(lines: list[Any], shipping: Any) -> Iterator[Fault]:
    whole = [line for line in lines if isinstance(line, dict) and _whole(line)]
    total = sum(_price(line) - line.get("discount_minor", 0) + line.get("tax_minor", 0) for line in whole)
    if total + (shipping if _amount(shipping) else 0) > MAX_TOTAL_MINOR:
        message = f"the order's total is above {MAX_TOTAL_MINOR} minor units"
        yield Fault(pointer="/lines", code="total_too_big", message=message)


def _fetched(order: Mapping[str, Any]) -> Iterator[Fault]:
    ends_at_store = order.get("method") in {method.value for method in Method if method.ends_at_store}
    if ends_at_store and order.get("pickup_node_id") is None:
        message = "the store where the customer fetches it must be named"
        yield Fault(pointer="/pickup_node_id", code="missing", message=message)
    elif not ends_at_store and order.get("pickup_node_id") is not None:
        message = "only an order with method pickup or ship_to_store is fetched at a node"
        yield Fault(pointer="/pickup_node_id", code="not_fetched", message=message)


def _integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(line: dict[str, Any]) -> bool:
    """Whether a line's figures are such that a sum of them tells something: each has its own check."""
    amounts = [line.get(name, 0) for name in ("unit_price_minor", "discount_minor", "tax_minor")]
    quantity = line.get("quantity")
    return _integer(quantity) and 0 < quantity <= _MAX_QUANTITY and all(map(_amount, amounts))


def _amount(value: Any) -> bool:
    return _integer(value) and 0 <= value <= MAX_TOTAL_MINOR


def _price(line: dict[str, Any]) -> int:
    return int(line["quantity"] * line.get("unit_price_minor", 0))
