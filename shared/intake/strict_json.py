"""JSON without the standard library's leniency.

``json.loads`` keeps the last of repeated keys, takes ``NaN``, fails with ``ValueError`` on integers of 5,000
digits and with ``RecursionError`` on deep nesting. Here each is a fault with its place, and the rest of the
document can still be checked: what was unreadable is replaced by ``None`` and its place remembered.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from math import isinf
from typing import Any, NoReturn

from shared.domain.orders import MAX_LINES
from shared.errors import Fault, InvalidInput

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_DEPTH = 40
#: No order document, ours or a channel's, has objects this wide.
MAX_FIELDS = 200
#: No list in an order is longer than its lines may be.
MAX_ITEMS = MAX_LINES
#: More than fit in ``MAX_BODY_BYTES``, were they orders.
MAX_ORDERS = 10_000
#: A hostile body can hold a fault in every other byte; the answer stays readable.
MAX_FAULTS = 1_000

_MAX_TOKEN = 64
_UNSAFE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LONG_DIGITS = re.compile(r"\d{9,}")


class _Unreadable:
    """Stands in the tree for a number that cannot be taken."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message


class _NotJsonError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class _Repeating(dict[str, Any]):
    """An object in which some key stood twice."""

    repeated: tuple[str, ...] = ()


@dataclass
class Parsed:
    """A document's values, where each stood, and what could not be read.

    Attributes:
        documents: Pointer and value of each order: one with an empty pointer, or many with ``/0``, ``/1`` …
        faults: What was wrong with the JSON itself.
        unreadable: Pointers of values that were replaced by ``None``; a fault already tells why.
    """

    documents: list[tuple[str, Any]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)

    def refuse(self, pointer: str, code: str, message: str) -> None:
        self.faults.append(Fault(pointer=pointer, code=code, message=message))
        self.unreadable.add(pointer)
        if len(self.faults) > MAX_FAULTS:
            raise InvalidInput(bounded(self.faults))


def parse(body: bytes) -> Parsed:
    """Read one document, an array of documents, or JSON Lines.

    Raises:
        InvalidInput: there is no document to speak of: too large, not UTF-8, not JSON, nothing in it.
    """
    text = _text(body)
    try:
        value = _loads(text)
    except _NotJsonError as fault:
        lines = _json_lines(text)
        if lines is None:
            refuse_all(fault.code, fault.message)
        return _many(lines)
    if isinstance(value, list):
        return _many(value)
    parsed = Parsed()
    parsed.documents.append(("", _cleaned(value, "", parsed)))
    return parsed


def bounded(faults: list[Fault]) -> list[Fault]:
    """The first ``MAX_FAULTS`` faults, and a last one that says so when there are more."""
    if len(faults) <= MAX_FAULTS:
        return faults
    message = f"there are more than {MAX_FAULTS} faults; correct these first"
    return [*faults[:MAX_FAULTS], Fault(pointer="", code="too_many_faults", message=message)]


def refuse_all(code: str, message: str) -> NoReturn:
    """Refuse the body as a whole."""
    raise InvalidInput([Fault(pointer="", code=code, message=message)])


@lru_cache(maxsize=1024)
def token(key: str) -> str:
    """A key as one reference token of a pointer: escaped, bounded, and safe to log and to send back."""
    shown = _UNSAFE.sub("\ufffd", key[:_MAX_TOKEN])
    return _LONG_DIGITS.sub("#", shown).replace("~", "~0").replace("/", "~1")


def _text(body: bytes) -> str:
    if len(body) > MAX_BODY_BYTES:
        refuse_all("too_large", f"the body has {len(body)} bytes; the limit is {MAX_BODY_BYTES}")
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        refuse_all("byte_order_mark", "send UTF-8 without a byte order mark")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        refuse_all("not_utf8", f"byte {error.start} is not UTF-8")
    if not text.strip(" \t\r\n"):
        refuse_all("empty", "the body is empty")
    return text


