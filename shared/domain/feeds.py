"""Sources of stock figures: how a partner's file is written, what its figures count, and how long they are believed.

A source is data. What one partner calls stock is not what another does, so a source says for each of its figures
whether it counts all units on hand or only those left to sell, whether units of our open orders are still among
them, and whether it counts single units or packs.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, field_validator, model_validator

from shared.domain.base import Document, Identifier, Model, Text

_Percent = Annotated[int, Field(ge=0, le=100)]
_Units = Annotated[int, Field(ge=0, le=10**9)]
_Column = Annotated[str, StringConstraints(min_length=1, max_length=100)] | Annotated[int, Field(ge=1, le=500)]
_Path = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Counts(StrEnum):
    """Which units a figure counts: all that are there, or those the source has not promised to anybody yet."""

    ON_HAND = "on_hand"
    AVAILABLE = "available"


class OurOrders(StrEnum):
    """Whether a figure still counts the units of our open orders, or the source has taken them off already."""

    INCLUDED = "included"
    DEDUCTED = "deducted"


class Freshness(StrEnum):
    """How far the figures of a source can be believed; ``unknown`` before its first file."""

    UNKNOWN = "unknown"
    FRESH = "fresh"
    STALE = "stale"
    HIDDEN = "hidden"


class Trailer(Document):
    """The last record of a CSV file, by which one that was cut off is known.

    Attributes:
        marker: What its first cell holds.
        rows: The cell, from 1, with the number of rows between header and trailer.
        total: The cell with the sum of all quantities, if there is one.
    """

    marker: Text
    rows: Annotated[int, Field(ge=2, le=500)]
    total: Annotated[int, Field(ge=2, le=500)] | None = None


class CsvTemplate(Document):
    """How to read a source's CSV files. A column is named as in the header, or numbered from 1.

    Attributes:
        sku: The column with our own SKU.
        partner_sku: With the partner's item number, found among the offers of its node.
        upc: With the item's UPC or GTIN, for offers whose item number that is.
        node: With the partner's code of the warehouse.
        as_of: With the moment of the figures; the same in every row.
        as_of_format: As Python's ``strptime``; empty for ISO 8601.
        decimal: The decimal separator; what is behind it must be zero.
    """

    format: Literal["csv"] = "csv"
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","
    header: bool = True
    quantity: _Column
    sku: _Column | None = None
    partner_sku: _Column | None = None
    upc: _Column | None = None
    node: _Column | None = None
    as_of: _Column | None = None
    as_of_format: Annotated[str, StringConstraints(max_length=40)] = ""
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", "'", " "] = ""
    trailer: Trailer | None = None

    @model_validator(mode="after")
    def _names_items(self) -> CsvTemplate:
        if not (self.sku or self.partner_sku or self.upc):
            raise ValueError("must have a column for sku, partner_sku or upc")
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands separators must differ")
        columns = (self.quantity, self.sku, self.partner_sku, self.upc, self.node, self.as_of)
        if not self.header and any(isinstance(column, str) for column in columns):
            raise ValueError("without a header columns are numbered, from 1")
        return self


class X12Inventory(Document):
    """How to read a source's X12 846 inventory advices.

    Attributes:
        quantity: The QTY01 qualifier of the figure: 33 is available for sale, 17 is on hand.
        unit: The unit of measure the figures must be in (QTY03).
        items: The LIN qualifiers that may name the item, the best first: VN vendor's number, SK stock keeping
            unit, UP UPC. Each is looked for among the partner's item numbers of our offers.
        warehouse: The REF01 qualifier of a warehouse's own figure in an item's LS/LE loop.
    """

    format: Literal["x12_846"] = "x12_846"
    quantity: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{2}$")] = "33"
    unit: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{2}$")] = "EA"
    items: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{2}$")], ...] = ("VN", "SK", "UP")
    warehouse: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{2,3}$")] = "WS"


class SftpDrop(Document):
    """Where a source leaves its files. Who we are there comes from the settings, never from here.

    Attributes:
        host_key: The server's public key, ``ssh-ed25519 AAAA...``; no other is spoken to.
        pattern: File names to take, such as ``*.csv``.
        done_marker: A file is whole when ``NAME.done`` stands beside it; else when it was as long before.
    """

    host: Text
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    username: Text
    host_key: Annotated[str, StringConstraints(pattern=r"^[a-z0-9@.-]+ [A-Za-z0-9+/=]+$")]
    directory: _Path = "."
    processed: _Path = "processed"
    pattern: _Path = "*"
    done_marker: bool = False
    every: Annotated[timedelta, Field(ge=timedelta(seconds=1))] = timedelta(minutes=1)


class FeedSource(Document):
    """One source of stock figures.

    Attributes:
        node_id: Its one node.
        nodes: Its nodes by the code the partner has for each; instead of ``node_id``.
        kind: A snapshot says what there is, a delta what was added or taken.
        unit: What is counted; packs are those of the source's offer of the item.
        missing_means_zero: A snapshot names every item the source has; it has none of any other.
        buffer_units: Units of every position that are not sold.
        buffer_percent: And percent of its units on hand, rounded up.
        stale_after: Age of the figures from which ``stale_percent`` of the units on hand are not sold either.
        hide_after: Age from which nothing of it is sold.
        time_zone: Of moments that the file writes without one.
    """

    source_id: Identifier
    node_id: Identifier | None = None
    nodes: dict[Text, Identifier] = Field(default_factory=dict)
    reading: CsvTemplate | X12Inventory = Field(discriminator="format")
    kind: Literal["snapshot", "delta"] = "snapshot"
    counts: Counts
    our_orders: OurOrders = OurOrders.INCLUDED
    unit: Literal["each", "pack"] = "each"
    missing_means_zero: bool = False
    buffer_units: _Units = 0
    buffer_percent: _Percent = 0
    stale_after: Annotated[timedelta, Field(gt=timedelta(0))] | None = None
    stale_percent: _Percent = 50
    hide_after: Annotated[timedelta, Field(gt=timedelta(0))] | None = None
    max_bytes: Annotated[int, Field(ge=1, le=2**31)] = 256 * 1024 * 1024
    max_rows: Annotated[int, Field(ge=1, le=10_000_000)] = 2_000_000
    time_zone: Text = "UTC"
    sftp: SftpDrop | None = None

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            return ZoneInfo(name).key
        except (ValueError, OSError, LookupError):
            raise ValueError("must be a time zone such as America/New_York") from None

    @model_validator(mode="after")
    def _means_something(self) -> FeedSource:
        if bool(self.node_id) == bool(self.nodes):
            raise ValueError("must have node_id, or nodes by the partner's codes")
        if isinstance(self.reading, CsvTemplate) and bool(self.nodes) != bool(self.reading.node):
            raise ValueError("nodes and the template's node column go together")
        if len(set(self.nodes.values())) < len(self.nodes):
            raise ValueError("two codes of nodes must not name the same node")
        if self.counts is Counts.ON_HAND and self.our_orders is OurOrders.DEDUCTED:
            raise ValueError("a figure of units on hand includes those of our orders")
        if self.kind == "delta" and (self.missing_means_zero or self.our_orders is OurOrders.DEDUCTED):
            raise ValueError("a delta says nothing of missing items or of our orders")
        if self.stale_after and self.hide_after and self.hide_after < self.stale_after:
            raise ValueError("hide_after must not be shorter than stale_after")
        return self

    @property
    def node_ids(self) -> tuple[str, ...]:
        return (self.node_id,) if self.node_id else tuple(self.nodes.values())

    @property
    def is_dated(self) -> bool:
        """Whether its files say themselves of which moment their figures are."""
        return isinstance(self.reading, X12Inventory) or self.reading.as_of is not None


class Buffer(Model):
    """What is not sold of a position: units, and percent of those on hand, rounded up; never more than there are."""

    units: int = 0
    percent: int = 0

    def of(self, on_hand: int) -> int:
        """Units of a position with so many on hand."""
        return min(on_hand, self.units + (on_hand * self.percent + 99) // 100)


def freshness(source: FeedSource, as_of: datetime | None, now: datetime) -> Freshness:
    """How far figures of a moment can be believed."""
    if as_of is None:
        return Freshness.UNKNOWN
    age = now - as_of
    if source.hide_after is not None and age >= source.hide_after:
        return Freshness.HIDDEN
    if source.stale_after is not None and age >= source.stale_after:
        return Freshness.STALE
    return Freshness.FRESH


def buffer_of(source: FeedSource, state: Freshness) -> Buffer:
    """What is not sold of a source's positions while its figures are of that state."""
    if state is Freshness.HIDDEN:
        return Buffer(percent=100)
    more = source.stale_percent if state is Freshness.STALE else 0
    return Buffer(units=source.buffer_units, percent=min(100, source.buffer_percent + more))


def run_id_of(source: FeedSource, content_hash: str, as_of: datetime | None) -> str:
    """The name of the run of a file: the same content is the same run.

    A snapshot that does not say of which moment it is may rightly read as one did before; then the moment of the
    file tells them apart.
    """
    told = "" if source.is_dated or source.kind == "delta" or as_of is None else as_of.isoformat()
    return hashlib.sha256(f"{source.source_id}\n{content_hash}\n{told}".encode()).hexdigest()[:16]
