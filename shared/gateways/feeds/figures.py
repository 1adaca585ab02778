"""What every form of feed is read into."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import BinaryIO, NamedTuple, Protocol

from shared.domain.feeds import CsvTemplate, FeedSource

#: More of one item at one place than anybody has.
MAX_UNITS = 10**9
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?")


class Figure(NamedTuple):
    """What a source says of one item at one node.

    Attributes:
        row: Where it stands: the row of a CSV file, the segment of an interchange; from 1.
        sku: Our own SKU, when the source uses it.
        partner_sku: Else the source's item number.
        others: Further item numbers to look for when that one is not known.
    """

    row: int
    node_id: str
    sku: str | None
    partner_sku: str | None
    others: tuple[str, ...]
    quantity: int


class Refusal(NamedTuple):
    """A row that is not applied, and why.

    Attributes:
        line: The text of the row; empty when ``FeedFile.lines`` has to be asked for it.
        figure: What it would have been, when it is known of which item it is.
    """

    row: int
    field: str
    code: str
    message: str
    line: str
    figure: Figure | None = None


class Lines(NamedTuple):
    """Rows that need no reading: lines whose cells can be stored as they are written.

    Attributes:
        row: Where the first stands; the others follow.
    """

    row: int
    rows: int
    text: bytes


#: The columns of rows that are read one by one.
READ: tuple[str, ...] = ("row", "node_id", "sku", "partner_sku", "others", "quantity")


class UnreadableError(ValueError):
    """The file as a whole is refused: nothing of it may be applied."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class NotUnitsError(ValueError):
    """A quantity that cannot be read as units."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class FeedFile(Protocol):
    """A file being read. What it says of itself is known once all rows are read.

    Attributes:
        columns: What stands in each cell of its ``Lines``, ``other`` if nothing of use; ``READ`` if it has none.
            Known once the first part is read.
        delimiter: Between those cells.
    """

    as_of: datetime | None
    control_no: str | None
    columns: tuple[str, ...]
    delimiter: str

    def parts(self, stream: BinaryIO) -> Iterator[Figure | Refusal | Lines]:
        """Every row of the file, as it is read; lines that need no reading are given as they are written.

        Raises:
            UnreadableError: the file is cut off, not of this form, or too long; rows given before do not count.
        """
        ...

    def lines(self, stream: BinaryIO, wanted: Collection[int]) -> Iterator[tuple[int, str]]:
        """The original text of some rows."""
        ...


def feed_file(source: FeedSource) -> FeedFile:
    """What reads a source's files."""
    from shared.gateways.feeds.csv_file import CsvFile
    from shared.gateways.feeds.x12_846 import InventoryAdvice

    if isinstance(source.reading, CsvTemplate):
        return CsvFile(source, source.reading)
    return InventoryAdvice(source, source.reading)


def units(cell: str, *, negative: bool, decimal: str = ".", thousands: str = "") -> int:
    """Read a quantity; nothing is rounded.

    Raises:
        NotUnitsError: it is no number, not whole, or out of range.
    """
    if cell.isdigit() and cell.isascii() and len(cell) < 10:
        return int(cell)
    plain = _without_thousands(cell.strip(), decimal, thousands)
    if not _NUMBER.fullmatch(plain):
        raise NotUnitsError("not_a_number", "must be a whole number of units")
    whole, _, fraction = plain.partition(".")
    if fraction.strip("0"):
        raise NotUnitsError("fraction", "must be a whole number: units are not divided or rounded")
    quantity = int(whole[:20])
    if abs(quantity) > MAX_UNITS:
        raise NotUnitsError("too_big", f"must be {MAX_UNITS} or less")
    if quantity < 0 and not negative:
        raise NotUnitsError("negative", "a snapshot cannot hold less than nothing")
    return quantity


def _without_thousands(cell: str, decimal: str, thousands: str) -> str:
    whole, mark, fraction = cell.partition(decimal)
    if thousands and thousands in whole:
        if not re.fullmatch(rf"-?[0-9]{{1,3}}({re.escape(thousands)}[0-9]{{3}})+", whole):
            raise NotUnitsError("not_a_number", f"{thousands!r} must stand before every three digits")
        whole = whole.replace(thousands, "")
    return f"{whole}.{fraction}" if mark else whole