def _loads(text: str) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
        )
    except RecursionError:
        raise _NotJsonError("too_deep", f"nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise _NotJsonError("not_json", f"{error.msg} at line {error.lineno}, column {error.colno}") from None


def _json_lines(text: str) -> list[Any] | None:
    """One value per line, or ``None`` when this is no JSON Lines but one broken document.

    Only ``\\n`` ends a line: a Unicode line separator may stand inside a string. A pretty-printed document
    has one line that opens at the margin, so two that do, one of them whole, make it JSON Lines.
    """
    rows = [row for row in text.split("\n") if row.strip(" \t\r")]
    if len(rows) > MAX_ORDERS:
        refuse_all("too_many", f"the body has {len(rows)} lines; the limit is {MAX_ORDERS}")
    if not rows[0].startswith("{") or sum(row.startswith("{") for row in rows) < 2:
        return None
    values = [_line(row, number) for number, row in enumerate(rows, start=1)]
    return None if all(isinstance(value, _Unreadable) for value in values) else values


def _line(row: str, number: int) -> Any:
    try:
        return _loads(row)
    except _NotJsonError as error:
        return _Unreadable(error.code, f"order {number} is not JSON: {error.message}")


def _many(values: list[Any]) -> Parsed:
    if not values:
        refuse_all("empty", "the list is empty")
    if len(values) > MAX_ORDERS:
        refuse_all("too_many", f"the body lists {len(values)} orders; the limit is {MAX_ORDERS}")
    parsed = Parsed()
    for index, value in enumerate(values):
        pointer = f"/{index}"
        cleaned = _cleaned(value, pointer, parsed)
        if pointer not in parsed.unreadable:
            parsed.documents.append((pointer, cleaned))
    return parsed


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    repeating = _Repeating(plain)
    repeating.repeated = tuple(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
    return repeating


def _integer(digits: str) -> Any:
    # Postgres and every partner count in 64 bits.
    if len(digits) <= 20 and -(2**63) <= (number := int(digits)) < 2**63:
        return number
    return _Unreadable("number_too_big", "the number does not fit in 64 bits")


def _float(digits: str) -> Any:
    number = float(digits)
    return _Unreadable("number_too_big", "the number is beyond what a double holds") if isinf(number) else number


def _constant(name: str) -> Any:
    return _Unreadable("not_a_number", f"{name} is not JSON")


def _cleaned(root: Any, at: str, parsed: Parsed) -> Any:
    """The tree with everything unreadable out of it. Iterative: its depth is the sender's choice."""
    holder = [root]
    stack: list[tuple[Any, str, int]] = [(holder, at, 0)]
    while stack:
        node, pointer, depth = stack.pop()
        for key, value in _children(node, pointer, parsed):
            here = pointer if node is holder else f"{pointer}/{token(key) if isinstance(key, str) else key}"
            if (problem := _problem(value, depth)) is not None:
                node[key] = None
                parsed.refuse(here, problem.code, problem.message)
            elif isinstance(value, dict | list):
                stack.append((value, here, depth + 1))
    return holder[0]


def _children(node: Any, pointer: str, parsed: Parsed) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, list):
        return iter([(i, v) for i, v in enumerate(node) if not isinstance(v, int | float) or isinstance(v, bool)])
    for key in getattr(node, "repeated", ()):
        parsed.refuse(f"{pointer}/{token(key)}", "repeated_key", "the key stands twice in one object")
    for key in [key for key in node if _UNSAFE.search(key)]:
        parsed.refuse(f"{pointer}/{token(key)}", "unsafe_text", "the key holds control characters or half a surrogate")
        del node[key]
    return iter(list(node.items()))


def _problem(value: Any, depth: int) -> _Unreadable | None:
    if isinstance(value, _Unreadable):
        return value
    if isinstance(value, str) and _UNSTORABLE.search(value):
        return _Unreadable("unsafe_text", "NUL and half surrogate pairs are not text")
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        return _Unreadable("too_many_fields", f"an object of {len(value)} fields; the limit is {MAX_FIELDS}")
    if isinstance(value, list) and len(value) > MAX_ITEMS:
        return _Unreadable("too_many", f"a list of {len(value)}; the limit is {MAX_ITEMS}")
    if isinstance(value, dict | list) and depth >= MAX_DEPTH:
        return _Unreadable("too_deep", f"nested deeper than {MAX_DEPTH} levels")
    return None
