"""The kinds of tables, and the columns of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

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
from shared.domain.sourcing.models import ServiceRate
from shared.domain.supply import SupplyRow
from shared.domain.trade import CustomsRule, ItemTrade, LaneRule
from shared.intake import cells


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
    "latitude": Column("39.8297", cells.decimal, required=True, inside="place"),
    "longitude": Column("-82.9346", cells.decimal, required=True, inside="place"),
    "time_zone": Column("America/New_York", cells.time_zone, required=True, inside="place"),
}
_CALENDAR = {
    "cutoff": Column("14:00", cells.clock, inside="calendar"),
    "working_days": Column("1 2 3 4 5", cells.weekdays, inside="calendar"),
    "closures": Column("2026-12-25 2027-01-01", cells.days, inside="calendar"),
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
        quotes=Column("false", cells.flag),
        connector=Column(""),
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
        handling_days=Column("1", cells.small),
        daily_units=Column("4000", cells.small),
        handling_order_minor=Column("165", cells.whole),
        handling_unit_minor=Column("35", cells.whole),
        dropship_fee_minor=Column("0", cells.whole),
        ship_enabled=Column("true", cells.flag),
        pickup_enabled=Column("false", cells.flag),
    ),
    "capacity": _table(
        NodeCapacity,
        "node_id day service",
        {"node_id": "nodes"},
        node_id=_NODE,
        day=Column("2026-11-27", cells.day, required=True),
        service=Column("expedited"),
        units=Column("6000", cells.small),
        orders=Column("900", cells.small),
    ),
    "items": _table(
        Item,
        "sku",
        {},
        sku=_SKU,
        name=Column("Wooden train"),
        weight_g=Column("500", cells.small, required=True),
        length_mm=Column("200", cells.small, required=True),
        width_mm=Column("150", cells.small, required=True),
        height_mm=Column("100", cells.small, required=True),
        price_minor=Column("1299", cells.whole, required=True),
        cost_minor=Column("640", cells.whole, required=True),
        currency=Column("USD", required=True),
        own_container=Column("false", cells.flag),
    ),
    "cartons": _table(
        Carton,
        "node_id name",
        {"node_id": "nodes"},
        name=Column("box-m", required=True),
        node_id=Column("wh-columbus"),
        length_mm=Column("300", cells.small, required=True),
        width_mm=Column("220", cells.small, required=True),
        height_mm=Column("160", cells.small, required=True),
        max_weight_g=Column("10000", cells.small, required=True),
        tare_g=Column("180", cells.small),
        cost_minor=Column("55", cells.whole),
        in_use=Column("true", cells.flag),
    ),
    "bundles": _table(
        BundleComponent,
        "bundle_sku component_sku",
        {"bundle_sku": "items", "component_sku": "items"},
        bundle_sku=Column("SET-0001", required=True),
        component_sku=Column("TOY-0001", required=True),
        quantity=Column("2", cells.small, required=True),
    ),
    "offers": _table(
        SourceOffer,
        "node_id sku",
        {"node_id": "nodes", "sku": "items"},
        node_id=_NODE,
        sku=_SKU,
        partner_sku=Column("AW-1001", required=True),
        cost_minor=Column("640", cells.whole, required=True),
        pack_size=Column("1", cells.small),
        lead_days=Column("2", cells.small),
    ),
    "rates": _table(
        ServiceRate,
        "carrier service max_distance_km",
        {"carrier": "partners"},
        carrier=Column("usps", required=True),
        service=Column("ground", required=True),
        level=Column("standard", required=True),
        max_distance_km=Column("480", cells.small, required=True),
        breaks=Column("500:720 2000:1135 31751:4200", cells.breaks, required=True),
        transit_days=Column("3", cells.small, required=True),
        zone=Column("3", cells.small),
    ),
    "zones": _table(
        CarrierZone,
        "carrier origin destination",
        {"carrier": "partners"},
        carrier=Column("usps", required=True),
        origin=Column("432", required=True),
        destination=Column("100", required=True),
        zone=Column("4", cells.small, required=True),
    ),
    "trade": _table(
        ItemTrade,
        "sku",
        {"sku": "items"},
        sku=_SKU,
        hazmat=Column("false", cells.flag),
        origin_country=Column("VN"),
        hs_code=Column("950300"),
        banned_countries=Column("CU IR", cells.words),
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
        duty_bp=Column("650", cells.small, required=True),
    ),
    "channels": _table(
        Channel,
        "channel",
        {"partner_id": "partners"},
        channel=_CHANNEL,
        rank=Column("10", cells.small),
        every_node=Column("true", cells.flag),
        partner_id=Column("webshop"),
    ),
    "eligibility": _table(
        ChannelNode,
        "channel node_id",
        {"channel": "channels", "node_id": "nodes"},
        channel=_CHANNEL,
        node_id=_NODE,
        sells=Column("false", cells.flag, required=True),
    ),
    "allocation": _table(
        Allocation,
        "channel sku",
        {"channel": "channels", "sku": "items"},
        channel=_CHANNEL,
        sku=Column("TOY-0001"),
        pool=Column("20", cells.whole),
        fall_through=Column("true", cells.flag),
        percent=Column("80", cells.small),
        buffer=Column("2", cells.whole),
        floor=Column("3", cells.whole),
        cap=Column("50", cells.whole),
    ),
    "in_stock": _table(
        InStock,
        "channel effective_at",
        {"channel": "channels"},
        channel=_CHANNEL,
        effective_at=Column("2026-08-03T00:00:00-04:00", cells.instant),
        counts_supplier=Column("true", cells.flag),
        future_days=Column("14", cells.small),
        threshold=Column("2", cells.whole),
    ),
    "stock": _table(
        StockCount,
        "node_id sku",
        {"node_id": "nodes", "sku": "items"},
        node_id=_NODE,
        sku=_SKU,
        on_hand=Column("40", cells.whole, required=True),
        safety=Column("2", cells.whole),
    ),
    "supply": _table(
        SupplyRow,
        "inbound_id sku",
        {"node_id": "nodes", "origin_node_id": "nodes", "sku": "items"},
        inbound_id=Column("PO-1234", required=True),
        kind=Column("purchase_order", required=True),
        node_id=_NODE,
        origin_node_id=Column(""),
        expected_at=Column("2026-12-01T12:00:00-05:00", cells.instant, required=True),
        sku=_SKU,
        quantity=Column("40", cells.whole, required=True),
        reference=Column("4500012345"),
    ),
    "counts": _table(
        Count,
        "node_id sku",
        {"node_id": "nodes", "sku": "items"},
        node_id=_NODE,
        sku=_SKU,
        counted=Column("38", cells.whole, required=True),
        counted_at=Column("2026-08-03T14:00:00-04:00", cells.instant),
        reason=Column("lost"),
    ),
    "thresholds": _table(
        Threshold,
        "sku node_id channel",
        {"sku": "items", "node_id": "nodes", "channel": "channels"},
        sku=_SKU,
        node_id=Column("wh-columbus"),
        channel=Column(""),
        low=Column("10", cells.whole),
        low_clear=Column("15", cells.whole),
        high=Column("500", cells.whole),
        high_clear=Column("400", cells.whole),
        aged_days=Column("60", cells.small),
        lead_days=Column("14", cells.small),
        safety_days=Column("3", cells.small),
        target=Column("120", cells.whole),
    ),
}
