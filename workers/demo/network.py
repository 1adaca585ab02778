"""The demo merchant's network: where things are shipped from, who is told, and what carriers ask.

The places are real; the buildings, the vendors and the carriers are invented, and so is every price.
"""

from __future__ import annotations

from datetime import date, time
from typing import NamedTuple

import holidays

from shared.domain.network import Calendar, Node, NodeType
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.models import RateBreak, ServiceRate
from workers.demo.places import place_of

#: Closures are listed for these years; a demo outside them has no holidays.
YEARS = range(2024, 2032)

_WEEK = (1, 2, 3, 4, 5)
_SHOP_WEEK = (1, 2, 3, 4, 5, 6, 7)


class _Site(NamedTuple):
    node_id: str
    name: str
    node_type: NodeType
    zip_code: str
    cutoff: time
    handling_days: int
    daily_units: int | None
    order_minor: int
    unit_minor: int
    fee_minor: int = 0


_SITES = (
    _Site("wh-columbus", "Columbus warehouse", NodeType.WAREHOUSE, "43217", time(16), 0, 6000, 165, 35),
    _Site("3pl-reno", "Sierra Logistics, Reno", NodeType.LOGISTICS, "89506", time(14), 1, 4000, 240, 48),
    _Site("store-chicago", "Lincoln Park store", NodeType.STORE, "60614", time(13), 1, 120, 310, 85),
    _Site("store-austin", "South Congress store", NodeType.STORE, "78704", time(13), 1, 90, 310, 85),
    _Site("vnd-alder", "Alder & Wren Woodworks", NodeType.VENDOR, "97202", time(11), 2, 300, 0, 0, 250),
    _Site("vnd-northloop", "North Loop Games", NodeType.VENDOR, "55401", time(12), 1, 500, 0, 0, 195),
    _Site("vnd-maple", "Maple Hollow Plush", NodeType.VENDOR, "05401", time(10), 2, 250, 0, 0, 225),
    _Site("vnd-blueridge", "Blue Ridge Kites", NodeType.VENDOR, "28801", time(12), 3, 150, 0, 0, 275),
    _Site("vnd-frontrange", "Front Range Science", NodeType.VENDOR, "80205", time(13), 1, 400, 0, 0, 210),
    _Site("vnd-millrace", "Millrace Art Supply", NodeType.VENDOR, "17603", time(14), 1, 600, 0, 0, 180),
    _Site("vnd-cumberland", "Cumberland Music Toys", NodeType.VENDOR, "37203", time(11), 2, None, 0, 0, 240),
)

#: First kilogram's base price and what distance and weight add, in cents: made up.
_SERVICES = (
    ("parcelpost", "ground", ServiceLevel.STANDARD, 480, 55, 62, (1, 2, 3, 4, 5, 5, 8)),
    ("parcelpost", "priority", ServiceLevel.EXPEDITED, 795, 110, 125, (1, 2, 2, 2, 3, 3, 4)),
    ("swiftship", "economy", ServiceLevel.STANDARD, 540, 48, 58, (1, 1, 2, 3, 4, 5, 7)),
    ("swiftship", "two-day", ServiceLevel.EXPEDITED, 1120, 145, 160, (1, 1, 2, 2, 2, 2, 3)),
    ("swiftship", "overnight", ServiceLevel.OVERNIGHT, 2350, 260, 290, (1, 1, 1, 1, 1, 1, 2)),
)
_ZONES_KM = (250, 500, 1000, 1700, 2400, 3200, 20_000)
_BREAKS_G = (250, 500, 1000, 2000, 3500, 5000, 10_000, 20_000, 30_000)


def demo_nodes() -> tuple[Node, ...]:
    """One warehouse, one 3PL, two stores and seven vendors that drop-ship."""
    return tuple(_node(site) for site in _SITES)


def rate_card() -> tuple[ServiceRate, ...]:
    """Both carriers' services by zone and weight. Every price is made up, none is a carrier's."""
    return tuple(
        ServiceRate(
            carrier=carrier,
            service=service,
            level=level,
            max_distance_km=reach,
            transit_days=days[zone],
            breaks=tuple(_break(grams, base, per_zone * zone, per_kg) for grams in _BREAKS_G),
        )
        for carrier, service, level, base, per_zone, per_kg, days in _SERVICES
        for zone, reach in enumerate(_ZONES_KM)
    )


def _node(site: _Site) -> Node:
    shop = site.node_type is NodeType.STORE
    return Node(
        node_id=site.node_id,
        name=site.name,
        node_type=site.node_type,
        partner_id=site.node_id,
        place=place_of(site.zip_code),
        calendar=Calendar(
            cutoff=site.cutoff,
            working_days=_SHOP_WEEK if shop else _WEEK,
            closures=_great_holidays() if shop else _federal_holidays(),
        ),
        handling_days=site.handling_days,
        daily_units=site.daily_units,
        handling_order_minor=site.order_minor,
        handling_unit_minor=site.unit_minor,
        dropship_fee_minor=site.fee_minor,
        pickup_enabled=shop,
    )


def _break(grams: int, base: int, zone: int, per_kg: int) -> RateBreak:
    # Further away each kilogram costs more as well: half of the zone's surcharge again per 5 kg.
    return RateBreak(up_to_g=grams, price_minor=base + zone + (per_kg * grams + zone * grams // 10) // 1000)


def _federal_holidays() -> tuple[date, ...]:
    return tuple(sorted(holidays.country_holidays("US", years=YEARS)))


def _great_holidays() -> tuple[date, ...]:
    """The days even shops close."""
    days = holidays.country_holidays("US", years=YEARS)
    return tuple(sorted(day for day, name in days.items() if "Thanksgiving" in name or name == "Christmas Day"))
