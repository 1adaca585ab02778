from __future__ import annotations

import gzip
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from shared.domain.orders import OrderDocument
from shared.errors import InvalidInput
from shared.intake import check_catalogue, read_orders
from workers.demo.retail_csv import Cancellation, Event, Reason, Refusal, RetailFile
from workers.demo.retail_world import constructed_world, read_catalogue

REAL = Path(__file__).parents[4] / "shared/data/orders/uci_online_retail_2010-12_2011-05.csv.gz"
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"

# Every kind of row, with what becomes of it.
ROWS: list[tuple[str, Reason | str]] = [
    ("100,22139,RETRO TEA SET,6,2011-07-01 08:26:00,4.25,17850.0,United Kingdom", "line"),
    ("100,22139,RETRO TEA SET,2,2011-07-01 08:26:00,4.25,17850.0,United Kingdom", "line"),  # the same SKU twice
    ('100,15056bl,"PARASOL, BLACK",1,2011-07-01 08:27:00,5.9,17850.0,United Kingdom', "line"),  # a minute later
    ("100,POST,POSTAGE,1,2011-07-01 08:26:00,18.0,17850.0,France", Reason.POSTAGE),
    ("100,m,Manual,1,2011-07-01 08:26:00,1.25,17850.0,United Kingdom", Reason.MANUAL),
    ("100,22139,RETRO TEA SET,six,2011-07-01 08:26:00,4.25,17850.0,United Kingdom", Reason.BAD_ROW),
    ("100,22140,TEA SPOON,1,2011-07-01 08:26:00,0.95,17850.0,United Kingdom", "line"),
    ("101,gift_0001_20,GIFT VOUCHER,1,2011-07-01 09:00:00,16.67,,United Kingdom", Reason.VOUCHER),
    ("102,22139,,56,2011-07-01 09:00:00,0.0,,United Kingdom", Reason.NO_PRICE),
    ("103,22139,damaged,-10,2011-07-01 09:00:00,0.0,,United Kingdom", Reason.STOCK_ADJUSTMENT),
    ("104,22139,RETRO TEA SET,0,2011-07-01 09:00:00,4.25,,United Kingdom", Reason.ZERO_QUANTITY),
    ("105,22139,RETRO TEA SET,1,2011-07-01 09:00:00,0.001,,United Kingdom", Reason.PRICE_NOT_EXACT),
    ("106,22139,RETRO TEA SET,1,2011-07-01 09:00:00,-4.25,,United Kingdom", Reason.NEGATIVE_PRICE),
    ("A107,B,Adjust bad debt,1,2011-07-01 09:00:00,-11062.06,,United Kingdom", Reason.BAD_DEBT),
    ("108,AMAZONFEE,AMAZON FEE,1,2011-07-01 09:00:00,13541.33,,United Kingdom", Reason.FEE),
    ("108,BANK CHARGES,Bank Charges,1,2011-07-01 09:00:00,15.0,,United Kingdom", Reason.FEE),
    ("108,S,SAMPLES,1,2011-07-01 09:00:00,5.0,,United Kingdom", Reason.SAMPLE),
    ("108,?!,odd,1,2011-07-01 09:00:00,5.0,,United Kingdom", Reason.BAD_CODE),
    ("108,22139,RETRO TEA SET,1,2011-02-30 09:00:00,5.0,,United Kingdom", Reason.BAD_ROW),
    ("108,22139,RETRO TEA SET,٢,2011-07-01 09:00:00,5.0,,United Kingdom", Reason.BAD_ROW),
    ("108,22139,too few columns", Reason.BAD_ROW),
    ("109,22139,RETRO TEA SET,1,2011-07-01 09:30:00,8.47,,United Kingdom", "line"),  # a guest
    ("100,22141,TEA FORK,1,2011-07-01 09:31:00,0.95,17850.0,United Kingdom", "line"),  # invoice 100 again
    ("C110,22139,RETRO TEA SET,-7,2011-07-02 10:00:00,4.25,17850.0,United Kingdom", "cancelled"),
    ("C110,15056BL,PARASOL,-2,2011-07-02 10:00:00,5.9,17850.0,United Kingdom", Reason.MORE_THAN_ORDERED),
    ("C110,22143,NEVER BOUGHT,-1,2011-07-02 10:00:00,5.9,17850.0,United Kingdom", Reason.NO_EARLIER_ORDER),
    ("C110,D,Discount,-1,2011-07-02 10:00:00,27.5,17850.0,United Kingdom", Reason.DISCOUNT),
    ("C111,22139,RETRO TEA SET,-1,2011-07-02 10:00:00,8.47,,United Kingdom", Reason.NO_CUSTOMER),
    ("C112,22139,RETRO TEA SET,1,2011-07-02 10:00:00,8.47,17850.0,United Kingdom", Reason.NOT_NEGATIVE),
    ("C113,22139,RETRO TEA SET,-1,2011-07-02 10:00:00,4.25,17850.0,United Kingdom", "cancelled"),
    ("C114,22139,RETRO TEA SET,-1,2011-07-02 10:00:00,4.25,17850.0,United Kingdom", Reason.NO_EARLIER_ORDER),
]


@pytest.fixture
def dirty(tmp_path: Path) -> Path:
    path = tmp_path / "invoices.csv"
    path.write_text("\n".join([HEADER, *(row for row, _ in ROWS)]) + "\n", encoding="utf-8")
    return path


