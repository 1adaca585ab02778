"""Where an address lies on the map, from data that comes with packages: no service is asked.

US addresses are placed by ZIP code. Elsewhere the country's first place in the time-zone table stands in,
which is right about the ocean to cross and wrong about the street.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

from shared.domain.network import Place
from shared.domain.orders import Address


def locate(address: Address) -> Place:
    """The place of an address."""
    return locate_postal(address.country, address.region, address.postal_code, address.city)


def locate_postal(country: str, region: str, postal_code: str, city: str) -> Place:
    """The place of what is known of an address before there is one; region and city may be empty."""
    if country == "US":
        return _in_us(postal_code[:5], region, city)
    latitude, longitude, zone = _countries().get(country, (0.0, 0.0, "UTC"))
    return Place(
        country=country,
        region=region,
        postal_code=postal_code,
        city=city,
        latitude=latitude,
        longitude=longitude,
        time_zone=zone,
    )


@lru_cache(maxsize=50_000)
def _in_us(zip_code: str, region: str, city: str) -> Place:
    import zipcodes

    look_up: Any = zipcodes  # untyped
    rows = look_up.matching(zip_code) if len(zip_code) == 5 and zip_code.isdigit() else []
    rows = rows or look_up.filter_by(state=region) or look_up.filter_by(state="KS")
    row = rows[len(rows) // 2]
    return Place(
        country="US",
        region=region,
        postal_code=zip_code,
        city=city,
        latitude=float(row["lat"]),
        longitude=float(row["long"]),
        time_zone=row["timezone"],
    )


@lru_cache(maxsize=1)
def _countries() -> dict[str, tuple[float, float, str]]:
    """First zone of each country: latitude, longitude, zone. Rows read ``GB\t+513030-0000731\tEurope/London``."""
    table = (files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    places: dict[str, tuple[float, float, str]] = {}
    for row in table.splitlines():
        if row.startswith("#"):
            continue
        country, coordinates, zone = row.split("\t")[:3]
        cut = max(coordinates.rfind("+"), coordinates.rfind("-"))
        places.setdefault(country, (_degrees(coordinates[:cut], 2), _degrees(coordinates[cut:], 3), zone))
    return places


def _degrees(text: str, width: int) -> float:
    """``+5130`` or ``+513030`` as degrees (ISO 6709)."""
    sign = -1.0 if text[0] == "-" else 1.0
    digits = text[1:]
    degrees, minutes, seconds = digits[:width], digits[width : width + 2], digits[width + 2 :] or "0"
    return sign * (int(degrees) + int(minutes) / 60 + int(seconds) / 3600)
