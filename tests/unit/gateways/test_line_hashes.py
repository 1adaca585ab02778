"""Hashes of lines are equal for what the cells say, wherever in which block they stand, and for nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from shared.gateways.feeds.figures import FeedFile, Lines
from shared.gateways.feeds.line_hashes import Block, Cells, among, beyond, hashed

Row = tuple[bytes, bytes, bytes]

CELLS = st.text("A1", max_size=18).map(str.encode)
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6)
FILE = cast(FeedFile, SimpleNamespace(columns=("partner_sku", "other", "quantity"), delimiter=";"))


def block(rows: list[Row]) -> Block:
    return Block(FILE, Lines(1, len(rows), b"".join(b";".join(row) + b"\n" for row in rows)))


def hashes_of(rows: list[Row]) -> list[int]:
    cut = block(rows)
    items = hashed(cut.column("sku"), cut.column("partner_sku"))
    return list(hashed(cut.column("quantity"), onto=items).tolist())


@given(first=ROWS, second=ROWS)
@example(first=[(b"A" * 8 + b"1" * 8, b"", b"1")], second=[(b"A" * 8, b"", b"1" * 9)])
@example(first=[(b"A", b"", b"")], second=[(b"", b"", b"A")])
def test_rows_that_say_the_same_have_the_same_hash_and_no_others_have(first: list[Row], second: list[Row]) -> None:
    told = [(item, quantity) for item, _, quantity in first + second]
    found = hashes_of(first) + hashes_of(second)
    assert [[a == b for a in told] for b in told] == [[a == b for a in found] for b in found]


@given(rows=ROWS)
def test_cells_alone_have_the_hashes_that_they_have_in_a_block(rows: list[Row]) -> None:
    cut = block(rows)
    assert hashed(Cells.of([row[0] for row in rows])).tolist() == hashed(cut.column("partner_sku")).tolist()
    assert [cut.line(n) for n in range(len(rows))] == [b";".join(row) + b"\n" for row in rows]


@given(values=st.lists(st.integers(0, 9)), others=st.lists(st.integers(0, 9)))
def test_what_is_among_others(values: list[int], others: list[int]) -> None:
    some, ordered = (np.array(each, np.uint64) for each in (values, sorted(others)))
    expected = [value in others for value in values]
    assert among(some, ordered).tolist() == expected
    assert beyond(some, ordered).tolist() == [not each for each in expected]
