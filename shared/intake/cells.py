"""How a cell of a table is read: nothing is guessed, nothing is rounded. All raise ``BadCellError``."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from itertools import pairwise
from zoneinfo import ZoneInfo

from shared.domain.sourcing.models import RateBreak

_DIGITS, _DECIMAL = re.compile(r"-?[0-9]{1,18}"), re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,12})?")


class BadCellError(ValueError):
    """A cell that cannot be read as what its column holds."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def whole(cell: str) -> int:
    """A whole number in digits."""
    if not _DIGITS.fullmatch(cell):
        raise BadCellError("not_an_integer", "must be a whole number in digits, such as 1200")
    return int(cell)


def small(cell: str) -> int:
    """A whole number that a Postgres ``integer`` holds."""
    if (value := whole(cell)) > 2**31 - 1:
        raise BadCellError("too_big", f"must be {2**31 - 1} or less")
    return value


def decimal(cell: str) -> float:
    """A decimal number with a point."""
    if not _DECIMAL.fullmatch(cell):
        raise BadCellError("not_a_number", "must be a decimal number with a point, such as 39.96")
    return float(cell)


def flag(cell: str) -> bool:
    """``true`` or ``false``."""
    if cell not in ("true", "false"):
        raise BadCellError("not_true_or_false", "must be true or false")
    return cell == "true"


def time_zone(cell: str) -> str:
    """An IANA time zone."""
    try:
        return ZoneInfo(cell).key
    except (ValueError, OSError, LookupError):
        raise BadCellError("unknown_value", "must be a time zone such as America/New_York") from None


def clock(cell: str) -> time:
    """A local time, 24 hours."""
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", cell):
        raise BadCellError("bad_format", "must be a local time such as 14:00")
    return time.fromisoformat(cell)


def instant(cell: str) -> datetime:
    """A moment with its offset."""
    try:
        at = datetime.fromisoformat(cell)
    except ValueError:
        at = datetime.min  # noqa: DTZ901 - refused like any other moment without an offset
    if at.tzinfo is None:
        raise BadCellError("bad_format", "must be a moment with its offset, such as 2026-08-03T14:00:00-04:00")
    return at


def weekdays(cell: str) -> tuple[int, ...]:
    """ISO weekdays."""
    numbers = cell.split(" ")
    if not all(re.fullmatch("[1-7]", number) for number in numbers) or len(set(numbers)) != len(numbers):
        raise BadCellError("bad_format", "must be ISO weekdays with spaces between, such as 1 2 3 4 5")
    return tuple(map(int, numbers))


def day(cell: str) -> date:
    """A date, ISO 8601."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", cell):
        raise BadCellError("bad_format", "must be a date such as 2026-12-25")
    try:
        return date.fromisoformat(cell)
    except ValueError:
        raise BadCellError("unknown_value", "must be a day that exists") from None


def days(cell: str) -> tuple[date, ...]:
    """Dates, ISO 8601."""
    try:
        return tuple(date.fromisoformat(each) for each in cell.split(" "))
    except ValueError:
        raise BadCellError("bad_format", "must be dates with spaces between, such as 2026-12-25 2027-01-01") from None


def breaks(cell: str) -> tuple[RateBreak, ...]:
    """Grams and minor units of rate breaks, rising."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}:[0-9]{1,12}( [1-9][0-9]{0,8}:[0-9]{1,12})*", cell):
        raise BadCellError("bad_format", "must be grams:price of a parcel, rising, such as 500:720 2000:1135")
    steps = [tuple(map(int, step.split(":"))) for step in cell.split(" ")]
    if any(before >= after for (before, _), (after, _) in pairwise(steps)):
        raise BadCellError("not_rising", "each weight must be more than the one before")
    return tuple(RateBreak(up_to_g=up_to, price_minor=price) for up_to, price in steps)


def words(cell: str) -> tuple[str, ...]:
    """Words with spaces between."""
    return tuple(cell.split(" "))
