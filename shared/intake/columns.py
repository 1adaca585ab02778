"""The columns of each kind of table, and how a cell is read: nothing is guessed, nothing is rounded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import pairwise
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints

from shared.domain.alerts import Threshold
from shared.domain.availability import Allocation, Channel, ChannelNode, InStock, Units
from shared.domain.base import Identifier, Model, Sku
from shared.domain.capacity import NodeCapacity
from shared.domain.cartons import Carton
from shared.domain.catalogue import BundleComponent, Item, SourceOffer
from shared.domain.counts import Count
from shared.domain.network import Node
from shared.domain.partners import PartnerEndpoint
from shared.domain.sourcing.models import RateBreak, ServiceRate
from shared.domain.supply import SupplyRow
from shared.domain.trade import CustomsRule, ItemTrade, LaneRule

_DIGITS, _DECIMAL = re.compile(r"-?[0-9]{1,18}"), re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,12})?")


class BadCellError(ValueError):
    """A cell that cannot be read as what its column holds."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class StockCount(Model):
    """What was counted of an item at a node, reserved units included.

    Attributes:
        safety: Units never offered; ``None`` leaves what is set.
    """

    node_id: Identifier
    sku: Sku
    on_hand: Annotated[int, Field(ge=0, le=10**9)]
    safety: Units | None = None


class CarrierZone(Model):
    """The zone a carrier has a parcel in that goes from one area to another.

    Attributes:
        origin, destination: First three characters of the postal codes.
    """

    carrier: Identifier
    origin: Annotated[str, StringConstraints(min_length=3, max_length=3)]
    destination: Annotated[str, StringConstraints(min_length=3, max_length=3)]
    zone: Annotated[int, Field(ge=1)]


def _whole(cell: str) -> int:
    if not _DIGITS.fullmatch(cell):
        raise BadCellError("not_an_integer", "must be a whole number in digits, such as 1200")
    return int(cell)


def _small(cell: str) -> int:
    if (value := _whole(cell)) > 2**31 - 1:
        raise BadCellError("too_big", f"must be {2**31 - 1} or less")
    return value


def _decimal(cell: str) -> float:
    if not _DECIMAL.fullmatch(cell):
        raise BadCellError("not_a_number", "must be a decimal number with a point, such as 39.96")
    return float(cell)


def _flag(cell: str) -> bool:
    if cell not in ("true", "false"):
        raise BadCellError("not_true_or_false", "must be true or false")
    return cell == "true"


def _zone(cell: str) -> str:
    try:
        return ZoneInfo(cell).key
    except (ValueError, OSError, LookupError):
        raise BadCellError("unknown_value", "must be a time zone such as America/New_York") from None


def _clock(cell: str) -> time:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", cell):
        raise BadCellError("bad_format", "must be a local time such as 14:00")
    return time.fromisoformat(cell)


def _instant(cell: str) -> datetime:
    try:
        at = datetime.fromisoformat(cell)
    except ValueError:
        at = datetime.min  # noqa: DTZ901 - refused like any other moment without an offset
    if at.tzinfo is None:
        raise BadCellError("bad_format", "must be a moment with its offset, such as 2026-08-03T14:00:00-04:00")
    return at


def _weekdays(cell: str) -> tuple[int, ...]:
    days = cell.split(" ")
    if not all(re.fullmatch("[1-7]", day) for day in days) or len(set(days)) != len(days):
        raise BadCellError("bad_format", "must be ISO weekdays with spaces between, such as 1 2 3 4 5")
    return tuple(map(int, days))


def _date(cell: str) -> date:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", cell):
        raise BadCellError("bad_format", "must be a date such as 2026-12-25")
    try:
        return date.fromisoformat(cell)
    except ValueError:
        raise BadCellError("unknown_value", "must be a day that exists") from None


def _dates(cell: str) -> tuple[date, ...]:
    try:
        return tuple(date.fromisoformat(day) for day in cell.split(" "))
    except ValueError:
        raise BadCellError("bad_format", "must be dates with spaces between, such as 2026-12-25 2027-01-01") from None


def _breaks(cell: str) -> tuple[RateBreak, ...]:
    if not re.fullmatch(r"[1-9][0-9]{0,8}:[0-9]{1,12}( [1-9][0-9]{0,8}:[0-9]{1,12})*", cell):
        raise BadCellError("bad_format", "must be grams:price of a parcel, rising, such as 500:720 2000:1135")
    steps = [tuple(map(int, step.split(":"))) for step in cell.split(" ")]
    if any(before >= after for (before, _), (after, _) in pairwise(steps)):
        raise BadCellError("not_rising", "each weight must be more than the one before")
    return tuple(RateBreak(up_to_g=up_to, price_minor=price) for up_to, price in steps)


