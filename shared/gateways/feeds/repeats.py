"""The rows of a file that its source's last file did not have: of one that comes every few minutes they are few.

Plain lines are compared cell by cell, in any order, by hashes of 64 bits with a secret of the process: of a million
lines of which a hundredth changed, one is taken for another once in a thousand million files. What is read row by
row is always news.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from shared.domain.feeds import CsvTemplate, FeedSource, OurOrders
from shared.gateways.feeds.figures import FeedFile, Figure, Lines, Refusal
from shared.gateways.feeds.plain_lines import ITEMS

Hashes = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Item(NamedTuple):
    """What a row is about.

    Attributes:
        number: The item's, in the one column that the file has for it.
    """

    node_id: str
    number: str


class Said(NamedTuple):
    """What a file said.

    Attributes:
        figures: Hashes of its plain lines' items and quantities, in rising order; of refused rows it has none.
        items: Hashes of all the items it named, in rising order.
    """

    figures: Hashes
    items: Hashes


def can_repeat(source: FeedSource) -> bool:
    """Whether equal lines of a source's files mean the same: whole figures of items that one column names."""
    reading = source.reading
    if not isinstance(reading, CsvTemplate) or source.kind != "snapshot" or source.our_orders is OurOrders.DEDUCTED:
        return False
    return sum(column is not None for column in (reading.sku, reading.partner_sku, reading.upc)) == 1


class Lookout:
    """Tells which rows of a source's file are to be looked at.

    Attributes:
        node_ids: The nodes its rows speak of, known when all are read.
    """

    def __init__(self, source: FeedSource, last: Said, wanted: Iterable[Item]) -> None:
        """Look out for what ``last`` did not say, and for all that is said of the items that are wanted."""
        self._hashing = _Hashing(source)
        self._last, self._wanted = last, np.sort(self._hashing.items(wanted))
        self._seen: list[Hashes] = []
        self._read: list[Item] = []
        self.node_ids: set[str] = set()

    def parts(self, reading: FeedFile, file: BinaryIO) -> Iterator[Figure | Refusal | Lines]:
        """The file's parts, but of plain lines only those to be looked at, each behind its row in a cell of its own.

        Raises:
            UnreadableError: as ``FeedFile.parts``.
        """
        taken: list[tuple[int, Mask]] = []
        for part in reading.parts(file):
            if not isinstance(part, Lines):
                self._read += _named(part)
                yield part
                continue
            items, figures = self._hashing.lines(reading, part)
            picked = _among(items, self._wanted) | _beyond(figures, self._last.figures)
            self._seen.append(items)
            taken.append((part.row, picked))
            yield _picked(reading, part, picked)
        self.node_ids = self._hashing.node_ids | {item.node_id for item in self._read}
        if rows := self._rows_of_several(taken):
            yield from self._rows(reading, file, rows)

    def _rows_of_several(self, taken: list[tuple[int, Mask]]) -> set[int]:
        """Rows not yet given about items that the file names again: the first of them counts, whichever is news."""
        named = np.sort(np.concatenate([*self._seen, self._hashing.items(self._read)]))
        several = named[1:][named[1:] == named[:-1]]
        return {
            row + int(n)
            for (row, picked), items in zip(taken, self._seen, strict=True)
            for n in np.flatnonzero(_among(items, several) & ~picked)
        }

    def _rows(self, reading: FeedFile, file: BinaryIO, rows: Collection[int]) -> Iterator[Lines]:
        """Some rows of the file, which are counted already."""
        file.seek(0)
        wanted = np.array(sorted(rows))
        for part in reading.parts(file):
            if isinstance(part, Lines):
                picked = _among(np.arange(part.row, part.row + part.rows), wanted)
                yield _picked(reading, part, picked)._replace(rows=0)

    def gone(self, reading: FeedFile, file: BinaryIO) -> Iterator[Item]:
        """The items that the last file named, and this one does not; to be asked when all its parts are known."""
        named = np.sort(np.concatenate([*self._seen, self._hashing.items(self._read)]))
        if _among(self._last.items, named).all():
            return
        for part in reading.parts(file):
            if isinstance(part, Lines):
                missing = _beyond(self._hashing.lines(reading, part)[0], named)
                yield from self._hashing.named(reading, part, missing)
            else:
                yield from _named(part)


