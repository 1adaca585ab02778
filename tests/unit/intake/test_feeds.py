"""A source's definition: what it says, or everything that is wrong with it."""

from __future__ import annotations

import pytest

from shared.errors import InvalidInput
from shared.intake.feeds import read_definition


def test_a_definition_is_read_and_shown_so_that_it_can_be_read_again() -> None:
    source = read_definition(
        b'{"source_id": "a", "node_id": "n1", "counts": "on_hand", "hide_after": "PT4H", '
        b'"reading": {"format": "csv", "sku": 1, "quantity": "Qty"}}'
    )
    assert read_definition(source.model_dump_json(exclude_none=True).encode()) == source


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (b"no json", [("", "invalid")]),
        (
            b'{"source_id": "a", "counts": "all", "nodes": {"1/2": "-"}, "reading": {"format": "csv"}}',
            [("/nodes/1~12", "bad_format"), ("/reading/quantity", "missing"), ("/counts", "unknown_value")],
        ),
    ],
)
def test_every_fault_is_told_with_its_place(content: bytes, faults: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_definition(content)
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == faults