def _words(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(" "))


@dataclass(frozen=True)
class Column:
    """One column: an example of a cell, how a cell is read, and where in the model its value belongs."""

    example: str
    read: Callable[[str], Any] = str
    required: bool = False
    inside: str = ""


@dataclass(frozen=True)
class Table:
    """One kind of table.

    Attributes:
        key: The columns that name a row.
        refers: Columns that name a row of another kind, by that kind.
    """

    model: type[Model]
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    refers: Mapping[str, str]

    def template(self) -> str:
        """The header and one example row."""
        return f"{','.join(self.columns)}\n{','.join(column.example for column in self.columns.values())}\n"


def _table(model: type[Model], key: str, refers: Mapping[str, str], **columns: Column) -> Table:
    return Table(model, columns, tuple(key.split()), refers)


_PLACE = {
    "country": Column("US", required=True, inside="place"),
    "region": Column("OH", inside="place"),
    "postal_code": Column("43217", inside="place"),
    "city": Column("Columbus", inside="place"),
    "latitude": Column("39.8297", _decimal, required=True, inside="place"),
    "longitude": Column("-82.9346", _decimal, required=True, inside="place"),
    "time_zone": Column("America/New_York", _zone, required=True, inside="place"),
}
_CALENDAR = {
    "cutoff": Column("14:00", _clock, inside="calendar"),
    "working_days": Column("1 2 3 4 5", _weekdays, inside="calendar"),
    "closures": Column("2026-12-25 2027-01-01", _dates, inside="calendar"),
}
_NODE, _SKU, _CHANNEL = (Column(example, required=True) for example in ("wh-columbus", "TOY-0001", "webshop"))

