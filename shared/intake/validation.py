"""The shape of an order document, told as faults.

pydantic does the work in strict JSON mode: no string becomes a number, no number a date, no 1 a true. Its
messages name types and limits, never the value, so they are safe to send back and to log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.domain.orders import OrderDocument
from shared.errors import Fault
from shared.intake.strict_json import MAX_FAULTS, token

#: Lines whose faults are told when there are too many faults to tell.
_SHOWN = 500

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
    try:
        return OrderDocument.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        lines = value.get("lines") if isinstance(value, dict) else None
        if error.error_count() > MAX_FAULTS and isinstance(lines, list) and len(lines) > _SHOWN:
            return _first_faults(value, lines)
        details = error.errors(include_url=False, include_input=False, include_context=False)
        return list(_faults(details, value))


def _first_faults(value: dict[str, Any], lines: list[Any]) -> list[Fault]:
    """Telling faults costs far more than finding them: those of the first lines stand for the rest."""
    told = validate(value | {"lines": lines[:_SHOWN]})
    message = f"lines after the first {_SHOWN} have faults too; correct these first"
    rest = Fault(pointer="/lines", code="too_many_faults", message=message)
    return [*told, rest] if isinstance(told, list) else [rest]


def _faults(details: list[ErrorDetails], value: Any) -> Iterator[Fault]:
    for detail in details:
        pointer = "".join(f"/{token(str(part))}" for part in detail["loc"])
        if _told_elsewhere(detail, value):
            continue
        code = _CODES.get(detail["type"], "invalid")
        if detail["type"] == "value_error":
            code = "unsafe_text" if "control characters" in detail["msg"] else "invalid"
        yield Fault(pointer=pointer, code=code, message=detail["msg"].removeprefix("Value error, "))


def _told_elsewhere(detail: ErrorDetails, value: Any) -> bool:
    """Whether ``checks`` says the same, more exactly, or pydantic only counts its other errors."""
    if detail["type"] == "too_short":
        return isinstance(value, dict) and bool(value.get("lines"))
    whole_line_or_order = len(detail["loc"]) in (0, 2) and (not detail["loc"] or detail["loc"][0] == "lines")
    return detail["type"] == "value_error" and whole_line_or_order
