"""Real US places to put invented people and buildings in, from the package ``zipcodes``."""

from __future__ import annotations

from functools import cache
from typing import Any

import zipcodes

from shared.domain.network import Place

_TERRITORIES = frozenset(["AS", "FM", "GU", "MH", "MP", "PR", "PW", "VI"])


@cache
def us_places() -> tuple[Place, ...]:
    """Every ordinary ZIP code of the fifty states and DC, by rising code."""
    rows = (row for row in zipcodes.list_all() if _ordinary(row))  # type: ignore[no-untyped-call]
    return tuple(_place(row) for row in sorted(rows, key=lambda row: str(row["zip_code"])))


def place_of(zip_code: str) -> Place:
    """The place of one ZIP code."""
    return _place(zipcodes.matching(zip_code)[0])  # type: ignore[no-untyped-call]


def _ordinary(row: dict[str, Any]) -> bool:
    delivers = row["zip_code_type"] == "STANDARD" and row["active"]
    return bool(delivers and row["state"] not in _TERRITORIES and float(row["lat"]))


def _place(row: dict[str, Any]) -> Place:
    return Place(
        region=row["state"],
        postal_code=row["zip_code"],
        city=row["city"],
        latitude=float(row["lat"]),
        longitude=float(row["long"]),
        time_zone=row["timezone"],
    )
