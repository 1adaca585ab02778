"""ANSI ASC X12 interchanges as segments, strictly: the delimiters are those the ISA header declares, and every
envelope must close with the counts and control numbers it promised (X12.5, X12.6).

A file that was cut off has no IEA trailer, and one with segments missing or doubled has counts that do not add up:
both are refused with a place. What segments mean is for the mapping of each document.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

#: The ISA header declares the delimiters: the mark after its tag, its last element, and the mark after that.
#: It is 106 characters long with its elements padded; not everybody pads them.
_ISA_ELEMENTS = 16
_ISA_AT_MOST = 128
_CHUNK = 1 << 16
#: A segment longer than this has lost its terminator.
_MAX_SEGMENT = 64 * 1024
_TAG = re.compile("[A-Z][A-Z0-9]{1,2}")
#: Interchange acknowledgments and security headers that may stand between the interchange and its groups.
_BESIDE_GROUPS = frozenset(["TA1", "TA3", "ISB", "ISE"])


class X12Error(ValueError):
    """What is wrong with an interchange.

    Attributes:
        code: Machine-readable kind of fault.
        segment_no: The segment at fault, counted from the ISA header, which is 1.
    """

    def __init__(self, code: str, message: str, segment_no: int = 1) -> None:
        super().__init__(f"segment {segment_no}: {message}")
        self.code, self.segment_no = code, segment_no


class Delimiters(NamedTuple):
    """What separates elements, components of an element, and segments.

    Attributes:
        repetition: Separates repeated elements; empty before version 00402, which knew none.
    """

    element: str
    component: str
    segment: str
    repetition: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: ``segment[1]`` is its first element, empty when it is not there.

    Attributes:
        number: Its place in the file, from 1.
        text: The segment as it was sent, without its terminator.
    """

    number: int
    parts: tuple[str, ...]
    text: str

    @property
    def tag(self) -> str:
        return self.parts[0]

    def __getitem__(self, position: int) -> str:
        return self.parts[position].strip() if position < len(self.parts) else ""

    def __len__(self) -> int:
        """How many elements it has."""
        return len(self.parts) - 1


@dataclass(frozen=True)
class Transaction:
    """One document, such as an 846, without its ST and SE segments.

    Attributes:
        functional_id: Of its group (GS01), such as ``IB``.
        version: Release of the standard (GS08), such as ``004010``.
    """

    set_id: str
    control_no: str
    functional_id: str
    group_control_no: str
    version: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Interchange:
    """What one party sent another under one control number (ISA13).

    Attributes:
        sender: Qualifier and id, such as ``ZZ:MALOUFSLEEP``.
        usage: ``P`` for production, ``T`` for test.
    """

    control_no: str
    sender: str
    receiver: str
    usage: str
    delimiters: Delimiters
    transactions: tuple[Transaction, ...]


def read_interchanges(content: bytes) -> tuple[Interchange, ...]:
    """Every interchange of a document that fits in memory.

    Raises:
        X12Error: it is not X12, cut off, or an envelope does not add up.
    """
    found: list[Interchange] = []
    header = group = start = None
    body: list[Segment] = []
    transactions: list[Transaction] = []
    for segment in read_segments(io.BytesIO(content)):
        match segment.tag:
            case "ISA":
                header, transactions = segment, []
            case "GS":
                group = segment
            case "ST":
                start, body = segment, []
            case "SE":
                assert start is not None, "the envelopes were checked"
                assert group is not None, "the envelopes were checked"
                transactions.append(_transaction(group, start, body))
                start = None
            case "IEA":
                assert header is not None, "the envelopes were checked"
                found.append(_interchange(header, transactions))
            case _ if start is not None:
                body.append(segment)
    return tuple(found)


def _transaction(group: Segment, start: Segment, body: list[Segment]) -> Transaction:
    return Transaction(
        set_id=start[1],
        control_no=start[2],
        functional_id=group[1],
        group_control_no=group[6],
        version=group[8],
        segments=tuple(body),
    )


