"""The X12 reader: what an ISA header declares is what it cuts by, and what does not add up is refused."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.gateways.x12 import X12Error, read_interchanges, read_segments

REAL = Path(__file__).parents[4] / "shared/data/edi"
HEADER = "ISA*00*          *00*          *ZZ*VENDOR         *12*RETAILER       *221006*0005*U*00401*000000012*0*P*>~"
BODY = ["LIN*1*VN*A-1*SK* ", "QTY*33*12*EA", "LIN*2*VN*A-2", "QTY*33*0*EA"]


def interchange(*body: str, control: str = "000000012") -> str:
    head = [HEADER[:-1].replace("000000012", control), "GS*IB*VENDOR*RETAILER*20221006*0005*7*X*004010", "ST*846*0001"]
    tail = [f"SE*{len(body) + 2}*0001", "GE*1*7", f"IEA*1*{control}"]
    return "".join(f"{segment}~" for segment in [*head, *body, *tail])


def refusal(content: str | bytes) -> X12Error:
    with pytest.raises(X12Error) as caught:
        read_interchanges(content if isinstance(content, bytes) else content.encode())
    return caught.value


def test_an_interchange_is_read() -> None:
    (read,) = read_interchanges(interchange(*BODY).encode())
    (document,) = read.transactions
    assert (read.control_no, read.sender, read.receiver, read.usage) == ("000000012", "ZZ:VENDOR", "12:RETAILER", "P")
    assert (document.set_id, document.control_no, document.version) == ("846", "0001", "004010")
    assert [segment.tag for segment in document.segments] == ["LIN", "QTY", "LIN", "QTY"]
    assert [segment.text for segment in document.segments] == BODY
    line = document.segments[0]
    assert (line[3], line[5], line[9], len(line), line.number) == ("A-1", "", "", 5, 4), "absent and blank are empty"


def test_several_interchanges_of_one_file() -> None:
    content = interchange(*BODY) + "\n" + interchange(control="000000013")
    assert [read.control_no for read in read_interchanges(content.encode())] == ["000000012", "000000013"]


@pytest.mark.parametrize("marks", ["|<\n", "*>\r", "^:'", "*>🚀"])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_header_declares_the_delimiters(marks: str, ending: str) -> None:
    content = interchange(*BODY).translate(str.maketrans("*>~", marks)).replace(marks[2], marks[2] + ending)
    (read,) = read_interchanges(content.encode())
    assert read.delimiters[:3] == tuple(marks)
    assert [segment[2] for segment in read.transactions[0].segments if segment.tag == "QTY"] == ["12", "0"]


def test_a_repetition_separator_is_known_from_00402_on() -> None:
    newer = interchange(*BODY).replace("*U*00401*", "*^*00501*")
    assert read_interchanges(newer.encode())[0].delimiters.repetition == "^"
    assert read_interchanges(interchange(*BODY).encode())[0].delimiters.repetition == ""


@given(st.data())
def test_a_file_that_was_cut_off_anywhere_is_refused(data: st.DataObject) -> None:
    whole = interchange(*BODY)
    kept = data.draw(st.integers(0, len(whole) - 1))
    assert refusal(whole[:kept]).code in ("truncated", "not_x12", "wrong_count", "wrong_control_number")


@given(st.data())
def test_a_segment_that_is_missing_or_doubled_is_refused(data: st.DataObject) -> None:
    segments = interchange(*BODY).split("~")[:-1]
    at = data.draw(st.integers(1, len(segments) - 1))
    times = data.draw(st.sampled_from([0, 2]))
    changed = [*segments[:at], *[segments[at]] * times, *segments[at + 1 :]]
    assert refusal("".join(f"{segment}~" for segment in changed)).segment_no > 1


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for candidate in (content, HEADER.encode() + content):
        with contextlib.suppress(X12Error):
            assert all(read.transactions is not None for read in read_interchanges(candidate))


@pytest.mark.parametrize(
    ("change", "code", "segment"),
    [
        (("SE*6*", "SE*7*"), "wrong_count", 8),
        (("GE*1*", "GE*2*"), "wrong_count", 9),
        (("IEA*1*", "IEA*0*"), "wrong_count", 10),
        (("SE*6*0001", "SE*6*0002"), "wrong_control_number", 8),
        (("GE*1*7", "GE*1*8"), "wrong_control_number", 9),
        (("IEA*1*000000012", "IEA*1*000000013"), "wrong_control_number", 10),
        (("ST*846*0001~", ""), "outside_envelope", 3),
        (("GE*1*7~", ""), "bad_envelope", 9),
        (("LIN*2", "lin*2"), "bad_segment", 6),
        (("*P*>~", "*P**~"), "bad_delimiters", 1),
        (("ISA*", "ISB*"), "not_x12", 1),
    ],
)
def test_what_does_not_add_up_is_told_with_its_place(change: tuple[str, str], code: str, segment: int) -> None:
    error = refusal(interchange(*BODY).replace(*change, 1))
    assert (error.code, error.segment_no) == (code, segment)


def test_bytes_that_are_not_text_are_refused() -> None:
    assert refusal(interchange(*BODY).encode().replace(b"A-1", b"A\xff1")).code == "not_utf8"


def test_segments_are_given_while_the_file_is_read() -> None:
    """A file of any length is read in little memory, so what it says comes before its trailer is known."""
    stream = io.BytesIO(interchange(*(BODY * 20_000)).encode()[:-1])
    given_first = next(iter(segments := read_segments(stream)))
    assert (given_first.tag, stream.tell() < 200_000) == ("ISA", True)
    with pytest.raises(X12Error, match="cut off"):
        list(segments)


@pytest.mark.skipif(not REAL.exists(), reason=f"real partners' documents are not here: {REAL}")
def test_real_documents() -> None:
    (inventory,) = read_interchanges((REAL / "846/Stedi-Demos__malouf_lowes_846_20221006.edi").read_bytes())
    (document,) = inventory.transactions
    assert (inventory.control_no, document.set_id, len(document.segments)) == ("039295820", "846", 22211)
    assert sum(segment.tag == "LIN" for segment in document.segments) == 2019
    (asn,) = read_interchanges((REAL / "856/ahuggins-nhs__856.edi").read_bytes())
    assert (asn.transactions[0].set_id, asn.delimiters.repetition) == ("856", "-")
