"""What a command answers, for people as a table and for programs as JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import RenderableType


#: Columns of a file or pipe; wider than any table.
_UNBROKEN = 2_000


@dataclass(frozen=True)
class Answer:
    """The result of a command.

    Attributes:
        data: What ``--json`` prints: pydantic models, or anything they can hold.
        show: Draws the same for people; ``None`` for a plain sentence in ``text``.
        code: The exit code: 4 for a command that was heard and refused.
    """

    data: Any
    show: Callable[[], RenderableType] | None = None
    text: str = ""
    code: int = 0

    def put(self, *, as_json: bool) -> None:
        if as_json:
            put_json(self.data)
        elif self.show is not None:
            put(self.show())
        elif self.text:
            put(self.text)


def put_json(data: Any) -> None:
    """One JSON document on one line of standard output."""
    from pydantic_core import to_json

    sys.stdout.write(to_json(data).decode() + "\n")
    sys.stdout.flush()


def put(renderable: RenderableType, *, error: bool = False) -> None:
    from rich.console import Console
    from rich.text import Text

    # Into a file or pipe nothing is wrapped: a line is a row, whatever the width of the last terminal was.
    width = None if sys.stdout.isatty() or error else _UNBROKEN
    sentence = isinstance(renderable, str | Text)
    plain = Text(renderable) if isinstance(renderable, str) else renderable
    Console(stderr=error, width=width, highlight=False).print(plain, soft_wrap=sentence)


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> RenderableType:
    """A table; a column whose name ends in ``#`` is aligned right. Cells are shown as they are, not as markup."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        drawn.add_column(column.removesuffix("#"), justify="right" if column.endswith("#") else "left")
    for row in rows:
        drawn.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    # As a title of the table it would be broken to the table's own width.
    return Group(Text(title, "bold"), drawn if drawn.row_count else Text("  none\n", "dim"))


def when(at: datetime | None) -> str:
    """A moment as people read it, in UTC."""
    return f"{at:%Y-%m-%d %H:%M}" if at else ""


def money(minor: int | None, currency: str = "") -> str:
    """Minor units as an amount of the currency, which says how many decimals there are."""
    if minor is None:
        return ""
    if not currency:
        return str(minor)
    from shared.currency import exponent

    places = exponent(currency)
    sign, digits = "-" * (minor < 0), str(abs(minor)).rjust(places + 1, "0")
    amount = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"{sign}{amount} {currency}"
