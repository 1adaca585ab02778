"""A small retail network to plan against: builders with keyword defaults, and a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from shared.domain.network import Calendar, Node, NodeType, Place
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.models import (
    DayPrice,
    NodeLoad,
    Policy,
    RateBreak,
    ServiceRate,
    Snapshot,
    SourcingOrder,
    Stock,
    WantedLine,
)

#: A Wednesday, 10:00 in New York.
AS_OF = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)

CITIES = (
    ("New York", 40.71, -74.01, "America/New_York"),
    ("Los Angeles", 34.05, -118.24, "America/Los_Angeles"),
    ("Chicago", 41.88, -87.63, "America/Chicago"),
    ("Dallas", 32.78, -96.80, "America/Chicago"),
    ("Miami", 25.76, -80.19, "America/New_York"),
    ("Seattle", 47.61, -122.33, "America/Los_Angeles"),
    ("Denver", 39.74, -104.99, "America/Denver"),
    ("Atlanta", 33.75, -84.39, "America/New_York"),
    ("Phoenix", 33.45, -112.07, "America/Phoenix"),
    ("Boston", 42.36, -71.06, "America/New_York"),
    ("Columbus", 39.96, -83.00, "America/New_York"),
)
_ZONES = ((250, 1, 100), (1000, 2, 125), (2000, 3, 160), (9000, 5, 210))
_SERVICES = (
    ("sky", "ground", ServiceLevel.STANDARD, 0, 620, ((500, 100), (2000, 135), (10_000, 260), (30_000, 520))),
    ("sky", "two-day", ServiceLevel.EXPEDITED, 2, 1480, ((1000, 100), (5000, 170), (20_000, 420))),
    ("road", "parcel", ServiceLevel.STANDARD, 1, 560, ((1000, 100), (5000, 180), (25_000, 480))),
    ("sky", "overnight", ServiceLevel.OVERNIGHT, 9, 3300, ((1000, 100), (10_000, 210))),
)


def place(city: int) -> Place:
    name, latitude, longitude, zone = CITIES[city % len(CITIES)]
    return Place(city=name, latitude=latitude, longitude=longitude, time_zone=zone)


def node(
    node_id: str,
    *,
    city: int = 0,
    node_type: NodeType = NodeType.WAREHOUSE,
    calendar: Calendar | None = None,
    handling_days: int = 0,
    daily_units: int | None = None,
    order_minor: int = 0,
    unit_minor: int = 0,
    fee_minor: int = 0,
    ship_enabled: bool = True,
) -> Node:
    return Node(
        node_id=node_id,
        name=node_id,
        node_type=node_type,
        partner_id="partner",
        place=place(city),
        calendar=calendar or Calendar(),
        handling_days=handling_days,
        daily_units=daily_units,
        handling_order_minor=order_minor,
        handling_unit_minor=unit_minor,
        dropship_fee_minor=fee_minor,
        ship_enabled=ship_enabled,
    )


def line(line_no: int, sku: str, quantity: int = 1, *, weight_g: int = 500, side_mm: int = 100) -> WantedLine:
    return WantedLine(
        line_no=line_no,
        sku=sku,
        quantity=quantity,
        weight_g=weight_g,
        length_mm=side_mm,
        width_mm=side_mm,
        height_mm=side_mm,
    )


def order(
    *lines: WantedLine,
    city: int = 0,
    service: ServiceLevel = ServiceLevel.STANDARD,
    excluded: Sequence[str] = (),
    only: Sequence[str] = (),
    needed_by: datetime | None = None,
) -> SourcingOrder:
    return SourcingOrder(
        order_id="o-1",
        channel="web",
        ship_to=place(city),
        service=service,
        lines=tuple(lines),
        excluded=tuple(excluded),
        only=tuple(only),
        needed_by=needed_by,
    )


def rates() -> tuple[ServiceRate, ...]:
    """Four services of two carriers into four zones."""
    return tuple(
        ServiceRate(
            carrier=carrier,
            service=service,
            level=level,
            max_distance_km=reach,
            transit_days=max(1, days - faster),
            breaks=tuple(
                RateBreak(up_to_g=up_to, price_minor=base * percent * zone // 10_000) for up_to, percent in breaks
            ),
        )
        for carrier, service, level, faster, base, breaks in _SERVICES
        for reach, days, zone in _ZONES
    )


def flat_rate(price_minor: int = 500, *, service: str = "ground", transit_days: int = 2) -> ServiceRate:
    return ServiceRate(
        carrier="sky",
        service=service,
        level=ServiceLevel.STANDARD,
        max_distance_km=30_000,
        transit_days=transit_days,
        breaks=(RateBreak(up_to_g=1_000_000, price_minor=price_minor),),
    )


def snapshot(
    nodes: Sequence[Node],
    stock: Mapping[tuple[str, str], int],
    *,
    rates: Sequence[ServiceRate] | None = None,
    loads: Mapping[str, int] | None = None,
    unit_cost: Mapping[tuple[str, str], int] | None = None,
    scarcity: Mapping[tuple[str, str], int] | None = None,
    day_prices: Mapping[tuple[str, date], int] | None = None,
    as_of: datetime = AS_OF,
) -> Snapshot:
    costs, prices = unit_cost or {}, scarcity or {}
    return Snapshot(
        as_of=as_of,
        nodes=tuple(nodes),
        stock=tuple(
            Stock(
                node_id=at,
                sku=sku,
                available=units,
                unit_cost_minor=costs.get((at, sku), 0),
                scarcity_minor=prices.get((at, sku), 0),
            )
            for (at, sku), units in stock.items()
        ),
        day_prices=tuple(
            DayPrice(node_id=at, day=day, unit_minor=price) for (at, day), price in (day_prices or {}).items()
        ),
        price_version="test/1" if prices or day_prices else None,
        loads=tuple(NodeLoad(node_id=at, units=units) for at, units in (loads or {}).items()),
        rates=tuple(rates) if rates is not None else (flat_rate(),),
    )


def instance(
    seed: int, *, lines: int, nodes: int, most: int = 3, density: float = 0.6
) -> tuple[SourcingOrder, Snapshot, Policy]:
    """A random order on a random network: warehouses, stores and a vendor or two, real tariffs."""
    rng = random.Random(seed)
    kinds = [rng.choices(list(NodeType), (2, 5, 2, 1))[0] for _ in range(nodes)]
    places = [
        node(
            f"n{index:03d}",
            city=rng.randrange(len(CITIES)),
            node_type=kind,
            handling_days=rng.randint(0, 2),
            order_minor=rng.randint(0, 200),
            unit_minor=rng.randint(20, 150),
            fee_minor=rng.randint(100, 400) if kind is NodeType.VENDOR else 0,
        )
        for index, kind in enumerate(kinds)
    ]
    wanted = [
        line(number + 1, f"sku-{number}", rng.randint(1, most), weight_g=rng.randint(100, 4000), side_mm=120)
        for number in range(lines)
    ]
    stock = {
        (at.node_id, one.sku): rng.randint(1, 2 * most) for at in places for one in wanted if rng.random() < density
    }
    costs = {key: rng.randint(0, 300) for key in stock if kinds[int(key[0][1:])] is NodeType.VENDOR}
    return (
        order(*wanted, city=rng.randrange(len(CITIES))),
        snapshot(places, stock, rates=rates(), unit_cost=costs),
        Policy(max_shipments=6),
    )
