"""A source's CSV file, read as its template says."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import BinaryIO
from zoneinfo import ZoneInfo

from shared.domain.feeds import CsvTemplate, FeedSource, Trailer
from shared.gateways.feeds.figures import READ, Figure, Lines, NotUnitsError, Refusal, UnreadableError, units
from shared.gateways.feeds.plain_lines import ITEMS, can_be_plain, plain_lines
from shared.gateways.feeds.records import MAX_LINE, Records

#: What an item number of ours or of an offer can be; anything else is not known to us.
_ITEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/+:-]{0,63}")
#: Lines that are not in the way of counting: nothing in them is quoted.
_UNQUOTED = re.compile(rb'(?:[^"\r\n\x80-\xff]++\r?\n)*')


class CsvFile:
    """One file of a source. A file's rows may be read more than once."""

    def __init__(self, source: FeedSource, template: CsvTemplate) -> None:
        self._source, self._template = source, template
        self.as_of: datetime | None = None
        self.control_no: str | None = None
        self.columns = READ
        self.delimiter = ","
        self._as_of_cell: str | None = None
        self._width = 0
        self._total = 0

    def parts(self, stream: BinaryIO) -> Iterator[Figure | Refusal | Lines]:
        records = Records(stream, self._template.delimiter)
        places = self._places(records)
        for record in self._counted_rows(records, self._plainly(records, places)):
            yield record if isinstance(record, Lines) else self._row(records, record, places)

    def _plainly(self, records: Records, places: dict[str, int]) -> Iterator[list[str] | Lines]:
        """Read rows until it is known what a plain one looks like."""
        for record in records.records():
            self._measure(record, places)
            plain = can_be_plain(self._template, places, self._width)
            if plain and self.columns is READ:
                self.columns, self.delimiter = self._columns(places), self._template.delimiter
            yield record
            if plain and ("as_of" not in places or self._as_of_cell is not None):
                form = plain_lines(self._source, self._template, places, self._width, self._as_of_cell)
                yield from records.records(form)

    def _columns(self, places: dict[str, int]) -> tuple[str, ...]:
        names = {place: name for name, place in places.items() if name != "as_of"}
        return tuple(names.get(place, "other") for place in range(self._width))

    def _counted_rows(self, records: Records, found: Iterator[list[str] | Lines]) -> Iterator[list[str] | Lines]:
        """The rows between header and trailer, which must be all there."""
        trailer, seen, closed = self._template.trailer, 0, False
        self._total = 0
        for record in found:
            if closed:
                row = record.row if isinstance(record, Lines) else records.number
                raise UnreadableError("after_trailer", f"row {row} stands behind the trailer")
            if trailer is not None and not isinstance(record, Lines) and record[0].strip() == trailer.marker:
                self._check_trailer(trailer, record, seen)
                closed = True
                continue
            seen += record.rows if isinstance(record, Lines) else 1
            if seen > self._source.max_rows:
                raise UnreadableError("too_many_rows", f"has more than {self._source.max_rows} rows")
            yield record
        if trailer is not None and not closed:
            raise UnreadableError("truncated", f"has no trailer {trailer.marker}: the file was cut off")
        if not seen:
            raise UnreadableError("empty", "holds no rows")

    def lines(self, stream: BinaryIO, wanted: Collection[int]) -> Iterator[tuple[int, str]]:
        records = Records(stream, self._template.delimiter)
        for record in records.records(_UNQUOTED):
            if not isinstance(record, Lines):
                yield from [(records.number, records.line)] if records.number in wanted else ()
            elif asked := [row for row in range(record.row, record.row + record.rows) if row in wanted]:
                texts = record.text.decode().split("\n")
                yield from ((row, texts[row - record.row][:MAX_LINE]) for row in asked)

    def _check_trailer(self, trailer: Trailer, record: list[str], seen: int) -> None:
        told = _control(record, trailer.rows)
        if told != seen:
            raise UnreadableError("wrong_count", f"the trailer says {told} rows, there are {seen}")
        if trailer.total is not None and (total := _control(record, trailer.total)) != self._total:
            raise UnreadableError("wrong_total", f"the trailer says {total} in total, the rows come to {self._total}")

    def _places(self, records: Records) -> dict[str, int]:
        """Where each column of the template stands, from 0."""
        template = self._template
        header = next(records.records(), []) if template.header else None
        assert not isinstance(header, Lines), "a header is read"
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

    def _measure(self, record: list[str] | Lines, places: dict[str, int]) -> None:
        """Without a header the first row says how many cells each has."""
        if not self._width:
            self._width = max(len(record), max(places.values()) + 1)

    def _row(self, rows: Records, record: list[str], places: dict[str, int]) -> Figure | Refusal:
        self._measure(record, places)
        if len(record) != self._width:
            message = f"has {len(record)} cells, the others {self._width}"
            return Refusal(rows.number, "", "wrong_number_of_cells", message, "")
        if "as_of" in places and (refusal := self._dated(rows, record[places["as_of"]])):
            return refusal
        node_id = self._node(record[places["node"]]) if "node" in places else self._source.node_id
        if node_id is None:
            message = f"{record[places['node']]!r} is no code of a node of this source"
            return Refusal(rows.number, "node", "unknown_node", message, "")
        named = {n: cell for n in ITEMS if n in places and (cell := record[places[n]].strip())}
        if not named or not all(map(_ITEM.fullmatch, named.values())):
            field = next(iter(named), "partner_sku" if "partner_sku" in places else "sku")
            return Refusal(rows.number, field, "unknown_item", "names no item that can be known", "")
        numbers = tuple(named[name] for name in ("partner_sku", "upc") if name in named)
        figure = Figure(rows.number, node_id, named.get("sku"), numbers[0] if numbers else None, numbers[1:], 0)
        return self._counted(rows, figure, record[places["quantity"]])

    def _counted(self, rows: Records, figure: Figure, cell: str) -> Figure | Refusal:
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

    def _dated(self, rows: Records, cell: str) -> Refusal | None:
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
