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
#: What the hashes of a million lines begin with, a few each.
_HEADS, _BEHIND = np.arange(1 << 18, dtype=np.uint64), np.uint64(64 - 18)
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


class Known:
    """Hashes that others are looked for among: they lie evenly, so the first bits of each say about where it stands.

    Attributes:
        ordered: Each once, in rising order.
        again: Those that came before, as often as they came again.
    """

    def __init__(self, hashes: Hashes) -> None:
        rising = np.sort(hashes)
        repeated = np.zeros(len(rising), bool)
        repeated[1:] = rising[1:] == rising[:-1]
        self.ordered, self.again = rising[~repeated], rising[repeated]
        self._first = np.append(np.searchsorted(self.ordered, _HEADS << _BEHIND), len(self.ordered))

    def holds(self, hashes: Hashes) -> Mask:
        """Which of some hashes are among these."""
        found = np.zeros(len(hashes), bool)
        heads = (hashes >> _BEHIND).astype(np.int64)
        places, behind = self._first[heads], self._first[heads + 1]
        left = np.flatnonzero(places < behind)
        while len(left):
            same = self.ordered[places[left]] == hashes[left]
            found[left[same]] = True
            left = left[~same]
            places[left] += 1
            left = left[places[left] < behind[left]]
        return found


class Sequel:
    """Hashes of a file's lines, among which those of the next file are looked for: most stand where they stood."""

    def __init__(self, before: Hashes) -> None:
        self._before, self._known, self._at = before, Known(before), 0

    def holds(self, following: Hashes) -> Mask:
        """Which of the next file's following hashes are among these."""
        expected = self._before[self._at : self._at + len(following)]
        found = np.zeros(len(following), bool)
        found[: len(expected)] = following[: len(expected)] == expected
        moved = np.flatnonzero(~found)
        found[moved] = self._known.holds(following[moved])
        self._at += len(following)
        if 2 * len(moved) > len(following) and found.any():
            last = np.flatnonzero(found)[-1]
            self._at = int(np.flatnonzero(self._before == following[last])[0] + len(following) - last)
        return found
