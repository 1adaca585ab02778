"""Lines stored as they are written say the same as lines that are read, and are refused for the same reasons."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.feeds import FeedSource
from shared.gateways.feeds.figures import READ, FeedFile, Figure, Lines, Refusal, UnreadableError, feed_file
from tests.support.feed_rows import rows_read

#: Lines of item, quantity, warehouse and moment, as partners write them and as they should not.
DIRTY = [
    "A-1,5,E,now", "A.2,0,W,now", "B/3,000000007,E,now", "A-1,1234567890,E,now", "A-1,-5,E,now", "A-1,5.0,E,now",
    "A-1,2.5,E,now", "A-1, 5 ,E,now", "A 1,5,E,now", " A-1,5,E,now", "A-1,,E,now", ",5,E,now", ",,,", "", "   ",
    "A-1,5,X,now", "A-1,5, E,now", "A-1,5,E,then", "A-1,5,E, now", "A-1,5", "A-1,5,E,now,more", '"A-1",5,E,now',
    '"A\n1",5,E,now', 'A"1,5,E,now', 'A-1,"1,000",E,now', "Ä-1,5,E,now", "A-1,5,É,now", "A\\1,5,E,now", "\\.",
    "A-1,٥,E,now", "-A,5,E,now", "A" * 64 + ",5,E,now", "A" * 65 + ",5,E,now", "A\t1,5,E,now", "END,2,E,now",
    "END,1", " END ,1", "ENDED,5,E,now", "A\x001,5,E,now", '"open,5,E,now', "A-1,5,E,now\rA-2,6,E,now",
]  # fmt: skip
CUT = [b"A-1,\xff,E,now", b"\xef\xbb\xbfA-1,5,E,now", "A-1,5,É".encode()[:-1]]
CONTENTS = st.builds(
    lambda lines, ends, last: b"".join(map(bytes.__add__, lines, ends[: len(lines)])) + last,
    st.lists(st.sampled_from([line.encode() for line in DIRTY] + CUT), max_size=8),
    st.lists(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"]), min_size=8, max_size=8),
    st.sampled_from([b"", b"A-9,9,E,now", b"A-9,9,E,now\n", b"END,1\n"]),
)
COLUMNS = {"quantity": 2, "partner_sku": 1}
NODES = {"node_id": None, "nodes": {"E": "n1", "W": "n2"}}


def source(reading: dict[str, Any], **changes: Any) -> FeedSource:
    settings = {"source_id": "acme", "node_id": "n1", "counts": "available", "max_rows": 7, "reading": reading}
    return FeedSource.model_validate(settings | changes)


SOURCES = [
    source({"format": "csv", "header": False, **COLUMNS}),
    source({"format": "csv", "header": False, **COLUMNS}, kind="delta"),
    source({"format": "csv", "header": False, **COLUMNS, "node": 3}, **NODES),
    source({"format": "csv", "header": False, **COLUMNS, "trailer": {"marker": "END", "rows": 2}}),
    source({"format": "csv", "header": False, "quantity": 2, "sku": 1, "upc": 3, "partner_sku": 4}),
    source({"format": "csv", "header": False, "quantity": 2, "upc": 1, "partner_sku": 3, "delimiter": ","}),
    source({"format": "csv", "header": False, "quantity": 2, "partner_sku": 1, "delimiter": "-"}),
]


def rows_of(file: FeedFile, content: bytes, of: FeedSource) -> Iterator[Figure | Refusal]:
    """The parts of a file as rows: a stored line is what its cells are, and nothing else is known of it."""
    for part in file.parts(io.BytesIO(content)):
        if not isinstance(part, Lines):
            yield part
            continue
        assert file.columns is not READ
        records = list(csv.reader(io.StringIO(part.text.decode("ascii"), newline=""), delimiter=file.delimiter))
        assert len(records) == part.rows
        for row, record in enumerate(records, start=part.row):
            cells = dict(zip(file.columns, record, strict=True))
            numbers = [cells[name] for name in ("partner_sku", "upc") if cells.get(name)]
            node_id = of.nodes[cells["node"]] if "node" in cells else str(of.node_id)
            yield Figure(row, node_id, cells.get("sku") or None, numbers[0] if numbers else None, tuple(numbers[1:]),
                         int(cells["quantity"]))  # fmt: skip


def outcome(of: FeedSource, content: bytes, *, plainly: bool) -> list[object]:
    file = feed_file(of)
    told: list[object] = []
    try:
        told.extend(rows_of(file, content, of) if plainly else rows_read(file, content))
    except UnreadableError as error:
        return ["refused", error.code, error.message]
    return [*told, file.as_of]


@pytest.mark.parametrize("of", SOURCES, ids=range(len(SOURCES)))
@given(content=CONTENTS)
@example(content="\n".join(DIRTY[:5]).encode())
def test_stored_and_read_lines_come_to_the_same(of: FeedSource, content: bytes) -> None:
    assert outcome(of, content, plainly=True) == outcome(of, content, plainly=False)


@given(st.lists(st.sampled_from(["A-1,5,x,2026-06-01", "A-2,6,y y,2026-06-01", "A-3,7,z,2026-06-02", "A-4,n,,"])))
def test_lines_are_stored_once_the_moment_of_the_file_is_known(lines: list[str]) -> None:
    of = source({"format": "csv", "partner_sku": "item", "quantity": "qty", "as_of": "at"})
    content = "\n".join(["item,qty,remark,at", *lines, ""]).encode()
    assert outcome(of, content, plainly=True) == outcome(of, content, plainly=False)


def test_all_but_the_first_row_of_a_clean_file_is_stored_as_it_is() -> None:
    of = source({"format": "csv", "partner_sku": "item", "quantity": "qty"}, max_rows=10**6)
    content = b"item,remark,qty\r\n" + b"".join(b"A-%d,large (new),%d\r\n" % (n, n) for n in range(100_000))
    first, *stored = feed_file(of).parts(io.BytesIO(content))
    assert first == Figure(2, "n1", None, "A-0", (), 0)
    assert sum(part.rows for part in stored if isinstance(part, Lines)) == 99_999
    assert len(stored) <= len(content) // 2**20 + 1


@pytest.mark.parametrize("of", SOURCES[:1])
@given(content=CONTENTS)
def test_the_text_of_a_row_is_what_was_written(of: FeedSource, content: bytes) -> None:
    """The lines a file is asked for are those its rows were read from."""
    refused = outcome(of, content, plainly=False)
    if refused[0] == "refused":
        return
    wanted = {row.row for row in refused if isinstance(row, Figure | Refusal)}
    told = dict(feed_file(of).lines(io.BytesIO(content), wanted))
    assert told.keys() == wanted
    written = content.removeprefix(b"\xef\xbb\xbf").decode()
    assert all(line.rstrip("\r\n") in written for line in told.values())