#: In the order in which one may refer to another.
TABLES: Mapping[str, Table] = {
    "partners": _table(
        PartnerEndpoint,
        "partner_id",
        {},
        partner_id=Column("wh-columbus", required=True),
        kind=Column("fulfillment", required=True),
        base_url=Column("https://partner.example/api", required=True),
        quotes=Column("false", _flag),
        edi_id=Column(""),
        edi_sender_id=Column("DOMS"),
    ),
    "nodes": _table(
        Node,
        "node_id",
        {"partner_id": "partners"},
        node_id=_NODE,
        name=Column("Columbus warehouse", required=True),
        node_type=Column("warehouse", required=True),
        partner_id=Column("wh-columbus", required=True),
        **_PLACE,
        **_CALENDAR,
        handling_days=Column("1", _small),
        daily_units=Column("4000", _small),
        handling_order_minor=Column("165", _whole),
        handling_unit_minor=Column("35", _whole),
        dropship_fee_minor=Column("0", _whole),
        ship_enabled=Column("true", _flag),
        pickup_enabled=Column("false", _flag),
    ),
    "capacity": _table(
        NodeCapacity,
        "node_id day service",
        {"node_id": "nodes"},
        node_id=_NODE,
        day=Column("2026-11-27", _date, required=True),
        service=Column("expedited"),
        units=Column("6000", _small),
        orders=Column("900", _small),
    ),
    "items": _table(
        Item,
        "sku",
        {},
        sku=_SKU,
        name=Column("Wooden train"),
        weight_g=Column("500", _small, required=True),
        length_mm=Column("200", _small, required=True),
        width_mm=Column("150", _small, required=True),
        height_mm=Column("100", _small, required=True),
        price_minor=Column("1299", _whole, required=True),
        cost_minor=Column("640", _whole, required=True),
        currency=Column("USD", required=True),
        own_container=Column("false", _flag),
    ),
    "cartons": _table(
        Carton,
        "node_id name",
        {"node_id": "nodes"},
        name=Column("box-m", required=True),
        node_id=Column("wh-columbus"),
        length_mm=Column("300", _small, required=True),
        width_mm=Column("220", _small, required=True),
        height_mm=Column("160", _small, required=True),
        max_weight_g=Column("10000", _small, required=True),
        tare_g=Column("180", _small),
        cost_minor=Column("55", _whole),
        in_use=Column("true", _flag),
    ),
    "bundles": _table(
        BundleComponent,
        "bundle_sku component_sku",
        {"bundle_sku": "items", "component_sku": "items"},
        bundle_sku=Column("SET-0001", required=True),
        component_sku=Column("TOY-0001", required=True),
        quantity=Column("2", _small, required=True),
    ),
    "offers": _table(
        SourceOffer,
        "node_id sku",
        {"node_id": "nodes", "sku": "items"},
        node_id=_NODE,
        sku=_SKU,
        partner_sku=Column("AW-1001", required=True),
        cost_minor=Column("640", _whole, required=True),
        pack_size=Column("1", _small),
        lead_days=Column("2", _small),
    ),
    "rates": _table(
        ServiceRate,
        "carrier service max_distance_km",
        {"carrier": "partners"},
        carrier=Column("usps", required=True),
        service=Column("ground", required=True),
        level=Column("standard", required=True),
        max_distance_km=Column("480", _small, required=True),
        breaks=Column("500:720 2000:1135 31751:4200", _breaks, required=True),
        transit_days=Column("3", _small, required=True),
        zone=Column("3", _small),
    ),
    "zones": _table(
        CarrierZone,
        "carrier origin destination",
        {"carrier": "partners"},
        carrier=Column("usps", required=True),
        origin=Column("432", required=True),
        destination=Column("100", required=True),
        zone=Column("4", _small, required=True),
    ),
    "trade": _table(
        ItemTrade,
        "sku",
        {"sku": "items"},
        sku=_SKU,
        hazmat=Column("false", _flag),
        origin_country=Column("VN"),
        hs_code=Column("950300"),
        banned_countries=Column("CU IR", _words),
    ),
    "lanes": _table(
        LaneRule,
        "node_id country region carrier service",
        {"node_id": "nodes", "carrier": "partners"},
        node_id=Column("wh-columbus"),
        country=Column("US", required=True),
        region=Column("AK"),
        carrier=Column("usps"),
        service=Column("overnight"),
        closed_to=Column("hazmat", required=True),
    ),
    "customs": _table(
        CustomsRule,
        "country hs_prefix",
        {},
        country=Column("CA", required=True),
        hs_prefix=Column("9503"),
        duty_bp=Column("650", _small, required=True),
    ),
    "channels": _table(
        Channel,
        "channel",
        {"partner_id": "partners"},
        channel=_CHANNEL,
        rank=Column("10", _small),
        every_node=Column("true", _flag),
        partner_id=Column("webshop"),
    ),
    "eligibility": _table(
        ChannelNode,
        "channel node_id",
        {"channel": "channels", "node_id": "nodes"},
        channel=_CHANNEL,
        node_id=_NODE,
        sells=Column("false", _flag, required=True),
    ),
    "allocation": _table(
        Allocation,
        "channel sku",
        {"channel": "channels", "sku": "items"},
        channel=_CHANNEL,
        sku=Column("TOY-0001"),
        pool=Column("20", _whole),
        fall_through=Column("true", _flag),
        percent=Column("80", _small),
        buffer=Column("2", _whole),
        floor=Column("3", _whole),
        cap=Column("50", _whole),
    ),
    "in_stock": _table(
        InStock,
        "channel effective_at",
        {"channel": "channels"},
        channel=_CHANNEL,
        effective_at=Column("2026-08-03T00:00:00-04:00", _instant),
        counts_supplier=Column("true", _flag),
        future_days=Column("14", _small),
        threshold=Column("2", _whole),
    ),
    "stock": _table(
        StockCount,
        "node_id sku",
        {"node_id": "nodes", "sku": "items"},
        node_id=_NODE,
        sku=_SKU,
        on_hand=Column("40", _whole, required=True),
        safety=Column("2", _whole),
    ),
    "supply": _table(
        SupplyRow,
        "inbound_id sku",
        {"node_id": "nodes", "origin_node_id": "nodes", "sku": "items"},
        inbound_id=Column("PO-1234", required=True),
        kind=Column("purchase_order", required=True),
        node_id=_NODE,
        origin_node_id=Column(""),
        expected_at=Column("2026-12-01T12:00:00-05:00", _instant, required=True),
        sku=_SKU,
        quantity=Column("40", _whole, required=True),
        reference=Column("4500012345"),
    ),
    "counts": _table(
        Count,
        "node_id sku",
        {"node_id": "nodes", "sku": "items"},
        node_id=_NODE,
        sku=_SKU,
        counted=Column("38", _whole, required=True),
        counted_at=Column("2026-08-03T14:00:00-04:00", _instant),
        reason=Column("lost"),
    ),
    "thresholds": _table(
        Threshold,
        "sku node_id channel",
        {"sku": "items", "node_id": "nodes", "channel": "channels"},
        sku=_SKU,
        node_id=Column("wh-columbus"),
        channel=Column(""),
        low=Column("10", _whole),
        low_clear=Column("15", _whole),
        high=Column("500", _whole),
        high_clear=Column("400", _whole),
        aged_days=Column("60", _small),
        lead_days=Column("14", _small),
        safety_days=Column("3", _small),
        target=Column("120", _whole),
    ),
}
