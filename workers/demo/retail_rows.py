"""Rows of a retailer's invoice file, and the one rule for each kind of dirt.

The layout is that of the UCI data set "Online Retail": ``InvoiceNo, StockCode, Description, Quantity,
InvoiceDate, UnitPrice, CustomerID, Country``, one row per line of an invoice, prices in pounds, times on UK
clocks. Rules are tried in the order of ``Reason``; the first that applies decides.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO, cast
from zoneinfo import ZoneInfo

from shared.currency import parse_minor
from shared.errors import Fault, InvalidInput

CURRENCY = "GBP"
COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)  # fmt: skip

_CLOCK = ZoneInfo("Europe/London")
_QUANTITY = re.compile(r"-?[0-9]{1,7}", re.ASCII)
_PRICE = re.compile(r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?", re.ASCII)
_INVOICE = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)
_CUSTOMER = re.compile(r"([A-Za-z0-9]{0,32})(?:\.0)?", re.ASCII)
_SKU = re.compile(r"[A-Z0-9][A-Z0-9 ._/+:-]{0,63}", re.ASCII)
_MAX_QUANTITY = 1_000_000


class Reason(StrEnum):
    """Why a row became neither an order line nor a cancellation."""

    BAD_ROW = "bad_row"  #: wrong number of columns, or an unreadable invoice, quantity, date, price or customer
    POSTAGE = "postage"  #: POST, DOT, C2: carriage is no article, and its price is not per unit shipped
    MANUAL = "manual"  #: M: somebody's correction by hand
    DISCOUNT = "discount"  #: D: a discount booked as an article
    SAMPLE = "sample"  #: S: samples
    FEE = "fee"  #: BANK CHARGES, AMAZONFEE, CRUK: what others charge the retailer
    BAD_DEBT = "bad_debt"  #: B: an accountant's adjustment
    VOUCHER = "voucher"  #: gift_…: a voucher, nothing to ship
    BAD_CODE = "bad_code"  #: the stock code is no SKU
    NOT_NEGATIVE = "not_negative"  #: a cancellation of nothing, or of less than nothing
    NO_CUSTOMER = "no_customer"  #: a cancellation by nobody: whose order it means is unknown
    NO_EARLIER_ORDER = "no_earlier_order"  #: the customer has no open units of the article
    MORE_THAN_ORDERED = "more_than_ordered"  #: the customer has open units, but fewer; none is cancelled
    ZERO_QUANTITY = "zero_quantity"
    STOCK_ADJUSTMENT = "stock_adjustment"  #: a negative quantity that is no cancellation: breakage, found, lost
    NEGATIVE_PRICE = "negative_price"
    NO_PRICE = "no_price"  #: a price of zero: gifts and bookkeeping, told apart by nothing
    PRICE_NOT_EXACT = "price_not_exact"  #: a price that is no whole number of pence


_NOT_GOODS = {
    "POST": Reason.POSTAGE,
    "DOT": Reason.POSTAGE,
    "C2": Reason.POSTAGE,
    "M": Reason.MANUAL,
    "D": Reason.DISCOUNT,
    "S": Reason.SAMPLE,
    "BANK CHARGES": Reason.FEE,
    "AMAZONFEE": Reason.FEE,
    "CRUK": Reason.FEE,
    "B": Reason.BAD_DEBT,
}


class Row(NamedTuple):
    """A readable row. ``sku`` is upper case: the file writes 15056BL and 15056bl for one article.

    Attributes:
        number: Place in the file, the header is 1.
        price: Unit price as written; ``price_of`` reads it.
        customer: Empty for a guest.
    """

    number: int
    invoice: str
    sku: str
    description: str
    quantity: int
    at: datetime
    price: str
    customer: str

    @property
    def cancels(self) -> bool:
        return self.invoice.startswith(("C", "c"))


class BadRow(NamedTuple):
    """A row that cannot be read; ``invoice`` is empty when not even that could."""

    number: int
    invoice: str = ""


def read_rows(path: Path) -> Iterator[Row | BadRow]:
    """Every row of the file, plain or gzipped, one at a time.

    Raises:
        InvalidInput: the file is not in this layout, or breaks off in the middle.
    """
    with _open(path) as text:
        reader = csv.reader(text)
        header = next(_fields(reader), None)
        if header != list(COLUMNS):
            _refuse("bad_header", f"the first line must be {','.join(COLUMNS)}")
        for number, fields in enumerate(_fields(reader), start=2):
            yield _row(number, fields)


def refuse_goods(row: Row) -> Reason | None:
    """Why a row is not about goods at all, whatever its quantity."""
    if row.sku.startswith("GIFT_"):
        return Reason.VOUCHER
    if row.sku in _NOT_GOODS:
        return _NOT_GOODS[row.sku]
    return None if _SKU.fullmatch(row.sku) else Reason.BAD_CODE


def refuse_sale(row: Row) -> Reason | None:
    """Why a row that is not a cancellation is no order line."""
    if row.quantity == 0:
        return Reason.ZERO_QUANTITY
    if row.quantity < 0:
        return Reason.STOCK_ADJUSTMENT
    if row.price.startswith("-"):
        return Reason.NEGATIVE_PRICE
    if not row.price.strip("0."):
        return Reason.NO_PRICE
    return Reason.PRICE_NOT_EXACT if price_of(row) is None else None


def price_of(row: Row) -> int | None:
    """The unit price in pence, if it is a whole number of them."""
    try:
        return parse_minor(row.price, CURRENCY)
    except ValueError:
        return None


def _open(path: Path) -> TextIO:
    with path.open("rb") as start:
        zipped = start.read(2) == b"\x1f\x8b"
    # A stray byte spoils a description, not the file: what matters is checked field by field.
    opener = gzip.open if zipped else open
    return cast(TextIO, opener(path, "rt", encoding="utf-8-sig", errors="replace", newline=""))


def _fields(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            fields = ["?"]  # a row all the same: it is counted as unreadable
        except (EOFError, OSError) as error:
            _refuse("damaged", f"the file breaks off or cannot be unpacked: {type(error).__name__}")
        if fields:
            yield fields


def _row(number: int, fields: list[str]) -> Row | BadRow:
    if len(fields) != len(COLUMNS):
        return BadRow(number)
    invoice, sku, description, quantity, at, price, customer, _country = (field.strip() for field in fields)
    who = _CUSTOMER.fullmatch(customer)
    when = _instant(at)
    if not _INVOICE.fullmatch(invoice):
        return BadRow(number)
    countable = _QUANTITY.fullmatch(quantity) and abs(int(quantity)) <= _MAX_QUANTITY
    if not (countable and who and when and _PRICE.fullmatch(price)):
        return BadRow(number, invoice)
    return Row(number, invoice, sku.upper(), description, int(quantity), when, price, who[1])


def _instant(text: str) -> datetime | None:
    """A time on UK clocks; of the hour that an autumn night has twice, the first."""
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=_CLOCK).astimezone(UTC)
    except ValueError:
        return None


def _refuse(code: str, message: str) -> NoReturn:
    raise InvalidInput([Fault(pointer="", code=code, message=message)])
