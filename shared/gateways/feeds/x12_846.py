"""X12 846 inventory advices: one LIN loop an item, its figure in QTY, those of places in REF or in SDQ.

``LIN*1*VN*A-1*SK*77*UP*848971007259~QTY*33*654*EA~LS*REF~REF*WS*001*600~REF*WS*002*54~LE*REF~`` says that of
vendor's item A-1 there are 600 in warehouse 001 and 54 in 002; so does ``SDQ*EA*92*001*600*002*54~``, which holds up to
ten pairs of a place and its units. Where the item's own figure is told too they must agree; beside SDQ it may be
missing. Rows are numbered as segments, an SDQ counting as many as it has pairs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import BinaryIO
from zoneinfo import ZoneInfo

from shared.domain.feeds import FeedSource, X12Inventory
from shared.gateways.feeds.figures import READ, Figure, NotUnitsError, Refusal, UnreadableError, units
from shared.gateways.x12 import Segment, X12Error, read_segments

_ITEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/+:-]{0,63}")
#: Elements of an SDQ segment before its pairs, and those of its pairs; what follows says where in the place they lie.
_BEFORE_PAIRS, _PAIRS = 3, range(3, 23, 2)
#: Where a segment tells a quantity, and the code of a place.
_QUANTITY = {"QTY": "QTY02", "REF": "REF03", "SDQ": "SDQ04"}
_PLACE = {"REF": "REF02", "SDQ": "SDQ03"}


class InventoryAdvice:
    """One file of a source, which holds one interchange."""

    def __init__(self, source: FeedSource, reading: X12Inventory) -> None:
        self._source, self._reading = source, reading
        self.as_of: datetime | None = None
        self.control_no: str | None = None
        self.columns, self.delimiter = READ, ","
        self._group: Segment | None = None

    def parts(self, stream: BinaryIO) -> Iterator[Figure | Refusal]:
        self.as_of = self.control_no = None
        loop: list[Segment] = []
        lines = seen = 0
        for segment in _readable(stream):
            if loop and segment.tag in ("LIN", "CTT", "SE"):
                for row in self._item(loop):
                    seen += 1
                    yield row
                loop = []
            if seen > self._source.max_rows:
                raise UnreadableError("too_many_rows", f"has more than {self._source.max_rows} figures")
            if segment.tag == "LIN":
                loop, lines = [segment], lines + 1
            elif loop:
                loop.append(segment)
            else:
                lines = self._envelope(segment, lines)
        if not seen:
            raise UnreadableError("empty", "holds no items")
        if self.as_of is None:
            raise UnreadableError("bad_moment", "has no BIA segment with the date of its figures")

    def lines(self, stream: BinaryIO, wanted: Collection[int]) -> Iterator[tuple[int, str]]:
        item = ""
        for segment in _readable(stream):
            if segment.tag == "LIN":
                item = segment.text
            if segment.number in wanted:
                yield segment.number, item if segment.tag == "LIN" else f"{item} {segment.text}"

    def _envelope(self, segment: Segment, lines: int) -> int:
        """Take what a segment outside of all items says; returns the count of items of the document so far."""
        match segment.tag:
            case "ISA":
                if self.control_no is not None:
                    raise UnreadableError("several_interchanges", "a feed's file holds one interchange")
                self.control_no = segment[13]
            case "GS":
                self._group = segment
            case "ST":
                if segment[1] != "846":
                    raise UnreadableError("other_document", f"holds an {segment[1]}, not an 846 inventory advice")
                return 0
            case "BIA":
                at = self._moment(segment)
                self.as_of = at if self.as_of is None else min(self.as_of, at)
            case "CTT":
                if not segment[1].isdigit() or int(segment[1]) != lines:
                    raise UnreadableError("wrong_count", f"CTT says {segment[1]} items, there are {lines}")
        return lines

    def _moment(self, bia: Segment) -> datetime:
        """The moment of the figures; without a time it is that of the group if sent that day, else midnight."""
        group = self._group
        time = bia[5] or (group[5] if group is not None and group[4] == bia[4] else "0000")
        try:
            # The standard's dates have no zone: they are in the source's own.
            at = datetime.strptime(f"{bia[4]}{time[:4]}", "%Y%m%d%H%M")  # noqa: DTZ007
        except ValueError:
            raise UnreadableError("bad_moment", f"BIA has no date of its figures: {bia.text[:100]}") from None
        return at.replace(tzinfo=ZoneInfo(self._source.time_zone))

    def _item(self, loop: list[Segment]) -> Iterator[Figure | Refusal]:
        line = loop[0]
        numbers = self._numbers(line)
        if not numbers:
            named = "/".join(self._reading.items)
            yield Refusal(line.number, "LIN", "unknown_item", f"has no item number of {named}", line.text)
            return
        told = [segment for segment in loop if segment.tag == "QTY" and segment[1] == self._reading.quantity]
        places = [segment for segment in loop if segment.tag == "REF" and segment[1] == self._reading.warehouse]
        pairs = [segment for segment in loop if segment.tag == "SDQ"]
        if len(told) > 1 or not (told or pairs):
            message = f"must have one QTY*{self._reading.quantity} figure, has {len(told)}"
            yield Refusal(line.number, "QTY", "no_figure" if not told else "several_figures", message, line.text)
            return
        units_told = [(segment, segment[3], "QTY03") for segment in told]
        units_told += [(segment, segment[1], "SDQ01") for segment in pairs]
        for segment, unit, field in units_told:
            if unit != self._reading.unit:
                message = f"is in {unit or 'no unit'}, the source counts in {self._reading.unit}"
                yield Refusal(line.number, field, "other_unit", message, _joined(line, segment))
                return
        if told:
            yield from self._figures(line, numbers, told[0], [*places, *pairs])
        else:
            yield from self._of_places(line, numbers, [*places, *pairs])

    def _of_places(
        self, line: Segment, numbers: tuple[str, ...], places: Sequence[Segment]
    ) -> Iterator[Figure | Refusal]:
        """The figures of an item that has none of its own: together they are its node's, where the source has one."""
        parts = self._parts(line, numbers, places)
        figures = [part.quantity for part in parts if isinstance(part, Figure)]
        if not self._source.node_id:
            yield from map(self._placed, parts, places, [line] * len(parts))
        elif len(figures) == len(parts):
            yield Figure(line.number, self._source.node_id, None, numbers[0], numbers[1:], sum(figures))
        else:
            yield next(part for part in parts if isinstance(part, Refusal))

    def _parts(self, line: Segment, numbers: tuple[str, ...], places: Sequence[Segment]) -> list[Figure | Refusal]:
        return [
            self._figure(line, place, _cell(place), self._source.nodes.get(_code(place), ""), numbers)
            for place in places
        ]

    def _figures(
        self, line: Segment, numbers: tuple[str, ...], total: Segment, places: Sequence[Segment]
    ) -> Iterator[Figure | Refusal]:
        whole = self._figure(line, total, total[2], self._source.node_id or "", numbers)
        parts = self._parts(line, numbers, places)
        figures = [part.quantity for part in parts if isinstance(part, Figure)]
        if isinstance(whole, Figure) and parts and len(figures) == len(parts) and sum(figures) != whole.quantity:
            message = f"its warehouses hold {sum(figures)}, together it says {whole.quantity}"
            yield Refusal(line.number, "QTY02", "wrong_total", message, _joined(line, total))
        elif self._source.node_id:
            yield whole._replace(row=line.number)
        elif not parts:
            message = f"must have REF*{self._reading.warehouse} or SDQ figures of its warehouses"
            yield Refusal(line.number, "REF", "no_figure", message, line.text)
        else:
            yield from map(self._placed, parts, places, [line] * len(parts))

    def _figure(
        self, line: Segment, told: Segment, cell: str, node_id: str, numbers: tuple[str, ...]
    ) -> Figure | Refusal:
        figure = Figure(told.number, node_id, None, numbers[0], numbers[1:], 0)
        try:
            return figure._replace(quantity=units(cell, negative=self._source.kind == "delta"))
        except NotUnitsError as error:
            field = _QUANTITY[told.tag]
            return Refusal(told.number, field, error.code, error.message, _joined(line, told), figure)

    def _placed(self, part: Figure | Refusal, place: Segment, line: Segment) -> Figure | Refusal:
        if _code(place) in self._source.nodes:
            return part
        message = f"{_code(place)!r} is no code of a node of this source"
        return Refusal(place.number, _PLACE[place.tag], "unknown_node", message, _joined(line, place))

    def _numbers(self, line: Segment) -> tuple[str, ...]:
        """The item's numbers, the best first; blank ones and those nobody can have are left out."""
        pairs = {line[n]: line[n + 1] for n in range(2, len(line), 2)}
        return tuple(number for name in self._reading.items if (number := pairs.get(name)) and _ITEM.fullmatch(number))


def _joined(line: Segment, part: Segment) -> str:
    return f"{line.text} {part.text}"


def _code(place: Segment) -> str:
    return place[3] if place.tag == "SDQ" else place[2]


def _cell(place: Segment) -> str:
    return place[4] if place.tag == "SDQ" else place[3]


def _readable(stream: BinaryIO) -> Iterator[Segment]:
    """The segments; an SDQ as one for each of its pairs, which have numbers of their own."""
    more = 0
    try:
        for segment in read_segments(stream):
            numbered = replace(segment, number=segment.number + more) if more else segment
            if segment.tag != "SDQ":
                yield numbered
                continue
            pairs = [segment.parts[n : n + 2] for n in _PAIRS if segment[n] or segment[n + 1]]
            for nth, pair in enumerate(pairs):
                parts = (*segment.parts[:_BEFORE_PAIRS], *pair)
                yield Segment(numbered.number + nth, parts, segment.text)
            more += max(0, len(pairs) - 1)
    except X12Error as error:
        raise UnreadableError(error.code, str(error)) from None
