"""The records of a CSV file: read one by one, or whole runs of plain lines at once, as they are written."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

from shared.gateways.feeds.figures import Lines, UnreadableError

_BLOCK = 1 << 20
#: A line ends as a spreadsheet may end it.
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)?")
#: Characters of a refused row that are kept.
MAX_LINE = 2_000


class Records:
    """What a file holds, in its order.

    Attributes:
        number: Of the record read last, from 1, as a spreadsheet counts them: blank lines are among them.
    """

    def __init__(self, stream: BinaryIO, delimiter: str) -> None:
        self._stream, self._block, self._at = stream, b"", 0
        self._encoding = "utf-8-sig"
        self._text: list[str] = []
        self._reader = csv.reader(self._written(), delimiter=delimiter, strict=True)
        self.number = 0

    @property
    def line(self) -> str:
        """The record read last as it is written, without its end."""
        return "".join(self._text).rstrip("\r\n")[:MAX_LINE]

    def records(self, plain: re.Pattern[bytes] | None = None) -> Iterator[list[str] | Lines]:
        """The cells of each record from here on that is not blank.

        Args:
            plain: Of lines that are given as they are written, as many as follow each other in a block.

        Raises:
            UnreadableError: the file is no CSV, or not UTF-8.
        """
        while self._fill():
            if plain is not None and (lines := self._lines(plain)):
                yield lines
            elif record := self._record():
                yield record

    def _lines(self, plain: re.Pattern[bytes]) -> Lines | None:
        match = plain.match(self._block, self._at)
        if match is None or match.end() == self._at:
            return None
        text, self._at = self._block[self._at : match.end()], match.end()
        lines = Lines(self.number + 1, text.count(b"\n"), text.replace(b"\r\n", b"\n") if b"\r" in text else text)
        self.number += lines.rows
        return lines

    def _record(self) -> list[str]:
        self._text.clear()
        try:
            record = next(self._reader, [])
        except csv.Error as error:
            raise UnreadableError("not_csv", f"row {self.number + 1} cannot be read: {error}") from None
        except UnicodeDecodeError:
            raise UnreadableError("not_utf8", f"after row {self.number} there are bytes that are not UTF-8") from None
        self.number += 1
        return record

    def _fill(self) -> bool:
        """Say whether more follows; blocks end where lines do."""
        if self._at == len(self._block):
            self._block, self._at = self._stream.read(_BLOCK) + self._stream.readline(), 0
        return bool(self._block)

    def _written(self) -> Iterator[str]:
        while self._fill():
            match = _LINE.match(self._block, self._at)
            assert match is not None, "it matches anything"
            self._at = match.end()
            self._text.append(match[0].decode(self._encoding))
            self._encoding = "utf-8"
            yield self._text[-1]
