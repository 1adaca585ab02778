"""Conditions of policies: expressions in the Common Expression Language, checked before they are ever asked.

An expression is pure, ends, and costs little, by its form alone: so many tokens, so deep, comprehensions only side
by side and only over lists of the order, functions that cost what their arguments are long. What is left to fail,
such as a division by zero, is told as ``ConditionFailed`` with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import cel

from shared.domain.sourcing.facts import LINE_FIELDS

#: Tokens an expression may have, and brackets that may be open at once.
MOST_TOKENS = 250
MOST_DEPTH = 12
MOST_COMPREHENSIONS = 4

COMPREHENSIONS = frozenset({"all", "exists", "exists_one", "filter", "map"})
FUNCTIONS = frozenset({
    "has", "size", "startsWith", "endsWith", "contains", "matches", "int", "double", "string", "timestamp",
    "duration", "getFullYear", "getMonth", "getDate", "getDayOfWeek", "getHours", "getMinutes",
})  # fmt: skip
_CONSTANTS = frozenset({"true", "false", "null", "in"})
_TOKENS = re.compile(
    r"""(?P<text>[rR]?(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
      | (?P<number>\d[\w.]*) | (?P<name>[A-Za-z_]\w*) | (?P<space>\s+) | (?P<comment>//[^\n]*)
      | (?P<sign>&&|\|\||[=!<>]=|.)""",
    re.VERBOSE | re.DOTALL,
)

Scope = Mapping[str, Mapping[str, str]]


class ConditionFailed(Exception):
    """A condition could not be answered; the message says why."""


class Condition:
    """One expression, compiled."""

    def __init__(self, expression: str) -> None:
        self._program = cel.compile(expression)
        self.variables = frozenset(self._program.variables())

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """Whether it holds.

        Raises:
            ConditionFailed: a key is missing, a number is divided by zero, or the answer is not yes or no.
        """
        try:
            answer = self._program.execute(dict(variables))
        except Exception as error:  # the library raises KeyError, TypeError, RuntimeError, ArithmeticError, ...
            raise ConditionFailed(_told(error)) from error
        if not isinstance(answer, bool):
            raise ConditionFailed(f"its answer is {type(answer).__name__}, not true or false")
        return answer


@lru_cache(maxsize=1024)
def condition(expression: str) -> Condition:
    """The expression compiled, once for all who ask.

    Raises:
        ConditionFailed: it is not an expression.
    """
    try:
        return Condition(expression)
    except ValueError as error:
        raise ConditionFailed(_told(error)) from error


def always(expression: str) -> bool | None:
    """What an expression that asks about nothing always answers; ``None`` when it depends."""
    if not expression.strip():
        return True
    try:
        compiled = condition(expression)
        return None if compiled.variables else compiled.holds({})
    except ConditionFailed:
        return None


def faults_of(expression: str, scope: Scope) -> list[str]:
    """Everything that keeps an expression from being a condition over these variables and their fields.

    It is also asked about the sample that ``facts.samples`` gives, by who calls; here nothing is evaluated.
    """
    tokens = _tokens(expression)
    found = [*_too_dear(tokens), *_unknown(tokens, scope)]
    if not found:
        try:
            condition(expression)
        except ConditionFailed as error:
            found.append(str(error))
    return found


class Compared(NamedTuple):
    """A field that an expression compares with a text."""

    field: str
    text: str


def compared(expression: str) -> Iterator[Compared]:
    """Texts that fields of variables are compared with, by ``==``, ``!=`` or ``in [..]``."""
    tokens = _tokens(expression)
    for place, token in enumerate(tokens):
        if token.kind != "name" or place + 2 >= len(tokens) or tokens[place + 1].text != ".":
            continue
        field = f"{token.text}.{tokens[place + 2].text}"
        after = tokens[place + 3 :]
        if len(after) > 1 and after[0].text in ("==", "!=") and after[1].kind == "text":
            yield Compared(field, _unquoted(after[1].text))
        elif len(after) > 1 and after[0].text == "in" and after[1].text == "[":
            ends = next((n for n, each in enumerate(after) if each.text == "]"), len(after))
            yield from (Compared(field, _unquoted(each.text)) for each in after[2:ends] if each.kind == "text")
        before = tokens[max(0, place - 2) : place]
        if len(before) == 2 and before[1].text in ("==", "!=") and before[0].kind == "text":
            yield Compared(field, _unquoted(before[0].text))


class _Token(NamedTuple):
    kind: str
    text: str


def _tokens(expression: str) -> list[_Token]:
    found = (_Token(match.lastgroup or "", match.group()) for match in _TOKENS.finditer(expression))
    return [token for token in found if token.kind not in ("space", "comment")]


def _unquoted(text: str) -> str:
    return text.lstrip("rR").strip("'\"")


def _too_dear(tokens: list[_Token]) -> Iterator[str]:
    if len(tokens) > MOST_TOKENS:
        yield f"it has {len(tokens)} words and signs; at most {MOST_TOKENS} are allowed"
    open_calls: list[bool] = []
    comprehensions = deepest = 0
    nested = False
    for place, token in enumerate(tokens):
        if token.text in ("(", "[", "{") and token.kind == "sign":
            begins = token.text == "(" and place > 1 and _is_comprehension(tokens, place - 1)
            nested = nested or (begins and any(open_calls))
            comprehensions += begins
            open_calls.append(begins)
            deepest = max(deepest, len(open_calls))
        elif token.text in (")", "]", "}") and token.kind == "sign" and open_calls:
            open_calls.pop()
        elif token.text == "lines" and any(open_calls):
            nested = True
    if deepest > MOST_DEPTH:
        yield f"its brackets are {deepest} deep; at most {MOST_DEPTH} are allowed"
    if nested:
        yield f"inside {', '.join(sorted(COMPREHENSIONS))} neither they nor order.lines may be used again"
    if comprehensions > MOST_COMPREHENSIONS:
        yield f"it goes through lists {comprehensions} times; at most {MOST_COMPREHENSIONS} are allowed"


def _is_comprehension(tokens: list[_Token], place: int) -> bool:
    return tokens[place].text in COMPREHENSIONS and tokens[place].kind == "name" and tokens[place - 1].text == "."


def _unknown(tokens: list[_Token], scope: Scope) -> Iterator[str]:
    bound = {
        tokens[place + 2].text: _over_lines(tokens, place)
        for place in range(1, len(tokens) - 2)
        if tokens[place + 1].text == "(" and _is_comprehension(tokens, place)
    }
    for place, token in enumerate(tokens):
        if token.kind != "name" or token.text in _CONSTANTS:
            continue
        after = tokens[place + 1].text if place + 1 < len(tokens) else ""
        follows = place > 0 and tokens[place - 1].text == "."
        if after == "(":
            if token.text not in FUNCTIONS | COMPREHENSIONS:
                yield f"there is no function {token.text}; there are: {', '.join(sorted(FUNCTIONS | COMPREHENSIONS))}"
        elif not follows:
            yield from _variable(tokens, place, bound, scope)


def _over_lines(tokens: list[_Token], place: int) -> bool:
    return place > 1 and tokens[place - 2].text == "lines"


def _variable(tokens: list[_Token], place: int, bound: dict[str, bool], scope: Scope) -> Iterator[str]:
    name = tokens[place].text
    if name in bound:
        fields: Mapping[str, str] = LINE_FIELDS if bound[name] else {}
    elif name in scope:
        fields = scope[name]
    else:
        yield f"there is no variable {name}; there are: {', '.join(sorted(scope))}"
        return
    if not fields:
        return
    dotted = place + 2 < len(tokens) and tokens[place + 1].text == "."
    declared = place > 1 and tokens[place - 1].text == "(" and _is_comprehension(tokens, place - 2)
    if dotted and tokens[place + 2].text not in fields:
        yield f"{name} has no {tokens[place + 2].text}; it has: {', '.join(sorted(fields))}"
    elif not dotted and not declared:
        yield f"{name} is used without a field; write {name}.{next(iter(fields))}"


def _told(error: BaseException) -> str:
    """The library's message on one line, short."""
    if isinstance(error, KeyError):
        return f"there is no {error.args[0]!r} in what it asks"
    return " ".join(str(error).split())[:300]
