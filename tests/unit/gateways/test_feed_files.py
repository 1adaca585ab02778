"""Files of sources read into figures: what a row says is kept to the unit, and what cannot be read is told."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.domain.feeds import Buffer, FeedSource, Freshness, buffer_of, freshness
from shared.gateways.feeds.figures import Figure, Refusal, UnreadableError, feed_file
from tests.support.feed_rows import rows_read

ITEMS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/+:-]{0,12}", fullmatch=True)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def source(reading: dict[str, Any], **changes: Any) -> FeedSource:
    return FeedSource.model_validate(
        {"source_id": "acme", "node_id": "n1", "counts": "available", "reading": reading} | changes
    )


def read(of: FeedSource, content: str) -> list[Figure | Refusal]:
    return list(rows_read(feed_file(of), content.encode()))


def advice(*body: str, ctt: str = "") -> str:
    segments = [*body, ctt] if ctt else list(body)
    return "".join(f"{segment}~" for segment in (
        "ISA*00*          *00*          *ZZ*VENDOR         *12*RETAILER       *260601*0805*U*00401*000000012*0*P*>",
        "GS*IB*VENDOR*RETAILER*20260601*0805*7*X*004010", "ST*846*0001", "BIA*00*SI*1*20260601", *segments,
        f"SE*{len(segments) + 3}*0001", "GE*1*7", "IEA*1*000000012",
    ))  # fmt: skip


@given(st.lists(st.tuples(ITEMS, st.integers(0, 10**9)), min_size=1), st.sampled_from(",;|\t"), st.booleans())
def test_every_row_of_a_csv_file_is_one_figure(rows: list[tuple[str, int]], delimiter: str, thousands: bool) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["Qty", "Remark", "Item"])
    writer.writerows([f"{quantity:,}" if thousands else quantity, 'said "yes"\n', item] for item, quantity in rows)
    template = {"format": "csv", "delimiter": delimiter, "partner_sku": "Item", "quantity": 1}
    found = read(source(template | ({"thousands": ","} if thousands else {})), text.getvalue())
    assert [(figure.row, figure.partner_sku, figure.quantity) for figure in found if isinstance(figure, Figure)] == [
        (n, item, quantity) for n, (item, quantity) in enumerate(rows, start=2)
    ]


@given(st.text(max_size=12))
def test_a_quantity_is_the_number_it_is_written_as_or_refused(cell: str) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["item", "qty"], ["a", cell]])
    try:
        (row,) = read(source({"format": "csv", "sku": "item", "quantity": "qty"}), text.getvalue())
    except UnreadableError as error:
        told = error.code
    else:
        told = row.code if isinstance(row, Refusal) else ""
    if told:
        assert told in ("not_csv", "not_a_number", "fraction", "negative", "too_big", "wrong_number_of_cells")
    else:
        assert isinstance(row, Figure)
        assert (row.quantity, row.quantity >= 0) == (float(cell), True)


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("1.200", 1200), ("1.200,00", 1200), ("1.200,50", "fraction"), ("12.00", "not_a_number"), ("-1", "negative"),
        ("1.000.000.001", "too_big"), ("", "not_a_number"), ("١٢", "not_a_number"), (" 7 ", 7), ("1e3", "not_a_number"),
    ],
)  # fmt: skip
def test_decimals_and_thousands_are_those_of_the_template(cell: str, told: int | str) -> None:
    template = {"format": "csv", "sku": 1, "quantity": 2, "header": False, "delimiter": ";"}
    (row,) = read(source(template | {"decimal": ",", "thousands": "."}), f"a;{cell}\n")
    assert (row.quantity if isinstance(row, Figure) else row.code) == told


def test_warehouses_and_the_moment_are_read_from_their_columns() -> None:
    template = {
        "format": "csv",
        "upc": "u",
        "quantity": "q",
        "node": "w",
        "as_of": "at",
        "as_of_format": "%m/%d/%Y %H:%M",
    }
    of = source(template, node_id=None, nodes={"E": "n1", "W": "n2"}, time_zone="America/New_York")
    file = feed_file(of)
    content = (
        "u,q,w,at\n1,2,E,06/01/2026 08:00\n1,3,W,06/01/2026 08:00\n1,4,X,06/01/2026 08:00\n1,5,E,06/01/2026 09:00\n"
    )
    rows = list(rows_read(file, content.encode()))
    assert file.as_of == NOW
    assert [row.node_id if isinstance(row, Figure) else row.code for row in rows] == [
        "n1", "n2", "unknown_node", "other_moment",
    ]  # fmt: skip
    with pytest.raises(UnreadableError, match="no moment"):
        read(of, "u,q,w,at\n1,2,E,2026-06-01\n")
    with pytest.raises(UnreadableError, match="2 columns"):
        read(source({"format": "csv", "sku": "a", "quantity": 5}), "a,b\n1,2\n")


def test_an_advice_is_read_by_warehouse_or_as_a_whole() -> None:
    body = ["LIN*1*VN*A-1*SK* *UP*77", "PID*F*08***x", "QTY*17*9*EA", "QTY*33*5*EA", "LS*REF", "REF*WS*01*2",
            "REF*WS*02*3", "LE*REF"]  # fmt: skip
    by_node = read(source({"format": "x12_846"}, node_id=None, nodes={"01": "n1", "02": "n2"}), advice(*body))
    assert by_node == [Figure(10, "n1", None, "A-1", ("77",), 2), Figure(11, "n2", None, "A-1", ("77",), 3)]
    assert read(source({"format": "x12_846", "quantity": "17"}), advice(*body[:4])) == [
        Figure(5, "n1", None, "A-1", ("77",), 9)
    ]


def test_places_told_in_pairs_are_figures_of_their_own() -> None:
    of = source({"format": "x12_846"}, node_id=None, nodes={"001": "n1", "002": "n2", "003": "n3"})
    body = ["LIN*1*VN*A-1", "QTY*33*12*EA", "SDQ*EA*92*001*5*002*7", "LIN*2*VN*B-1", "SDQ*EA**001*1*002*0*003*4**"]
    content = advice(*body, ctt="CTT*2")
    told = [(row.row, row.node_id, row.partner_sku, row.quantity) for row in read(of, content)]  # type: ignore[union-attr]
    assert told == [
        (7, "n1", "A-1", 5), (8, "n2", "A-1", 7), (10, "n1", "B-1", 1), (11, "n2", "B-1", 0), (12, "n3", "B-1", 4),
    ]  # fmt: skip
    text = dict(feed_file(of).lines(io.BytesIO(content.encode()), {8, 12}))
    assert text == {8: f"LIN*1*VN*A-1 {body[2]}", 12: f"LIN*2*VN*B-1 {body[4]}"}
    (together,) = read(source({"format": "x12_846"}), advice(*body[3:]))
    assert isinstance(together, Figure)
    assert (together.row, together.node_id, together.quantity) == (5, "n1", 5)


@pytest.mark.parametrize(
    ("sdq", "field", "code"),
    [
        ("SDQ*CA*92*001*5", "SDQ01", "other_unit"),
        ("SDQ*EA*92*001*five", "SDQ04", "not_a_number"),
        ("SDQ*EA*92*001", "SDQ04", "not_a_number"),
        ("SDQ*EA*92*009*5", "SDQ03", "unknown_node"),
        ("SDQ*EA*92", "QTY", "no_figure"),
    ],
)
def test_a_pair_that_cannot_be_read_is_refused(sdq: str, field: str, code: str) -> None:
    of = source({"format": "x12_846"}, node_id=None, nodes={"001": "n1"})
    (row,) = read(of, advice("LIN*1*VN*A-1", sdq))
    assert isinstance(row, Refusal)
    assert (row.field, row.code) == (field, code)


def test_pairs_that_do_not_add_up_to_the_items_figure_are_refused() -> None:
    of = source({"format": "x12_846"}, node_id=None, nodes={"001": "n1", "002": "n2"})
    (row,) = read(of, advice("LIN*1*VN*A-1", "QTY*33*13*EA", "SDQ*EA*92*001*5*002*7"))
    assert isinstance(row, Refusal)
    assert row.code == "wrong_total"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (["LIN*1*VN*A-1", "QTY*33*5*EA", "LS*REF", "REF*WS*01*2", "REF*WS*02*2", "LE*REF"], "wrong_total"),
        (["LIN*1*VN*A-1", "QTY*33*5*CA"], "other_unit"),
        (["LIN*1*VN*A-1", "QTY*17*5*EA"], "no_figure"),
        (["LIN*1*VN*A-1", "QTY*33*5*EA", "QTY*33*6*EA"], "several_figures"),
        (["LIN*1*CB*A-1", "QTY*33*5*EA"], "unknown_item"),
        (["LIN*1*VN*A-1", "QTY*33*5.5*EA"], "fraction"),
        (["LIN*1*VN*A-1", "QTY*33*-5*EA"], "negative"),
    ],
)
def test_an_item_that_cannot_be_read_is_refused_with_its_segments(body: list[str], code: str) -> None:
    (row,) = read(source({"format": "x12_846"}), advice(*body))
    assert isinstance(row, Refusal)
    assert (row.code, row.row, row.line.startswith(body[0])) == (code, 5, True)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (advice("LIN*1*VN*A-1", "QTY*33*5*EA", ctt="CTT*2"), "wrong_count"),
        (advice("LIN*1*VN*A-1", "QTY*33*5*EA").replace("*20260601~LIN", "*20261341~LIN"), "bad_moment"),
        (advice("LIN*1*VN*A-1", "QTY*33*5*EA").replace("ST*846", "ST*850"), "other_document"),
        (advice("LIN*1*VN*A-1", "QTY*33*5*EA") * 2, "several_interchanges"),
        (advice(), "empty"),
        (advice("LIN*1*VN*A-1", "QTY*33*5*EA")[:-20], "truncated"),
    ],
)
def test_an_advice_that_is_not_whole_is_refused(content: str, code: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read(source({"format": "x12_846"}), content)
    assert caught.value.code == code


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.integers(0, 100))
def test_a_buffer_holds_back_whole_units_and_never_more_than_there_are(on_hand: int, units: int, percent: int) -> None:
    held = Buffer(units=units, percent=percent).of(on_hand)
    assert 0 <= held <= on_hand
    assert held == on_hand or held >= units + on_hand * percent / 100 > held - 1


def test_figures_are_fresh_then_stale_then_hidden() -> None:
    of = source(
        {"format": "x12_846"}, buffer_percent=70, stale_percent=40, stale_after=timedelta(hours=4),
        hide_after=timedelta(hours=9),
    )  # fmt: skip
    ages = [freshness(of, NOW - timedelta(hours=h), NOW) for h in (0, 3.9, 4, 8.9, 9)]
    assert ages == [Freshness.FRESH, Freshness.FRESH, Freshness.STALE, Freshness.STALE, Freshness.HIDDEN]
    assert [buffer_of(of, state).of(10) for state in ages] == [7, 7, 10, 10, 10]
    assert freshness(of, None, NOW) is Freshness.UNKNOWN


@pytest.mark.parametrize(
    "changes",
    [
        {"node_id": None}, {"nodes": {"1": "n2"}}, {"node_id": None, "nodes": {"1": "n", "2": "n"}},
        {"counts": "on_hand", "our_orders": "deducted"}, {"kind": "delta", "missing_means_zero": True},
        {"stale_after": "PT2H", "hide_after": "PT1H"}, {"time_zone": "Mars/Olympus"}, {"password": "s3cret"},
        {"reading": {"format": "csv", "quantity": "q"}},
        {"reading": {"format": "csv", "sku": 1, "quantity": "q", "header": False}},
        {"node_id": None, "nodes": {"1": "n"}, "reading": {"format": "csv", "sku": "s", "quantity": "q"}},
    ],
)  # fmt: skip
def test_a_source_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        source({"format": "x12_846"}, **changes) if "reading" not in changes else source(**changes)
