"""A source's CSV file, read as its template says."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import BinaryIO
from zoneinfo import ZoneInfo

from shared.domain.feeds import CsvTemplate, FeedSource, Trailer
from shared.gateways.feeds.figures import Figure, NotUnitsError, Refusal, UnreadableError, units

#: What an item number of ours or of an offer can be; anything else is not known to us.
_ITEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/+:-]{0,63}")
_MAX_LINE = 2_000


class _Rows:
    """The records of a file, their numbers as a spreadsheet counts them, and the text each was written as if asked."""

    def __init__(self, stream: BinaryIO, delimiter: str, *, with_text: bool = False) -> None:
        self._text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        lines = self._kept() if with_text else self._text
        self._records = csv.reader(lines, delimiter=delimiter, strict=True)
        self._lines: list[str] = []
        self.number = 0

    def _kept(self) -> Iterator[str]:
        for line in self._text:
            self._lines.append(line)
            yield line

    @property
    def line(self) -> str:
        return "".join(self._lines).rstrip("\r\n")[:_MAX_LINE]

    def __iter__(self) -> Iterator[list[str]]:
        try:
            for record in self._records:
                self.number += 1
                if record:
                    yield record
                self._lines.clear()
        except csv.Error as error:
            raise UnreadableError("not_csv", f"row {self.number + 1} cannot be read: {error}") from None
        except UnicodeDecodeError:
            raise UnreadableError("not_utf8", f"after row {self.number} there are bytes that are not UTF-8") from None
        finally:
            self._text.detach()


class CsvFile:
    """One file of a source. A file's rows may be read more than once."""

    def __init__(self, source: FeedSource, template: CsvTemplate) -> None:
        self._source, self._template = source, template
        self.as_of: datetime | None = None
        self.control_no: str | None = None
        self._as_of_cell: str | None = None
        self._width = 0
        self._total = 0

    def rows(self, stream: BinaryIO) -> Iterator[Figure | Refusal]:
        rows = _Rows(stream, self._template.delimiter)
        records = iter(rows)
        places = self._places(next(records, []) if self._template.header else None)
        trailer, seen, closed = self._template.trailer, 0, False
        self._total = 0
        for record in records:
            if closed:
                raise UnreadableError("after_trailer", f"row {rows.number} stands behind the trailer")
            if trailer is not None and record[0].strip() == trailer.marker:
                self._check_trailer(trailer, record, seen)
                closed = True
                continue
            seen += 1
            if seen > self._source.max_rows:
                raise UnreadableError("too_many_rows", f"has more than {self._source.max_rows} rows")
            yield self._row(rows, record, places)
        if trailer is not None and not closed:
            raise UnreadableError("truncated", f"has no trailer {trailer.marker}: the file was cut off")
        if not seen:
            raise UnreadableError("empty", "holds no rows")

    def lines(self, stream: BinaryIO, wanted: Collection[int]) -> Iterator[tuple[int, str]]:
        rows = _Rows(stream, self._template.delimiter, with_text=True)
        return ((rows.number, rows.line) for _ in rows if rows.number in wanted)

    def _check_trailer(self, trailer: Trailer, record: list[str], seen: int) -> None:
        told = _control(record, trailer.rows)
        if told != seen:
            raise UnreadableError("wrong_count", f"the trailer says {told} rows, there are {seen}")
        if trailer.total is not None and (total := _control(record, trailer.total)) != self._total:
            raise UnreadableError("wrong_total", f"the trailer says {total} in total, the rows come to {self._total}")

    def _places(self, header: list[str] | None) -> dict[str, int]:
        """Where each column of the template stands, from 0."""
        template = self._template
        wanted = {
            name: column
            for name in ("quantity", "sku", "partner_sku", "upc", "node", "as_of")
            if (column := getattr(template, name)) is not None
        }
        names = [cell.strip() for cell in header or ()]
        missing = [column for column in wanted.values() if isinstance(column, str) and names.count(column) != 1]
        if missing:
            raise UnreadableError("missing_column", f"the header must name {', '.join(map(repr, missing))} once")
        places = {
            name: names.index(column) if isinstance(column, str) else column - 1 for name, column in wanted.items()
        }
        self._width = len(names) if header is not None else 0
        if self._width and max(places.values()) >= self._width:
            raise UnreadableError("missing_column", f"the header has {self._width} columns, the template more")
        return places

    def _row(self, rows: _Rows, record: list[str], places: dict[str, int]) -> Figure | Refusal:
        if not self._width:
            self._width = max(len(record), max(places.values()) + 1)
        if len(record) != self._width:
            message = f"has {len(record)} cells, the others {self._width}"
            return Refusal(rows.number, "", "wrong_number_of_cells", message, "")
        if "as_of" in places and (refusal := self._dated(rows, record[places["as_of"]])):
            return refusal
        node_id = self._node(record[places["node"]]) if "node" in places else self._source.node_id
        if node_id is None:
            message = f"{record[places['node']]!r} is no code of a node of this source"
            return Refusal(rows.number, "node", "unknown_node", message, "")
        named = {n: cell for n in ("sku", "partner_sku", "upc") if n in places and (cell := record[places[n]].strip())}
        if not named or not all(map(_ITEM.fullmatch, named.values())):
            field = next(iter(named), "partner_sku" if "partner_sku" in places else "sku")
            return Refusal(rows.number, field, "unknown_item", "names no item that can be known", "")
        numbers = tuple(named[name] for name in ("partner_sku", "upc") if name in named)
        figure = Figure(rows.number, node_id, named.get("sku"), numbers[0] if numbers else None, numbers[1:], 0)
        return self._counted(rows, figure, record[places["quantity"]])

    def _counted(self, rows: _Rows, figure: Figure, cell: str) -> Figure | Refusal:
        template = self._template
        try:
            quantity = units(
                cell,
                negative=self._source.kind == "delta",
                decimal=template.decimal,
                thousands=template.thousands,
            )
        except NotUnitsError as error:
            return Refusal(rows.number, "quantity", error.code, error.message, "", figure)
        self._total += quantity
        return figure._replace(quantity=quantity)

    def _node(self, code: str) -> str | None:
        return self._source.nodes.get(code.strip())

    def _dated(self, rows: _Rows, cell: str) -> Refusal | None:
        """Every row must be of the same moment: a file is a picture of one."""
        if cell == self._as_of_cell:
            return None
        if self._as_of_cell is not None:
            message = f"is of {cell!r}, the rows before of {self._as_of_cell!r}"
            return Refusal(rows.number, "as_of", "other_moment", message, "")
        try:
            self.as_of = self._moment(cell.strip())
        except ValueError:
            form = self._template.as_of_format or "ISO 8601"
            raise UnreadableError(
                "bad_moment", f"row {rows.number} has {cell!r}, which is no moment as {form}"
            ) from None
        self._as_of_cell = cell
        return None

    def _moment(self, cell: str) -> datetime:
        form = self._template.as_of_format
        # A form without a zone is of the source's own, which is set below.
        at = datetime.strptime(cell, form) if form else datetime.fromisoformat(cell)  # noqa: DTZ007
        return at if at.tzinfo else at.replace(tzinfo=ZoneInfo(self._source.time_zone))


def _control(record: list[str], place: int) -> int | None:
    cell = record[place - 1].strip() if place <= len(record) else ""
    return int(cell) if re.fullmatch("-?[0-9]{1,18}", cell) else None
