from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.currency import currencies, exponent, parse_minor


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("19.90", "USD", 1990),
        ("19.9", "USD", 1990),
        ("19", "USD", 1900),
        ("0", "USD", 0),
        ("1990", "JPY", 1990),
        ("1.234", "KWD", 1234),
    ],
)
def test_amounts_are_exact(text: str, currency: str, minor: int) -> None:
    assert parse_minor(text, currency) == minor


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "+1",
        "-1",
        "1e3",
        "1_000",
        "1,000",
        "01",
        ".5",
        "1.",
        "1.999",
        "1.000",
        "١",
        "NaN",
        "Infinity",
        "9" * 5_000,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_minor(text, "USD")


@given(st.integers(0, 10**12), st.sampled_from(sorted(currencies())))
def test_what_is_written_is_read(minor: int, currency: str) -> None:
    places = exponent(currency)
    whole, rest = divmod(minor, 10**places)
    assert parse_minor(f"{whole}.{rest:0{places}d}" if places else str(whole), currency) == minor


def test_currencies_are_those_in_use() -> None:
    assert {"USD", "EUR", "GBP", "JPY"} <= currencies()
    assert not {"XXX", "XTS", "XAU", "DEM"} & currencies()
