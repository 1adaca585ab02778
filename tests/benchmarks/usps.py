"""A rate card and zone charts out of two public USPS tables; transit days are constructed, by zone."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.models import RateBreak, ServiceRate, ZoneChart

CARRIER = "usps"
_GRAMS_PER_OUNCE = 28.349523125
_KM_PER_MILE = 1.609344
#: Outer edge of each zone in miles, for areas without a chart; zone 9 is overseas and never met by distance.
_MILES = {1: 50, 2: 150, 3: 300, 4: 600, 5: 1000, 6: 1400, 7: 1800, 8: 12_000, 9: 12_001}
#: Column of the price table, class, and constructed working days by zone.
_SERVICES = {
    "ground_advantage_retail": (ServiceLevel.STANDARD, (2, 2, 3, 3, 4, 4, 5, 5, 5)),
    "priority_mail_retail": (ServiceLevel.EXPEDITED, (1, 1, 2, 2, 2, 3, 3, 3, 3)),
    "priority_mail_express": (ServiceLevel.OVERNIGHT, (1, 1, 1, 1, 1, 1, 1, 1, 1)),
}


def read_rates(path: Path) -> tuple[ServiceRate, ...]:
    """Every service and zone of the price table, cents by grams."""
    steps: dict[tuple[str, int], list[RateBreak]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            grams = int(float(row["max_weight_oz"]) * _GRAMS_PER_OUNCE)
            cents = round(float(row["price_usd"]) * 100)
            steps[row["service"], int(row["zone"])].append(RateBreak(up_to_g=grams, price_minor=cents))
    return tuple(
        ServiceRate(
            carrier=CARRIER,
            service=service,
            level=_SERVICES[service][0],
            max_distance_km=int(_MILES[zone] * _KM_PER_MILE),
            breaks=tuple(sorted(breaks, key=lambda step: step.up_to_g)),
            transit_days=_SERVICES[service][1][zone - 1],
            zone=zone,
        )
        for (service, zone), breaks in sorted(steps.items())
    )


def read_charts(path: Path, origins: Collection[str]) -> tuple[ZoneChart, ...]:
    """The zones from these areas; rows whose destination lost a leading zero are passed over."""
    zones: dict[str, dict[str, int]] = {origin: {} for origin in sorted(origins)}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["origin_zip"] in zones and len(row["dest_zip"]) == 3 and row["zone"].isdigit():
                zones[row["origin_zip"]][row["dest_zip"]] = int(row["zone"])
    return tuple(ZoneChart(carrier=CARRIER, origin=origin, zones=found) for origin, found in zones.items())
