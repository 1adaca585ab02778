"""What plain lines say as hashes of 64 bits, worked out for all the lines of a block at once.

They hold a secret of the process: of a million lines of which a hundredth changed, one is taken for another once in a
thousand million files, whoever wrote them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import randbits

import numpy as np
from numpy.typing import NDArray

from shared.gateways.feeds.figures import FeedFile, Lines

Hashes = NDArray[np.uint64]
Mask = NDArray[np.bool_]
_Places = NDArray[np.int64]

_WORD = 8
_START, _LENGTH, _FIRST, _SECOND = (np.uint64(randbits(64) | 1) for _ in range(4))
#: What of a word is the cell's when so many bytes of it are.
_WITHIN = np.array([(1 << 8 * taken) - 1 for taken in range(_WORD + 1)], np.uint64)


@dataclass(frozen=True)
class Cells:
    """Cells, by where in a text they stand."""

    text: bytes
    starts: _Places
    ends: _Places

    @classmethod
    def of(cls, values: Sequence[bytes]) -> Cells:
        """Cells that stand one behind the other."""
        ends = np.cumsum([len(value) for value in values], dtype=np.int64)
        return cls(b"".join(values), np.concatenate([np.zeros(1, np.int64), ends])[:-1], ends)

    def cell(self, n: int) -> bytes:
        return self.text[self.starts[n] : self.ends[n]]


class Block:
    """Plain lines, taken apart."""

    def __init__(self, reading: FeedFile, lines: Lines) -> None:
        self._text, self._columns = lines.text, reading.columns
        characters = np.frombuffer(lines.text, np.uint8)
        behind = np.flatnonzero((characters == ord("\n")) | (characters == ord(reading.delimiter)))
        self._ends = behind.reshape(lines.rows, len(reading.columns))
        self._starts = np.concatenate([np.zeros(1, np.int64), behind[:-1] + 1]).reshape(self._ends.shape)

    def column(self, name: str) -> Cells | None:
        """The cells that say something, if the file has them."""
        if name not in self._columns:
            return None
        place = self._columns.index(name)
        return Cells(self._text, self._starts[:, place], self._ends[:, place])

    def line(self, n: int) -> bytes:
        """A line with its end."""
        return self._text[self._starts[n, 0] : self._ends[n, -1] + 1]


def hashed(*columns: Cells | None, onto: Hashes | None = None) -> Hashes:
    """Hashes of what stands in each row of some columns.

    Args:
        onto: Hashes of columns before these.
    """
    found = [column for column in columns if column is not None]
    hashes = np.full(len(found[0].starts), _START) if onto is None else onto.copy()
    for column in found:
        _add(hashes, column)
    return hashes


def _add(hashes: Hashes, cells: Cells) -> None:
    """Mix the cells into the hashes, a word at a time and an empty one too, as MurmurHash3 finishes its own."""
    padded = cells.text + bytes(_WORD)
    words = np.ndarray(len(cells.text) + 1, "<u8", padded, strides=(1,))
    lengths = cells.ends - cells.starts
    hashes += lengths.astype(np.uint64) * _LENGTH
    for taken in range(0, int(lengths.max(initial=1)), _WORD):
        rows = np.flatnonzero(lengths > taken) if taken else slice(None)
        left = np.minimum(lengths[rows] - taken, _WORD)
        mixed = (hashes[rows] ^ (words[cells.starts[rows] + taken] & _WITHIN[left])) * _FIRST
        mixed ^= mixed >> np.uint64(32)
        mixed *= _SECOND
        hashes[rows] = mixed ^ (mixed >> np.uint64(29))


def among(values: Hashes, ordered: Hashes) -> Mask:
    """Which values are among others that are in rising order."""
    if not len(ordered):
        return np.zeros(len(values), bool)
    places = np.searchsorted(ordered, values)
    places[places == len(ordered)] = 0
    found: Mask = ordered[places] == values
    return found


def beyond(values: Hashes, ordered: Hashes) -> Mask:
    """Which values are not among many others in rising order: few are, and those in order are found side by side."""
    rising = np.sort(values)
    return among(values, rising[~among(rising, ordered)])