def _interchange(header: Segment, transactions: list[Transaction]) -> Interchange:
    return Interchange(
        control_no=header[13],
        sender=f"{header[5]}:{header[6]}",
        receiver=f"{header[7]}:{header[8]}",
        usage=header[15],
        delimiters=delimiters_of(header),
        transactions=tuple(transactions),
    )


def delimiters_of(header: Segment) -> Delimiters:
    """The delimiters an ISA header declares."""
    repeats = header.parts[11] if header[12] >= "00402" and not header.parts[11].isalnum() else ""
    # The text of a header, unlike that of other segments, ends with its terminator: nothing else tells it.
    return Delimiters(header.text[3], header.parts[_ISA_ELEMENTS], header.text[-1], repeats)


def read_segments(stream: BinaryIO) -> Iterator[Segment]:
    """Every segment, envelopes included, as the stream is read; the envelopes are checked on the way.

    Raises:
        X12Error: it is not X12, cut off, or an envelope does not add up; segments before were given already.
    """
    envelopes = _Envelopes()
    for segment in _split(_decoded(stream)):
        envelopes.check(segment)
        yield segment
    envelopes.end()


def _decoded(stream: BinaryIO) -> Iterator[str]:
    try:
        yield from codecs.iterdecode(iter(lambda: stream.read(_CHUNK), b""), "utf-8")
    except UnicodeDecodeError:
        raise X12Error("not_utf8", "holds bytes that are not UTF-8") from None
    yield ""


def _split(chunks: Iterable[str]) -> Iterator[Segment]:
    """Cut the text at the terminators its header declares. Line breaks after a terminator are for people's eyes.

    The last chunk is empty: it says that no more will come.
    """
    rest, number = "", 0
    delimiters: Delimiters | None = None
    for chunk in chunks:
        rest = (rest + chunk) if delimiters else (rest + chunk).lstrip("\ufeff\r\n ")
        if delimiters is None:
            if len(rest) < _ISA_AT_MOST and chunk:
                continue
            header = _header(rest)
            delimiters, number = delimiters_of(header), 1
            yield header
            rest = rest[len(header.text) :]
        pieces = rest.split(delimiters.segment)
        rest = pieces.pop()
        if len(rest) > _MAX_SEGMENT:
            raise X12Error("no_terminator", f"does not end within {_MAX_SEGMENT} characters", number + 1)
        for piece in pieces:
            if delimiters.segment in "\r\n" and not piece.strip():
                continue
            number += 1
            segment = _segment(piece, number, delimiters)
            yield _next_header(segment, delimiters) if segment.tag == "ISA" else segment
    assert delimiters is not None, "the last chunk is empty, and has found a header or raised"
    if rest.strip() and delimiters.segment in "\r\n":
        # A last line without its line break is how many programs write text.
        yield _segment(rest, number + 1, delimiters)
    elif rest.strip():
        raise X12Error("truncated", "ends without its terminator: the file was cut off", number + 1)


def _header(text: str, number: int = 1) -> Segment:
    parts = text[:_ISA_AT_MOST].split(text[3:4] or "*", _ISA_ELEMENTS)
    last = parts[-1][:2]
    if parts[0] != "ISA" or len(parts) <= _ISA_ELEMENTS or len(last) < 2 or any("\n" in part for part in parts[:-1]):
        raise X12Error("not_x12", f"does not begin with an ISA header of {_ISA_ELEMENTS} elements", number)
    marks = (text[3], *last)
    if len(set(marks)) < len(marks) or any(mark.isalnum() or mark == " " for mark in marks):
        message = "the ISA header must declare three different delimiters, no letters or digits"
        raise X12Error("bad_delimiters", message, number)
    end = len(text[3].join(parts[:-1])) + 3
    return Segment(number, (*parts[:-1], last[0]), text[:end])


