"""Transfers written as X12 943: what a strict reader reads back is what has left."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.gateways.supply.x12_943 import Departed, write_transfer_advice
from shared.gateways.x12 import Transaction, read_interchanges

SKUS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/+:-]{0,20}", fullmatch=True)
LINES = st.dictionaries(SKUS, st.integers(1, 10**6), min_size=1, max_size=20).map(lambda lines: tuple(lines.items()))


def departed(**changes: object) -> Departed:
    return Departed.model_validate(
        {
            "inbound_id": "TR-1",
            "sender": "DOMS",
            "receiver": "SIERRA",
            "control_no": 7,
            "from_node": "wh-columbus",
            "from_name": "Columbus * warehouse",
            "to_node": "3pl-reno",
            "to_name": "Sierra Logistics, Reno",
            "departed_at": datetime(2026, 7, 14, 22, 30, tzinfo=UTC),
            "expected_at": datetime(2026, 7, 16, 9, tzinfo=UTC),
            "lines": (("ITEM123", 100), ("ITEM124", 3)),
        }
        | changes
    )


def read(transfer: Departed) -> Transaction:
    (interchange,) = read_interchanges(write_transfer_advice(transfer).encode())
    (document,) = interchange.transactions
    assert (document.set_id, document.functional_id, document.version) == ("943", "AR", "004010")
    return document


def test_every_segment_says_what_the_standard_has_it_say() -> None:
    assert [segment.text for segment in read(departed()).segments] == [
        "W06*F*TR-1*20260714",
        "N1*SF*Columbus warehouse*91*wh-columbus",
        "N1*ST*Sierra Logistics, Reno*91*3pl-reno",
        "G62*11*20260714",
        "G62*17*20260716",
        "W27*M",
        "W04*100*EA**SK*ITEM123",
        "W04*3*EA**SK*ITEM124",
        "W03*103",
    ]


@given(LINES, st.integers(1, 10**12))
def test_what_is_read_back_is_what_has_left(lines: tuple[tuple[str, int], ...], control_no: int) -> None:
    segments = read(departed(lines=lines, control_no=control_no)).segments
    assert [(s[5], int(s[1])) for s in segments if s.tag == "W04"] == list(lines)
    assert [s[1] for s in segments if s.tag == "W03"] == [str(sum(units for _, units in lines))]


@pytest.mark.parametrize("inbound_id", ["T" * 23, "TR*1", "TR~1"])
def test_a_number_that_x12_cannot_hold_is_refused(inbound_id: str) -> None:
    with pytest.raises(ValueError, match="cannot be a number in X12"):
        write_transfer_advice(departed(inbound_id=inbound_id))
