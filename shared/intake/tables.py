"""Tables from outside: CSV bytes become domain models, or a list of everything that is wrong with them.

Rows are counted as a spreadsheet counts them: the header is row 1. A fault's pointer is ``/row/column``. A column
may be left out, or a cell left empty, where the model has a default; a row is the whole record, so the default
then holds. UTF-8; one byte order mark at the beginning is what spreadsheets write, and is passed over.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from pydantic import ValidationError

from shared.domain.base import Model
from shared.errors import Fault
from shared.intake.cells import BadCellError
from shared.intake.columns import TABLES, Table
from shared.intake.strict_json import MAX_FAULTS
from shared.intake.validation import fault_of

MAX_TABLE_BYTES = 128 * 1024 * 1024
MAX_ROWS = 1_000_000
#: Longer than any value of any column may be.
_MAX_CELL = 20_000
_UNSAFE = re.compile("[\x00-\x1f\x7f]")


@dataclass
class Sheet:
    """What a table holds.

    Attributes:
        rows: The sound rows, by number.
        names: What other tables may refer to: the first column of each row's key.
        references: Row, column and cell of everything that refers to another kind.
    """

    kind: str
    content_hash: str
    rows: dict[int, Model] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    references: list[tuple[int, str, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read_table(kind: str, content: bytes) -> Sheet:
    """Read a table of a kind of ``TABLES``; its faults are in the answer."""
    sheet = Sheet(kind, sha256(content).hexdigest())
    text = _decoded(content)
    if isinstance(text, Fault):
        sheet.faults.append(text)
    else:
        _Reader(sheet, TABLES[kind]).read(text)
    return sheet


def check_references(sheet: Sheet, known: Mapping[str, Collection[str]]) -> list[Fault]:
    """Everything the table refers to that is not known, which is given by kind."""
    refers = TABLES[sheet.kind].refers
    return [
        Fault(pointer=f"/{row}/{column}", code=f"unknown_{column}", message=f"there is no {cell!r} among {kind}")
        for row, column, cell in sheet.references
        if cell not in known[kind := refers[column]]
    ][:MAX_FAULTS]


def _decoded(content: bytes) -> str | Fault:
    if len(content) > MAX_TABLE_BYTES:
        return Fault(pointer="", code="too_big", message=f"a table has at most {MAX_TABLE_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        return Fault(pointer=f"/{row}", code="not_utf8", message="must be UTF-8; save it as `CSV UTF-8`")


class _Reader:
    def __init__(self, sheet: Sheet, table: Table) -> None:
        self._sheet, self._table = sheet, table
        self._seen: dict[tuple[str, ...], int] = {}

    def read(self, text: str) -> None:
        records = csv.reader(io.StringIO(text, newline=""), strict=True)
        number = 1
        try:
            header = next(records, [])
            if not self._take_header(header):
                return
            for record in records:
                number += 1
                if record:
                    self._take(number, header, record)
                if number > MAX_ROWS or len(self._sheet.faults) >= MAX_FAULTS:
                    self._fault(f"/{number}", "stopped_here", f"more than {MAX_ROWS} rows or {MAX_FAULTS} faults")
                    return
        except csv.Error as error:
            self._fault(f"/{number + 1}", "not_csv", f"cannot be read from here on: {error}")
            return
        if not self._seen and not self._sheet.faults:
            self._fault("", "empty", "holds no rows")

    def _fault(self, pointer: str, code: str, message: str) -> None:
        self._sheet.faults.append(Fault(pointer=pointer, code=code, message=message))

    def _take_header(self, header: list[str]) -> bool:
        columns = self._table.columns
        for name in dict.fromkeys(header):
            if name not in columns:
                self._fault(f"/1/{name[:64]}", "unknown_column", f"must be one of {', '.join(columns)}")
            elif header.count(name) > 1:
                self._fault(f"/1/{name}", "repeated_column", "stands there twice")
        for name, column in columns.items():
            if column.required and name not in header:
                self._fault(f"/1/{name}", "missing_column", "must be there; `--template` prints the header")
        return not self._sheet.faults

    def _take(self, number: int, header: list[str], record: list[str]) -> None:
        if len(record) != len(header):
            message = f"has {len(record)} cells, the header {len(header)}"
            self._fault(f"/{number}", "wrong_number_of_cells", message)
            return
        cells = {name: cell for name, cell in zip(header, record, strict=True) if cell}
        self._note(number, cells)
        before = len(self._sheet.faults)
        values = dict(self._values(number, cells))
        faults, model = self._validated(number, values)
        told = {fault.pointer for fault in self._sheet.faults[before:]}
        self._sheet.faults += (fault for fault in faults if fault.pointer not in told)
        if model is not None and not told:
            self._sheet.rows[number] = model

    def _note(self, number: int, cells: Mapping[str, str]) -> None:
        """Remember the row's key and what it refers to, whatever else is wrong with it."""
        key = tuple(cells.get(name, "") for name in self._table.key)
        if (first := self._seen.setdefault(key, number)) != number and any(key):
            named = " and ".join(self._table.key)
            self._fault(f"/{number}/{self._table.key[-1]}", "duplicate", f"has the {named} of row {first}")
        self._sheet.names.add(key[0])
        self._sheet.references += ((number, name, cells[name]) for name in self._table.refers if name in cells)

    def _values(self, number: int, cells: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
        """Each cell as its column reads it; what cannot be read is a fault, and missing to the model."""
        for name, cell in cells.items():
            if len(cell) > _MAX_CELL or _UNSAFE.search(cell):
                self._fault(f"/{number}/{name}", "unsafe_text", "must not hold control characters or be this long")
                continue
            try:
                yield name, self._table.columns[name].read(cell)
            except BadCellError as error:
                self._fault(f"/{number}/{name}", error.code, error.message)

    def _validated(self, number: int, values: Mapping[str, Any]) -> tuple[list[Fault], Model | None]:
        nested: dict[str, Any] = {}
        for name, column in self._table.columns.items():
            inside = nested.setdefault(column.inside, {}) if column.inside else nested
            if name in values:
                inside[name] = values[name]
        try:
            return [], self._table.model.model_validate(nested)
        except ValidationError as error:
            return list(self._told(number, error)), None

    def _told(self, number: int, error: ValidationError) -> Iterator[Fault]:
        told = set[int | str]()
        for detail in error.errors(include_url=False, include_input=False, include_context=False):
            column = next((part for part in reversed(detail["loc"]) if part in self._table.columns), "")
            # Each kind of value that a cell may hold refuses it once; the first says what it is meant to be.
            if column in told:
                continue
            told |= {column} - {""}
            yield fault_of(detail["type"], detail["msg"], f"/{number}/{column}".rstrip("/"))
