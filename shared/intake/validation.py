"""The shape of an order document, told as faults.

pydantic does the work in strict JSON mode: no string becomes a number, no number a date, no 1 a true. Its
messages name types and limits, never the value, so they are safe to send back and to log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.domain.orders import OrderDocument, OrderLine
from shared.errors import Fault
from shared.intake.strict_json import MAX_FAULTS, token

_CHUNK = 500
_LINES = TypeAdapter(list[OrderLine])

#: pydantic's kinds of error, by the name callers may rely on.
_CODES = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "int_type": "not_an_integer",
    "int_from_float": "not_an_integer",
    "int_parsing_size": "too_big",
    "greater_than_equal": "too_small",
    "less_than_equal": "too_big",
    "string_type": "not_a_string",
    "string_too_short": "empty",
    "string_too_long": "too_long",
    "string_pattern_mismatch": "bad_format",
    "enum": "unknown_value",
    "literal_error": "unknown_value",
    "datetime_type": "not_a_date_time",
    "datetime_parsing": "not_a_date_time",
    "datetime_from_date_parsing": "not_a_date_time",
    "timezone_aware": "no_time_zone",
    "too_short": "empty",
    "too_long": "too_many",
    "model_type": "not_an_object",
    "tuple_type": "not_a_list",
}


def validate(value: Any) -> OrderDocument | list[Fault]:
    """The document, or every fault of its shape, pointers relative to it."""
    lines = value.get("lines") if isinstance(value, dict) else None
    if isinstance(lines, list) and len(lines) > _CHUNK and (faults := _long_order(value, lines)):
        return faults
    try:
        return OrderDocument.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        return list(_faults(error, value))


def _long_order(value: dict[str, Any], lines: list[Any]) -> list[Fault]:
    """The faults of an order of many lines, found piece by piece: pydantic cannot stop after the thousandth."""
    short = validate(value | {"lines": lines[:1]})
    faults = [] if isinstance(short, OrderDocument) else [f for f in short if not f.pointer.startswith("/lines")]
    for start in range(0, len(lines), _CHUNK):
        try:
            _LINES.validate_json(json.dumps(lines[start : start + _CHUNK]), strict=True)
        except ValidationError as error:
            faults += _faults(error, value, start)
        if len(faults) > MAX_FAULTS:
            break
    return faults


def _faults(error: ValidationError, value: Any, first_line: int | None = None) -> Iterator[Fault]:
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        loc = detail["loc"]
        if first_line is not None:
            loc = ("lines", first_line + int(loc[0]), *loc[1:])
        if _told_elsewhere(detail["type"], loc, value):
            continue
        pointer = "".join(f"/{token(str(part))}" for part in loc)
        yield fault_of(detail["type"], detail["msg"], pointer)


def fault_of(kind: str, message: str, pointer: str) -> Fault:
    """One of pydantic's errors, by the name callers may rely on."""
    code = _CODES.get(kind, "invalid")
    if kind == "value_error":
        code = "unsafe_text" if "control characters" in message else "invalid"
    return Fault(pointer=pointer, code=code, message=message.removeprefix("Value error, "))


def _told_elsewhere(kind: str, loc: tuple[int | str, ...], value: Any) -> bool:
    """Whether ``checks`` says the same, more exactly, or pydantic only counts its other errors."""
    if kind == "too_short":
        return isinstance(value, dict) and bool(value.get("lines"))
    whole_line_or_order = not loc or (len(loc) == 2 and loc[0] == "lines")
    return kind == "value_error" and whole_line_or_order
