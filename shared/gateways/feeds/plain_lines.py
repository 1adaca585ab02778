"""Lines of a CSV file that need no reading: what each of their cells says is what is written there.

Of a million lines nearly all are plain. They are found by one expression a block of a file and go to the database as
they are; every other line is read cell by cell, and only there it is decided what is refused. So what is plain must
be narrower than what is read: an item number without spaces, a quantity of digits, a known node, the file's moment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product

from shared.domain.feeds import CsvTemplate, FeedSource

ITEMS = ("sku", "partner_sku", "upc")
_WIDEST = 50
_DIGITS_AND_LETTERS = "".join(filter(str.isalnum, map(chr, range(128))))
_IN_ITEMS = _DIGITS_AND_LETTERS + "._/+:-"
_IN_CELLS = "\t" + "".join(set(map(chr, range(32, 127))) - {'"', "\\"})


def can_be_plain(template: CsvTemplate, places: Mapping[str, int], width: int) -> bool:
    """Whether lines of such a file can be stored as they are. A total is added up from rows that are read."""
    delimiter, trailer = template.delimiter, template.trailer
    sound = delimiter.isascii() and not delimiter.isalnum() and delimiter not in '"\\\r\n\x00'
    distinct = len(set(places.values())) == len(places)
    return sound and distinct and width <= _WIDEST and (trailer is None or trailer.total is None)


def plain_lines(
    source: FeedSource, template: CsvTemplate, places: Mapping[str, int], width: int, as_of: str | None
) -> re.Pattern[bytes]:
    """What as many plain lines as possible look like.

    Args:
        places: Where each column of the template stands, from 0.
        as_of: The cell of every row's moment, if the file has them.
    """
    delimiter = re.escape(template.delimiter)
    other = f"{_any(_IN_CELLS, template.delimiter)}{{0,1000}}+"
    cells = dict.fromkeys(range(width), other)
    cells[places["quantity"]] = ("-?" if source.kind == "delta" else "") + "[0-9]{1,9}+"
    if "node" in places:
        cells[places["node"]] = _one_of([code for code in source.nodes if _is_plain(code, template.delimiter)])
    if "as_of" in places:
        cells[places["as_of"]] = _one_of([as_of] if as_of and _is_plain(as_of, template.delimiter) else [])
    items = [places[name] for name in ITEMS if name in places]
    item = f"{_any(_DIGITS_AND_LETTERS, '')}{_any(_IN_ITEMS, template.delimiter)}{{0,63}}+"
    named = [cells | dict(zip(items, each, strict=True)) for each in product((item, ""), repeat=len(items))][:-1]
    lines = "|".join(delimiter.join(each[place] for place in range(width)) for each in named)
    marker = template.trailer and rf"(?![\t ]*{re.escape(template.trailer.marker)}[\t ]*(?:{delimiter}|\r|\n))"
    # Not possessive, which Python before 3.11.5 gets wrong for groups; nothing follows, so nothing is taken back.
    return re.compile(rf"(?:{marker or ''}(?:{lines})\r?\n)*".encode())


def _any(characters: str, delimiter: str) -> str:
    return f"[{re.escape(''.join(sorted(set(characters) - {delimiter})))}]"


def _one_of(cells: list[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, cells))})" if cells else "(?!)"


def _is_plain(cell: str, delimiter: str) -> bool:
    return cell.isascii() and cell.isprintable() and cell == cell.strip() and not {'"', "\\", delimiter} & set(cell)