def said(source: FeedSource, reading: FeedFile, file: BinaryIO, refused: Collection[int]) -> Said:
    """What a file says, but for some rows."""
    hashing, without = _Hashing(source), np.array(sorted(refused), dtype=np.int64)
    all_figures, all_items = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    read: list[Item] = []
    for part in reading.parts(file):
        if not isinstance(part, Lines):
            read += _named(part)
            continue
        items, figures = hashing.lines(reading, part)
        all_items.append(items)
        all_figures.append(figures[~_among(np.arange(part.row, part.row + part.rows), without)])
    return Said(np.sort(np.concatenate(all_figures)), np.sort(np.concatenate([*all_items, hashing.items(read)])))


class _Hashing:
    """Hashes of what a source's rows say.

    Attributes:
        node_ids: The nodes of the lines so far.
    """

    def __init__(self, source: FeedSource) -> None:
        self._nodes = {code.encode(): node_id for code, node_id in source.nodes.items()}
        self._codes = {node_id: code for code, node_id in self._nodes.items()}
        self._node_id = source.node_id
        self.node_ids: set[str] = set()

    def lines(self, reading: FeedFile, lines: Lines) -> tuple[Hashes, Hashes]:
        """The lines' items, and their items with their quantities."""
        columns = _columns(reading, lines)
        items, quantities = _of_items(columns), columns["quantity"]
        if self._node_id is None:
            self.node_ids.update(self._nodes[code] for code in set(columns["node"]))
        else:
            self.node_ids.add(self._node_id)
        keys = items[0] if len(items) == 1 else zip(*items, strict=True)
        return _hashes(keys, lines.rows), _hashes(zip(*items, quantities, strict=True), lines.rows)

    def items(self, items: Iterable[Item]) -> Hashes:
        """Items, as they would stand in a line."""
        if self._node_id is not None:
            keys: list[Any] = [item.number.encode() for item in items]
        else:
            keys = [(self._codes.get(item.node_id), item.number.encode()) for item in items]
        return _hashes(keys, len(keys))

    def named(self, reading: FeedFile, lines: Lines, mask: Mask) -> Iterator[Item]:
        """The items of some of the lines."""
        items = _of_items(_columns(reading, lines)) if mask.any() else []
        for n in np.flatnonzero(mask):
            *code, number = (cells[n] for cells in items)
            yield Item(self._nodes[code[0]] if code else self._node_id or "", number.decode())


def _columns(reading: FeedFile, lines: Lines) -> dict[str, list[bytes]]:
    """The cells of lines that all have as many. A list for each line would keep the garbage collector busy."""
    delimiter, width = reading.delimiter.encode(), len(reading.columns)
    cells = lines.text.replace(b"\n", delimiter).split(delimiter)[: lines.rows * width]
    return {name: cells[place::width] for place, name in enumerate(reading.columns)}


def _of_items(columns: dict[str, list[bytes]]) -> list[list[bytes]]:
    return [columns[name] for name in ("node", *ITEMS) if name in columns]


def _hashes(values: Iterable[Any], count: int) -> Hashes:
    return np.fromiter(map(hash, values), np.int64, count)


def _among(values: Hashes, ordered: Hashes) -> Mask:
    """Which values are among others that are in rising order."""
    if not len(ordered):
        return np.zeros(len(values), bool)
    places = np.searchsorted(ordered, values)
    places[places == len(ordered)] = 0
    return cast(Mask, ordered[places] == values)


def _beyond(values: Hashes, ordered: Hashes) -> Mask:
    """Which values are not among many others in rising order: few are, and those in order are found side by side."""
    rising = np.sort(values)
    return _among(values, rising[~_among(rising, ordered)])


def _picked(reading: FeedFile, lines: Lines, mask: Mask) -> Lines:
    """Some of the lines, each behind its row."""
    numbers = np.flatnonzero(mask).tolist()
    texts, delimiter = lines.text.split(b"\n") if numbers else [], reading.delimiter.encode()
    return lines._replace(text=b"".join(b"%d%b%b\n" % (lines.row + n, delimiter, texts[n]) for n in numbers))


def _named(part: Figure | Refusal) -> list[Item]:
    figure = part.figure if isinstance(part, Refusal) else part
    number = figure and (figure.sku or figure.partner_sku)
    return [Item(figure.node_id, number)] if figure and number else []
