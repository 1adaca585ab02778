"""The rows of a file that its source's last file did not have: of one that comes every few minutes they are few.

Plain lines are compared cell by cell, in any order. What is read row by row is always news.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.domain.feeds import CsvTemplate, FeedSource, OurOrders
from shared.gateways.feeds.figures import FeedFile, Figure, Lines, Refusal
from shared.gateways.feeds.line_hashes import Block, Cells, Hashes, Known, Mask, Sequel, hashed
from shared.gateways.feeds.plain_lines import ITEMS

_Rows = NDArray[np.int64]

_NOTHING = np.uint64(0)


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
        figures: Of its plain lines in their order, items with their quantities; nothing's hash for refused ones.
        items: All the items it named.
    """

    figures: Hashes
    items: Known


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
        self._last, self._figures = last, Sequel(last.figures)
        self._wanted = Known(self._hashing.items(wanted))
        self._named = Known(np.empty(0, np.uint64))
        self.node_ids: set[str] = set()

    def parts(self, reading: FeedFile, file: BinaryIO) -> Iterator[Figure | Refusal | Lines]:
        """The file's parts, but of plain lines only those to be looked at, each behind its row in a cell of its own.

        Raises:
            UnreadableError: as ``FeedFile.parts``.
        """
        seen: list[Hashes] = []
        taken: list[tuple[int, Mask]] = []
        read: list[Item] = []
        for part in reading.parts(file):
            if not isinstance(part, Lines):
                read += _named(part)
                yield part
                continue
            block = Block(reading, part)
            items, figures = self._hashing.lines(block)
            picked = self._wanted.holds(items) | ~self._figures.holds(figures)
            seen.append(items)
            taken.append((part.row, picked))
            yield _picked(reading, part, block, picked)
        self.node_ids = self._hashing.node_ids | {item.node_id for item in read}
        self._named = Known(np.concatenate([*seen, self._hashing.items(read)]))
        if len(rows := self._rows_of_several(seen, taken)):
            yield from self._rows(reading, file, rows)

    def _rows_of_several(self, seen: list[Hashes], taken: list[tuple[int, Mask]]) -> _Rows:
        """Rows not yet given about items that the file names again: the first of them counts, whichever is news."""
        several = Known(self._named.again)
        again = [
            row + np.flatnonzero(several.holds(items) & ~picked)
            for (row, picked), items in zip(taken, seen, strict=True)
        ]
        return np.concatenate([np.empty(0, np.int64), *again])

    def _rows(self, reading: FeedFile, file: BinaryIO, rows: _Rows) -> Iterator[Lines]:
        """Some rows of the file, which are counted already."""
        file.seek(0)
        for part in reading.parts(file):
            if isinstance(part, Lines):
                picked = _at(part, rows)
                yield _picked(reading, part, Block(reading, part), picked)._replace(rows=0)

    def gone(self, reading: FeedFile, file: BinaryIO) -> Iterator[Item]:
        """The items that the last file named, and this one does not; to be asked when all its parts are known."""
        items = self._last.items.ordered
        if np.array_equal(items, self._named.ordered) or self._named.holds(items).all():
            return
        for part in reading.parts(file):
            if isinstance(part, Lines):
                block = Block(reading, part)
                missing = ~self._named.holds(self._hashing.lines(block)[0])
                yield from self._hashing.named(block, missing)
            else:
                yield from _named(part)


def said(source: FeedSource, reading: FeedFile, file: BinaryIO, refused: Sequence[int]) -> Said:
    """What a file says, but for some rows."""
    hashing, without = _Hashing(source), np.array(refused, np.int64)
    all_figures, all_items = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    read: list[Item] = []
    for part in reading.parts(file):
        if not isinstance(part, Lines):
            read += _named(part)
            continue
        items, figures = hashing.lines(Block(reading, part))
        all_items.append(items)
        figures[_at(part, without)] = _NOTHING
        all_figures.append(figures)
    return Said(np.concatenate(all_figures), Known(np.concatenate([*all_items, hashing.items(read)])))


class _Hashing:
    """Hashes of what a source's rows say.

    Attributes:
        node_ids: The nodes of the lines so far.
    """

    def __init__(self, source: FeedSource) -> None:
        self._node_id = source.node_id
        self._codes = {node_id: code.encode() for code, node_id in source.nodes.items()}
        self._nodes = {code: node_id for node_id, code in self._codes.items()}
        self.node_ids: set[str] = set()

    def lines(self, block: Block) -> tuple[Hashes, Hashes]:
        """The lines' items, and their items with their quantities."""
        self._note_nodes(block)
        items = hashed(*_of_items(block))
        return items, hashed(block.column("quantity"), onto=items)

    def _note_nodes(self, block: Block) -> None:
        if self._node_id is not None:
            self.node_ids.add(self._node_id)
        elif unseen := sorted(self._codes.keys() - self.node_ids):
            codes = hashed(Cells.of([self._codes[node_id] for node_id in unseen]))
            mask = np.isin(codes, hashed(block.column("node")))
            self.node_ids.update(unseen[n] for n in np.flatnonzero(mask))

    def items(self, items: Iterable[Item]) -> Hashes:
        """Items, as they would stand in a line."""
        listed = list(items)
        codes = None
        if self._node_id is None:
            codes = Cells.of([self._codes.get(item.node_id, b"") for item in listed])
        return hashed(codes, Cells.of([item.number.encode() for item in listed]))

    def named(self, block: Block, mask: Mask) -> Iterator[Item]:
        """The items of some of the lines."""
        node, *numbers = _of_items(block)
        number = next(cells for cells in numbers if cells)
        for n in np.flatnonzero(mask).tolist():
            node_id = self._nodes[node.cell(n)] if node else self._node_id or ""
            yield Item(node_id, number.cell(n).decode())


def _of_items(block: Block) -> list[Cells | None]:
    return [block.column(name) for name in ("node", *ITEMS)]


def _at(lines: Lines, rows: _Rows) -> Mask:
    """Which of the lines are some rows of the file."""
    places = rows - lines.row
    mask = np.zeros(lines.rows, bool)
    mask[places[(places >= 0) & (places < lines.rows)]] = True
    return mask


def _picked(reading: FeedFile, lines: Lines, block: Block, mask: Mask) -> Lines:
    """Some of the lines, each behind its row."""
    delimiter = reading.delimiter.encode()
    picked = (b"%d%b%b" % (lines.row + n, delimiter, block.line(n)) for n in np.flatnonzero(mask).tolist())
    return lines._replace(text=b"".join(picked))


def _named(part: Figure | Refusal) -> list[Item]:
    figure = part.figure if isinstance(part, Refusal) else part
    number = figure and (figure.sku or figure.partner_sku)
    return [Item(figure.node_id, number)] if figure and number else []