def _next_header(segment: Segment, delimiters: Delimiters) -> Segment:
    """The header of another interchange in the same file, which must be written as the first one is."""
    header = _header(segment.text + delimiters.segment, segment.number)
    if delimiters_of(header) != delimiters:
        raise X12Error("bad_delimiters", "declares other delimiters than the interchange before it", segment.number)
    return header


def _segment(piece: str, number: int, delimiters: Delimiters) -> Segment:
    text = piece.strip("\r\n")
    parts = tuple(text.split(delimiters.element))
    if not _TAG.fullmatch(parts[0]):
        raise X12Error("bad_segment", f"{parts[0][:20]!r} is not the name of a segment", number)
    return Segment(number, parts, text)


@dataclass
class _Envelopes:
    """Which envelopes are open, and what each must close with."""

    _interchange: str = ""
    _group: str | None = None
    _transaction: str | None = None
    _groups: int = 0
    _transactions: int = 0
    _segments: int = 0
    _last: int = 1
    _controls: set[str] = field(default_factory=set)

    def check(self, segment: Segment) -> None:
        self._last = segment.number
        self._segments += 1
        checks = {"ISA": self._isa, "GS": self._gs, "ST": self._st, "SE": self._se, "GE": self._ge, "IEA": self._iea}
        if segment.tag in checks:
            checks[segment.tag](segment)
        elif self._transaction is None and segment.tag not in _BESIDE_GROUPS:
            raise X12Error("outside_envelope", f"{segment.tag} stands in no transaction set", segment.number)

    def end(self) -> None:
        if self._interchange:
            raise X12Error("truncated", "has no IEA trailer: the file was cut off", self._last + 1)

    def _isa(self, segment: Segment) -> None:
        self._expect(not self._interchange, segment, "the interchange before it has no IEA trailer")
        self._interchange, self._groups = segment[13], 0

    def _gs(self, segment: Segment) -> None:
        self._expect(bool(self._interchange) and self._group is None, segment, "the group before it has no GE trailer")
        self._group, self._transactions = segment[6], 0
        self._controls.clear()

    def _st(self, segment: Segment) -> None:
        inside = self._group is not None and self._transaction is None
        self._expect(inside, segment, "must stand in a group, after the SE trailer of the one before it")
        self._transaction, self._segments = segment[2], 1
        if segment[2] in self._controls:
            raise X12Error("repeated_control_number", f"{segment[2]} names another set of the group", segment.number)
        self._controls.add(segment[2])

    def _se(self, segment: Segment) -> None:
        self._expect(self._transaction is not None, segment, "there is no transaction set to close")
        self._close(segment, self._segments, self._transaction or "", "segments")
        self._transaction, self._transactions = None, self._transactions + 1

    def _ge(self, segment: Segment) -> None:
        self._expect(self._group is not None and self._transaction is None, segment, "there is no group to close")
        self._close(segment, self._transactions, self._group or "", "transaction sets")
        self._group, self._groups = None, self._groups + 1

    def _iea(self, segment: Segment) -> None:
        self._expect(bool(self._interchange) and self._group is None, segment, "there is no interchange to close")
        self._close(segment, self._groups, self._interchange, "groups")
        self._interchange = ""

    def _expect(self, holds: bool, segment: Segment, message: str) -> None:
        if not holds:
            raise X12Error("bad_envelope", f"{segment.tag}: {message}", segment.number)

    def _close(self, segment: Segment, count: int, control_no: str, of: str) -> None:
        if not segment[1].isascii() or not segment[1].isdigit() or int(segment[1]) != count:
            raise X12Error("wrong_count", f"{segment.tag} says {segment[1]} {of}, there are {count}", segment.number)
        if segment[2] != control_no:
            message = f"{segment.tag} has control number {segment[2]}, its header {control_no}"
            raise X12Error("wrong_control_number", message, segment.number)
