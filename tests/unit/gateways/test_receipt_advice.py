"""What a 3PL says it has counted in, as X12 944."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.domain.supply import Receipt, ReceiptLine
from shared.errors import InvalidInput
from shared.gateways.supply.x12 import read_receipt_advice

REAL = Path(__file__).parents[4] / "shared/data/edi/944/kputnam__004010-RE944-pass-1.edi"
HEAD = "W17*F*20260714*WR12345*PO-77"


def interchange(*segments: str, set_id: str = "944") -> bytes:
    body = [f"ST*{set_id}*0001", *segments, f"SE*{len(segments) + 2}*0001"]
    head = "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *260714*1200*U*00401*000000001*0*T*>"
    group = "GS*RE*SENDER*RECEIVER*20260714*1200*1*X*004010"
    return ("~".join([head, group, *body, "GE*1*1", "IEA*1*000000001"]) + "~").encode()


def test_good_damaged_short_and_over_are_told_apart() -> None:
    content = interchange(
        HEAD,
        "N1*WH*ACME WAREHOUSE*9*1234567890001",
        "W07*100*EA**UK*A-1***LOT456",
        "N9*PO*4500",
        "W13*2*EA*01",
        "W13*3*EA*02",
        "W07*7*EA**VN*B-2",
        "W13*2*EA*03",
        "W07*0*EA**VN*C-3",
        "W13*5*EA*02",
        "W14*107",
    )
    [receipt] = read_receipt_advice(content)
    assert receipt == Receipt(
        inbound_id="PO-77",
        reference="WR12345",
        lines=(
            ReceiptLine(sku="A-1", good=98, damaged=2, short=True),
            ReceiptLine(sku="B-2", good=7),
            ReceiptLine(sku="C-3", short=True),
        ),
    )


@pytest.mark.parametrize(
    ("segments", "faults"),
    [
        ((HEAD, "W07*10*CA**UK*A-1", "W14*10"), {"/5": "other_unit"}),
        ((HEAD, "W07*1.5*EA**UK*A-1", "W07*1*EA**UK*", "W14*2"), {"/5": "not_an_integer", "/6": "missing"}),
        ((HEAD, "W07*1*EA**UK*A-1", "W07*1*EA**UK*A-1", "W14*2"), {"/6": "duplicate"}),
        ((HEAD, "W07*1*EA**UK*A-1", "W13*2*EA*01", "W14*1"), {"/5": "contradicts"}),
        ((HEAD, "W07*1*EA**UK*A-1", "W14*2"), {"/6": "wrong_count"}),
        ((HEAD,), {"/4": "empty"}),
        (("W07*1*EA**UK*A-1", "W14*1"), {"/4": "missing"}),
    ],
)
def test_what_cannot_be_counted_in_is_refused_by_segment(segments: tuple[str, ...], faults: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_receipt_advice(interchange(*segments))
    assert {fault.pointer: fault.code for fault in caught.value.faults} == faults


@pytest.mark.skipif(not REAL.exists(), reason=f"no real 944 at {REAL}")
def test_a_real_advice_is_read() -> None:
    [receipt] = read_receipt_advice(REAL.read_bytes())
    assert (receipt.inbound_id, receipt.reference) == ("DO12345", "WR12345")
    assert receipt.lines == (ReceiptLine(sku="ITEM123", good=100),)


@pytest.mark.parametrize("content", [interchange(HEAD, set_id="945"), b"", interchange(HEAD)[:-20]])
def test_what_is_no_944_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_receipt_advice(content)
