"""Hashes of lines are equal for what the cells say, wherever in which block they stand, and for nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from shared.gateways.feeds.figures import FeedFile, Lines
from shared.gateways.feeds.line_hashes import Block, Cells, Known, Sequel, hashed

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


@given(values=st.lists(st.integers(0, 9)), others=st.lists(st.integers(0, 9)), spread=st.sampled_from([0, 44, 60]))
def test_known_hashes_are_found_among_those_that_begin_alike(values: list[int], others: list[int], spread: int) -> None:
    some, known = (np.array(each, np.uint64) << np.uint64(spread) for each in (values, others))
    assert Known(known).holds(some).tolist() == [value in known for value in some]
    assert sorted([*Known(known).ordered, *Known(known).again]) == sorted(known)
    assert Known(known).ordered.tolist() == sorted(set(known.tolist()))


@given(st.lists(st.integers(0, 9)), st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=4))
@example([1, 2, 3, 4, 5, 6], [[0, 1, 2], [3, 9, 4, 5], [6, 7]])
def test_hashes_of_the_next_file_are_found_wherever_they_stood(before: list[int], blocks: list[list[int]]) -> None:
    sequel = Sequel(np.array(before, np.uint64))
    for following in blocks:
        assert sequel.holds(np.array(following, np.uint64)).tolist() == [each in before for each in following]