def events_of(path: Path) -> list[Event]:
    return list(RetailFile(path).events())


def test_every_row_ends_somewhere_with_its_reason(dirty: Path) -> None:
    file = RetailFile(dirty)
    events = list(file.events())
    expected = Counter(fate for _, fate in ROWS)
    tally = file.tally
    assert tally.adds_up
    assert tally.rows_in == len(ROWS)
    assert tally.rows_ordered == expected.pop("line")
    assert tally.rows_cancelled == expected.pop("cancelled")
    assert tally.refused == expected
    refused = {event.row: event.reason for event in events if isinstance(event, Refusal)}
    assert refused == {place: fate for place, (_, fate) in enumerate(ROWS, start=2) if isinstance(fate, Reason)}


def test_an_invoice_becomes_one_order_line_by_line(dirty: Path) -> None:
    orders = [event for event in events_of(dirty) if isinstance(event, OrderDocument)]
    assert [order.channel_order_id for order in orders] == ["100", "109", "100-2"]
    first = orders[0]
    assert [(line.line_no, line.sku, line.quantity, line.unit_price_minor) for line in first.lines] == [
        (1, "22139", 6, 425),
        (2, "22139", 2, 425),
        (3, "15056BL", 1, 590),
        (4, "22140", 1, 95),
    ]
    assert first.currency == "GBP"
    assert first.customer_ref == "17850"
    assert first.placed_at.isoformat() == "2011-07-01T07:26:00+00:00"  # 08:26 of British summer
    assert first.ship_to == orders[2].ship_to != orders[1].ship_to


def test_cancellations_take_the_latest_lines_first(dirty: Path) -> None:
    first, second = (event for event in events_of(dirty) if isinstance(event, Cancellation))
    assert [(line.channel_order_id, line.line_no, line.quantity) for line in first.lines] == [
        ("100", 2, 2),
        ("100", 1, 5),
    ]
    assert [(line.line_no, line.quantity) for line in second.lines] == [(1, 1)]


def test_the_door_and_the_catalogue_take_every_order(dirty: Path) -> None:
    orders = [event for event in events_of(dirty) if isinstance(event, OrderDocument)]
    assert read_orders(b"\n".join(order.model_dump_json().encode() for order in orders)) == orders
    items = {item.sku: item for item in constructed_world(read_catalogue(dirty)).items}
    assert not any(check_catalogue(order, items) for order in orders)


def test_the_catalogue_has_modal_names_and_median_prices(dirty: Path) -> None:
    tea_set = next(article for article in read_catalogue(dirty) if article.sku == "22139")
    assert (tea_set.description, tea_set.price_minor, tea_set.units) == ("RETRO TEA SET", 425, 9)


def test_gzip_is_told_by_content(dirty: Path, tmp_path: Path) -> None:
    zipped = tmp_path / "no-suffix"
    zipped.write_bytes(gzip.compress(dirty.read_bytes()))
    assert events_of(zipped) == events_of(dirty)


def test_limit_and_since_narrow_the_replay(dirty: Path) -> None:
    limited = RetailFile(dirty, limit=1)
    assert sum(isinstance(event, OrderDocument) for event in limited.events()) == 1
    assert limited.tally.invoices == 1
    late = RetailFile(dirty, since=date(2011, 7, 2))
    assert not any(isinstance(event, Cancellation) for event in late.events())
    assert late.tally.adds_up
    assert late.tally.rows_skipped + late.tally.rows_in == len(ROWS)


@pytest.mark.parametrize("content", [b"", b"a,b,c\n1,2,3\n", gzip.compress(HEADER.encode() * 9, mtime=0)[:-12]])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(InvalidInput):
        events_of(path)


@pytest.mark.skipif(not REAL.exists(), reason=f"the real file is not here: {REAL}")
def test_the_real_file_adds_up() -> None:
    with gzip.open(REAL) as lines:
        rows = sum(1 for _ in lines) - 1
    file = RetailFile(REAL)
    lines_ordered, units, cancelled = 0, Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for event in file.events():
        if isinstance(event, OrderDocument):
            lines_ordered += len(event.lines)
            units.update({(event.channel_order_id, line.line_no): line.quantity for line in event.lines})
        elif isinstance(event, Cancellation):
            cancelled.update({(line.channel_order_id, line.line_no): 0 for line in event.lines})
            for line in event.lines:
                cancelled[line.channel_order_id, line.line_no] += line.quantity
    tally = file.tally
    assert tally.adds_up
    assert tally.rows_in == rows
    assert tally.rows_ordered == lines_ordered
    assert tally.rows_cancelled > 2_000
    assert all(quantity <= units[line] for line, quantity in cancelled.items())
    assert Reason.BAD_ROW not in tally.refused


def test_the_constructed_world_is_the_same_for_the_same_seed(dirty: Path) -> None:
    catalogue = read_catalogue(dirty)
    world = constructed_world(catalogue, 3)
    assert world == constructed_world(catalogue, 3)
    assert {row.sku for row in world.stock} <= {item.sku for item in world.items} == {a.sku for a in catalogue}
    assert {(row.node_id, row.sku) for row in world.stock} == {(o.node_id, o.sku) for o in world.offers}
    assert {item.currency for item in world.items} == {"GBP"}
