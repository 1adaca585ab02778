"""Tables from outside: every fault by row and column, and nothing guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.network import Node
from shared.intake.columns import TABLES
from shared.intake.strict_json import MAX_FAULTS
from shared.intake.tables import check_references, read_table

HEADER = "node_id,sku,on_hand,safety\n"


def faults(content: str | bytes, kind: str = "stock") -> list[tuple[str, str]]:
    content = content.encode() if isinstance(content, str) else content
    return [(fault.pointer, fault.code) for fault in read_table(kind, content).faults]


@pytest.mark.parametrize("kind", TABLES)
def test_a_template_is_sound(kind: str) -> None:
    sheet = read_table(kind, TABLES[kind].template().encode())
    assert (sheet.faults, list(sheet.rows)) == ([], [2])


def test_cells_become_the_model_and_empty_ones_its_defaults() -> None:
    content = (
        "name,node_id,node_type,partner_id,country,latitude,longitude,time_zone,cutoff,working_days,daily_units\n"
        '"Columbus, ""East""",wh,warehouse,p,US,39.8,-82.9,America/New_York,16:30,1 2,\n'
    )
    node = read_table("nodes", content.encode()).rows[2]
    assert isinstance(node, Node)
    assert (node.name, node.place.latitude, node.handling_days) == ('Columbus, "East"', 39.8, 1)
    assert (node.calendar.cutoff.isoformat(), node.calendar.working_days) == ("16:30:00", (1, 2))
    assert node.daily_units is None


def test_every_fault_is_told_at_once() -> None:
    content = HEADER + "n1,s1,12.5,x\nn1,s1,3,\n,s2,-1,0\nn 1,s3\n\nn1,s4,1e3,\nn1,s\x0054,1,\n"
    assert faults(content) == [
        ("/2/on_hand", "not_an_integer"),
        ("/2/safety", "not_an_integer"),
        ("/3/sku", "duplicate"),
        ("/4/node_id", "missing"),
        ("/4/on_hand", "too_small"),
        ("/5", "wrong_number_of_cells"),
        ("/7/on_hand", "not_an_integer"),
        ("/8/sku", "unsafe_text"),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", [("/1/node_id", "missing_column"), ("/1/sku", "missing_column"), ("/1/on_hand", "missing_column")]),
        (HEADER, [("", "empty")]),
        ("node_id,sku,on_hand,colour,sku\n", [("/1/sku", "repeated_column"), ("/1/colour", "unknown_column")]),
        (HEADER + 'n1,"s1,3,\n', [("/2", "not_csv")]),
        (HEADER.encode() + b"n1,s1,3,\nn1,\xff,3,\n", [("/3", "not_utf8")]),
        (HEADER.encode("utf-16"), [("/1", "not_utf8")]),
        # thousands separators, plus signs and padding are guesses
        (HEADER + 'n1,s1,"1,200",\nn1,s2,+3,\nn1,s3, 3,\n', [(f"/{n}/on_hand", "not_an_integer") for n in (2, 3, 4)]),
    ],
)
def test_what_is_no_table(content: str | bytes, expected: list[tuple[str, str]]) -> None:
    assert sorted(faults(content)) == sorted(expected)


def test_the_mark_that_spreadsheets_write_is_passed_over() -> None:
    assert faults(b"\xef\xbb\xbf" + (HEADER + "n1,s1,3,\r\n").encode()) == []


def test_a_hostile_file_gets_a_readable_answer() -> None:
    assert len(faults(HEADER + "n1,s1,x,\n" * 5_000)) <= MAX_FAULTS + 2


def test_what_is_referred_to_must_be_known() -> None:
    sheet = read_table("stock", (HEADER + "n1,s1,1,\nn2,s9,oops,\n").encode())
    found = check_references(sheet, {"nodes": {"n1"}, "items": {"s1"}})
    assert [(fault.pointer, fault.code) for fault in found] == [
        ("/3/node_id", "unknown_node_id"),
        ("/3/sku", "unknown_sku"),
    ]


@given(st.binary(max_size=300), st.sampled_from(sorted(TABLES)))
def test_no_bytes_make_it_fail(content: bytes, kind: str) -> None:
    header = ",".join(TABLES[kind].columns).encode() + b"\n"
    for each in (content, header + content):
        sheet = read_table(kind, each)
        assert sheet.faults or sheet.rows


def test_a_cell_is_refused_once_whatever_it_may_hold() -> None:
    sheet = read_table("capacity", b"node_id,day,service,units\nwh-1,2026-11-27,next-week,5\n")
    assert [(fault.pointer, fault.code) for fault in sheet.faults] == [("/2/service", "unknown_value")]
